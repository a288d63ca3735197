"""Common part of engines with a window buffer: words are written, passes read them."""

from dataclasses import dataclass
from functools import cached_property
from math import ceil

from systolith.network import Tensor
from systolith.plan.sizes.latency import BUFFER_LATENCY, CREDIT_LATENCY
from systolith.plan.sizes.window import Window

__all__ = ["WindowedPlan"]


@dataclass(frozen=True, kw_only=True)
class WindowedPlan:
    """An engine that reads a window buffer and issues passes.

    Each output pixel takes :attr:`passes` passes of :attr:`pass_cycles` steps; a step takes one
    cycle. The gateware is built from these numbers.

    Parameters
    ----------
    name : str
        The layer.
    window : Window
        Input size, kernel, stride, padding.
    output : Tensor
        Result, of shape (F, Ho, Wo) or (F,).
    buffer_depth : int
        Words of each bank of the window buffer; a power of two.
    """

    name: str
    window: Window
    output: Tensor
    buffer_depth: int

    @property
    def banks(self) -> int:
        """Parts of the window buffer with different contents."""
        raise NotImplementedError

    @property
    def banks_per_transfer(self) -> int:
        """Banks that one input transfer writes; a divisor of :attr:`banks`."""
        raise NotImplementedError

    @property
    def words_per_pixel(self) -> int:
        """Words of each pixel in one bank."""
        raise NotImplementedError

    @property
    def marks(self) -> tuple[str, ...]:
        """What rows say about the activations that they read; see :class:`ConvPlan`."""
        return ()

    @property
    def folds(self) -> int:
        """Entries of a row's table of taps."""
        raise NotImplementedError

    @property
    def slot_folds(self) -> int:
        """Steps for each entry of the table."""
        raise NotImplementedError

    @property
    def passes(self) -> int:
        """Passes per output pixel."""
        raise NotImplementedError

    @property
    def drain_cycles(self) -> int:
        """Output transfers of a full pass."""
        raise NotImplementedError

    def transfers_of_pass(self, number: int) -> int:
        """Output transfers of pass `number` of a pixel."""
        raise NotImplementedError

    @property
    def latency(self) -> int:
        """Cycles from the last step of a pass to the write of its first output transfer."""
        raise NotImplementedError

    @property
    def free_latency(self) -> int:
        """Cycles from the last step of a pixel until its room may be written again."""
        raise NotImplementedError

    @cached_property
    def pass_cycles(self) -> int:
        """Steps of one pass."""
        return self.folds * self.slot_folds

    @cached_property
    def steps(self) -> int:
        """Steps per output pixel."""
        return self.passes * self.pass_cycles

    @property
    def capacity(self) -> int:
        """Whole pixels that the window buffer holds."""
        return self.buffer_depth // self.words_per_pixel

    @cached_property
    def position_bits(self) -> int:
        """Width of pixel counters that are compared modulo: twice their largest difference."""
        return (2 * max(self.capacity, self.window.input_pixels)).bit_length() + 2

    @cached_property
    def transfers_per_pixel(self) -> int:
        """Output transfers per pixel."""
        return sum(self.transfers_of_pass(number) for number in range(self.passes))

    @property
    def fifo_depth(self) -> int:
        """Output transfers in flight while passes follow each other without a pause."""
        taken = self.latency + self.drain_cycles + BUFFER_LATENCY
        in_flight = ceil((taken + CREDIT_LATENCY) / self.pass_cycles) + 1
        return in_flight * self.drain_cycles

    @property
    def compute_cycles(self) -> int:
        """Cycles per frame that the steps need."""
        return self.window.output_pixels * self.steps

    @property
    def input_cycles(self) -> int:
        """Cycles per frame that the input stream needs."""
        transfers = self.words_per_pixel * self.banks // self.banks_per_transfer
        return self.window.input_pixels * transfers

    @property
    def output_cycles(self) -> int:
        """Cycles per frame that the output stream needs."""
        return self.window.output_pixels * self.transfers_per_pixel

    @property
    def cycles(self) -> int:
        """Cycles per frame of the busiest part: steps, input or output stream."""
        return max(self.compute_cycles, self.input_cycles, self.output_cycles)
