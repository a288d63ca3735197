"""Code that runs inside the simulator: drives one design, watches its streams and logs them.

It imports no other package of systolith, so that a simulation starts at once.
"""

from systolith.watch.stream_job import StreamJob, StreamLog, StreamRule, Violation, WordArray

__all__ = ["StreamJob", "StreamLog", "StreamRule", "Violation", "WordArray"]
