"""What synthesis is told to make a memory of."""

from systolith.plan import MemoryKind

__all__ = ["memory_style"]


def memory_style(kind: MemoryKind, *, written: bool = True) -> dict[str, str]:
    """Attributes of a memory in Verilog; the circuit and its timing stay as they are.

    Vivado and yosys read `ram_style`. Of a memory that is never written, Vivado reads `rom_style`
    instead; LUTs that hold one are no RAM to yosys, but logic.
    """
    if written:
        return {"ram_style": kind.value}
    by_luts = kind is MemoryKind.DISTRIBUTED
    return {"ram_style": "logic" if by_luts else kind.value, "rom_style": kind.value}
