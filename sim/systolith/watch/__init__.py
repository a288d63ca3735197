"""What runs inside the simulator: drives one design, watches its streams, logs what they did.

It imports nothing else of systolith, so that a simulation begins at once.
"""

from systolith.watch.rules import Rule, Violation
from systolith.watch.stream_job import StreamJob, StreamLog, WordArray

__all__ = ["Rule", "StreamJob", "StreamLog", "Violation", "WordArray"]
