"""A memory with a write port, a read port and a register behind the read."""

from collections.abc import Sequence
from itertools import chain

from amaranth import C, Cat, ClockSignal, Const, Instance, Module, Signal, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from systolith.devices import BLOCK_18K
from systolith.gateware.cells import Technology, technology_of
from systolith.gateware.delay import delay_payload
from systolith.plan import MemoryKind

__all__ = ["RegisteredRam", "memory_style"]

HALF = 18
"""Bits of one port of DP16KD; both together make the widest shape."""
INIT_WORDS, INIT_PITCH, INIT_ROWS = 16, 20, 64
"""Initial contents of DP16KD: half words per row, bits from one to the next, and rows."""
BYTE, ADDRESS = 9, 14
"""Bits per write enable, and address pins."""
SHAPES = BLOCK_18K.shapes
DEEPEST = max(depth for depth, _ in SHAPES)


class RegisteredRam(wiring.Component):
    """A memory with a register for the read data.

    Parameters
    ----------
    width, depth : int
        Bits per word, and number of words; at least 1.
    words : sequence of int
        Initial contents from address 0 on; the rest is 0.
    written : bool
        Whether there is a write port.
    kind : MemoryKind

    Members
    -------
    read_address : ``In(range(depth))``
    read_data : ``Out(width)``
    write_enable, write_address, write_data : ``In(1)``, ``In(range(depth))``, ``In(width)``
        Only if written.

    Timing
    ------
    `read_data` :attr:`LATENCY` cycles after `read_address`. A word that is read in the cycle in
    which it is written is undefined; in plain Verilog it has its old value. No reset.
    """

    LATENCY = 2

    read_address: Signal
    read_data: Signal
    write_enable: Signal
    write_address: Signal
    write_data: Signal

    def __init__(
        self,
        *,
        width: int,
        depth: int,
        words: Sequence[int] = (),
        written: bool = True,
        kind: MemoryKind = MemoryKind.BLOCK,
    ) -> None:
        self.width, self.depth, self.words = width, depth, tuple(words)
        self.written, self.kind = written, kind
        members = {"read_address": In(range(depth)), "read_data": Out(width)}
        if written:
            members |= {
                "write_enable": In(1),
                "write_address": In(range(depth)),
                "write_data": In(width),
            }
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        """Describe the memory, or instantiate the device's blocks side by side."""
        m = Module()
        ecp5 = technology_of(platform) is Technology.ECP5
        if ecp5 and self.kind is MemoryKind.BLOCK and self.depth <= DEEPEST:
            self._by_blocks(m)
            return m
        m.submodules.words = store = memory.Memory(
            shape=unsigned(self.width),
            depth=self.depth,
            init=self.words,
            attrs=memory_style(self.kind, written=self.written),
        )
        read = store.read_port()
        m.d.comb += [
            read.addr.eq(self.read_address),
            read.en.eq(1),
            self.read_data.eq(delay_payload(m, read.data, 1, "data")),
        ]
        if self.written:
            write = store.write_port()
            m.d.comb += [
                write.en.eq(self.write_enable),
                write.addr.eq(self.write_address),
                write.data.eq(self.write_data),
            ]
        return m

    def _by_blocks(self, m: Module) -> None:
        """Cut words into slices, each as wide as a sufficiently deep block."""
        deep_enough = [bits for depth, bits in SHAPES if depth >= self.depth]
        # A byte has a ninth bit, which words narrower than a byte do not use.
        deep_enough = [bits for bits in deep_enough if bits >= BYTE] or deep_enough
        wide = min(deep_enough, key=lambda bits: (-(-self.width // bits), bits))
        for number, place in enumerate(range(0, self.width, wide)):
            end = min(place + wide, self.width)
            words = [word >> place & ((1 << end - place) - 1) for word in self.words]
            m.submodules[f"block_{number}"] = self._block(place, end, wide, words)

    def _block(self, place: int, end: int, wide: int, words: Sequence[int]) -> Instance:
        """Make a DP16KD for bits `place` to `end`; port A writes, B reads, both if 36 wide."""
        align = wide.bit_length() - 1  # address pins below those of a word
        enable = self.write_enable if self.written else C(0, 1)
        read_pins = Cat(C(0, align), self.read_address, C(0, ADDRESS))
        # The lowest bits of a write address enable the bytes of a wide word.
        bytes_written = wide // BYTE if wide > BYTE else 0
        write_pins, data_in = C(0, ADDRESS), C(0, 2 * HALF)
        if self.written:
            low = Cat(*[enable] * bytes_written, C(0, align - bytes_written))
            write_pins = Cat(low, self.write_address, write_pins)
            data_in = Cat(self.write_data[place:end], data_in)
        pins: dict[str, object] = {f"i_ADA{bit}": write_pins[bit] for bit in range(ADDRESS)}
        pins |= {f"i_ADB{bit}": read_pins[bit] for bit in range(ADDRESS)}
        pins |= {f"i_DIA{bit}": data_in[bit] for bit in range(HALF)}
        pins |= {f"i_DIB{bit}": data_in[HALF + bit] for bit in range(HALF)}
        outputs = ["A", "B"] if wide > HALF else ["B"]
        for bit in range(place, end):
            half, pin = divmod(bit - place, HALF)
            pins[f"o_DO{outputs[half]}{pin}"] = self.read_data[bit]
        return Instance(
            "DP16KD",
            p_DATA_WIDTH_A=wide,
            p_DATA_WIDTH_B=wide,
            p_REGMODE_A="OUTREG",
            p_REGMODE_B="OUTREG",
            p_RESETMODE="SYNC",
            p_GSR="DISABLED",
            p_CSDECODE_A="0b000",
            p_CSDECODE_B="0b000",
            p_WRITEMODE_A="NORMAL",
            p_WRITEMODE_B="NORMAL",
            **_initial(words, wide),
            i_CLKA=ClockSignal(),
            i_CLKB=ClockSignal(),
            i_CEA=C(1, 1),
            i_CEB=C(1, 1),
            i_OCEA=C(1, 1),
            i_OCEB=C(1, 1),
            i_WEA=C(1, 1) if wide > HALF and self.written else enable,
            i_WEB=C(0, 1),
            i_RSTA=C(0, 1),
            i_RSTB=C(0, 1),
            **{f"i_CS{port}{bit}": C(0, 1) for port in "AB" for bit in range(3)},
            **pins,
        )


def memory_style(kind: MemoryKind, *, written: bool = True) -> dict[str, str]:
    """Verilog attributes that choose the kind of a memory; they do not change the circuit.

    Vivado and yosys read `ram_style`. For a memory without writes, Vivado reads `rom_style`, and
    yosys calls LUTs that hold it logic.
    """
    if written:
        return {"ram_style": kind.value}
    by_luts = kind is MemoryKind.DISTRIBUTED
    return {"ram_style": "logic" if by_luts else kind.value, "rom_style": kind.value}


def _initial(words: Sequence[int], wide: int) -> dict[str, Const]:
    """Parameters INITVAL: half words of 18 bits, lower addresses in lower places."""
    if wide < BYTE:
        whole = BYTE - 1
        step = whole // wide
        words = [
            sum(word << (wide * number) for number, word in enumerate(words[first : first + step]))
            for first in range(0, len(words), step)
        ]
        wide = BYTE
    per_half = max(HALF // wide, 1)
    if wide > HALF:
        halves = list(chain.from_iterable((w & ((1 << HALF) - 1), w >> HALF) for w in words))
    else:
        halves = [
            sum(w << (wide * number) for number, w in enumerate(words[first : first + per_half]))
            for first in range(0, len(words), per_half)
        ]
    parameters = {}
    for row in range(INIT_ROWS):
        part = halves[row * INIT_WORDS : (row + 1) * INIT_WORDS]
        value = sum(half << (INIT_PITCH * number) for number, half in enumerate(part))
        parameters[f"p_INITVAL_{row:02X}"] = Const(value, INIT_PITCH * INIT_WORDS)
    return parameters
