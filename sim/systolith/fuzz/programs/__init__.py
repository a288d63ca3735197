"""Random PyTorch programs, through the PyTorch door."""

from systolith.fuzz.programs.drawing import draw_program
from systolith.fuzz.programs.judging import judge_program
from systolith.fuzz.programs.program import Program, Statement, load_program
from systolith.fuzz.programs.running import images_of, model_of, randomize
from systolith.fuzz.programs.target import ProgramTarget

__all__ = [
    "Program",
    "ProgramTarget",
    "Statement",
    "draw_program",
    "images_of",
    "judge_program",
    "load_program",
    "model_of",
    "randomize",
]
