"""The command ``systolith eembc``."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from systolith.cli.changes import build_changes, combine_changes, section_changes
from systolith.cli.commands.board import open_board_run
from systolith.cli.options import BoardName, Multipliers, Output, RunnerModelName, Target
from systolith.cli.terminal import listening, out, tracking

if TYPE_CHECKING:
    from systolith.stages import Session

__all__ = ["eembc"]


def eembc(
    target: Target,
    model: Annotated[
        RunnerModelName, typer.Option(help="Benchmark of MLPerf Tiny that the network computes.")
    ],
    port: Annotated[
        str | None,
        typer.Option(help="Serial port of the board. Default: a board simulated pin by pin."),
    ] = None,
    board: BoardName = None,
    multipliers: Multipliers = None,
    output: Output = None,
    most_runs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Inferences of one command that really run; the others of the same input are "
            "counted with the same cycles. Default: all, or 1 of a simulated board.",
        ),
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the board.")] = 60.0,
) -> None:
    """Let a board answer EEMBC's runner for MLPerf Tiny, until interrupted.

    The runner connects to the pseudo-terminal that is printed. Its timestamps are the cycles that
    the board counted, over the clock of the design: without the serial line.
    """
    from systolith.host import BoardClient, open_line, open_terminal
    from systolith.stages.runner import runner_device

    hardware = section_changes("hardware", multipliers=multipliers)
    changes = combine_changes(hardware, build_changes(board=board))
    with listening(quiet=False) as listener:
        session = open_board_run(target, output, changes, listener)
    build = session.experiment.build
    with (
        _open_port(session, port) as name,
        open_line(name, build.baud) as line,
        open_terminal() as terminal,
    ):
        device = runner_device(
            BoardClient(line, timeout),
            session.plan,
            session.source.meaning,
            model=model,
            clock_mhz=build.target_mhz,
            most_runs=most_runs if port is not None else most_runs or 1,
        )
        out.print(f"runner's port: {terminal.name}", highlight=False, soft_wrap=True)
        out.file.flush()
        terminal.send(device.greet())
        terminal.serve(device.feed, until=lambda: False)


@contextmanager
def _open_port(session: "Session", port: str | None) -> Iterator[str]:
    """Give the port of the board, or of a simulated one."""
    if port is not None:
        yield port
        return
    from systolith.devices import find_board
    from systolith.emit import BOARD_TOP, board_config, emit_board
    from systolith.gateware import Technology
    from systolith.netlist import compile_board

    build, folder = session.experiment.build, session.folder / "board"
    assert build.board is not None
    board, clock_mhz = find_board(build.board), build.target_mhz
    folder.mkdir(parents=True, exist_ok=True)
    with tracking("board", None, quiet=False):
        verilog = emit_board(
            session.plan,
            board,
            clock_mhz=clock_mhz,
            baud=build.baud,
            technology=Technology.GENERIC,
        )
        divisor = board_config(session.plan, board, clock_mhz=clock_mhz, baud=build.baud).divisor
        simulated = compile_board(verilog, BOARD_TOP, divisor=divisor, workdir=folder)
    with simulated.running() as name:
        yield name
