"""What the integers of a mapped network stand for."""

from hls4ml.model.types import RoundingMode

from systolith.emit import Meaning
from systolith.hls4ml_backend.mapping import Mapped

__all__ = ["meaning_of"]

ROUNDINGS = {
    RoundingMode.TRN: "floor",
    RoundingMode.RND: "half_up",
    RoundingMode.RND_CONV: "half_even",
}


def meaning_of(mapped: Mapped) -> Meaning:
    """Give the units of input and outputs: powers of two; the input's type rounds and overflows."""
    kind = mapped.input
    return Meaning(
        input_scale=2.0**-kind.fraction,
        output_scales={output.layer: 2.0**-output.fraction for output in mapped.outputs},
        rounding=ROUNDINGS.get(kind.rounding, f"AP_{kind.rounding.name}"),
        wraps=kind.wraps,
        low=kind.low,
        high=kind.high,
    )
