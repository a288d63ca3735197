"""Fuzzing: random networks and models through systolith, compared with a reference."""

from systolith.fuzz.case import CONTENTS, Case, draw_case
from systolith.fuzz.choices import Choices, HypothesisChoices, SeededChoices
from systolith.fuzz.networks import draw_network
from systolith.fuzz.rtl import MOST_LAYERS, EmitFunction, RtlTarget, fuzz, judge_case, replay
from systolith.fuzz.search import FuzzFailure, FuzzProgress, FuzzResult, search
from systolith.fuzz.shrink import remove_parts, shrink_choices
from systolith.fuzz.target import FindingKind, FuzzTarget, Verdict, judge_within

__all__ = [
    "CONTENTS",
    "MOST_LAYERS",
    "Case",
    "Choices",
    "EmitFunction",
    "FindingKind",
    "FuzzFailure",
    "FuzzProgress",
    "FuzzResult",
    "FuzzTarget",
    "HypothesisChoices",
    "RtlTarget",
    "SeededChoices",
    "Verdict",
    "draw_case",
    "draw_network",
    "fuzz",
    "judge_case",
    "judge_within",
    "remove_parts",
    "replay",
    "search",
    "shrink_choices",
]
