"""Results for people and machines."""

from systolith.report.pictures import draw_density, draw_filters, draw_mask, draw_statistics
from systolith.report.report import (
    EngineRow,
    Report,
    SparsityRow,
    engine_rows,
    performance,
    sparsity_rows,
)
from systolith.report.tables import engine_table, report_view, sparsity_table

__all__ = [
    "EngineRow",
    "Report",
    "SparsityRow",
    "draw_density",
    "draw_filters",
    "draw_mask",
    "draw_statistics",
    "engine_rows",
    "engine_table",
    "performance",
    "report_view",
    "sparsity_rows",
    "sparsity_table",
]
