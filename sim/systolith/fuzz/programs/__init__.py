"""Random PyTorch programs for the reader of PyTorch models."""

from systolith.fuzz.programs.drawing import draw_program
from systolith.fuzz.programs.program import Program, Statement, randomize
from systolith.fuzz.programs.target import ProgramTarget, judge_program

__all__ = [
    "Program",
    "ProgramTarget",
    "Statement",
    "draw_program",
    "judge_program",
    "randomize",
]
