"""The stages of the hardware half: from an integer network to a bitstream and its checks.

Stages that simulate import what they need when they run: plans and Verilog do without cocotb.
"""

from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from systolith.config import Experiment
from systolith.emit import Bus, Design, design_files, load_design, write_design, write_shell
from systolith.foundation import UsageError
from systolith.network import content_hash
from systolith.plan import NetworkPlan
from systolith.report import (
    BuiltDevice,
    DesignHashes,
    PerformanceResult,
    Report,
    dense_macs,
    engine_rows,
    estimate_performance,
    queue_rows,
    sparsity_rows,
)
from systolith.stages.hardware.bitstream import (
    BITSTREAM,
    PICTURES,
    build_design,
    choose_top,
    native_versions,
)
from systolith.stages.hardware.engines import (
    estimate_fmax,
    estimate_place_and_route,
    plan_engines,
    select_engine_settings,
)
from systolith.stages.keys import (
    Inputs,
    digest_file,
    digest_images,
    digest_program,
    flatten_keys,
    join_inputs,
)
from systolith.stages.sources import Source
from systolith.stages.stage import Stage, StageContext
from systolith.stages.workspace import StageRecord

if TYPE_CHECKING:
    from systolith.verify import Verification

__all__ = ["SIMULATORS", "HardwareStages"]

SIMULATORS = "sim"
"""Folder for compiled simulators, in the folder of a run."""


