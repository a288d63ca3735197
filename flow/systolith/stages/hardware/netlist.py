"""Simulation of the synthesized netlist, compared with the reference."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from systolith.config import BuildSection
from systolith.devices import find_board
from systolith.emit import BOARD_TOP, Design, board_config
from systolith.foundation import Progress, ProgressCallback
from systolith.host import BoardClient, open_line
from systolith.netlist import compile_board, netlist_design, netlist_verilog
from systolith.network import IntArray
from systolith.plan import NetworkPlan
from systolith.report import count_of
from systolith.stages.board import BoardResult, Reference, classify_on_board
from systolith.stages.hardware.verification import simulate_images

__all__ = ["check_netlist"]

PATIENCE_SECONDS = 600.0
"""Timeout for one answer of a board that is simulated cell by cell."""


def check_netlist(
    netlist: Path,
    design: Design,
    plan: NetworkPlan,
    reference: Reference,
    images: IntArray,
    section: BuildSection,
    *,
    workdir: Path,
    progress: ProgressCallback,
) -> dict[str, Any]:
    """Simulate a synthesized netlist, and compare all outputs and cycles for equality.

    The bench drives the accelerator's streams for a part, and the serial line for a board.

    Parameters
    ----------
    netlist : Path
        Netlist of the synthesis, as JSON.
    design : Design
        Describes the streams.
    plan : NetworkPlan
    reference : callable
        Computes the outputs of every layer for images.
    images : array of int, shape (N, C, H, W)
    section : BuildSection
        Part or board that was built for.
    workdir : Path
        Holds simulators.
    progress : ProgressCallback

    Returns
    -------
    dict
        One check of the report.

    Raises
    ------
    BoardError, CompileError, MissingToolError, SimulationError, ToolError
    """
    _report(progress, 0, images, "writing the netlist as Verilog")
    assert section.part is not None
    family, findings = section.part.device.family, list[str]()
    if section.board is None:
        bulk = simulate_images(
            netlist_design(design, netlist, family, workdir),
            plan,
            images,
            reference(images),
            workdir=workdir,
            jobs=1,
            progress=progress,
            quick=True,
        )
        findings += bulk.findings
    else:
        verilog = netlist_verilog(netlist, family, workdir).read_text()
        findings += _on_board(verilog, plan, reference, images, section, workdir, progress)
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
    reference: Reference,
    images: IntArray,
    section: BuildSection,
    workdir: Path,
    progress: ProgressCallback,
) -> Iterator[str]:
    """Classify images on a simulated board with the netlist; describe every difference."""
    assert section.board is not None
    _report(progress, 0, images, "compiling the board with Verilator")
    board = find_board(section.board)
    config = board_config(plan, board, clock_mhz=section.target_mhz, baud=section.baud)
    built = compile_board(verilog, BOARD_TOP, divisor=config.divisor, workdir=workdir, quick=True)
    with built.running() as port, open_line(port, section.baud) as line:
        results = classify_on_board(BoardClient(line, PATIENCE_SECONDS), plan, reference, images)
        for image, result in enumerate(results):
            _report(progress, image + 1, images, "images")
            if not result.equal:
                yield from _describe(image, result)
            if result.cycles != plan.latency_cycles:
                yield f"image {image}: {result.cycles} cycles, {plan.latency_cycles} predicted"


def _describe(image: int, result: BoardResult) -> Iterator[str]:
    """Name the outputs that differ, with all values of vectors."""
    for name in result.differing:
        expected, got = result.expected[name], result.outputs[name]
        where = f"image {image}, output '{name}'"
        if name in result.classes:
            values = f"expected {expected.tolist()}, got {got.tolist()}"
            yield f"{where}: {values}, class {result.classes[name]}"
        else:
            yield f"{where}: {(expected != got).sum()} of {got.size} values differ"


def _report(progress: ProgressCallback, done: int, images: IntArray, text: str) -> None:
    progress(Progress(task="netlist", done=done, total=len(images), text=text))
