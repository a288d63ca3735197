"""Base of every other package: lists of problems, atomic file writes, progress."""

from systolith.foundation.files import replacing, spare_folder, write_json, write_text
from systolith.foundation.journal import (
    LOG,
    Broadcast,
    Journal,
    Listener,
    Silent,
    open_log,
)
from systolith.foundation.kinds import (
    is_number,
    is_whole,
    kind_problems,
    plain_number,
    show_value,
)
from systolith.foundation.problems import (
    MissingError,
    ProblemCollector,
    ProblemsError,
    UsageError,
    listed,
)
from systolith.foundation.progress import Progress, ProgressCallback, no_progress

__all__ = [
    "LOG",
    "Broadcast",
    "Journal",
    "Listener",
    "MissingError",
    "ProblemCollector",
    "ProblemsError",
    "Progress",
    "ProgressCallback",
    "Silent",
    "UsageError",
    "is_number",
    "is_whole",
    "kind_problems",
    "listed",
    "no_progress",
    "open_log",
    "plain_number",
    "replacing",
    "show_value",
    "spare_folder",
    "write_json",
    "write_text",
]
