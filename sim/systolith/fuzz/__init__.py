"""Fuzzing: random networks from the whole contract, through RTL, against the reference."""

from systolith.fuzz.case import Case, draw_case, load_case
from systolith.fuzz.choices import Choices, Drawn, Seeded
from systolith.fuzz.judge import Emit, judge
from systolith.fuzz.networks import (
    draw_network,
    random_images,
    random_network,
    random_residual_network,
)
from systolith.fuzz.reduce import reduced
from systolith.fuzz.rtl import MOST_LAYERS, RtlTarget, fuzz, replay
from systolith.fuzz.search import Failure, FuzzResult, search
from systolith.fuzz.shrink import shrunk
from systolith.fuzz.tally import KINDS, contents
from systolith.fuzz.target import Target, timed
from systolith.fuzz.verdict import Kind, Verdict

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
    "RtlTarget",
    "Seeded",
    "Target",
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
    "reduced",
    "replay",
    "search",
    "shrunk",
    "timed",
]
