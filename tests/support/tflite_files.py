"""Small TFLite files."""

from systolith.fuzz.files.writing import TfliteFile

__all__ = ["TfliteFile"]
