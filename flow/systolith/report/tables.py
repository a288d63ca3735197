"""Results as tables for a terminal."""

from collections.abc import Iterator, Mapping, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from systolith.report.engines import EngineRow, PerformanceResult, QueueRow
from systolith.report.fitting import FittedTable
from systolith.report.report import Report
from systolith.report.results import BuiltDevice, PlacedClock
from systolith.report.routing import describe_estimate, describe_routing
from systolith.report.sparsity import SparsityRow
from systolith.report.utilization import utilization_table
from systolith.report.words import count_of

__all__ = ["engine_table", "plan_table", "queue_table", "report_view", "sparsity_table"]

MEMORIES = {"block": "block", "distributed": "LUT", "": ""}

ACCURACIES = {
    "float": "float",
    "pruned": "pruned float",
    "integer": "integer",
    "rtl": "RTL simulation",
}
METRICS = {
    "mean_iou": ("mean IoU", ".2%"),
    "squared_error": ("squared error", ".4g"),
    "absolute_error": ("absolute error", ".4g"),
    "roc_auc": ("ROC AUC", ".4f"),
}
"""Label and format of each metric besides the accuracy."""


def report_view(report: Report, *, planning: bool = False) -> RenderableType:
    """Lay out a report for a terminal.

    Parameters
    ----------
    report : Report
    planning : bool
        Whether to show the planned resources of each engine.
    """
    return Panel(Group(*_parts(report, planning)), title=f"systolith: {report.name}", expand=False)


def _parts(report: Report, planning: bool) -> Iterator[RenderableType]:
    if report.sparsity:
        yield sparsity_table(report.sparsity)
    if report.engines and planning:
        assert report.performance is not None
        yield plan_table(report.engines, report.performance.resources, report.performance.budget)
        if report.queues:
            yield queue_table(report.queues)
    elif report.engines:
        yield engine_table(report.engines)
    if report.build is not None and report.build.placed is not None:
        yield utilization_table(report.build.placed.engines)
    yield _summary(report)


def sparsity_table(rows: Sequence[SparsityRow]) -> FittedTable:
    """List the kept weights of each layer."""
    table = FittedTable("Weights", show_footer=True)
    kept, total = sum(row.kept for row in rows), sum(row.total for row in rows)
    table.add_column("layer", "all layers", wraps=True)
    table.add_column("pattern", wraps=True)
    table.add_column("kept", f"{kept:,}", justify="right")
    table.add_column("of", f"{total:,}", justify="right")
    table.add_column("sparsity", f"{1 - kept / total:.1%}", rank=1, justify="right")
    for row in rows:
        sparsity = f"{1 - row.kept / row.total:.1%}"
        table.add_row(row.name, row.pattern, f"{row.kept:,}", f"{row.total:,}", sparsity)
    return table


def engine_table(rows: Sequence[EngineRow]) -> FittedTable:
    """List the stages of the pipeline."""
    table = FittedTable("Engines (array: rows x columns x multipliers per PE)")
    table.add_column("stage")
    table.add_column("array", rank=1)
    table.add_column("multi-\npliers", justify="right", rank=2)
    table.add_column("channels\nper transfer", justify="right", rank=3)
    table.add_column("cycles\nper frame", justify="right")
    table.add_column("idle", justify="right")
    for row in rows:
        table.add_row(
            row.name,
            row.array + (f" packed {row.packed}" if row.packed > 1 else ""),
            str(row.multipliers or ""),
            row.lanes,
            f"{row.cycles:,}",
            f"{row.idle:.0%}",
            style=None if row.multipliers else "dim",
        )
    return table


