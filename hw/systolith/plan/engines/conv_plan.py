"""How a convolution or linear layer is folded onto a systolic array."""

from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from math import ceil
from numbers import Integral

from systolith.network import Tensor
from systolith.plan.engines.latency import MULTIPLIER_LATENCY, requantize_latency
from systolith.plan.engines.memory import Memory, MemoryKind
from systolith.plan.engines.reduction import Reduction
from systolith.plan.engines.windowed_plan import FREE_LATENCY, READ_LATENCY, WindowedPlan
from systolith.plan.errors import PlanError

__all__ = ["ArrayShape", "ConvPlan", "MultiplierKind"]

PE_LATENCY = 2
"""Cycles from the activations of a PE to its partial sum, beside those of the multiplication."""
COLLECT_LATENCY = 1
"""Cycles from a column's held result to the requantizer."""


class MultiplierKind(Enum):
    """What a PE multiplies with."""

    DSP = "DSP"
    """A multiplier of the device."""
    LUT = "LUT"
    """A tree of adders, one term for each bit of the weight: cheap for narrow weights."""


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
    packed : int
        Filters per column, 1 or 2: a multiplier makes as many products, if weights are narrow and
        both filters read the same.

    Raises
    ------
    PlanError
        If one is no integer. How large they may be depends on the layer.
    """

    rows: int
    columns: int
    multipliers: int = 1
    packed: int = 1

    def __post_init__(self) -> None:
        names = ("rows", "columns", "multipliers", "packed")
        given = {name: getattr(self, name) for name in names}
        problems = [
            f"{name} of an array must be an integer, got {value!r}"
            for name, value in given.items()
            if not isinstance(value, Integral) or isinstance(value, bool)
        ]
        if problems:
            raise PlanError(problems)
        for name, value in given.items():
            object.__setattr__(self, name, int(value))

    @property
    def total(self) -> int:
        """Multipliers of the array."""
        return self.rows * self.columns * self.multipliers

    @property
    def width(self) -> int:
        """Filters side by side."""
        return self.columns * self.packed


@dataclass(frozen=True, kw_only=True)
class ConvPlan(WindowedPlan):
    """A convolution or linear layer on a systolic array of `array.rows` x `array.columns` PEs.

    A linear layer is a convolution whose kernel is the whole image.

    ``cycles = Ho * Wo * ceil(taps * groups / rows) * ceil(k / multipliers) * ceil(F / columns)``,
    where taps that are skipped do not count, and columns do twice if their multipliers are packed.

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
    reads : Reduction
        What one output sums over.
    array : ArrayShape
        The PE array.
    groups_per_transfer : int
        Groups of n channels in one input transfer; a divisor of :attr:`banks`.
    lanes_out : int
        Filters in one output transfer; a divisor of the columns.
    weight_bits : int
        Width of a weight.
    acc_bits, biased_bits : int
        Width of partial sums, and of what a requantizer multiplies.
    buffer_depth : int
        Words of each row's activation memory; a power of two.
    scale_bits : int
        Width of the multiplier of a requantizer; 0 if there is none.
    offset_bits : int
        Width of what it adds behind it; 0 if biases are added in front of it.
    multiplier_kind : MultiplierKind
    weight_memory, window_memory : MemoryKind
        What weights and activations are kept in.
    """

    input: Tensor
    slots: int
    group: int
    reads: Reduction
    array: ArrayShape
    groups_per_transfer: int
    lanes_out: int
    weight_bits: int
    acc_bits: int
    biased_bits: int
    scale_bits: int = 16
    offset_bits: int = 0
    multiplier_kind: MultiplierKind = MultiplierKind.DSP
    weight_memory: MemoryKind = MemoryKind.BLOCK
    window_memory: MemoryKind = MemoryKind.BLOCK

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
        return self.reads.groups

    @property
    def banks(self) -> int:
        """Different contents among the rows' memories: row r holds the groups g = r modulo this."""
        return self.reads.banks(self.array.rows)

    @property
    def skips_taps(self) -> bool:
        """Whether groups keep some taps only: which, is a parameter of the layer."""
        return self.reads.reads is not None

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
    def folds(self) -> int:
        """Steps in which the rows cover the reduction; entries of each row's table of taps."""
        return self.reads.folds(self.array.rows)

    @property
    def slot_folds(self) -> int:
        """Steps in which a PE's multipliers cover the slots of a group."""
        return ceil(self.slots / self.array.multipliers)

    @property
    def width(self) -> int:
        """Filters that a pass computes side by side."""
        return self.array.width

    @property
    def packed(self) -> int:
        """Filters per column."""
        return self.array.packed

    @property
    def passes(self) -> int:
        """Passes in which the columns cover the filters."""
        return ceil(self.filters / self.width)

    @property
    def index_bits(self) -> int:
        """Width of the index of a kept weight within its group."""
        return (self.group - 1).bit_length()

    @property
    def weight_memories(self) -> Memory:
        """Those of the PEs, a word for each step of a pixel."""
        array = self.array
        word = self.packed * self.weight_bits + self.index_bits
        return Memory(
            count=array.rows * array.columns, depth=self.steps, width=array.multipliers * word
        )

    @property
    def window_memories(self) -> Memory:
        """Those of the rows, a word for each group of a pixel."""
        width = self.group * self.input.type.bits
        return Memory(count=self.array.rows, depth=self.buffer_depth, width=width)

    @property
    def weight_bits_stored(self) -> int:
        """Bits of all memories for weights and their indices."""
        return self.weight_memories.bits

    @property
    def window_bits(self) -> int:
        """Bits of all memories for activations."""
        return self.window_memories.bits

    @property
    def drain_cycles(self) -> int:
        """Output transfers of a full pass."""
        return self.width // self.lanes_out

    def transfers_of_pass(self, number: int) -> int:
        """Output transfers of pass `number` of a pixel; fewer where filters run out."""
        filters = min(self.filters - number * self.width, self.width)
        return ceil(filters / self.lanes_out)

    @property
    def multiply_latency(self) -> int:
        """Cycles from operands to product; of LUTs, a tree with a leaf for each weight bit."""
        if self.multiplier_kind is MultiplierKind.LUT:
            return (self.weight_bits - 1).bit_length()
        return MULTIPLIER_LATENCY

    @property
    def pe_latency(self) -> int:
        """Cycles from activations to partial sum; one more for each doubling of multipliers."""
        adders = (self.array.multipliers - 1).bit_length()
        return PE_LATENCY + self.multiply_latency + adders

    @cached_property
    def drain_delay(self) -> int:
        """Cycles from column 0's finished accumulator until transfer 0 is collected."""
        last_columns = (
            ceil((part + 1) * self.lanes_out / self.packed) for part in range(self.drain_cycles)
        )
        return max(column - part for part, column in enumerate(last_columns))

    @property
    def hold_delays(self) -> tuple[int, ...]:
        """Extra cycles that the result of each filter of a pass is delayed.

        A result stands for the cycles of a pass; only passes shorter than the drain need delays
        for it to meet its transfer.
        """
        spare, lanes, packed = self.drain_delay - self.pass_cycles, self.lanes_out, self.packed
        return tuple(max(0, spare + n // lanes - n // packed) for n in range(self.width))

    @property
    def latency(self) -> int:
        """Cycles from the last step of a pass to the write of its first output transfer."""
        array = READ_LATENCY + self.array.rows - 1 + self.pe_latency
        return array + self.drain_delay + COLLECT_LATENCY + requantize_latency(self.scale_bits)

    @property
    def free_latency(self) -> int:
        """Cycles from the last step of a pixel until its room may be written again."""
        return self.array.rows - 1 + FREE_LATENCY

    @property
    def macs_per_cycle(self) -> int:
        """Multiplications that all multipliers do in a cycle."""
        return self.array.total * self.packed

    @property
    def macs_dense(self) -> int:
        """Multiplications per frame without sparsity."""
        return self.window.output_pixels * self.filters * self.channels * self.window.taps

    @property
    def macs_kept(self) -> int:
        """Multiplications per frame with kept weights only."""
        return self.window.output_pixels * self.filters * self.reads.length * self.slots
