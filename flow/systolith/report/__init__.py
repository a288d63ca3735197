"""Results of a run: JSON for programs; tables, pictures and pages for people."""

from systolith.report.engines import (
    EngineRow,
    PerformanceResult,
    QueueRow,
    engine_rows,
    estimate_performance,
    queue_rows,
)
from systolith.report.fitting import FittedTable
from systolith.report.floorplan import draw_floorplan
from systolith.report.network_table import LayerRow, layer_rows, network_table
from systolith.report.pictures import draw_density, draw_filters, draw_mask, draw_statistics
from systolith.report.report import Report, tool_versions
from systolith.report.results import (
    AccuracyResult,
    BuiltDevice,
    CheckResult,
    DesignHashes,
    PlacedClock,
    StageTime,
    VerificationResult,
)
from systolith.report.results_page import write_results_page
from systolith.report.sparsity import SparsityRow, dense_macs, sparsity_rows
from systolith.report.tables import (
    engine_table,
    plan_table,
    queue_table,
    report_view,
    sparsity_table,
)
from systolith.report.tuning_page import write_tuning_page
from systolith.report.utilization import UtilizationRow, utilization_rows, utilization_table
from systolith.report.words import count_of

__all__ = [
    "AccuracyResult",
    "BuiltDevice",
    "CheckResult",
    "DesignHashes",
    "EngineRow",
    "FittedTable",
    "LayerRow",
    "PerformanceResult",
    "PlacedClock",
    "QueueRow",
    "Report",
    "SparsityRow",
    "StageTime",
    "UtilizationRow",
    "VerificationResult",
    "count_of",
    "dense_macs",
    "draw_density",
    "draw_filters",
    "draw_floorplan",
    "draw_mask",
    "draw_statistics",
    "engine_rows",
    "engine_table",
    "estimate_performance",
    "layer_rows",
    "network_table",
    "plan_table",
    "queue_rows",
    "queue_table",
    "report_view",
    "sparsity_rows",
    "sparsity_table",
    "tool_versions",
    "utilization_rows",
    "utilization_table",
    "write_results_page",
    "write_tuning_page",
]