def plan_table(
    rows: Sequence[EngineRow], resources: Mapping[str, int], budget: Mapping[str, int]
) -> FittedTable:
    """List the stages of the pipeline with their resources, the totals and the budget.

    Parameters
    ----------
    rows : sequence of EngineRow
    resources, budget : mapping of str to int
        By kind of resource. A kind without a budget is not limited.
    """

    def foot(kind: str) -> str:
        limit = budget.get(kind)
        return f"{resources[kind]:,}" + ("\n" if not budget else f"\n{limit:,}" if limit else "\n-")

    table = FittedTable(
        "Engines (array: rows x columns x multipliers of a kind per PE; * sets the pace)",
        box=box.SIMPLE_HEAD,
        padding=0,
        show_edge=False,
        show_footer=True,
    )
    if most := budget.get("flip_flops"):
        table.caption = f"{resources['flip_flops']:,} flip-flops of a budget of {most:,}"
    table.add_column("stage", "all stages" + ("\nbudget" if budget else ""))
    table.add_column("array", rank=1)
    table.add_column("kind", rank=2)
    table.add_column("pack-\ned", rank=4, justify="right")
    table.add_column("weights\nin", rank=5)
    table.add_column("window\nin", rank=6)
    table.add_column("multi-\npliers", foot("multipliers"), justify="right")
    table.add_column("\nDSPs", foot("dsps"), justify="right")
    table.add_column("\nLUTs", foot("luts"), justify="right")
    table.add_column("block\nRAMs", foot("block_rams"), justify="right")
    table.add_column("cycles\nper frame", justify="right")
    table.add_column("\nidle", rank=3, justify="right")
    for row in rows:
        table.add_row(
            row.name,
            row.array,
            row.multiplier_kind,
            str(row.packed or ""),
            MEMORIES[row.weight_memory],
            MEMORIES[row.window_memory],
            str(row.multipliers or ""),
            str(row.dsps or ""),
            f"{row.luts:,}",
            str(row.block_rams or ""),
            f"{row.cycles:,}",
            "* 0%" if row.bottleneck else f"{row.idle:.0%}",
            style="bold" if row.bottleneck else None if row.array else "dim",
        )
    return table


def queue_table(rows: Sequence[QueueRow]) -> FittedTable:
    """List the queues of the pipeline, with what waits in them."""
    table = FittedTable(
        "Queues (the least depths at which no frame leaves later)",
        box=box.SIMPLE_HEAD,
        padding=0,
        show_edge=False,
    )
    table.add_column("stage", rank=1)
    table.add_column("reader")
    table.add_column("trans-\nfers", justify="right")
    table.add_column("\nbits", justify="right")
    table.add_column("in", rank=2)
    table.add_column("\nLUTs", justify="right", rank=3)
    table.add_column("block\nRAMs", justify="right")
    table.add_column("what waits", wraps=True)
    for row in rows:
        table.add_row(
            row.stage,
            row.reader,
            f"{row.depth:,}",
            f"{row.bits:,}",
            MEMORIES[row.memory],
            f"{row.luts:,}",
            str(row.block_rams or ""),
            Text(row.reason),
        )
    return table


def _summary(report: Report) -> FittedTable:
    table = FittedTable("Result", show_header=False)
    table.add_column("what", wraps=True, style="bold")
    table.add_column("value", wraps=True)
    for state, label in ACCURACIES.items():
        if (share := report.accuracy.shares.get(state)) is not None:
            table.add_row(f"accuracy, {label}", f"{share:.2%} of {describe_images(report, state)}")
    for metric, states in report.metrics.items():
        name, digits = METRICS[metric]
        for state, value in states.items():
            table.add_row(f"{name}, {ACCURACIES[state]}", format(value, digits))
    if report.performance is not None:
        _add_performance(table, report.performance, report.build is not None)
    if report.build is not None:
        _add_build(table, report.build)
    checks = report.verification
    if checks.cycles_predicted is not None and checks.cycles_simulated is not None:
        equal = "equal" if checks.cycles_predicted == checks.cycles_simulated else "DIFFERENT"
        table.add_row("cycles predicted", f"{checks.cycles_predicted:,}")
        table.add_row("cycles simulated", f"{checks.cycles_simulated:,} ({equal})")
    if report.verified is not None:
        table.add_row("verified", _verdict(report))
    for check in checks.checks:
        mark = "equal" if check.passed else "NOT EQUAL"
        table.add_row(f"  {check.name}", f"{mark}: {check.what}")
    return table


