"""Operators that are not imported: supported rewrites, and operators left to the host."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from systolith.exchange.file.model_file import ModelFile, Node

__all__ = ["LEFT_TO_HOST", "REWRITES", "TrimmedModel", "drop_tail", "name_end"]

LEFT_TO_HOST: Mapping[str, str] = {
    "Softmax": "leave it out at the end: the greatest logit is the same",
    "LogSoftmax": "leave it out at the end: the greatest logit is the same",
    "QLinearSoftmax": "leave it out at the end: the greatest logit is the same",
    "Hardmax": "leave it out at the end: the host finds the greatest logit",
    "ArgMax": "leave it out at the end: the host finds the greatest logit",
    "TopK": "leave it out at the end: the host finds the greatest logits",
    "QLinearSigmoid": "leave it out at the end: its order is that of the logits",
    "Sigmoid": "leave it out at the end: its order is that of the logits",
}
"""Operators left out, with a note, at the end of a model; elsewhere they are not supported."""

REWRITES: Mapping[str, str] = {
    **{op: rewrite for op, rewrite in LEFT_TO_HOST.items() if not op.endswith("Sigmoid")},
    "Upsample": "convert the file to operator set 11 or later, where it is Resize",
    **dict.fromkeys(
        ("GroupNormalization", "InstanceNormalization", "LayerNormalization", "LRN")
        + ("LpNormalization", "MeanVarianceNormalization", "RMSNormalization"),
        "use BatchNormalization",
    ),
    **dict.fromkeys(
        ("ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceProd", "ReduceSumSquare"),
        "use GlobalAveragePool, or reduce on the host",
    ),
    "ReduceSum": "use ReduceMean, and multiply by the number of pixels",
    "ReduceMin": "use Neg, GlobalMaxPool and Neg",
    **dict.fromkeys(("LpPool", "GlobalLpPool"), "use AveragePool or MaxPool"),
    **dict.fromkeys(
        ("DeformConv", "GridSample", "AffineGrid", "RoiAlign", "MaxRoiPool", "MaxUnpool"),
        "it moves pixels by what the model computes: run it on the host, or use Resize",
    ),
    **dict.fromkeys(
        ("NonMaxSuppression", "NonZero", "Unique", "Compress"),
        "run it on the host: how many results it has depends on the image",
    ),
    **dict.fromkeys(
        ("Where", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or", "Not"),
        "compare by Relu, Clip, Min or Max, or count by QONNX's MultiThreshold",
    ),
    "CumSum": "run it on the host",
    "Einsum": "write it as Conv, Gemm or MatMul",
    "Expand": "use Resize, or leave it out before an operator that broadcasts",
    "Tile": "use Concat of the same tensor, or Resize",
    **dict.fromkeys(
        ("GatherElements", "GatherND", "ScatterElements", "ScatterND"),
        "use Slice, Split or Gather by constant indices",
    ),
    "Crop": "use Slice",
    "Col2Im": "use DepthToSpace",
    "ConvInteger": "quantize statically: QuantizeLinear with constant scales",
    "MatMulInteger": "quantize statically: QuantizeLinear with constant scales",
    "DynamicQuantizeLinear": "quantize statically: QuantizeLinear with constant scales",
    "QuantAvgPool2d": "use AveragePool with a quantizer behind it",
    "XnorPopcountMatMul": "import the graph from before bipolar products became this",
    "Trunc": "use a Quant with rounding_mode FLOOR",
    "LSTM": "feed-forward convolutional networks are supported",
    "GRU": "feed-forward convolutional networks are supported",
    "RNN": "feed-forward convolutional networks are supported",
    "Scan": "feed-forward convolutional networks are supported",
    "Loop": "feed-forward convolutional networks are supported",
    "If": "keep the branch that is taken: export the model for inference",
    "Attention": "feed-forward convolutional networks are supported",
}
"""Rewrites of common operators that are not supported."""


TAIL_OPERATORS = {"Cast", "DequantizeLinear", "Flatten", "Identity", "QuantizeLinear", "Reshape"}
"""Operators that may follow those left to the host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrimmedModel:
    """A model without the operators at its end that are left to the host.

    Attributes
    ----------
    model : ModelFile
    instead : dict of str to str
        The file's output that the host computes, by output of this model.
    ends : dict of str to tuple of Node
        Nodes that were left out, last one first, by output of this model.
    notes : tuple of str
        Notes for the user on what was left out.
    """

    model: ModelFile
    instead: Mapping[str, str]
    ends: Mapping[str, tuple[Node, ...]]
    notes: tuple[str, ...]


def drop_tail(model: ModelFile) -> TrimmedModel:
    """Drop a last Softmax or similar operator, and nodes that no output depends on."""
    read = [name for node in model.nodes for name in node.inputs]
    maker = {name: node for node in model.nodes for name in node.outputs if name}
    outputs, instead, ends, notes, gone = [], {}, {}, [], set()
    for output in model.outputs:
        tail, name = _tail(output, maker)
        # A tensor with other readers is not part of the end.
        inner = [tensor for node in tail for tensor in node.outputs if tensor != output]
        if not tail or any(read.count(tensor) > 1 for tensor in inner) or output in read:
            outputs.append(output)
            continue
        outputs.append(name)
        instead[name], ends[name] = output, tuple(tail)
        gone |= {id(node) for node in tail}
        notes.append(
            f"{tail[-1]} at the end is left to the host: the network gives '{name}', which it reads"
        )
    nodes = _select_needed([node for node in model.nodes if id(node) not in gone], outputs)
    trimmed = replace(model, nodes=nodes, outputs=tuple(dict.fromkeys(outputs)))
    return TrimmedModel(model=trimmed, instead=instead, ends=ends, notes=tuple(notes))


def name_end(trimmed: TrimmedModel, output: str) -> str:
    """Name what turns logits into probabilities: softmax, sigmoid, or neither if left empty.

    It is unknown if integers that the file rounds, or several operators, come between.
    """
    ops = [node.op for node in trimmed.ends.get(output, ()) if node.op in LEFT_TO_HOST]
    kinds = [op for op in ops if op not in ("ArgMax", "TopK", "Hardmax")]
    if len(kinds) != 1:
        return ""
    return "sigmoid" if kinds[0].endswith("Sigmoid") else "softmax"


def _tail(output: str, maker: Mapping[str, Node]) -> tuple[list[Node], str]:
    """Find the nodes from an output back to one that is left to the host, and its input."""
    tail, name, length, start = [], output, 0, output
    while (node := maker.get(name)) is not None and node.op in (*TAIL_OPERATORS, *LEFT_TO_HOST):
        tail.append(node)
        name = node.inputs[0]
        if node.op in LEFT_TO_HOST:
            length, start = len(tail), name
    return tail[:length], start


def _select_needed(nodes: Sequence[Node], outputs: Sequence[str]) -> tuple[Node, ...]:
    """Select the nodes that outputs depend on."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if wanted.intersection(node.outputs):
            wanted.update(node.inputs)
            kept.append(node)
    return tuple(reversed(kept))
