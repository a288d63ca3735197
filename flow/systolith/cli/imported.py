"""What the integers of an imported network stand for."""

from typing import Any

from systolith.exchange import Imported

__all__ = ["arithmetic_of", "meaning_of"]


def meaning_of(found: Imported) -> dict[str, Any]:
    """What the integers stand for, and how near the arithmetic is to the file's."""
    source = found.input
    return {
        "input": {
            "scale": source.quantizer.scale,
            "zero_point": source.quantizer.type.zero_point,
            "first_multiply_by": source.scale.tolist(),
            "then_add": source.offset.tolist(),
        },
        "outputs": {
            name: {
                "scale": scale,
                "zero_point": found.network.tensors[name].type.zero_point,
            }
            for name, scale in found.scales.items()
        },
        "exact": found.exact,
        "units": dict(found.units),
    }


def arithmetic_of(found: Imported) -> str:
    """Say how near the arithmetic is to the file's."""
    if found.exact:
        return "arithmetic: exactly the file's"
    worst = max(found.units, key=lambda name: found.units[name])
    return (
        f"arithmetic: multipliers are rounded; before rounding, layers are within "
        f"{found.units[worst]:.2g} units of the file's ('{worst}')"
    )
