"""What each engine does in how many cycles: the folding of a layer onto its hardware.

Every engine reads a window buffer and issues *passes*: for each output pixel one pass per fold of
its outputs, each of a fixed number of cycles. The numbers here are the ones gateware is built from.
"""

from dataclasses import dataclass
from functools import cached_property
from math import ceil, gcd

from systolith.network import Tensor
from systolith.plan.window import Window

__all__ = ["ArrayShape", "ConvPlan", "EnginePlan", "GearboxPlan", "PoolPlan", "StagePlan"]

# Cycles between the registers of the gateware; each component's test measures its own.
READ_LATENCY = 5
"""From the issue of a step to the activations at column 0 of row 0."""
PE_LATENCY = 3
"""From the activations of a PE with one multiplier to its partial sum."""
DRAIN_LATENCY = 1
"""From a column's finished accumulator to the requantizer."""
REQUANTIZE_LATENCY = 5
"""From accumulator to activation."""
FREE_LATENCY = 4
"""From the last step of a pixel, seen by the last row, to the writer's knowledge of it."""
POOL_LATENCY = 1
"""From the activations of a pool's last tap to its result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayShape:
    """Size of a PE array.

    Parameters
    ----------
    rows : int
        PEs that share a column's sum: they divide the reduction (taps x groups).
    columns : int
        PEs that share a row's activations: they divide the filters.
    multipliers : int
        Multipliers of each PE: they divide the k slots of a group.
    """

    rows: int
    columns: int
    multipliers: int = 1

    @property
    def total(self) -> int:
        """Multipliers of the array."""
        return self.rows * self.columns * self.multipliers


@dataclass(frozen=True, kw_only=True)
class _WindowedPlan:
    """What the engines share: a window buffer that is written in words and read in passes."""

    name: str
    window: Window
    output: Tensor
    buffer_depth: int

    @property
    def words_per_pixel(self) -> int:
        """Words that a bank of the window buffer holds of each pixel."""
        raise NotImplementedError

    @property
    def capacity(self) -> int:
        """Whole pixels that the window buffer holds."""
        return self.buffer_depth // self.words_per_pixel

    @cached_property
    def position_bits(self) -> int:
        """Width of pixel counters that are compared modulo their width."""
        return (2 * max(self.capacity, self.window.input_pixels)).bit_length() + 2


@dataclass(frozen=True, kw_only=True)
class ConvPlan(_WindowedPlan):
    """A convolution or linear layer on a systolic array of `array.rows` x `array.columns` PEs.

    A linear layer is a convolution whose kernel is the whole image.

    ``cycles = Ho * Wo * ceil(taps * groups / rows) * ceil(k / multipliers) * ceil(F / columns)``

    Parameters
    ----------
    name : str
        The layer.
    window : Window
        Input size, kernel, stride, padding.
    input, output : Tensor
        What arrives (C, H, W) and leaves (F, Ho, Wo) or (F,).
    slots, group : int
        k and n of the pattern; both 1 for dense.
    array : ArrayShape
        The PE array.
    groups_per_transfer : int
        Groups of n channels in one input transfer; a divisor of :attr:`banks`.
    lanes_out : int
        Filters in one output transfer; a divisor of the columns.
    weight_bits : int
        Width of a weight.
    acc_bits : int
        Width of partial sums.
    buffer_depth : int
        Words of each row's activation memory; a power of two.
    """

    input: Tensor
    slots: int
    group: int
    array: ArrayShape
    groups_per_transfer: int
    lanes_out: int
    weight_bits: int
    acc_bits: int

    @property
    def channels(self) -> int:
        """Input channels C."""
        return self.input.shape[0]

    @property
    def filters(self) -> int:
        """Output channels F."""
        return self.output.shape[0]

    @property
    def groups(self) -> int:
        """Groups of n input channels."""
        return self.channels // self.group

    @property
    def reduction(self) -> int:
        """Groups that one output sums over: taps x groups."""
        return self.window.taps * self.groups

    @property
    def banks(self) -> int:
        """Different contents among the rows' memories: row r holds the groups g = r modulo this."""
        return gcd(self.array.rows, self.groups)

    @property
    def words_per_pixel(self) -> int:
        """Groups of each pixel in one bank."""
        return self.groups // self.banks

    @property
    def lanes_in(self) -> int:
        """Channels in one input transfer."""
        return self.group * self.groups_per_transfer

    @property
    def banks_per_transfer(self) -> int:
        """Banks that one input transfer writes."""
        return self.groups_per_transfer

    @property
    def words_read(self) -> int:
        """Words of a pixel that a row's table does not name but the pass number does: none."""
        return 1

    @property
    def row_folds(self) -> int:
        """Steps in which the rows cover the reduction."""
        return ceil(self.reduction / self.array.rows)

    @property
    def folds(self) -> int:
        """Entries of each row's table of taps."""
        return self.row_folds

    @property
    def slot_folds(self) -> int:
        """Steps in which a PE's multipliers cover the slots of a group."""
        return ceil(self.slots / self.array.multipliers)

    @property
    def column_folds(self) -> int:
        """Passes in which the columns cover the filters."""
        return ceil(self.filters / self.array.columns)

    @property
    def pass_cycles(self) -> int:
        """Steps of one pass: what each filter of a fold takes per output pixel."""
        return self.row_folds * self.slot_folds

    @property
    def transfers_per_pixel(self) -> int:
        """Output transfers per pixel."""
        return sum(self.transfers_of_pass(number) for number in range(self.passes))

    @property
    def passes(self) -> int:
        """Passes per output pixel."""
        return self.column_folds

    @property
    def weight_depth(self) -> int:
        """Words of each PE's weight memory: one for each step of a pixel."""
        return self.pass_cycles * self.passes

    @property
    def index_bits(self) -> int:
        """Width of the index of a kept weight within its group."""
        return (self.group - 1).bit_length()

    @property
    def drain_cycles(self) -> int:
        """Output transfers of a full pass."""
        return self.array.columns // self.lanes_out

    def transfers_of_pass(self, number: int) -> int:
        """Output transfers of pass `number` of a pixel; fewer where filters run out."""
        filters = min(self.filters - number * self.array.columns, self.array.columns)
        return ceil(filters / self.lanes_out)

    @property
    def pe_latency(self) -> int:
        """Cycles from activations to partial sum; an adder level for each doubling of multipliers."""
        return PE_LATENCY + (self.array.multipliers - 1).bit_length()

    @property
    def drain_delay(self) -> int:
        """Cycles from column 0's finished accumulator until transfer 0 is collected."""
        return self.array.columns - self.drain_cycles + 1

    def hold_delay(self, column: int) -> int:
        """Extra cycles that a column's result is delayed to meet its transfer.

        A result stands for the cycles of a pass; only passes shorter than the drain need delays.
        """
        collected = self.drain_delay + column // self.lanes_out
        return max(0, collected - column - self.pass_cycles)

    @property
    def latency(self) -> int:
        """Cycles from the last step of a pass to its first output transfer."""
        array = READ_LATENCY + self.array.rows - 1 + self.pe_latency
        return array + self.drain_delay + DRAIN_LATENCY + REQUANTIZE_LATENCY

    @property
    def free_latency(self) -> int:
        """Cycles from the last step of a pixel until its room may be written again."""
        return self.array.rows - 1 + FREE_LATENCY

    @property
    def fifo_depth(self) -> int:
        """Output transfers in flight while passes follow each other without a pause."""
        in_flight = ceil((self.latency + self.drain_cycles + 2) / self.pass_cycles) + 1
        return in_flight * self.drain_cycles

    @property
    def compute_cycles(self) -> int:
        """Cycles per frame that the array needs."""
        return self.window.output_pixels * self.weight_depth

    @property
    def input_cycles(self) -> int:
        """Cycles per frame that the input stream needs."""
        return self.window.input_pixels * self.groups // self.groups_per_transfer

    @property
    def output_cycles(self) -> int:
        """Cycles per frame that the output stream needs."""
        return self.window.output_pixels * ceil(self.filters / self.lanes_out)

    @property
    def cycles(self) -> int:
        """Cycles per frame of the busiest part: array, input or output stream."""
        return max(self.compute_cycles, self.input_cycles, self.output_cycles)

    @property
    def macs_dense(self) -> int:
        """Multiplications per frame without sparsity."""
        return self.window.output_pixels * self.filters * self.channels * self.window.taps

    @property
    def macs_kept(self) -> int:
        """Multiplications per frame with kept weights only."""
        return self.macs_dense * self.slots // self.group


