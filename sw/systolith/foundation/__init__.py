"""Base of every other package: lists of problems, atomic file writes, progress."""

from systolith.foundation.files import replacing, spare_folder
from systolith.foundation.problems import ProblemCollector, ProblemsError, UsageError, listed
from systolith.foundation.progress import Progress, ProgressCallback, no_progress

__all__ = [
    "ProblemCollector",
    "ProblemsError",
    "Progress",
    "ProgressCallback",
    "UsageError",
    "listed",
    "no_progress",
    "replacing",
    "spare_folder",
]
