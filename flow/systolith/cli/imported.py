"""What the integers of an imported network stand for."""

from dataclasses import asdict
from math import isinf
from typing import Any

import numpy as np

from systolith.exchange import OUTPUT_BITS, ImportedModel, InputQuantizer

__all__ = ["arithmetic_of", "check_of", "meaning_of"]

ROUNDINGS = {"ROUND": "half_even", "HALF_EVEN": "half_even", "FLOOR": "floor"}
"""Names of QONNX, and those of :class:`systolith.emit.Meaning`."""


def meaning_of(found: ImportedModel) -> dict[str, Any]:
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
            "low": _end(source, source.low, quantizer.low),
            "high": _end(source, source.high, quantizer.high),
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
        "rounded": dict(found.rounded),
        "check": None if found.agreement is None else asdict(found.agreement),
        "notes": list(found.notes),
    }


def _end(source: InputQuantizer, cut: float, end: int) -> int:
    """Where integers of the input end, as what is cut off first becomes one of them."""
    return end if isinf(cut) else int(source.quantizer.quantize(np.array(cut)))


def _moves(source: InputQuantizer) -> dict[str, Any]:
    """Shape of the file's images, and which of their elements goes where; -1: none."""
    if not source.moves:
        return {}
    return {"image": list(source.shape), "elements": source.places.ravel().tolist()}


def _order(found: ImportedModel, name: str) -> dict[str, Any]:
    """How the file shapes an output, where it does so in another way."""
    order = found.orders.get(name)
    if order is None:
        return {}
    return {"shape": list(order.shape), "elements": order.ravel().tolist()}


def arithmetic_of(found: ImportedModel) -> str:
    """Say how near the arithmetic is to the file's, and why no nearer."""
    if found.exact:
        return "arithmetic: exactly the file's"
    reasons = [
        f"'{name}', which the file leaves unquantized, is rounded to {OUTPUT_BITS} bits, in steps "
        f"of {step:.3g}"
        for name, step in found.rounded.items()
    ]
    # Half a unit of what is rounded is the rounding itself.
    units = {name: by - (name in found.rounded) / 2 for name, by in found.units.items()}
    worst = max(units, key=lambda name: units[name])
    if units[worst] > 0:
        reasons.append(
            "scales are rounded to multipliers: before rounding, layers are within "
            f"{units[worst]:.2g} units of the file's ('{worst}')"
        )
    return f"arithmetic: {'; '.join(reasons)}"


def check_of(found: ImportedModel) -> str:
    """Say how near results were to those of the file's own executor."""
    return f"check: {found.agreement or 'not compared with the file, as asked'}"
