"""Real values of the integers at a design's input and outputs."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from systolith.network import IntegerNetwork

__all__ = ["MEANING", "MEANING_FILES", "Meaning", "read_meaning"]

MEANING = "meaning.json"
MEANING_FILES = (MEANING, "import.json")
"""Files beside a network: the first if it was trained or converted, the second if imported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """Scales of a network's input and outputs.

    An input element x becomes ``round((x * multiply_by + add) / input_scale) + zero_point``,
    clamped or wrapped to the range of its type. An output integer q has the real value
    ``scale * (q - zero_point)``. The network's types hold the zero points.

    Attributes
    ----------
    input_scale : float
        Real value of one unit of the input.
    multiply_by, add : list of float, may be nested
        Normalization of images: one element, one per channel, or any array that broadcasts to an
        image (C, H, W).
    rounding : str
        ``"half_up"``, ``"half_even"``, ``"floor"``, or the name that another tool uses; empty if
        unknown.
    wraps : bool
        Whether values out of range wrap around; else they are clamped.
    zero_point_first : bool
        Whether the zero point is added before rounding, which changes the result of ties.
    low, high : int or None
        Range of the integers, if narrower than the type's.
    moved : mapping
        If images have another shape or order than the network's input: ``"image"``, their shape,
        and ``"elements"``, for each element of the input its index in the flattened image, or -1
        for a constant 0.
    orders : mapping of str to mapping
        By output, if the source of the network names, shapes or orders it otherwise: ``"tensor"``,
        ``"shape"``, and ``"elements"``, for each element its index in the flattened output.
    ends : mapping of str to str
        By output, what turns its real values into probabilities: ``"softmax"`` or ``"sigmoid"``, if
        that is left to the host.
    notes : tuple of str
        Work that is left to the host, in words.
    output_scales : mapping of str to float
        Real value of one unit of an output, by layer.
    """

    input_scale: float
    output_scales: Mapping[str, float]
    multiply_by: list[Any] = field(default_factory=lambda: [1.0])
    add: list[Any] = field(default_factory=lambda: [0.0])
    rounding: str = ""
    wraps: bool = False
    zero_point_first: bool = False
    low: int | None = None
    high: int | None = None
    moved: Mapping[str, Any] = field(default_factory=dict)
    orders: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    ends: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def normalizes(self) -> bool:
        """Whether images are normalized before they are quantized."""
        return (self.multiply_by, self.add) != ([1.0], [0.0])

    def to_json(self, network: IntegerNetwork) -> dict[str, Any]:
        """Return JSON values, which include the zero points of the network."""
        act = network.input.type
        return {
            "input": {
                "scale": self.input_scale,
                "zero_point": act.zero_point,
                "first_multiply_by": self.multiply_by,
                "then_add": self.add,
                "rounding": self.rounding,
                "zero_point_first": self.zero_point_first,
                "overflow": "wrap" if self.wraps else "saturate",
                "low": act.low if self.low is None else self.low,
                "high": act.high if self.high is None else self.high,
                **self.moved,
            },
            "outputs": {
                name: {
                    "scale": scale,
                    "zero_point": network.tensors[name].type.zero_point,
                    **self.orders.get(name, {}),
                    **({"then": self.ends[name]} if name in self.ends else {}),
                }
                for name, scale in self.output_scales.items()
            },
            "notes": list(self.notes),
        }

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> "Meaning":
        """Read values that :meth:`to_json` returned; unknown keys are ignored."""
        source = values["input"]
        return Meaning(
            input_scale=float(source["scale"]),
            multiply_by=_listed(source["first_multiply_by"]),
            add=_listed(source["then_add"]),
            rounding=str(source.get("rounding", "")),
            zero_point_first=bool(source.get("zero_point_first", False)),
            wraps=source.get("overflow", "saturate") == "wrap",
            moved=_some(source, ("image", "elements")),
            orders={
                name: order
                for name, output in values["outputs"].items()
                if (order := _some(output, ("tensor", "shape", "elements")))
            },
            ends={
                name: str(output["then"])
                for name, output in values["outputs"].items()
                if "then" in output
            },
            notes=tuple(values.get("notes", ())),
            low=source.get("low"),
            high=source.get("high"),
            output_scales={
                name: float(output["scale"]) for name, output in values["outputs"].items()
            },
        )


def read_meaning(network: Path) -> Meaning | None:
    """Read the meaning beside a saved network; None if there is no such file.

    Raises
    ------
    ValueError
        If the file is damaged.
    """
    for name in MEANING_FILES:
        path = network.with_name(name)
        if not path.is_file():
            continue
        try:
            return Meaning.from_json(json.loads(path.read_text()))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            wanted = "needs input.scale, input.first_multiply_by, input.then_add and outputs"
            raise ValueError(f"'{path}' {wanted}; write it again, or remove it") from error
    return None


def _some(values: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: values[name] for name in names if name in values}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [float(value)]
