"""Verilog from a plan."""

from pathlib import Path

from systolith.build.design import Design, StreamPort
from systolith.build.verilog import to_verilog
from systolith.gateware import Pipeline, signal_name
from systolith.network import INPUT, content_hash
from systolith.plan import NetworkPlan

__all__ = ["emit_verilog", "write_design"]

TOP = "systolith_top"


def emit_verilog(plan: NetworkPlan, *, top: str = TOP) -> str:
    """Generate the Verilog of a whole network.

    Parameters
    ----------
    plan : NetworkPlan
        The network and its engines.
    top : str
        Name of the top module.

    Returns
    -------
    str
        Synthesizable Verilog-2005; equal plans give equal text.
    """
    return to_verilog(Pipeline(plan), top)


def write_design(plan: NetworkPlan, folder: Path, *, top: str = TOP) -> Design:
    """Write ``{top}.v`` and ``design.json`` into `folder`, each whole or not at all.

    While there is a ``design.json``, the Verilog beside it is what it describes.

    Returns
    -------
    Design
        The description, with the streams between engines as probes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / f"{top}.v"
    temporary = folder / f".{top}.v.tmp"
    temporary.write_text(emit_verilog(plan, top=top))
    description = folder / "design.json"
    description.unlink(missing_ok=True)
    temporary.replace(source)
    network, engines = plan.network, plan.engines
    ports = [
        StreamPort(
            layer=engine.name,
            tensor=engine.output,
            lanes=engine.lanes_out,
            signal=signal_name(engine.name),
        )
        for engine in engines
    ]
    design = Design(
        top=top,
        sources=(source,),
        input=StreamPort(layer=INPUT, tensor=network.input, lanes=plan.lanes_in, signal="i"),
        output=StreamPort(
            layer=engines[-1].name,
            tensor=engines[-1].output,
            lanes=plan.lanes_out,
            signal="o",
        ),
        probes=tuple(ports[:-1]),
        network_hash=content_hash(network),
    )
    design.save(description)
    return design