class HardwareStages:
    """The stages after lowering, and the plan and the design that they share.

    Parameters
    ----------
    experiment : Experiment
    source : Source
        The network and its reference.
    folder : Path
        For results.
    base : Path
        Folder to which paths in the experiment are relative.
    """

    def __init__(self, experiment: Experiment, source: Source, folder: Path, base: Path) -> None:
        self.experiment, self.source, self.folder = experiment, source, folder
        rtl = experiment.verify.rtl
        self.rtl = folder / "rtl" if rtl is None else base / rtl
        self.simulators = folder / SIMULATORS

    @property
    def stages(self) -> tuple[Stage, ...]:
        """All of them, in their order."""
        generates = self.experiment.verify.rtl is None
        build = self.experiment.build
        return (
            Stage(
                name="estimate",
                after=("lower",),
                inputs=self._estimate_inputs,
                run=self._estimate,
                publish=self._publish_estimate,
            ),
            Stage(
                name="generate",
                after=("estimate",),
                applies=lambda: generates,
                inputs=self._generate_inputs,
                files=lambda: [f"rtl/{name}" for name in design_files(self.plan)],
                run=self._generate,
                publish=self._publish_design,
            ),
            *(self._shell_stage(bus) for bus in Bus),
            Stage(
                name="verify",
                after=("generate",),
                inputs=self._verify_inputs,
                run=self._verify,
                publish=self._publish_verification,
            ),
            Stage(
                name="simulate",
                after=("generate",),
                inputs=self._simulate_inputs,
                files=lambda: self._waveforms,
                run=self._simulate,
                publish=self._publish_simulation,
            ),
            Stage(
                name="build",
                after=("generate",),
                applies=lambda: build.part is not None,
                inputs=self._build_inputs,
                files=lambda: [f"{BITSTREAM}/", *PICTURES],
                run=self._build,
                publish=self._publish_build,
            ),
            Stage(
                name="netlist",
                depends=("build",),
                part_of="build",
                applies=lambda: build.part is not None and build.check_netlist > 0,
                inputs=self._netlist_inputs,
                run=self._check_netlist,
                publish=lambda report, record: report.add_checks(record.result["checks"]),
            ),
        )

    @cached_property
    def plan(self) -> NetworkPlan:
        """The engines."""
        return plan_engines(self.source.network, self.experiment.hardware, self.experiment.build)

    @cached_property
    def design(self) -> Design:
        """The Verilog that is verified and simulated."""
        design = load_design(self.rtl / "design.json")
        if design.network_hash != content_hash(self.source.network):
            raise UsageError(f"the design in {self.rtl} computes another network")
        return design

    def _estimate_inputs(self) -> Inputs:
        clock = {"hardware.clock_mhz": self.experiment.hardware.clock_mhz}
        return join_inputs(
            digest_program("estimate"), self._network, self._hardware, {"setting": clock}
        )

    def _estimate(self, context: StageContext) -> dict[str, Any]:
        engines = [asdict(row) for row in engine_rows(self.plan)]
        queues = [asdict(row) for row in queue_rows(self.plan)]
        return {"engines": engines, "queues": queues, **self._performance.to_json()}

    def _publish_estimate(self, report: Report, record: StageRecord) -> None:
        network, dense = self.source.network, self.source.dense_shapes
        macs = None if dense is None else dense_macs(network, dense)
        report.performance = replace(self._performance, macs_unpruned=macs)
        report.sparsity = sparsity_rows(network, dense)
        report.engines = engine_rows(self.plan)
        report.queues = queue_rows(self.plan)

    @property
    def _performance(self) -> PerformanceResult:
        hardware, build = self.experiment.hardware, self.experiment.build
        fmax = estimate_fmax(self.plan, hardware, build)
        return estimate_performance(
            self.plan,
            clock_mhz=hardware.clock_mhz,
            fmax_mhz=fmax,
            routing=estimate_place_and_route(self.plan, hardware, build),
        )

    def _generate_inputs(self) -> Inputs:
        meaning = self.source.meaning
        content = None if meaning is None else meaning.to_json(self.source.network)
        return join_inputs(self._shell_inputs(), {"network": {"meaning": content}})

    def _generate(self, context: StageContext) -> dict[str, Any]:
        return {"top": write_design(self.plan, self.rtl, meaning=self.source.meaning).top}

    def _publish_design(self, report: Report, record: StageRecord) -> None:
        report.files["rtl"] = "rtl"
        design = self.design
        report.design = DesignHashes(
            network_hash=design.network_hash, circuit_hash=design.circuit_hash
        )

    def _shell_stage(self, bus: Bus) -> Stage:
        """Make the stage that writes what stands between the engines and a bus.

        A shell that is there belongs to an earlier run and is renewed with the design.
        """
        file = f"{bus.value}.v"
        wanted = self.experiment.hardware.interface.name == bus.name
        generates = self.experiment.verify.rtl is None

        def run(context: StageContext) -> dict[str, Any]:
            return {"file": write_shell(self.plan, self.rtl, bus=bus).name}

        return Stage(
            name=f"generate {bus.name.lower()}",
            after=("generate",),
            part_of="generate",
            applies=lambda: generates and (wanted or (self.rtl / file).exists()),
            inputs=self._shell_inputs,
            files=lambda: [f"rtl/{file}"],
            run=run,
        )

    def _shell_inputs(self) -> Inputs:
        return join_inputs(digest_program("generate"), self._network, self._hardware)

    def _verify_inputs(self) -> Inputs:
        images, _ = self.source.images(self.experiment.verify.images)
        settings = {"seed": self.experiment.seed, "verify.per_layer": self._verifies_layers}
        return join_inputs(
            *(digest_program("verify"), self._network, self._design, digest_images(images)),
            {"setting": settings},
        )

    def _verify(self, context: StageContext) -> dict[str, Any]:
        from systolith.stages.hardware.checks import summarize_verification
        from systolith.stages.hardware.verification import verify_layers, verify_network

        images, _ = self.source.images(self.experiment.verify.images)
        reference = self.source.reference(images)
        whole = verify_network(
            self.design,
            images,
            reference,
            workdir=self.simulators,
            seed=self.experiment.seed,
            network=self.source.network,
            cycles=self.plan.cycles(len(images)),
            progress=context.progress,
        )
        layers: dict[str, Verification] = {}
        if self._verifies_layers:
            layers = verify_layers(
                self.plan,
                images,
                reference,
                folder=self.simulators / "layers",
                workdir=self.simulators,
                seed=self.experiment.seed,
                progress=context.progress,
            )
        summary = summarize_verification({self.experiment.name: whole}, layers, self.source.network)
        return {**summary, "images": len(images)}

    def _publish_verification(self, report: Report, record: StageRecord) -> None:
        report.add_checks(**record.result)

    @property
    def _verifies_layers(self) -> bool:
        """Whether each layer is verified alone, too; a given design has no such layers."""
        return self.experiment.verify.per_layer and self.experiment.verify.rtl is None

    @property
    def _simulated_images(self) -> int | None:
        images = self.experiment.simulate.images
        return images if isinstance(images, int) else None

    @property
    def _waveforms(self) -> list[str]:
        return ["waveform.fst"] if self.experiment.simulate.waveform else []

    def _simulate_inputs(self) -> Inputs:
        images, labels = self.source.images(self._simulated_images)
        simulate = self.experiment.simulate
        settings = {
            "simulate.jobs": simulate.jobs,
            "simulate.waveform": simulate.waveform,
            "images": self.source.available,
        }
        return join_inputs(
            *(digest_program("simulate"), self._network, self._hardware, self._design),
            *(digest_images(images, labels), {"setting": settings}),
        )

    def _simulate(self, context: StageContext) -> dict[str, Any]:
        from systolith.stages.hardware.checks import summarize_bulk_simulation
        from systolith.stages.hardware.verification import simulate_images, write_waveform

        images, labels = self.source.images(self._simulated_images)
        bulk = simulate_images(
            self.design,
            self.plan,
            images,
            self.source.reference(images),
            workdir=self.simulators,
            jobs=self.experiment.simulate.jobs,
            progress=context.progress,
        )
        for name in self._waveforms:
            write_waveform(self.design, images[:1], self.folder / name, workdir=self.simulators)
        return summarize_bulk_simulation(bulk, labels, self.source.available)

    def _publish_simulation(self, report: Report, record: StageRecord) -> None:
        result = dict(record.result)
        if (accuracy := result.pop("accuracy")) is not None:
            report.add_accuracy({"rtl": accuracy, "rtl_images": result["images"]})
        result["mismatches"] += report.verification.mismatches or 0
        report.add_checks(**result)
        for name in self._waveforms:
            report.files["waveform"] = name

    def _build_inputs(self) -> Inputs:
        section = self.experiment.build
        content = section.model_dump(mode="json", exclude={"jobs", "check_netlist"})
        settings = dict(flatten_keys("build", content))
        return join_inputs(
            *(digest_program("build"), self._network, self._hardware, {"setting": settings}),
            {"library": native_versions(section)},
        )

    def _build(self, context: StageContext) -> dict[str, Any]:
        return build_design(self.plan, self.experiment.build, self.folder, context.progress)

    def _publish_build(self, report: Report, record: StageRecord) -> None:
        build = report.build = BuiltDevice.from_json(record.result)
        if build.placed is not None:
            report.files["floorplan"] = PICTURES[0]
        if build.bitstream is not None:
            report.files["bitstream"] = f"{BITSTREAM}/{build.bitstream}"

    def _netlist_inputs(self) -> Inputs:
        section = self.experiment.build
        images, _ = self.source.images(section.check_netlist)
        board = section.model_dump(include={"board", "clock_mhz", "baud"})
        return join_inputs(
            *(digest_program("netlist"), self._network, self._hardware, digest_images(images)),
            {"setting": dict(flatten_keys("build", board))},
        )

    def _check_netlist(self, context: StageContext) -> dict[str, Any]:
        from systolith.stages.hardware.netlist import check_netlist

        section = self.experiment.build
        images, _ = self.source.images(section.check_netlist)
        check = check_netlist(
            self.folder / BITSTREAM / f"{choose_top(section)}.json",
            self.design,
            self.plan,
            self.source.reference,
            images,
            section,
            workdir=self.simulators,
            progress=context.progress,
        )
        return {"checks": [check]}

    @property
    def _network(self) -> Inputs:
        return {"network": {"network.json": content_hash(self.source.network)}}

    @property
    def _hardware(self) -> Inputs:
        return select_engine_settings(self.experiment.hardware, self.experiment.build)

    @property
    def _design(self) -> Inputs:
        """Digests of the design's description and sources."""
        design = self.design
        sources = {source.name: digest_file(source) for source in design.sources}
        return {"design": {**sources, "streams": f"{design.input} {design.outputs}"}}
