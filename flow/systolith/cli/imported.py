"""What the integers of an imported network stand for."""

from typing import Any

from systolith.exchange import Imported, InputQuantizer

__all__ = ["arithmetic_of", "meaning_of"]

ROUNDINGS = {"ROUND": "half_even", "HALF_EVEN": "half_even", "FLOOR": "floor"}
"""Names of QONNX, and those of :class:`systolith.build.Meaning`."""


def meaning_of(found: Imported) -> dict[str, Any]:
    """What the integers stand for, and how near the arithmetic is to the file's."""
    source, quantizer = found.input, found.input.quantizer
    return {
        "input": {
            "scale": quantizer.scale,
            "zero_point": quantizer.type.zero_point,
            "first_multiply_by": source.scale.tolist(),
            "then_add": source.offset.tolist(),
            "rounding": ROUNDINGS.get(quantizer.rounding, quantizer.rounding),
            # Ties go to even integers: an even zero point moves none.
            "zero_point_first": bool(quantizer.after_zero_point and quantizer.type.zero_point % 2),
            "low": quantizer.low,
            "high": quantizer.high,
            **_moves(source),
        },
        "outputs": {
            name: {
                "scale": scale,
                "zero_point": found.network.tensors[name].type.zero_point,
                "tensor": found.tensors.get(name, name),
                **_order(found, name),
            }
            for name, scale in found.scales.items()
        },
        "exact": found.exact,
        "units": dict(found.units),
        "notes": list(found.notes),
    }


def _moves(source: InputQuantizer) -> dict[str, Any]:
    """Shape of the file's images, and which of their elements goes where; -1: none."""
    if not source.moves:
        return {}
    return {"image": list(source.shape), "elements": source.places.ravel().tolist()}


def _order(found: Imported, name: str) -> dict[str, Any]:
    """How the file shapes an output, where it does so in another way."""
    order = found.orders.get(name)
    if order is None:
        return {}
    return {"shape": list(order.shape), "elements": order.ravel().tolist()}


def arithmetic_of(found: Imported) -> str:
    """Say how near the arithmetic is to the file's."""
    if found.exact:
        return "arithmetic: exactly the file's"
    worst = max(found.units, key=lambda name: found.units[name])
    return (
        f"arithmetic: multipliers are rounded; before rounding, layers are within "
        f"{found.units[worst]:.2g} units of the file's ('{worst}')"
    )