def describe_images(report: Report, state: str) -> str:
    """Name the images of an accuracy. Saved networks have no test set."""
    known = report.accuracy.test_images
    if known is None:
        return count_of(report.accuracy.images[state], "image")
    images = report.accuracy.images.get(state, known)
    first = "" if images == known else f"the first {images:,} of "
    pixels = "the pixels of " if "mean_iou" in report.metrics else ""
    return f"{pixels}{first}{count_of(known, 'test image')}"


def _verdict(report: Report) -> Text:
    """Say whether all checks passed; arithmetic alone says nothing about the RTL."""
    if not report.verified:
        return Text("NO", "bold red")
    if not report.simulated:
        return Text("arithmetic only, no RTL has run", "bold yellow")
    return Text("yes", "bold green")


def _add_performance(table: FittedTable, result: PerformanceResult, is_built: bool) -> None:
    """Add the speed. The estimated clock is left out if place and route measured one."""
    table.add_row("cycles per frame", f"{result.cycles_per_frame:,}")
    if result.frames_per_second is not None:
        rate = f"{result.frames_per_second:,.1f} at {result.clock_mhz:g} MHz"
        table.add_row("frames per second", rate)
    if (fmax := result.fmax_mhz_estimated) and not is_built:
        reached = fmax * 1e6 / result.cycles_per_frame
        table.add_row("clock, estimated", f"{fmax:.0f} MHz: {reached:,.0f} frames per second")
    if result.routing and not is_built:
        table.add_row("routing, estimated", describe_estimate(result.routing))
    table.add_row("latency", f"{result.latency_cycles:,} cycles")
    macs = f"{result.macs_kept:,} of {result.macs_before:,} dense"
    table.add_row("multiplications per frame", macs)
    busy = f"{result.utilization:.1%} of all cycles of {result.multipliers} multipliers"
    table.add_row("utilization", busy)


def _add_build(table: FittedTable, build: BuiltDevice) -> None:
    """Add the results of synthesis, and of place and route."""
    if build.placed is None:
        table.add_row("estimate for", f"{build.target}: synthesis only, nothing is placed")
    else:
        table.add_row("built for", build.target)
        _add_clock(table, build.placed)
    for use in build.resources:
        share = f" ({use.used / use.available:.0%})" if use.available else ""
        table.add_row(f"  {use.name}", f"{use.used:,} of {use.available:,}{share}")
    if build.placed is not None and build.placed.critical_path:
        table.add_row("critical path", build.placed.critical_path)
    if build.bitstream:
        table.add_row("bitstream", f"build/{build.bitstream}")


def _add_clock(table: FittedTable, placed: PlacedClock) -> None:
    seeds = len(placed.fmax_mhz)
    reached = Text(f"{placed.fmax_mhz_best:.1f} MHz", "bold green")
    if not placed.timing_met:
        reached.stylize("bold red")
    reached.append(f" of {placed.clock_mhz:g} MHz wanted", "default")
    if seeds > 1:
        reached.append(f" (best of {seeds} seeds; median {placed.fmax_mhz_median:.1f} MHz)")
    table.add_row("clock", reached)
    if placed.untimed:
        table.add_row("clock leaves out", Text(placed.untimed, "bold yellow"))
    table.add_row("routed by", describe_routing(placed))
    if placed.unfinished:
        table.add_row("out of time", Text("; ".join(placed.unfinished), "bold yellow"))
    rate, wanted = placed.frames_per_second, placed.frames_per_second_at_target
    rates = f"{rate:,.0f} at the clock reached, {wanted:,.0f} at the one wanted"
    table.add_row("frames per second", rates)
