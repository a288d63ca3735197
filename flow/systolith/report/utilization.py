"""Resources of each engine, as placed and as planned."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from rich import box

from systolith.build import OTHER, CellCounts
from systolith.plan import NetworkPlan, signal_name
from systolith.report.fitting import FittedTable

__all__ = ["UtilizationRow", "utilization_rows", "utilization_table"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UtilizationRow:
    """Resources of one engine, or of logic beside the accelerator on a board.

    Attributes
    ----------
    name : str
        ``other`` for cells whose names belong to no engine.
    luts, flip_flops, dsps, block_rams : int
        As placed.
    planned_luts, planned_dsps, planned_block_rams : int or None
        None for logic that has no plan.
    """

    name: str
    luts: int
    flip_flops: int
    dsps: int
    block_rams: int
    planned_luts: int | None = None
    planned_dsps: int | None = None
    planned_block_rams: int | None = None


def utilization_rows(plan: NetworkPlan, counts: Mapping[str, CellCounts]) -> list[UtilizationRow]:
    """Join a plan with the cells of each engine, in pipeline order; other logic comes last."""
    rows = []
    left = dict(counts)
    for stage in plan.stages:
        cells = left.pop(signal_name(stage.name), CellCounts())
        planned = plan.resources_of(stage)
        rows.append(
            UtilizationRow(
                name=stage.name,
                **asdict(cells),
                planned_luts=planned.luts,
                planned_dsps=planned.dsps,
                planned_block_rams=planned.block_rams,
            )
        )
    others = sorted(left.items(), key=lambda item: item[0] == OTHER)
    rows += [UtilizationRow(name=name, **asdict(cells)) for name, cells in others]
    return rows


def utilization_table(rows: Sequence[UtilizationRow]) -> FittedTable:
    """Compare the placed resources of each engine with the planned ones."""
    table = FittedTable(
        "What engines take, as placed and as planned",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
        show_footer=True,
    )
    table.add_column("stage", "all")
    for label, kind in (("LUTs", "luts"), ("DSPs", "dsps"), ("block\nRAMs", "block_rams")):
        table.add_column(label, _sum(getattr(row, kind) for row in rows), justify="right")
        planned = (getattr(row, f"planned_{kind}") for row in rows)
        table.add_column(
            "plan", _sum(planned), rank=2, name="what was planned", justify="right", style="dim"
        )
    table.add_column(
        "flip-\nflops",
        _sum(row.flip_flops for row in rows),
        rank=1,
        name="flip-flops",
        justify="right",
    )
    for row in rows:
        values = []
        for kind in ("luts", "dsps", "block_rams"):
            used, planned = getattr(row, kind), getattr(row, f"planned_{kind}")
            values += [f"{used:,}" if used else "", f"{planned:,}" if planned else ""]
        table.add_row(row.name, *values, f"{row.flip_flops:,}" if row.flip_flops else "")
    return table


def _sum(values: Iterable[int | None]) -> str:
    return f"{sum(value or 0 for value in values):,}"
