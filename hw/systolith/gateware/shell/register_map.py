"""The register map as data: source of the register file, the documentation and drivers."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

__all__ = ["MAP_BITS", "WORD", "Access", "Field", "Register", "format_register_map", "register_map"]

WORD = 32
MAP_BITS = 12
"""Address bits of the map, in bytes: 4 KiB."""
ID = 0x53595354
OUTPUTS = 0x100
OUTPUT_STEP = 8
MOST_OUTPUTS = ((1 << MAP_BITS) - OUTPUTS) // OUTPUT_STEP


class Access(Enum):
    """Accesses of a host to a register; others are answered with an error."""

    READ = "read"
    READ_WRITE = "read, write"
    CLEAR = "read, write 1 to clear"
    WRITE = "write"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """Bits of a register.

    Parameters
    ----------
    name, meaning : str
        Texts for people; drivers use the name, too.
    bit : int
        Lowest bit.
    width : int
        Number of bits.
    """

    name: str
    bit: int
    meaning: str
    width: int = 1

    @property
    def bits(self) -> str:
        """Position, as in data sheets: ``7`` or ``15:8``."""
        return f"{self.bit + self.width - 1}:{self.bit}" if self.width > 1 else str(self.bit)

    @property
    def mask(self) -> int:
        """Word with the bits of the field set."""
        return ((1 << self.width) - 1) << self.bit


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """One word of the map.

    Parameters
    ----------
    name : str
        Upper case; the ports of the register file have it in lower case.
    address : int
        In bytes, a multiple of 4.
    access : Access
        Accesses of a host.
    meaning : str
        Text for people.
    fields : tuple of Field
        Parts of the word; none if it is one number of 32 bits.
    init : int
        Value after reset, if it can be written.
    """

    name: str
    address: int
    access: Access
    meaning: str
    fields: tuple[Field, ...] = ()
    init: int = 0

    @property
    def width(self) -> int:
        """Implemented bits; those above read as 0 and ignore writes."""
        return max((field.bit + field.width for field in self.fields), default=WORD)

    def field(self, name: str) -> Field:
        """Return the field of a name; KeyError if there is none."""
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(name)


def _format(meaning: str) -> tuple[Field, ...]:
    return (
        Field(name="LANES", bit=0, width=16, meaning=f"activations per transfer {meaning}"),
        Field(name="BITS", bit=16, width=8, meaning="bits of an activation"),
        Field(name="SIGNED", bit=24, meaning="whether activations are signed"),
    )


def _identity() -> Iterator[Register]:
    yield Register(name="ID", address=0x000, access=Access.READ, meaning=f'`{ID:#010x}`: "SYST"')
    yield Register(
        name="VERSION",
        address=0x004,
        access=Access.READ,
        meaning="version of systolith that generated the design",
        fields=(
            Field(name="PATCH", bit=0, width=8, meaning="patch"),
            Field(name="MINOR", bit=8, width=8, meaning="minor"),
            Field(name="MAJOR", bit=16, width=8, meaning="major"),
        ),
    )
    yield Register(
        name="NETWORK_LO",
        address=0x008,
        access=Access.READ,
        meaning="network hash of the design, bits 31:0 of its first 64",
    )
    yield Register(
        name="NETWORK_HI", address=0x00C, access=Access.READ, meaning="the same, bits 63:32"
    )
    yield Register(
        name="FEATURES",
        address=0x010,
        access=Access.READ,
        meaning="features of the design",
        fields=(
            Field(name="OUTPUTS", bit=0, width=16, meaning="number of output streams"),
            Field(name="RELOADABLE", bit=16, meaning="whether there are `LOAD_` registers"),
        ),
    )


def _control(reloadable: bool) -> Iterator[Register]:
    start = Field(
        name="LOAD_START",
        bit=1,
        meaning="start a load: the next byte is the first; "
        "no frame enters until all bytes have arrived",
    )
    yield Register(
        name="COMMAND",
        address=0x014,
        access=Access.WRITE,
        meaning="each written 1 triggers an action once",
        fields=(
            Field(
                name="RESET",
                bit=0,
                meaning="drop all frames; clear streams, counters and the started frame. "
                "Writable registers, errors and parameters stay",
            ),
            *([start] if reloadable else []),
        ),
    )
    yield Register(
        name="CONTROL",
        address=0x018,
        access=Access.READ_WRITE,
        meaning="settings",
        fields=(
            Field(name="CHECK_TLAST", bit=0, meaning="compare TLAST with the length of frames"),
        ),
        init=1,
    )
    loaded = Field(name="LOADED", bit=3, meaning="all parameters have arrived")
    yield Register(
        name="STATUS",
        address=0x01C,
        access=Access.READ,
        meaning="current state",
        fields=(
            Field(name="BUSY", bit=0, meaning="a frame is in flight"),
            Field(
                name="INPUT_STALLED",
                bit=1,
                meaning="the producer has offered nothing for `STALL_LIMIT` cycles "
                "in the middle of a frame",
            ),
            Field(
                name="OUTPUT_BLOCKED",
                bit=2,
                meaning="a consumer has not taken an offered transfer for `STALL_LIMIT` cycles",
            ),
            *([loaded] if reloadable else []),
        ),
    )
    yield Register(
        name="ERRORS",
        address=0x020,
        access=Access.CLEAR,
        meaning="errors; bits stay set until they are cleared",
        fields=(
            Field(name="SHORT_FRAME", bit=0, meaning="TLAST was too early"),
            Field(name="LONG_FRAME", bit=1, meaning="no TLAST with a frame's last transfer"),
            Field(name="INPUT_STALLED", bit=2, meaning="as in `STATUS`"),
            Field(name="OUTPUT_BLOCKED", bit=3, meaning="as in `STATUS`"),
            *(_load_errors() if reloadable else []),
        ),
    )
    yield Register(
        name="ERROR_FRAME",
        address=0x024,
        access=Access.READ,
        meaning="number, from 0 at reset, of the first frame of wrong length "
        "since `SHORT_FRAME` and `LONG_FRAME` were both 0",
    )
    yield Register(
        name="STALL_LIMIT",
        address=0x028,
        access=Access.READ_WRITE,
        meaning="cycles in a row after which a stall is an error; 0 means never",
    )


def _load_errors() -> Iterator[Field]:
    yield Field(name="LOAD_OVERFLOW", bit=4, meaning="more bytes than `LOAD_SIZE` were written")
    yield Field(
        name="LOAD_BUSY",
        bit=5,
        meaning="a load started while `BUSY`: results of those frames are void",
    )


def _counters() -> Iterator[Register]:
    for name, address, meaning in (
        ("CYCLES_LO", 0x030, "cycles since reset, bits 31:0"),
        ("CYCLES_HI", 0x034, "the same, bits 63:32; read HI, LO, HI until both HI are equal"),
        ("FRAMES_IN", 0x038, "frames that have entered"),
        ("FRAMES_OUT", 0x03C, "frames that have left through all outputs"),
        ("LATENCY", 0x040, "cycles from a frame's first transfer in to its last out, inclusive"),
        ("INTERVAL", 0x044, "cycles between the ends of the last two frames that have left"),
        ("INPUT_STALLS", 0x048, "cycles of waiting for the producer in the middle of a frame"),
        ("OUTPUT_STALLS", 0x04C, "cycles in which a transfer was offered and not taken"),
    ):
        yield Register(name=name, address=address, access=Access.READ, meaning=meaning)


def _load() -> Iterator[Register]:
    yield Register(
        name="LOAD_DATA",
        address=0x060,
        access=Access.WRITE,
        meaning="next bytes, least significant first; only bytes with a strobe count",
    )
    for name, address, meaning in (
        ("LOAD_SIZE", 0x064, "bytes of all parameters"),
        ("LOAD_COUNT", 0x068, "bytes that have arrived since `LOAD_START`"),
        ("LOAD_CRC", 0x06C, "CRC-32 of those bytes, as `zlib.crc32` computes it"),
    ):
        yield Register(name=name, address=address, access=Access.READ, meaning=meaning)


def _streams(outputs: int) -> Iterator[Register]:
    for name, address in (
        ("INPUT", 0x080),
        *((f"OUTPUT_{n}", OUTPUTS + OUTPUT_STEP * n) for n in range(outputs)),
    ):
        yield Register(
            name=f"{name}_TRANSFERS",
            address=address,
            access=Access.READ,
            meaning="transfers per frame",
        )
        yield Register(
            name=f"{name}_FORMAT",
            address=address + 4,
            access=Access.READ,
            meaning="format of a transfer",
            fields=_format("(channels of one pixel)"),
        )


def register_map(*, outputs: int = 1, reloadable: bool = True) -> tuple[Register, ...]:
    """List all registers of a design by address.

    Parameters
    ----------
    outputs : int
        Output streams.
    reloadable : bool
        Whether parameters can be loaded.

    Raises
    ------
    ValueError
        If the map has no room for all outputs.
    """
    if not 1 <= outputs <= MOST_OUTPUTS:
        raise ValueError(f"the register map has room for 1..{MOST_OUTPUTS} outputs, got {outputs}")
    return (
        *_identity(),
        *_control(reloadable),
        *_counters(),
        *(_load() if reloadable else ()),
        *_streams(outputs),
    )


def format_register_map(registers: tuple[Register, ...]) -> str:
    """Format the map as a table, with fields below their register."""
    lines = [
        "| address | register | bits | access | after reset | meaning |",
        "|---|---|---|---|---|---|",
    ]
    for register in registers:
        writable = register.access in (Access.READ_WRITE, Access.CLEAR)
        init = f"{register.init:#x}" if writable else ""
        lines.append(
            f"| `{register.address:#05x}` | `{register.name}` | | {register.access.value} "
            f"| {init} | {register.meaning} |"
        )
        lines += [
            f"| | `{field.name}` | {field.bits} | | | {field.meaning} |"
            for field in register.fields
        ]
    return "\n".join(lines) + "\n"