@dataclass(frozen=True, kw_only=True)
class PoolPlan(_WindowedPlan):
    """Max pooling: `lanes` channels at a time, one tap per cycle.

    ``cycles = Ho * Wo * taps * ceil(C / lanes)``

    Parameters
    ----------
    name, window, output, buffer_depth
        As :class:`ConvPlan`.
    lanes : int
        Channels per transfer, in and out; a divisor of the channels.
    """

    lanes: int

    @property
    def lanes_in(self) -> int:
        """Channels in one input transfer."""
        return self.lanes

    @property
    def lanes_out(self) -> int:
        """Channels in one output transfer."""
        return self.lanes

    @property
    def words_per_pixel(self) -> int:
        """Transfers of each pixel."""
        return self.output.shape[0] // self.lanes

    @property
    def banks(self) -> int:
        """The window buffer has one bank."""
        return 1

    @property
    def banks_per_transfer(self) -> int:
        """Banks that one input transfer writes."""
        return 1

    @property
    def words_read(self) -> int:
        """Words of a pixel that are told apart by the pass number: all."""
        return self.words_per_pixel

    @property
    def folds(self) -> int:
        """Entries of the table of taps."""
        return self.window.taps

    @property
    def slot_folds(self) -> int:
        """Steps per tap."""
        return 1

    @property
    def passes(self) -> int:
        """Passes per output pixel: one for each word of channels."""
        return self.words_per_pixel

    @property
    def pass_cycles(self) -> int:
        """Steps of one pass: the taps."""
        return self.window.taps

    def transfers_of_pass(self, number: int) -> int:
        """Output transfers of a pass."""
        return 1

    @property
    def drain_cycles(self) -> int:
        """Output transfers of a pass."""
        return 1

    @property
    def latency(self) -> int:
        """Cycles from the last step of a pass to its output transfer."""
        return READ_LATENCY + POOL_LATENCY

    @property
    def free_latency(self) -> int:
        """Cycles from the last step of a pixel until its room may be written again."""
        return FREE_LATENCY

    @property
    def fifo_depth(self) -> int:
        """Output transfers in flight while passes follow each other without a pause."""
        return ceil((self.latency + 3) / self.pass_cycles) + 1

    @property
    def compute_cycles(self) -> int:
        """Cycles per frame that the engine needs."""
        return self.window.output_pixels * self.passes * self.pass_cycles

    @property
    def input_cycles(self) -> int:
        """Cycles per frame that the input stream needs."""
        return self.window.input_pixels * self.words_per_pixel

    @property
    def output_cycles(self) -> int:
        """Cycles per frame that the output stream needs."""
        return self.window.output_pixels * self.words_per_pixel

    @property
    def cycles(self) -> int:
        """Cycles per frame of the busiest part: taps, input or output stream."""
        return max(self.compute_cycles, self.input_cycles, self.output_cycles)


@dataclass(frozen=True, kw_only=True)
class GearboxPlan:
    """Change of the channels per transfer between two engines.

    One of `lanes_in`, `lanes_out` divides the other. Pixels are kept apart: a transfer never
    holds channels of two pixels.
    """

    name: str
    tensor: Tensor
    lanes_in: int
    lanes_out: int

    @property
    def channels(self) -> int:
        """Channels per pixel."""
        return self.tensor.shape[0]

    @property
    def pixels(self) -> int:
        """Pixels per frame."""
        _, *size = self.tensor.shape
        return size[0] * size[1] if size else 1

    @property
    def transfers_in(self) -> int:
        """Input transfers per pixel."""
        return ceil(self.channels / self.lanes_in)

    @property
    def transfers_out(self) -> int:
        """Output transfers per pixel."""
        return ceil(self.channels / self.lanes_out)

    @property
    def cycles(self) -> int:
        """Cycles per frame of the busier side."""
        return self.pixels * max(self.transfers_in, self.transfers_out)


EnginePlan = ConvPlan | PoolPlan
StagePlan = ConvPlan | PoolPlan | GearboxPlan
