"""Descriptions of imported networks: units, arithmetic and the comparison with the file."""

from dataclasses import asdict
from math import isinf
from typing import Any

import numpy as np

from systolith.emit import Meaning
from systolith.exchange import OUTPUT_BITS, ImportedModel, InputQuantizer

__all__ = ["describe_arithmetic", "describe_check", "describe_import"]

ROUNDINGS = {"ROUND": "half_even", "HALF_EVEN": "half_even", "FLOOR": "floor"}
"""Names of :class:`systolith.emit.Meaning`, by QONNX's names."""


def describe_import(imported: ImportedModel) -> dict[str, Any]:
    """Return the content of ``import.json``: units, differences from the file, and notes."""
    source, quantizer = imported.input, imported.input.quantizer
    meaning = Meaning(
        input_scale=quantizer.scale,
        multiply_by=source.scale.tolist(),
        add=source.offset.tolist(),
        rounding=ROUNDINGS.get(quantizer.rounding, quantizer.rounding),
        # Ties go to even integers: an even zero point moves none.
        zero_point_first=bool(quantizer.after_zero_point and quantizer.type.zero_point % 2),
        low=_clipped_end(source, source.low, quantizer.low),
        high=_clipped_end(source, source.high, quantizer.high),
        moved=_moves(source),
        orders={name: _order(imported, name) for name in imported.scales},
        output_scales=imported.scales,
        ends=imported.ends,
    ).to_json(imported.network)
    # Imported inputs always saturate, so the file has no key for it.
    del meaning["input"]["overflow"]
    return {
        "input": meaning["input"],
        "outputs": meaning["outputs"],
        "exact": imported.exact,
        "units": dict(imported.units),
        "rounded": dict(imported.rounded),
        "check": None if imported.agreement is None else asdict(imported.agreement),
        "notes": list(imported.notes),
    }


def _clipped_end(source: InputQuantizer, bound: float, end: int) -> int:
    """Give an end of the input's integers; a bound before the quantizer becomes an integer."""
    return end if isinf(bound) else int(source.quantizer.quantize(np.array(bound)))


def _moves(source: InputQuantizer) -> dict[str, Any]:
    """Give the shape of the file's images and the index of each element; -1 for padding."""
    if not source.moves:
        return {}
    return {"image": list(source.shape), "elements": source.places.ravel().tolist()}


def _order(imported: ImportedModel, name: str) -> dict[str, Any]:
    """Give the tensor of an output, and its shape and order in the file if they differ."""
    named = {"tensor": imported.tensors.get(name, name)}
    order = imported.orders.get(name)
    if order is None:
        return named
    return {**named, "shape": list(order.shape), "elements": order.ravel().tolist()}


def describe_arithmetic(imported: ImportedModel) -> str:
    """Describe the differences of the arithmetic from the file's, and their reasons."""
    if imported.exact:
        return "arithmetic: exactly the file's"
    reasons = [
        f"'{name}', which the file leaves unquantized, is rounded to {OUTPUT_BITS} bits, in steps "
        f"of {step:.3g}"
        for name, step in imported.rounded.items()
    ]
    # Half a unit of a rounded result is the rounding itself.
    units = {name: by - (name in imported.rounded) / 2 for name, by in imported.units.items()}
    worst = max(units, key=lambda name: units[name])
    if units[worst] > 0:
        reasons.append(
            "scales are rounded to multipliers: before rounding, layers are within "
            f"{units[worst]:.2g} units of the file's ('{worst}')"
        )
    return f"arithmetic: {'; '.join(reasons)}"


def describe_check(imported: ImportedModel) -> str:
    """Describe the comparison with the file's own executor."""
    return f"check: {imported.agreement or 'not compared with the file, as asked'}"
