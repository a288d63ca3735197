"""Random ONNX graphs, through the ONNX door."""

from systolith.fuzz.graphs.drawing import draw_graph
from systolith.fuzz.graphs.graph import Graph, load_graph
from systolith.fuzz.graphs.judging import judge_graph
from systolith.fuzz.graphs.target import GraphTarget

__all__ = ["Graph", "GraphTarget", "draw_graph", "judge_graph", "load_graph"]
