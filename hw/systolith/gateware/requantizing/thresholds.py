"""Requantizers that count thresholds."""

from collections.abc import Iterator

import numpy as np
from amaranth import Cat, Module, Signal, Value

from systolith.gateware.delay import delay, delay_payload
from systolith.gateware.parameters import (
    ParameterMemory,
    ParameterTable,
    connect_load_chain,
)
from systolith.gateware.requantizing.lanes import Lanes
from systolith.network import ActType, IntArray, Requantize
from systolith.plan import THRESHOLD_LATENCY, memory_of, threshold_latency

__all__ = ["ThresholdLanes", "threshold_tables"]


class ThresholdLanes(Lanes):
    """Requantizers that count thresholds by a binary search; as :class:`Lanes`.

    Golden model: :func:`systolith.network.requantize`, bit for bit. Each stage compares the sum
    with one threshold, which gives one bit of the count, highest first.

    Parameters
    ----------
    acc_bits, bits : int
        Widths of sums and of counts.
    output : ActType
    tables : tuple of ParameterTable
        Those of lane 0, a table for each stage, then those of lane 1, and so on.
    loadable : bool
    """

    def __init__(
        self,
        acc_bits: int,
        bits: int,
        output: ActType,
        tables: tuple[ParameterTable, ...],
        *,
        loadable: bool = False,
    ) -> None:
        self.bits, self.output, self.tables = bits, output, tables
        self.lanes = len(tables) // bits
        transfers = len(tables[0].words)
        super().__init__(acc_bits, self.lanes, transfers, output, loadable=loadable)

    def elaborate(self, platform: object) -> Module:
        """Search in all lanes, stage by stage."""
        m = Module()
        memories: list[ParameterMemory] = []
        transfers = [
            delay_payload(m, self.transfer, stage * THRESHOLD_LATENCY, f"transfer{stage}")
            for stage in range(self.bits)
        ]
        for lane in range(self.lanes):
            acc = delay_payload(m, self.i[lane], 1, f"acc{lane}")
            count: Value | None = None
            for stage, transfer in enumerate(transfers):
                table = self.tables[lane * self.bits + stage]
                memory = ParameterMemory(
                    table, loadable=self.loadable, kind=memory_of(len(table.words))
                )
                memories.append(memory)
                m.submodules[table.name] = memory
                reached = Signal(name=f"reached_{lane}_{stage}", reset_less=True)
                address = transfer if count is None else Cat(count, transfer)
                m.d.comb += memory.address.eq(address)
                m.d.sync += reached.eq(acc >= memory.word.as_signed())
                name = f"{lane}_{stage}"
                if count is not None:
                    count = delay_payload(m, count, THRESHOLD_LATENCY, f"count_{name}")
                count = reached if count is None else Cat(reached, count)
                if stage < self.bits - 1:
                    acc = delay_payload(m, acc, THRESHOLD_LATENCY, f"acc_{name}")
            assert count is not None
            m.d.comb += self.o[lane].eq(count + self.output.low)
        latency = threshold_latency(self.bits)
        m.d.comb += self.o_valid.eq(delay(m, self.valid, latency, "valid"))
        if self.loadable:
            connect_load_chain(m, self, memories)
        return m


def threshold_tables(
    acc_bits: int, bits: int, biases: IntArray, spec: Requantize, lanes: int
) -> tuple[ParameterTable, ...]:
    """Deal the thresholds of all channels to the lanes, a table for each stage of each lane.

    Biases are subtracted, so that the sum is compared without its bias.

    Raises
    ------
    ValueError
        If there are no thresholds, or too many for the bits of the count.
    """
    most = (1 << bits) - 1
    if spec.thresholds is None or spec.levels > most:
        given = f"{spec.levels}" if spec.levels else "none"
        raise ValueError(f"thresholds must be 1..{most} for each channel, got {given}")
    channels, high = len(biases), 1 << (acc_bits - 1)
    rows = np.broadcast_to(spec.thresholds, (channels, spec.levels)) - biases[:, None]
    every = np.full((channels + -channels % lanes, most), high, dtype=np.int64)
    # No sum is below the least threshold of its width, and none reaches the greatest.
    every[:channels, : spec.levels] = rows.clip(-high, high)
    return tuple(
        ParameterTable(
            name=f"thresholds_{lane}_{stage}",
            width=acc_bits + 1,
            words=tuple(_words_of(every[lane::lanes], bits, stage, acc_bits + 1)),
        )
        for lane in range(lanes)
        for stage in range(bits)
    )


def _words_of(rows: IntArray, bits: int, stage: int, width: int) -> Iterator[int]:
    """Yield the words of a stage: for each channel the middle of each part that is left."""
    step = 1 << (bits - stage)
    mask = (1 << width) - 1
    for row in rows:
        for place in range(step // 2 - 1, len(row), step):
            yield int(row[place]) & mask
