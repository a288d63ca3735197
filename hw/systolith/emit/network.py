"""Verilog of a planned network, and the files beside it."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from systolith.devices import Constraints, Part, variants_of
from systolith.emit.design import Design, StreamPort
from systolith.emit.header import format_header
from systolith.emit.load import load_bytes
from systolith.emit.meaning import Meaning
from systolith.emit.page import LINT, PAGE, format_page, lint_waivers
from systolith.emit.verilog import to_verilog
from systolith.foundation import replacing
from systolith.gateware import PinWrapper, Pipeline, Technology, technology_for
from systolith.network import INPUT, content_hash
from systolith.plan import NetworkPlan, output_ports, signal_name, source_of

__all__ = [
    "TOP",
    "design_files",
    "emit_alone",
    "emit_verilog",
    "input_stream",
    "output_streams",
    "write_design",
]

TOP = "systolith_top"
MEMORY_WORD = re.compile(r"\[\d+\] = \d+'")
"""Start of the initial value of a memory word, as Yosys writes it."""


def emit_verilog(
    plan: NetworkPlan,
    *,
    top: str = TOP,
    technology: Technology = Technology.GENERIC,
    enclosed: bool = False,
) -> str:
    """Generate the Verilog of a whole network.

    Parameters
    ----------
    plan : NetworkPlan
        The network and its engines.
    top : str
        Name of the top module.
    technology : Technology
        Selects the implementation of multipliers and memories; all else is equal.
    enclosed : bool
        Whether all ports are on a shift register between two pins; see
        :class:`systolith.gateware.PinWrapper`.

    Returns
    -------
    str
        Synthesizable Verilog-2005; equal plans give equal text.
    """
    pipeline = Pipeline(plan)
    return to_verilog(PinWrapper(pipeline) if enclosed else pipeline, top, technology)


def emit_alone(plan: NetworkPlan, part: Part) -> tuple[str, Constraints]:
    """Generate the Verilog of a whole network for a part without a board.

    Returns
    -------
    verilog : str
        Top module :data:`TOP`, enclosed if the part has too few pins.
    constraints : Constraints
        Its pins, if the tools cannot choose them.
    """
    pins = variants_of(part.device).alone
    technology = technology_for(part.device.family)
    verilog = emit_verilog(plan, technology=technology, enclosed=pins is not None)
    return verilog, Constraints(pins=pins or {})


def write_design(
    plan: NetworkPlan, folder: Path, *, top: str = TOP, meaning: Meaning | None = None
) -> Design:
    """Write ``{top}.v`` and ``design.json`` into `folder`, each whole or not at all.

    A ``design.json`` always describes the Verilog beside it. ``README.md`` tells how to use the
    Verilog in another project; ``lint.vlt`` has waivers for Verilator. If the plan is reloadable,
    ``load.bin`` has the network's parameters, for this and similar designs. Other files in the
    folder are left alone.

    Parameters
    ----------
    plan : NetworkPlan
    folder : Path
    top : str
        Name of the top module.
    meaning : Meaning, optional
        Scales for ``design.json`` and ``README.md``.

    Returns
    -------
    Design
        The description. Streams between engines are probes, except those that are outputs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    source, description = folder / f"{top}.v", folder / "design.json"
    verilog = emit_verilog(plan, top=top)
    load = load_bytes(plan, plan.network) if plan.reloadable else b""
    network = plan.network
    design = Design(
        top=top,
        sources=(source,),
        input=input_stream(plan),
        outputs=output_streams(plan),
        probes=tuple(_probes(plan)),
        network_hash=content_hash(network),
        circuit_hash=_circuit_hash(verilog),
        load_size=len(load),
        scales={} if meaning is None else meaning.to_json(network),
    )
    text = format_header(verilog, design, plan) + verilog
    page = format_page(verilog, design, plan, meaning)
    description.unlink(missing_ok=True)
    _write(source, text.encode())
    if load:
        _write(folder / "load.bin", load)
    else:
        (folder / "load.bin").unlink(missing_ok=True)
    _write(folder / LINT, lint_waivers().encode())
    _write(folder / PAGE, page.encode())
    design.save(description)
    return design


def design_files(plan: NetworkPlan, top: str = TOP) -> tuple[str, ...]:
    """Name the files that :func:`write_design` writes."""
    load = ("load.bin",) if plan.reloadable else ()
    return (f"{top}.v", "design.json", LINT, PAGE, *load)


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _circuit_hash(verilog: str) -> str:
    """Hash all lines except those that set a word of a memory."""
    lines = (line for line in verilog.splitlines() if not MEMORY_WORD.search(line))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def input_stream(plan: NetworkPlan) -> StreamPort:
    """Describe the input port."""
    return StreamPort(layer=INPUT, tensor=plan.network.input, lanes=plan.lanes_in, signal="i")


def output_streams(plan: NetworkPlan) -> tuple[StreamPort, ...]:
    """Describe the output ports, in the order of the network's outputs."""
    return tuple(_outputs(plan))


def _outputs(plan: NetworkPlan) -> Iterator[StreamPort]:
    network = plan.network
    ports = zip(network.outputs, plan.lanes_out, output_ports(network), strict=True)
    for name, lanes, signal in ports:
        channels, *size = network.tensors[source_of(network, name)].shape
        flattened = (channels, size[0], size[1]) if size else None
        tensor = network.tensors[name]
        yield StreamPort(
            layer=name,
            tensor=tensor,
            lanes=lanes,
            signal=signal,
            flattened=flattened if len(tensor.shape) == 1 else None,
        )


def _probes(plan: NetworkPlan) -> Iterator[StreamPort]:
    for engine in plan.engines:
        if engine.name not in plan.network.outputs:
            yield StreamPort(
                layer=engine.name,
                tensor=engine.output,
                lanes=engine.lanes_out,
                signal=signal_name(engine.name),
            )
