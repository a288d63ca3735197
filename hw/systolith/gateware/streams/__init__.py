"""Parts between and behind engines: output buffers, queues, forks and gearboxes."""

from systolith.gateware.streams.credit_fifo import CreditFifo
from systolith.gateware.streams.deep_queue import DeepQueue
from systolith.gateware.streams.fork import Fork
from systolith.gateware.streams.gearbox import Gearbox

__all__ = ["CreditFifo", "DeepQueue", "Fork", "Gearbox"]
