"""How a convolution or linear layer is folded onto a systolic array."""

from dataclasses import dataclass
from functools import cached_property
from math import ceil

from systolith.network import ActType, Tensor
from systolith.plan.engines.windowed_plan import WindowedPlan
from systolith.plan.sizes.array_shape import ArrayShape, Feed, MultiplierKind, SingleBits
from systolith.plan.sizes.latency import (
    COLLECT_LATENCY,
    FETCH_LATENCY,
    FREE_LATENCY,
    MULTIPLIER_LATENCY,
    PE_LATENCY,
    PSUM_TERMS,
    READ_LATENCY,
    lut_sum_latency,
    lut_terms,
)
from systolith.plan.sizes.memory import Memories, MemoryKind
from systolith.plan.sizes.popcount import count_tree
from systolith.plan.sizes.reduction import Reduction
from systolith.plan.sizes.requantizer_plan import RequantizerPlan
from systolith.plan.sizes.weight_memory import WeightMemory, WeightTile

__all__ = ["ConvPlan"]

READER_BITS = 36
"""Widest word of a memory that several rows share: the widest port of a block RAM."""


@dataclass(frozen=True, kw_only=True)
class ConvPlan(WindowedPlan):
    """A convolution or linear layer on a systolic array of `array.rows` x `array.columns` PEs.

    A linear layer is a convolution whose kernel is the whole image.

    ``cycles = Ho * Wo * ceil(parts / rows) * ceil(k / multipliers) * ceil(F / width)``, where the
    parts are the taps x groups that a filter sums over, without skipped taps; for a depthwise layer
    its taps, and for gathered weights the k weights of a filter. The width is the number of columns
    times the filters packed into each.

    Parameters
    ----------
    name : str
        The layer.
    window : Window
        Input size, kernel, stride, padding.
    input, output : Tensor
        Shapes (C, H, W), and (F, Ho, Wo) or (F,), with their types.
    feed : Feed
        How activations reach the PEs.
    multiplicity : int
        Filters per channel of a depthwise layer; a divisor of the columns. 0 for other feeds.
    slots, group : int
        Kept weights k and channels n of a group; both 1 for dense. The group of a depthwise layer
        has as many channels as its columns need, the group of gathered weights those of one word of
        the window.
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
    acc_bits : int
        Width of partial sums.
    buffer_depth : int
        Words of each activation memory; a power of two.
    requantizer : RequantizerPlan
        Of each output lane.
    single_bits : SingleBits, optional
        What the bits of activations stand for if PEs count equal bits instead of multiplying.
    multiplier_kind : MultiplierKind
        LUTs if PEs count bits.
    weight_memory : WeightMemory
        Memories of weights, and which PEs share one.
    window_memory : MemoryKind
        Memories of activations.
    """

    input: Tensor
    feed: Feed = Feed.ROWS
    multiplicity: int = 0
    slots: int
    group: int
    reads: Reduction
    array: ArrayShape
    groups_per_transfer: int
    lanes_out: int
    weight_bits: int
    acc_bits: int
    requantizer: RequantizerPlan
    single_bits: SingleBits | None = None
    multiplier_kind: MultiplierKind = MultiplierKind.DSP
    weight_memory: WeightMemory = WeightMemory()
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
    def banks(self) -> int:
        """Different contents among the activation memories: row r holds bank r modulo this."""
        return 1 if self.feed is Feed.GATHERED else self.reads.banks(self.array.rows)

    @property
    def banks_per_transfer(self) -> int:
        """Banks that one input transfer writes."""
        return self.groups_per_transfer

    @property
    def words_per_pixel(self) -> int:
        """Groups of each pixel in one bank; the last may be partly empty unless rows feed them."""
        if self.feed is Feed.ROWS:
            return self.reads.groups // self.banks
        return ceil(self.channels / self.group)

    @property
    def readers(self) -> int:
        """Row readers with their tables of taps; none if PEs gather."""
        return 0 if self.feed is Feed.GATHERED else self.array.rows // self.rows_per_reader

    @cached_property
    def rows_per_reader(self) -> int:
        """Neighbouring rows that share a reader, if a word of its memory holds their groups.

        They read the same word of neighbouring banks, at the same taps, one cycle after another.
        """
        if self.feed is not Feed.ROWS or self.skips_taps:
            return 1
        fitting = READER_BITS // (self.group * self.stored.bits)
        return max(n for n in range(1, max(fitting, 1) + 1) if self.banks % n == 0)

    @property
    def kept_transfers(self) -> int:
        """Earlier input transfers that are kept, so that words for several rows are complete."""
        shared, width = self.rows_per_reader, self.groups_per_transfer
        firsts = range(0, self.banks, shared)
        return max((first + shared - 1) // width - first // width for first in firsts)

    @property
    def reads_word_of_pass(self) -> bool:
        """Whether pass p reads word p of each pixel, rather than the word that a tap names."""
        return self.feed is Feed.DEPTHWISE

    def turns_after(self, column: int) -> bool:
        """Whether the column after `column` takes the next channel of a depthwise group."""
        return self.feed is Feed.DEPTHWISE and (column + 1) % self.multiplicity == 0

    @property
    def skips_taps(self) -> bool:
        """Whether groups keep only some taps; the kept ones are a parameter of the layer."""
        return self.reads.reads is not None

    @property
    def lanes_in(self) -> int:
        """Channels in one input transfer."""
        return self.group * self.groups_per_transfer

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
    def stored(self) -> ActType:
        """Type of activations as window buffer and PEs hold them."""
        if self.single_bits is SingleBits.SIGNS:
            return ActType(bits=1, signed=False)
        return self.input.type

    @property
    def takes_all(self) -> bool:
        """Whether each multiplier has an activation of the group of its own, without an index."""
        return self.single_bits is not None and self.group == self.array.multipliers

    @property
    def has_idle_rows(self) -> bool:
        """Whether a row may have no part of the sum in some fold; such a fold counts nothing."""
        return self.skips_taps or self.array.rows * self.folds > self.reads.length

    @property
    def marks(self) -> tuple[str, ...]:
        """What rows say about the bits that they read, where PEs must know.

        "outside" : the tap lies in the padding.
        "idle" : the row has no part of the sum in this fold.
        """
        if self.single_bits is None:
            return ()
        pads = self.single_bits is SingleBits.SIGNS and any(self.window.padding)
        return ("outside",) * pads + ("idle",) * self.has_idle_rows

    @property
    def index_widths(self) -> tuple[int, int, int]:
        """Widths of the fields of a weight's index, lowest first: lane of a word, word, tap."""
        if self.takes_all:
            return 0, 0, 0
        if self.feed is Feed.GATHERED:
            sizes = (self.group, self.words_per_pixel, self.window.taps)
        else:
            sizes = (self.group if self.feed is Feed.ROWS else 1, 1, 1)
        lane, word, tap = ((size - 1).bit_length() for size in sizes)
        return lane, word, tap

    @property
    def index_bits(self) -> int:
        """Width of the index of a kept weight among the activations that its PE can reach."""
        return sum(self.index_widths)

    @property
    def weight_word_bits(self) -> int:
        """Bits of a step's weights and indices of one PE."""
        return self.array.multipliers * (self.packed * self.weight_bits + self.index_bits)

    @property
    def weight_tiles(self) -> tuple[WeightTile, ...]:
        """Tiles of PEs that share a memory, in the order of the load chain."""
        return tuple(self.weight_memory.tiles(self.array.rows, self.array.columns))

    @property
    def tile_rows(self) -> range:
        """First row of each row of tiles."""
        return range(0, self.array.rows, self.weight_memory.rows)

    @property
    def weight_memories(self) -> tuple[Memories, ...]:
        """Weight memories of the PEs, equal ones together; a word for each step of a pixel."""
        rows, columns, width = self.array.rows, self.array.columns, self.weight_word_bits
        return self.weight_memory.memories(rows, columns, depth=self.steps, width=width)

    @property
    def window_memories(self) -> Memories:
        """Activation memories: one for each reader, or for each PE that gathers."""
        return Memories(
            count=self.readers or self.array.pes,
            depth=self.buffer_depth,
            width=self.rows_per_reader * self.group * self.stored.bits,
        )

    @property
    def drain_cycles(self) -> int:
        """Output transfers of a full pass."""
        return self.width // self.lanes_out

    def transfers_of_pass(self, number: int) -> int:
        """Output transfers of pass `number` of a pixel; the last pass may have fewer filters."""
        filters = min(self.filters - number * self.width, self.width)
        return ceil(filters / self.lanes_out)

    @property
    def pe_latency(self) -> int:
        """Cycles from activations to partial sum; more for several multipliers."""
        multipliers = self.array.multipliers
        if self.single_bits is not None:
            products = count_tree(multipliers).latency
        elif self.multiplier_kind is MultiplierKind.LUT:
            products = lut_sum_latency(multipliers * lut_terms(self.weight_bits), PSUM_TERMS)
        else:
            products = MULTIPLIER_LATENCY + (multipliers - 1).bit_length()
        return PE_LATENCY + products

    @cached_property
    def drain_delay(self) -> int:
        """Cycles from column 0's finished accumulator until transfer 0 is collected."""
        last_columns = (
            ceil((part + 1) * self.lanes_out / self.packed) for part in range(self.drain_cycles)
        )
        return max(column - part for part, column in enumerate(last_columns))

    @property
    def hold_delays(self) -> tuple[int, ...]:
        """Extra cycles by which the result of each filter of a pass is delayed.

        A result is held for the cycles of a pass. Only results of passes that are shorter than the
        drain need a delay to meet their transfer.
        """
        spare, lanes, packed = self.drain_delay - self.pass_cycles, self.lanes_out, self.packed
        return tuple(max(0, spare + n // lanes - n // packed) for n in range(self.width))

    @property
    def latency(self) -> int:
        """Cycles from the last step of a pass to the write of its first output transfer."""
        array = READ_LATENCY + self.array.rows - 1 + self.pe_latency
        return array + self.drain_delay + COLLECT_LATENCY + self.requantizer.latency

    @property
    def free_latency(self) -> int:
        """Cycles from the last step of a pixel until its room may be written again."""
        fetch = FETCH_LATENCY if self.feed is Feed.GATHERED else 0
        return self.array.rows - 1 + FREE_LATENCY + fetch

    @property
    def macs_per_cycle(self) -> int:
        """Multiplications that all multipliers do in a cycle."""
        return self.array.total * self.packed

    @property
    def macs_dense(self) -> int:
        """Multiplications per frame without sparsity."""
        channels = 1 if self.feed is Feed.DEPTHWISE else self.channels
        return self.window.output_pixels * self.filters * channels * self.window.taps

    @property
    def macs_kept(self) -> int:
        """Multiplications per frame with kept weights only."""
        return self.window.output_pixels * self.filters * self.reads.length * self.slots
