"""The stages of one run, in order; each is cached until something it depends on changes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import Any

from systolith.devices import DEVICES, Family
from systolith.emit import Bus, Design, design_files, load_design, write_design, write_shell
from systolith.network import IntegerNetwork, NetworkError, content_hash
from systolith.plan import SPEED_FACTORS, NetworkPlan, PlanError, fmax_of
from systolith.report import Report, dense_macs, engine_rows, performance, sparsity_rows
from systolith.stages.building import BITSTREAM, PICTURES, build_design, top_of
from systolith.stages.checking import check_netlist
from systolith.stages.engines import engine_inputs, judge_untrained, plan_engines
from systolith.stages.errors import UsageError
from systolith.stages.inputs import Inputs, flat, joined
from systolith.stages.journal import Journal, Several, log_in
from systolith.stages.listener import Listener
from systolith.stages.problems import Problems
from systolith.stages.program import digest_of, image_inputs, program_of
from systolith.stages.proofs import proof_of, proof_of_bulk
from systolith.stages.proving import bulk_simulation, layer_checks, network_check, write_waveform
from systolith.stages.settings import Settings
from systolith.stages.sources import Preparation, Source
from systolith.stages.tools import check_machine
from systolith.stages.workspace import StageRecord, Workspace, key_of, write_json
from systolith.verify import Verification

__all__ = ["STAGES", "Session"]

STAGES = (
    *("train", "prune", "quantize", "lower"),
    *("estimate", "generate", "verify", "simulate", "build"),
)
SIMULATORS = "sim"


class Session:
    """One run in one folder.

    Parameters
    ----------
    source : Source
        The network and its reference; trains and lowers first if it is an experiment.
    settings : Settings
        What the stages do.
    folder : Path
        Where results go.
    listener : Listener
        Hears of progress.
    """

    def __init__(
        self, source: Source, settings: Settings, folder: Path, listener: Listener
    ) -> None:
        self.source, self.settings = source, settings
        self.workspace = Workspace(folder)
        self._journal = Journal(log_in(folder))
        self.listener = Several(listener, self._journal)
        self._written: dict[str, str] = {}
        self._dense: dict[str, list[int]] | None = None
        self.report = Report(name=settings.name, seed=settings.seed)

    @property
    def folder(self) -> Path:
        """Where results go."""
        return self.workspace.folder

    def run(self, goal: str | None = None) -> Report:
        """Run a stage with what it needs before it, or all of them, and write report.json.

        Simulation does not need verification, and a build needs neither; everything else needs all
        that comes before. Without a goal, something is built only if there is a part to build for.

        Raises
        ------
        NetworkError, PlanError, UsageError, MissingToolError
            If the input is wrong or a tool is missing; tools are looked for before work starts.
        """
        wanted: tuple[str, ...] = STAGES
        if goal is not None:
            before = STAGES[: STAGES.index(goal)]
            unneeded = {"build": {"verify", "simulate"}}.get(goal, {"verify"})
            wanted = (*(name for name in before if name not in unneeded), goal)
        elif self.settings.build.part is None:
            wanted = STAGES[: STAGES.index("build")]
        self._check(wanted)
        stages: dict[str, Callable[[], None]] = {
            "estimate": self._estimate,
            "generate": self._generate,
            "verify": self._verify,
            "simulate": self._simulate,
            "build": self._build,
        }
        names = [name for name in wanted if name in stages or name in self.source.stages]
        self._journal.note(f"run of '{self.settings.name}': {', '.join(names)}")
        with self.source.running():
            for name in wanted:
                if name in self.source.stages:
                    self._prepare(name)
                elif name in stages:
                    stages[name]()
        write_json(self.folder / "report.json", self.report.to_json())
        return self.report

    def _check(self, wanted: Sequence[str]) -> None:
        """Find out all that can be known to be wrong before any work, and raise it together."""
        problems = Problems()
        check_machine(wanted, self.settings, self.folder, self.folder / SIMULATORS, problems)
        if problems.errors or not self._is_trained(wanted):
            with self.source.running():
                self.source.check(problems, self._judge if "estimate" in wanted else None)
        problems.raise_if_any()

    def _is_trained(self, wanted: Sequence[str]) -> bool:
        """Whether all training is done; what has been trained needs no check before."""
        written: dict[str, str] = {}
        for name, stage in self.source.stages.items():
            if name in wanted:
                try:
                    inputs = joined(stage.inputs(), _results(stage, written))
                except (NetworkError, OSError, PlanError, UsageError):
                    return False  # the check says what is wrong
                if (record := self.workspace.record(name, inputs)) is None:
                    return False
                written.update(record.files)
        return True

    def _judge(self, network: IntegerNetwork, will_change: bool) -> None:
        hardware, build = self.settings.hardware, self.settings.build
        judge_untrained(network, hardware, build, will_change=will_change)

    @cached_property
    def plan(self) -> NetworkPlan:
        """The engines."""
        return plan_engines(self.source.network, self.settings.hardware, self.settings.build)

    @cached_property
    def design(self) -> Design:
        """The Verilog that is verified and simulated."""
        folder = self.settings.rtl or self.folder / "rtl"
        design = load_design(folder / "design.json")
        if design.network_hash != content_hash(self.source.network):
            raise UsageError(f"the design in {folder} computes another network")
        return design

    def _prepare(self, name: str) -> None:
        """Train, prune, quantize or lower; what is learned goes into the report."""
        stage = self.source.stages[name]
        inputs = joined(stage.inputs(), _results(stage, self._written))
        unfinished = self.folder / "checkpoints" / f"{name}-{key_of(name, inputs)[:16]}"
        record = self._stage(name, inputs, stage.files, lambda: stage.run(self._heard, unfinished))
        self._written.update(record.files)
        self._dense = record.result.get("dense", self._dense)
        self.report.accuracy.update(record.result.get("accuracy", {}))
        self._add_checks(record.result.get("checks", []))
        self.report.files.update(record.result.get("files", {}))

    def _estimated_fmax(self) -> float | None:
        """Estimate the clock on the device that is planned for, if there is a model of it."""
        name, part = self.settings.hardware.device, self.settings.build.part
        if name is None or (device := DEVICES[name]).family is not Family.ECP5:
            return None
        speed = part.speed if part is not None and part.speed is not None else min(SPEED_FACTORS)
        return fmax_of(self.plan.resources, device, speed=speed)

    def _estimate(self) -> None:
        # Engines are chosen anew in every run, as all that follows needs them.
        began = perf_counter()
        found = performance(
            self.plan,
            clock_mhz=self.settings.hardware.clock_mhz,
            fmax_mhz=self._estimated_fmax(),
        )

        def work() -> dict[str, Any]:
            engines = [asdict(row) for row in engine_rows(self.plan)]
            return {"engines": engines, **found}

        clocked = {"hardware.clock_mhz": self.settings.hardware.clock_mhz}
        inputs = joined(program_of("estimate"), self._network, self._hardware, {"setting": clocked})
        self._stage("estimate", inputs, [], work, before=perf_counter() - began)
        if self._dense is not None:
            found["macs_unpruned"] = dense_macs(self.source.network, self._dense)
        self.report.sparsity = {"layers": sparsity_rows(self.source.network, self._dense)}
        self.report.engines = engine_rows(self.plan)
        self.report.performance = found

    def _generate(self) -> None:
        def work() -> dict[str, Any]:
            return {"top": write_design(self.plan, folder, meaning=meaning).top}

        if self.settings.rtl is not None:
            return
        folder, meaning = self.folder / "rtl", self.source.meaning
        told = None if meaning is None else meaning.to_json(self.source.network)
        inputs = joined(program_of("generate"), self._network, self._hardware)
        files = [f"rtl/{name}" for name in design_files(self.plan)]
        self._stage("generate", joined(inputs, {"network": {"meaning": told}}), files, work)
        self.report.files["rtl"] = "rtl"
        hashes = {"network_hash": self.design.network_hash}
        self.report.design = {**hashes, "circuit_hash": self.design.circuit_hash}
        wanted = self.settings.hardware.interface
        for bus in Bus:
            # A shell that is there is renewed with the design: it is another run's result.
            if wanted.name == bus.name or (folder / f"{bus.value}.v").exists():
                self._generate_shell(bus, inputs)

    def _generate_shell(self, bus: Bus, inputs: Inputs) -> None:
        def work() -> dict[str, Any]:
            return {"file": write_shell(self.plan, self.folder / "rtl", bus=bus).name}

        name = f"generate {bus.name.lower()}"
        self._stage(name, inputs, [f"rtl/{bus.value}.v"], work)

    def _verify(self) -> None:
        settings = self.settings
        images, _ = self.source.images(settings.verify_images)

        def work() -> dict[str, Any]:
            reference = self.source.reference(images)
            whole = network_check(
                self.design,
                images,
                reference,
                workdir=self.folder / SIMULATORS,
                seed=settings.seed,
                network=self.source.network,
                progress=self._heard,
            )
            alone: dict[str, Verification] = {}
            if settings.per_layer:
                alone = layer_checks(
                    self.plan,
                    images,
                    reference,
                    folder=self.folder / SIMULATORS / "layers",
                    workdir=self.folder / SIMULATORS,
                    seed=settings.seed,
                    progress=self._heard,
                )
            return proof_of({settings.name: whole}, alone, self.source.network)

        given = {"seed": settings.seed, "verify.per_layer": settings.per_layer}
        inputs = joined(
            program_of("verify"),
            self._network,
            self._design,
            image_inputs(images),
            {"setting": given},
        )
        record = self._stage("verify", inputs, [], work)
        self._add_checks(record.result["checks"])
        self.report.verification["images"] = len(images)
        self.report.verification["mismatches"] = record.result["mismatches"]

    def _simulate(self) -> None:
        settings = self.settings
        images, labels = self.source.images(settings.simulate_images)

        def work() -> dict[str, Any]:
            reference = self.source.reference(images)
            bulk = bulk_simulation(
                self.design,
                self.plan,
                images,
                reference,
                workdir=self.folder / SIMULATORS,
                jobs=settings.jobs,
                progress=self._heard,
            )
            if settings.waveform:
                path = self.folder / "waveform.fst"
                write_waveform(self.design, images[:1], path, workdir=self.folder / SIMULATORS)
            return proof_of_bulk(bulk, labels, self.source.available)

        files = ["waveform.fst"] if settings.waveform else []
        given = {"simulate.jobs": settings.jobs, "simulate.waveform": settings.waveform}
        known = {"setting": {**given, "images": self.source.available}}
        program, shown = program_of("simulate"), image_inputs(images, labels)
        inputs = joined(program, self._network, self._hardware, self._design, shown, known)
        record = self._stage("simulate", inputs, files, work)
        result = dict(record.result)
        self._add_checks(result.pop("checks"))
        if (accuracy := result.pop("accuracy")) is not None:
            self.report.accuracy |= {"rtl": accuracy, "rtl_images": result["images"]}
        result["mismatches"] += self.report.verification.get("mismatches", 0)
        self.report.verification.update(result)
        if settings.waveform:
            self.report.files["waveform"] = "waveform.fst"

    def _build(self) -> None:
        section = self.settings.build

        def work() -> dict[str, Any]:
            return build_design(self.plan, section, self.folder, self._heard)

        made_for = section.model_dump(exclude={"jobs", "check_netlist"})
        given = {"setting": dict(flat("build", made_for))}
        inputs = joined(program_of("build"), self._network, self._hardware, given)
        record = self._stage("build", inputs, [f"{BITSTREAM}/", *PICTURES], work)
        self.report.build = dict(record.result)
        if "engines" in self.report.build:
            self.report.files["floorplan"] = PICTURES[0]
        if self.report.build["bitstream"] is not None:
            self.report.files["bitstream"] = f"{BITSTREAM}/{self.report.build['bitstream']}"
        if section.check_netlist:
            self._check_netlist(record.files)

    def _check_netlist(self, built: Mapping[str, str]) -> None:
        """Simulate what was synthesized."""
        section = self.settings.build
        images, _ = self.source.images(section.check_netlist)

        def work() -> dict[str, Any]:
            check = check_netlist(
                self.folder / BITSTREAM / f"{top_of(section)}.json",
                self.design,
                self.plan,
                self.source,
                images,
                section,
                workdir=self.folder / SIMULATORS,
                progress=self._heard,
            )
            return {"checks": [check]}

        board = dict(flat("build", section.model_dump(include={"board", "clock_mhz", "baud"})))
        inputs = joined(
            *(program_of("netlist"), self._network, self._hardware, image_inputs(images)),
            *({"result": built}, {"setting": board}),
        )
        record = self._stage("netlist", inputs, [], work)
        self._add_checks(record.result["checks"])

    def _stage(
        self,
        name: str,
        inputs: Inputs,
        files: Sequence[str],
        work: Callable[[], dict[str, Any]],
        before: float = 0.0,
    ) -> StageRecord:
        """Run a stage that took some seconds already before it could begin."""
        self.listener.stage_begins(name)
        record = self.workspace.stage(
            name, inputs, files, work, lambda reasons: self.listener.stage_reruns(name, reasons)
        )
        # Of a result that was kept, the seconds are those it took once.
        seconds = record.seconds + (0.0 if record.cached else before)
        self.listener.stage_ends(name, seconds, record.cached)
        entry = {"name": name, "seconds": seconds, "cached": record.cached}
        self.report.stages.append({**entry, "reasons": list(record.reasons)})
        return record

    def _heard(self, done: float, total: float, text: str) -> None:
        self.listener.progress(done, total, text)

    def _add_checks(self, checks: list[dict[str, Any]]) -> None:
        if not checks:
            return
        verification = self.report.verification
        verification.setdefault("checks", []).extend(checks)
        verification["passed"] = all(check["passed"] for check in verification["checks"])
        verification["hardware"] = any(check["hardware"] for check in verification["checks"])

    @property
    def _network(self) -> Inputs:
        return {"network": {"network.json": content_hash(self.source.network)}}

    @property
    def _hardware(self) -> Inputs:
        return engine_inputs(self.settings.hardware, self.settings.build)

    @property
    def _design(self) -> Inputs:
        """Everything of the design: its description and its sources."""
        design = self.design
        sources = {source.name: digest_of(source) for source in design.sources}
        return {"design": {**sources, "streams": f"{design.input} {design.outputs}"}}


def _results(stage: Preparation, written: Mapping[str, str]) -> Inputs:
    return {"result": {file: written[file] for file in stage.reads}}
