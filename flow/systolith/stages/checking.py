"""The netlist that is placed, simulated: synthesis and its cells against the reference."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from systolith.config import BuildSection
from systolith.devices import find_board
from systolith.emit import BOARD_TOP, Design, board_config
from systolith.host import BoardClient, open_line
from systolith.netlist import compile_board, netlist_design, netlist_verilog
from systolith.network import IntArray
from systolith.plan import NetworkPlan
from systolith.report import count_of
from systolith.stages.classifying import classify_on_board
from systolith.stages.listener import Progress
from systolith.stages.proving import bulk_simulation
from systolith.stages.sources import Source

__all__ = ["check_netlist"]

PATIENCE_SECONDS = 600.0
"""For one answer of a board that is simulated cell by cell."""


def check_netlist(
    netlist: Path,
    design: Design,
    plan: NetworkPlan,
    source: Source,
    images: IntArray,
    section: BuildSection,
    *,
    workdir: Path,
    progress: Progress,
) -> dict[str, Any]:
    """Simulate a synthesized netlist and compare all outputs, and the cycles, by equality.

    For a part, the accelerator's streams are driven; for a board, its serial line is.

    Parameters
    ----------
    netlist : Path
        What synthesis wrote as JSON.
    design : Design
        What it was made of, for its streams.
    plan : NetworkPlan
    source : Source
        Of the reference.
    images : array of int, shape (N, C, H, W)
    section : BuildSection
        What it was made for.
    workdir : Path
        Holds simulators.
    progress : callable

    Returns
    -------
    dict
        ``name``, ``what``, ``passed``, ``findings``: a check of the report.

    Raises
    ------
    BoardError, CompileError, MissingToolError, SimulationError, ToolError
    """
    progress(0, len(images), "the netlist as Verilog")
    assert section.part is not None
    family, findings = section.part.device.family, list[str]()
    if section.board is None:
        bulk = bulk_simulation(
            netlist_design(design, netlist, family, workdir),
            plan,
            images,
            source.reference(images),
            workdir=workdir,
            jobs=1,
            progress=progress,
            quick=True,
        )
        findings += bulk.findings
    else:
        verilog = netlist_verilog(netlist, family, workdir).read_text()
        findings += _on_board(verilog, plan, source, images, section, workdir, progress)
    return {
        "name": "synthesized netlist",
        "hardware": True,
        "what": f"all outputs and cycles of {count_of(len(images), 'image')}",
        "passed": not findings,
        "findings": findings,
    }


def _on_board(
    verilog: str,
    plan: NetworkPlan,
    source: Source,
    images: IntArray,
    section: BuildSection,
    workdir: Path,
    progress: Progress,
) -> Iterator[str]:
    """Let a board made of the netlist classify; say what is not as it should be."""
    assert section.board is not None
    progress(0, len(images), "compiling the board with Verilator")
    board = find_board(section.board)
    config = board_config(plan, board, clock_mhz=section.target_mhz, baud=section.baud)
    simulated = compile_board(
        verilog, BOARD_TOP, divisor=config.divisor, workdir=workdir, quick=True
    )
    with simulated.running() as port, open_line(port, section.baud) as line:
        verdicts = classify_on_board(BoardClient(line, PATIENCE_SECONDS), plan, source, images)
        for image, verdict in enumerate(verdicts):
            progress(image + 1, len(images), "images")
            if not verdict.equal:
                expected, got = list(verdict.expected), list(verdict.outputs)
                yield f"image {image}: expected {expected}, got {got}, class {verdict.category}"
            if verdict.cycles != plan.latency_cycles:
                yield f"image {image}: {verdict.cycles} cycles, {plan.latency_cycles} predicted"
