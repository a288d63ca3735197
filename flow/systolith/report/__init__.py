"""Results for people and machines."""

from systolith.report.engines import EngineRow, engine_rows, performance
from systolith.report.fitting import FittedTable
from systolith.report.floorplan import draw_floorplan
from systolith.report.network_table import LayerRow, layer_rows, network_table
from systolith.report.pictures import draw_density, draw_filters, draw_mask, draw_statistics
from systolith.report.plan_table import plan_table
from systolith.report.report import Report, SparsityRow, dense_macs, sparsity_rows
from systolith.report.tables import engine_table, report_view, sparsity_table
from systolith.report.tuning_page import write_tuning_page
from systolith.report.utilization import UtilizationRow, utilization_rows, utilization_table
from systolith.report.words import count_of

__all__ = [
    "EngineRow",
    "FittedTable",
    "LayerRow",
    "Report",
    "SparsityRow",
    "UtilizationRow",
    "count_of",
    "dense_macs",
    "draw_density",
    "draw_filters",
    "draw_floorplan",
    "draw_mask",
    "draw_statistics",
    "engine_rows",
    "engine_table",
    "layer_rows",
    "network_table",
    "performance",
    "plan_table",
    "report_view",
    "sparsity_rows",
    "sparsity_table",
    "utilization_rows",
    "utilization_table",
    "write_tuning_page",
]
