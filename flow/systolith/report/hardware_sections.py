"""Sections of the results page about the hardware: engines, resources, timing and floorplan."""

from html import escape
from pathlib import Path

from systolith.report.markup import Bar, bars, figure, number, section, table, track
from systolith.report.report import Report
from systolith.report.results import BuiltDevice, PlacedClock
from systolith.report.routing import describe_routing

__all__ = ["render_engines", "render_resources", "render_timing"]

FULL = 0.9
"""Share of a resource from which its bar is highlighted."""
RESOURCES = {
    "luts": "LUTs",
    "flip_flops": "flip-flops",
    "dsps": "DSPs",
    "block_rams": "block RAMs",
    "multipliers": "multipliers",
}
PLACED_RESOURCES = ("luts", "flip_flops", "dsps", "block_rams")


def render_engines(report: Report) -> str:
    """List the engines with their arrays and busy shares."""
    if not report.engines:
        return ""
    rows = []
    for row in report.engines:
        busy = 1 - row.idle
        pace = " <small>sets the pace</small>" if row.bottleneck else ""
        rows.append(
            [
                escape(row.name),
                track(busy, "full" if row.bottleneck else ""),
                number(busy, f"{busy:.0%}") + pace,
                number(row.cycles, f"{row.cycles:,}"),
                escape(row.array + (f" packed {row.packed}" if row.packed > 1 else "")),
                number(row.multipliers, str(row.multipliers)) if row.multipliers else "",
                escape(row.multiplier_kind),
                escape(row.lanes.replace("->", "→")),
            ]
        )
    headers = (
        *("stage", "busy", "", "cycles per frame"),
        *("array", "multipliers", "kind", "channels per transfer"),
    )
    note = (
        '<p class="note">Array: rows x columns x multipliers per PE. '
        "Busy: share of the cycles per frame in which a stage works.</p>"
    )
    result = report.performance
    if result is not None:
        text = number(result.cycles_per_frame, f"{result.cycles_per_frame:,}")
        note = f"<p>The pipeline takes a frame every {text} cycles.</p>{note}"
    return section("engines", "Engines", table(headers, rows, numbers=(3, 5)), note)


def render_resources(report: Report) -> str:
    """Compare resources with the device, or with the budget if nothing is built."""
    parts = []
    if (build := report.build) is not None:
        how = "placed" if build.placed is not None else "estimated by synthesis, nothing is placed"
        parts.append(f"<p>{escape(build.target)}, {how}.</p>")
        rows = [(use.name, use.used, use.available) for use in build.resources]
        parts.append(bars(_resource_bar(*row) for row in rows))
        parts.append(_placed_engines(build))
    elif (result := report.performance) is not None:
        parts.append("<p>Planned resources and their limits.</p>")
        parts.append(
            bars(
                _resource_bar(label, result.resources[kind], result.budget.get(kind))
                for kind, label in RESOURCES.items()
                if kind in result.resources
            )
        )
    return section("resources", "Resources", *parts)


def _resource_bar(name: str, used: int, available: int | None) -> Bar:
    value = number(used, f"{used:,}")
    if not available:
        return Bar(label=name, share=None, value=f"{value} (no limit)")
    share = used / available
    text = f"{value} of {number(available, f'{available:,}')} ({share:.0%})"
    return Bar(label=name, share=share, value=text, kind="full" if share >= FULL else "")


def _placed_engines(build: BuiltDevice) -> str:
    """Compare placed and planned resources, engine by engine."""
    if build.placed is None or not build.placed.engines:
        return ""
    engines = build.placed.engines
    rows = []
    for row in engines:
        cells = [escape(row.name)]
        for kind in PLACED_RESOURCES:
            used, planned = getattr(row, kind), getattr(row, f"planned_{kind}", None)
            plan = f" <small>plan {number(planned, f'{planned:,}')}</small>" if planned else ""
            cells.append((number(used, f"{used:,}") if used else "") + plan)
        rows.append(cells)
    sums = {kind: sum(getattr(row, kind) for row in engines) for kind in PLACED_RESOURCES}
    footer = ["all", *(number(total, f"{total:,}") for total in sums.values())]
    headers = ["engine", *(RESOURCES[kind] for kind in PLACED_RESOURCES)]
    shown = table(headers, rows, numbers=range(1, len(headers)), footer=footer)
    return f"<h3>By engine, placed and planned</h3>{shown}"


def render_timing(report: Report, folder: Path) -> str:
    """Show the clock of each placement, the critical path and the floorplan."""
    if report.build is None or (placed := report.build.placed) is None:
        return ""
    parts = [_clocks(placed)]
    if placed.untimed:
        parts.append(f"<p>These clocks leave out {escape(placed.untimed)}.</p>")
    if placed.critical_path:
        parts.append(f"<p>Critical path: <code>{escape(placed.critical_path)}</code></p>")
    parts.append(f"<p>Routed by {escape(describe_routing(placed))}.</p>")
    if placed.unfinished:
        parts.append(f"<p>Out of time: {escape('; '.join(placed.unfinished))}.</p>")
    rates = (placed.frames_per_second, placed.frames_per_second_at_target)
    reached, wanted = (number(rate, f"{rate:,.0f}") for rate in rates)
    parts.append(
        f"<p>Frames per second: {reached} at the clock reached, {wanted} at the one wanted.</p>"
    )
    picture = folder / report.files.get("floorplan", "")
    if picture.is_file():
        caption = "Each engine has a colour. The black line is the critical path."
        parts.append(f"<h3>Floorplan</h3>{figure(picture, 'Floorplan', caption)}")
    return section("timing", "Timing and floorplan", *parts)


def _clocks(placed: PlacedClock) -> str:
    """Compare the clock of each placement with the required one."""
    widest = max(*placed.fmax_mhz.values(), placed.clock_mhz)
    wanted = Bar(
        label="wanted",
        share=placed.clock_mhz / widest,
        value=number(placed.clock_mhz, f"{placed.clock_mhz:g} MHz"),
        kind="cached",
    )
    reached = [
        Bar(
            label=f"seed {seed}",
            note="best" if len(placed.fmax_mhz) > 1 and int(seed) == placed.best_seed else "",
            share=clock / widest,
            value=number(clock, f"{clock:.1f} MHz"),
            kind="" if clock >= placed.clock_mhz else "full",
        )
        for seed, clock in placed.fmax_mhz.items()
    ]
    return bars([wanted, *reached])
