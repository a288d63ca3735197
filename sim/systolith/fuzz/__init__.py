"""Fuzzing: random networks from the whole contract, through RTL, against the reference."""

from systolith.fuzz.case import Case, draw_case, load_case
from systolith.fuzz.choices import Choices, Drawn, Seeded
from systolith.fuzz.judge import Emit, Kind, Verdict, judge
from systolith.fuzz.networks import (
    draw_network,
    random_images,
    random_network,
    random_residual_network,
)
from systolith.fuzz.search import MOST_LAYERS, Failure, FuzzResult, fuzz, replay
from systolith.fuzz.shrink import shrunk
from systolith.fuzz.tally import KINDS, contents

__all__ = [
    "KINDS",
    "MOST_LAYERS",
    "Case",
    "Choices",
    "Drawn",
    "Emit",
    "Failure",
    "FuzzResult",
    "Kind",
    "Seeded",
    "Verdict",
    "contents",
    "draw_case",
    "draw_network",
    "fuzz",
    "judge",
    "load_case",
    "random_images",
    "random_network",
    "random_residual_network",
    "replay",
    "shrunk",
]
