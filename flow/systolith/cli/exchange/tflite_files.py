"""TFLite files for ``systolith import``: the content of ``import.json``, and lines about them."""

from dataclasses import asdict
from typing import Any

import numpy as np

from systolith.emit import Meaning
from systolith.report import count_of
from systolith.tflite import ImportedTflite

__all__ = ["describe_tflite", "tflite_lines"]

AWAY = "HALF_UP"
"""TFLite rounds images to the nearest integer, ties away from zero: QONNX's name of it."""


def describe_tflite(imported: ImportedTflite) -> dict[str, Any]:
    """Return the content of ``import.json``: units, order of images, the comparison, and notes."""
    places = imported.input_places
    moved: dict[str, Any] = {}
    if not np.array_equal(places.ravel(), np.arange(places.size)):
        moved = {"image": list(imported.input_shape), "elements": places.ravel().tolist()}
    meaning = Meaning(
        input_scale=imported.input_scale,
        rounding=AWAY,
        moved=moved,
        orders={name: _order(imported, name) for name in imported.scales},
        output_scales=imported.scales,
        ends=imported.ends,
    ).to_json(imported.network)
    # Inputs always saturate, so the file has no key for it.
    del meaning["input"]["overflow"]
    return {
        "input": meaning["input"],
        "outputs": meaning["outputs"],
        "exact": not imported.units,
        "units": dict(imported.units),
        "rounded": {},
        "check": None if imported.agreement is None else asdict(imported.agreement),
        "notes": list(imported.notes),
    }


def _order(imported: ImportedTflite, name: str) -> dict[str, Any]:
    """Give the tensor of an output, and its shape and order in the file if they differ."""
    order = imported.orders.get(name)
    named = {"tensor": imported.tensors[name]}
    if order is None:
        return named
    return {**named, "shape": list(order.shape), "elements": order.ravel().tolist()}


def tflite_lines(imported: ImportedTflite) -> tuple[str, str]:
    """Describe the arithmetic, and the comparison with the reference kernels."""
    arithmetic = "arithmetic: exactly that of TFLite's reference kernels"
    check = f"check: {imported.agreement or 'not compared with the reference kernels, as asked'}"
    if imported.units:
        worst = max(imported.units, key=lambda name: imported.units[name])
        unit = count_of(imported.units[worst], "unit")
        layers = count_of(len(imported.units), "layer")
        arithmetic = (
            f"arithmetic: narrower multipliers, {layers}: for equal inputs, a layer's "
            f"values are within {unit} of TFLite's reference kernels ('{worst}')"
        )
        check += ", before multipliers were made narrower"
    return arithmetic, check
