"""Random ONNX graphs for the importer of ONNX files."""

from systolith.fuzz.graphs.drawing import draw_graph
from systolith.fuzz.graphs.graph import Graph
from systolith.fuzz.graphs.target import GraphTarget, judge_graph

__all__ = ["Graph", "GraphTarget", "draw_graph", "judge_graph"]
