"""What each engine takes, as a table that a person reads."""

from collections.abc import Mapping, Sequence

from rich import box

from systolith.report.engines import EngineRow
from systolith.report.fitting import FittedTable

__all__ = ["plan_table"]

MEMORIES = {"block": "block", "distributed": "LUT", "": ""}


def plan_table(
    rows: Sequence[EngineRow], resources: Mapping[str, int], budget: Mapping[str, int]
) -> FittedTable:
    """The pipeline, stage by stage, with what it takes; below, totals and the budget.

    Parameters
    ----------
    rows : sequence of EngineRow
    resources, budget : mapping of str to int
        By kind of resource; a kind without a budget is not limited.
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
