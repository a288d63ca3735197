"""Results as tables that a person reads."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from systolith.report.engines import EngineRow
from systolith.report.fitting import FittedTable
from systolith.report.plan_table import plan_table
from systolith.report.report import Report, SparsityRow
from systolith.report.utilization import utilization_table
from systolith.report.words import count_of

__all__ = ["engine_table", "report_view", "sparsity_table"]

ACCURACIES = {
    "float": "float",
    "pruned": "pruned float",
    "integer": "integer",
    "rtl": "RTL simulation",
}


def report_view(report: Report, *, planning: bool = False) -> RenderableType:
    """Lay out everything that a report holds so far; if `planning`, with what engines take."""
    return Panel(Group(*_parts(report, planning)), title=f"systolith: {report.name}", expand=False)


def _parts(report: Report, planning: bool) -> Iterator[RenderableType]:
    if report.sparsity:
        yield sparsity_table(report.sparsity["layers"])
    if report.engines and planning:
        found = report.performance
        yield plan_table(report.engines, found["resources"], found["budget"])
    elif report.engines:
        yield engine_table(report.engines)
    if "engines" in report.build:
        yield utilization_table(report.build["engines"])
    yield _summary(report)


def sparsity_table(rows: Sequence[SparsityRow]) -> FittedTable:
    """Weights kept, layer by layer."""
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
    """The pipeline, stage by stage."""
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


def _summary(report: Report) -> FittedTable:
    table = FittedTable("Result", show_header=False)
    table.add_column("what", wraps=True, style="bold")
    table.add_column("value", wraps=True)
    for name, label in ACCURACIES.items():
        if (accuracy := report.accuracy.get(name)) is not None:
            table.add_row(f"accuracy, {label}", f"{accuracy:.2%} of {_counted(report, name)}")
    if report.performance:
        yields = report.performance
        table.add_row("cycles per frame", f"{yields['cycles_per_frame']:,}")
        if "frames_per_second" in yields:
            rate, clock = yields["frames_per_second"], yields["clock_mhz"]
            table.add_row("frames per second", f"{rate:,.1f} at {clock:g} MHz")
        if (fmax := yields.get("fmax_mhz_estimated")) and not report.build:
            rate = fmax * 1e6 / yields["cycles_per_frame"]
            table.add_row("clock, estimated", f"{fmax:.0f} MHz: {rate:,.0f} frames per second")
        table.add_row("latency", f"{yields['latency_cycles']:,} cycles")
        dense, kept = yields.get("macs_unpruned", yields["macs_dense"]), yields["macs_kept"]
        table.add_row("multiplications per frame", f"{kept:,} of {dense:,} dense")
        busy = f"{yields['utilization']:.1%} of all cycles of {yields['multipliers']} multipliers"
        table.add_row("utilization", busy)
    _add_build(table, report.build)
    checks = report.verification
    if "cycles_predicted" in checks:
        equal = "equal" if checks["cycles_predicted"] == checks["cycles_simulated"] else "DIFFERENT"
        table.add_row("cycles predicted", f"{checks['cycles_predicted']:,}")
        table.add_row("cycles simulated", f"{checks['cycles_simulated']:,} ({equal})")
    if report.verified is not None:
        table.add_row("verified", _verdict(report))
    for check in checks.get("checks", []):
        mark = "equal" if check["passed"] else "NOT EQUAL"
        table.add_row(f"  {check['name']}", f"{mark}: {check['what']}")
    return table


def _counted(report: Report, name: str) -> str:
    """Name the images of an accuracy. Saved networks have the user's images, and no test set."""
    known = report.accuracy.get("test_images")
    if known is None:
        return count_of(report.accuracy[f"{name}_images"], "image")
    images = report.accuracy.get(f"{name}_images", known)
    first = "" if images == known else f"the first {images:,} of "
    return f"{first}{count_of(known, 'test image')}"


def _verdict(report: Report) -> Text:
    """Say whether what was checked is equal; arithmetic alone says nothing of the RTL."""
    if not report.verified:
        return Text("NO", "bold red")
    if not report.simulated:
        return Text("arithmetic only, no RTL has run", "bold yellow")
    return Text("yes", "bold green")


def _add_build(table: FittedTable, build: Mapping[str, Any]) -> None:
    """What place and route reached, if anything was built."""
    if not build:
        return
    name = build["board"] or build["part"]
    if build["estimate"]:
        table.add_row("estimate for", f"{name}: synthesis only, nothing is placed")
    else:
        table.add_row("built for", name)
        _add_clock(table, build)
    for use in build["resources"]:
        used, available = use["used"], use["available"]
        share = f" ({used / available:.0%})" if available else ""
        table.add_row(f"  {use['name']}", f"{used:,} of {available:,}{share}")
    if build.get("critical_path"):
        table.add_row("critical path", build["critical_path"])
    if build["bitstream"]:
        table.add_row("bitstream", f"build/{build['bitstream']}")


def _add_clock(table: FittedTable, build: Mapping[str, Any]) -> None:
    clocks = build["fmax_mhz"]
    seeds = f"best of {len(clocks)} seeds; median {build['fmax_mhz_median']:.1f} MHz"
    reached = Text(f"{build['fmax_mhz_best']:.1f} MHz", "bold green")
    if not build["timing_met"]:
        reached.stylize("bold red")
    reached.append(f" of {build['clock_mhz']:g} MHz wanted", "default")
    table.add_row("clock", reached.append(f" ({seeds})" if len(clocks) > 1 else ""))
    rate, wanted = build["frames_per_second"], build["frames_per_second_at_target"]
    rates = f"{rate:,.0f} at the clock reached, {wanted:,.0f} at the one wanted"
    table.add_row("frames per second", rates)
