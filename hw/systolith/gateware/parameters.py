"""Memories of parameters, and the chain through which a host loads others."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from amaranth import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.primitives import RegisteredRam
from systolith.plan import MemoryKind

__all__ = ["LOAD_BUS", "ParameterMemory", "ParameterTable", "connect_load_chain", "load_ports"]

BYTE = 8
LOAD_BUS = data.StructLayout({"start": 1, "valid": 1, "data": BYTE})
"""Signals along the chain. `start` makes all memories wait for their first byte. Then each cycle
with `valid` brings a byte for the first memory that is not full."""


def load_ports(loadable: bool) -> dict[str, Any]:
    """Members of a component on the chain; none if it is not loadable.

    load_i, load_o : the bus, in and out.
    full : whether the last memory of the component is full.
    """
    return {"load_i": In(LOAD_BUS), "load_o": Out(LOAD_BUS), "full": Out(1)} if loadable else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterTable:
    """Contents of one memory.

    Parameters
    ----------
    name : str
        Name of the memory within its engine.
    width : int
        Bits per word, at least 1.
    words : tuple of int
        Each 0..2**width-1.
    """

    name: str
    width: int
    words: tuple[int, ...]

    @property
    def bytes_per_word(self) -> int:
        """Bytes of a word on the chain."""
        return -(-self.width // BYTE)

    def to_bytes(self) -> bytes:
        """Encode the contents for the chain: word by word, least significant byte first."""
        return b"".join(word.to_bytes(self.bytes_per_word, "little") for word in self.words)


class ParameterMemory(wiring.Component):
    """A table that is read every cycle; if `loadable`, its contents can be replaced.

    Synthesis makes it of LUTs unless `kind` is block RAM.

    Members
    -------
    address : ``In(range(depth))``
    word : ``Out(width)``
    load_i, load_o : ``In(LOAD_BUS)``, ``Out(LOAD_BUS)``
        The chain; only if loadable.
    full : ``Out(1)``
        Whether all bytes have arrived since `start`; 1 before the first. Only if loadable.

    Timing
    ------
    `word` :attr:`LATENCY` cycles after `address`. `load_o` one cycle after `load_i`; a full memory
    passes bytes on. Reset changes neither contents nor `full`: an interrupted load stays
    incomplete.
    """

    LATENCY = RegisteredRam.LATENCY

    address: Signal
    word: Signal
    load_i: data.View
    load_o: data.View
    full: Signal

    def __init__(
        self,
        table: ParameterTable,
        *,
        loadable: bool = False,
        kind: MemoryKind = MemoryKind.DISTRIBUTED,
    ) -> None:
        self.table, self.loadable, self.kind = table, loadable, kind
        super().__init__(
            {"address": In(range(len(table.words))), "word": Out(table.width)}
            | load_ports(loadable)
        )

    def elaborate(self, platform: object) -> Module:
        """Read the table; if loadable, gather bytes and write words in order."""
        m = Module()
        table = self.table
        m.submodules.memory = store = RegisteredRam(
            width=table.width,
            depth=len(table.words),
            words=table.words,
            written=self.loadable,
            kind=self.kind,
        )
        m.d.comb += [store.read_address.eq(self.address), self.word.eq(store.read_data)]
        if self.loadable:
            self._load(m, store)
        return m

    def _load(self, m: Module, store: RegisteredRam) -> None:
        table, depth = self.table, len(self.table.words)
        full = Signal(init=1, reset_less=True)
        pointer = Signal(range(depth), reset_less=True)
        number = Signal(range(table.bytes_per_word), reset_less=True)
        earlier = Signal(BYTE * (table.bytes_per_word - 1), reset_less=True)
        taken, last_byte = Signal(), Signal()
        m.d.comb += [
            self.full.eq(full),
            taken.eq(self.load_i.valid & ~full),
            last_byte.eq(number == table.bytes_per_word - 1),
            store.write_enable.eq(taken & last_byte),
            store.write_address.eq(pointer),
            store.write_data.eq(Cat(earlier, self.load_i.data)),
        ]
        passed_on = Signal(LOAD_BUS, reset_less=True)
        m.d.sync += [
            passed_on.start.eq(self.load_i.start),
            passed_on.valid.eq(self.load_i.valid & full),
            passed_on.data.eq(self.load_i.data),
        ]
        m.d.comb += self.load_o.eq(passed_on)
        with m.If(taken):
            m.d.sync += [
                number.eq(number + 1),
                earlier.eq(Cat(earlier, self.load_i.data)[BYTE:]),
            ]
            with m.If(last_byte):
                m.d.sync += [number.eq(0), pointer.eq(pointer + 1), full.eq(pointer == depth - 1)]
        with m.If(self.load_i.start):
            m.d.sync += [number.eq(0), pointer.eq(0), full.eq(0)]


def connect_load_chain(m: Module, component: Any, parts: Iterable[Any]) -> None:
    """Connect the loadable parts of a component, at least one, to the chain in order."""
    bus = component.load_i
    for part in parts:
        m.d.comb += part.load_i.eq(bus)
        bus = part.load_o
    m.d.comb += [component.load_o.eq(bus), component.full.eq(part.full)]
