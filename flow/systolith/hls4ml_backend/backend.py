"""The backend and the writer that are registered with hls4ml.

hls4ml imports this module while it is imported itself. So functions import what reads its graphs,
and what takes seconds to import.
"""

import json
from math import prod
from typing import TYPE_CHECKING, Any

import yaml
from hls4ml.backends import FPGABackend
from hls4ml.model.flow import register_flow
from hls4ml.model.optimizer import model_optimizer
from hls4ml.writer.writers import Writer

from systolith.hls4ml_backend.project import CONFIG, NAME, NETWORK, REPORT, TENSORS, ConversionError
from systolith.network import save

__all__ = [
    "SystolithBackend",
    "SystolithWriter",
    "build_report",
]

if TYPE_CHECKING:
    from systolith.hls4ml_backend.graph import SystolithGraph

MODELS = ("KerasModel", "PytorchModel", "OnnxModel")
"""Entries of a configuration that are not text."""
BUILD_OPTIONS = ("device", "speed", "package", "freq_mhz", "seeds", "jobs")


class SystolithBackend(FPGABackend):
    """Systolic engines in Verilog, simulated by Verilator, placed by open tools.

    hls4ml's converters and optimizations run first. Then the graph is mapped to an integer network,
    which everything else works on.
    """

    def __init__(self) -> None:
        super().__init__(NAME)
        check = register_flow(
            "check", ["systolith:check_configuration"], requires=None, backend=NAME
        )
        layers = register_flow(
            "init_layers", self._get_layer_initializers(), requires=["optimize"], backend=NAME
        )
        types = register_flow(
            "types",
            ["systolith:skip_softmax", "infer_precision_types"],
            requires=[layers],
            backend=NAME,
        )
        mapping = register_flow("map", ["systolith:map_layers"], requires=[types], backend=NAME)
        self._default_flow = register_flow(
            "ip", None, requires=[check, "optimize", layers, types, mapping], backend=NAME
        )
        self._writer_flow = register_flow(
            "write", ["make_stamp", "systolith:write_hls"], requires=["systolith:ip"], backend=NAME
        )

    def get_default_flow(self) -> str:
        """Name the flow of a conversion."""
        return str(self._default_flow)

    def get_writer_flow(self) -> str:
        """Name the flow that writes files."""
        return str(self._writer_flow)

    def create_initial_config(self, **given: Any) -> dict[str, Any]:
        """Make the configuration from the options of ``convert_from_...``; see docs/hls4ml.md.

        Problems are reported later, all at once, when there is a graph.
        """
        from systolith.hls4ml_backend.configuration import initial_config

        return initial_config(given)

    @model_optimizer()
    def check_configuration(self, model: Any) -> None:
        """Refuse unknown keys and wrong values before any work."""
        from systolith.hls4ml_backend.configuration import check_configuration

        check_configuration(model)

    @model_optimizer()
    def map_layers(self, model: Any) -> None:
        """Map the optimized graph, or raise an error with all problems."""
        from systolith.hls4ml_backend.graph import adopt

        adopt(model)

    def compile(self, model: "SystolithGraph") -> None:
        """Write Verilog and compile it with Verilator."""
        model.simulator = None
        model.build_simulator()

    def predict(self, model: "SystolithGraph", x: Any) -> Any:
        """Simulate the Verilog; see :meth:`SystolithGraph.run`."""
        return model.run(x)

    def build(self, model: "SystolithGraph", **options: Any) -> dict[str, Any]:
        """Synthesize, place and route; see :func:`build_report`."""
        return build_report(model, **options)


class SystolithWriter(Writer):
    """Writes the integer network, the scales of its tensors and the configuration."""

    def write_hls(self, model: Any) -> None:
        """Write the network, ``meaning.json``, ``tensors.json`` and the YAML file."""
        from systolith.emit import MEANING
        from systolith.foundation import write_text
        from systolith.hls4ml_backend.graph import meaning_of_graph

        model.folder.mkdir(parents=True, exist_ok=True)
        save(model.mapped.network, model.folder / NETWORK)
        meaning = meaning_of_graph(model.mapped).to_json(model.mapped.network)
        write_text(model.folder / MEANING, json.dumps(meaning, indent=1) + "\n")
        write_text(model.folder / TENSORS, json.dumps(_tensors(model), indent=1) + "\n")
        plain = {key: value for key, value in model.config.config.items() if key not in MODELS}
        write_text(model.folder / CONFIG, yaml.safe_dump(_plain(plain), sort_keys=False))


def _tensors(model: Any) -> dict[str, Any]:
    """Describe how integers of the network become real numbers of the model."""
    mapped = model.mapped
    several = len(model.inputs) > 1
    order = [{"name": name, "channels": channels} for name, channels in _channels(model)]
    return {
        "input": {"type": str(mapped.input), "fraction": mapped.input.fraction}
        | ({"parts": order} if several else {}),
        "outputs": [
            {"name": name, "layer": output.layer, "fraction": output.fraction}
            for name, output in zip(model.outputs, mapped.outputs, strict=True)
        ],
        "layers": mapped.origins,
    }


def _channels(model: Any) -> list[tuple[str, list[int]]]:
    """Give the first channel of each input in the network's input, and the one behind its last."""
    _, *size = model.mapped.network.input.shape
    begin, parts = 0, []
    for name, view in zip(model.inputs, model.mapped.input_views, strict=True):
        end = begin + view.size // prod(size)
        parts.append((name, [begin, end]))
        begin = end
    return parts


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        kept = ((key, item) for key, item in value.items() if key not in MODELS)
        return {str(key): _plain(item) for key, item in kept}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, int | float | str | None) else str(value)


def build_report(
    model: Any,
    *,
    device: str | None = None,
    speed: int | None = None,
    package: str | None = None,
    freq_mhz: float | None = None,
    seeds: int = 1,
    jobs: int = 1,
    **others: object,
) -> dict[str, Any]:
    """Synthesize, place and route; write ``report.json`` and, if the clock is reached, a bitstream.

    Parameters
    ----------
    model : SystolithGraph
    device : str, optional
        Replaces the configuration's Part.
    speed : int, optional
        Speed grade.
    package : str, optional
    freq_mhz : float, optional
        Clock in MHz; replaces the configuration's ClockPeriod.
    seeds, jobs : int
        Number of placements to try, and number of them that run at the same time.

    Returns
    -------
    dict
        JSON values, see :func:`systolith.hls4ml_backend.read_report`.

    Raises
    ------
    ConversionError
        If there is no such part or option.
    MissingProgramError, ToolError, TooLargeError
    """
    from pydantic import ValidationError

    from systolith.config import BuildSection
    from systolith.foundation import write_json
    from systolith.stages.hardware.bitstream import build_design

    ConversionError.raise_if_any(
        f"build() has no option {name!r}; there are {', '.join(BUILD_OPTIONS)}" for name in others
    )
    wanted = model.configuration
    try:
        section = BuildSection(
            device=device or wanted.part,
            speed=speed,
            package=package,
            clock_mhz=freq_mhz or wanted.clock_mhz,
            seeds=seeds,
            jobs=jobs,
        )
    except ValidationError as error:
        raise ConversionError(problem["msg"] for problem in error.errors()) from error
    if not model.folder.exists():
        model.write()
    implementation = build_design(model.plan, section, model.folder, lambda *_: None)
    plan = model.plan
    report = {
        "CyclesPerFrame": plan.cycles_per_frame,
        "LatencyCycles": plan.latency_cycles,
        "Multipliers": plan.multipliers,
        "Implementation": implementation,
    }
    write_json(model.folder / REPORT, report)
    return report
