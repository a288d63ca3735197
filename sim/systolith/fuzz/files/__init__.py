"""Random TFLite files for the importer of TFLite files."""

from systolith.fuzz.files.case import FileCase
from systolith.fuzz.files.drawing import draw_file
from systolith.fuzz.files.target import FileTarget, judge_file
from systolith.fuzz.files.writing import TfliteFile

__all__ = ["FileCase", "FileTarget", "TfliteFile", "draw_file", "judge_file"]
