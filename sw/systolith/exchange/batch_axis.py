"""Files whose input has no axis of the batch, and that put one in front of it themselves."""

from collections.abc import Iterator

from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto, numpy_helper

from systolith.exchange.folding import constant_of

__all__ = ["with_batch"]


def with_batch(model: ModelProto) -> tuple[ModelProto, tuple[str, ...]]:
    """Give the model's input an axis of the batch, of size 1, where the graph does so first.

    An Unsqueeze of axis 0 right behind the input makes one image of all that the file reads, and
    rows of it, say moments in time, may be combined with each other. It goes, and so does a Squeeze
    of axis 0 that gives a result.

    Returns
    -------
    model : ModelProto
        Itself, where the input has a batch.
    notes : tuple of str
        What a user has to know of it.
    """
    stored = {each.name for each in model.graph.initializer}
    inputs = [each for each in model.graph.input if each.name not in stored]
    if len(inputs) != 1:
        return model, ()
    name = inputs[0].name
    readers = [node for node in model.graph.node if name in node.input]
    rank = len(inputs[0].type.tensor_type.shape.dim)
    if not readers or not rank or not all(_of_batch(model.graph, n, "Unsqueeze") for n in readers):
        return model, ()
    found = ModelProto()
    found.CopyFrom(model)
    graph = found.graph
    renamed = {node.output[0]: name for node in readers}
    outputs = {each.name for each in graph.output}
    ends = [
        node
        for node in graph.node
        if node.output[0] in outputs and _of_batch(graph, node, "Squeeze")
    ]
    # What several Squeezes read cannot have the names of all their results.
    renamed |= {node.input[0]: node.output[0] for node in ends}
    ends = [node for node in ends if renamed[node.input[0]] == node.output[0]]
    gone = {output for node in (*readers, *ends) for output in node.output}
    kept = [node for node in graph.node if not gone.intersection(node.output)]
    for node in kept:
        for names in (node.input, node.output):
            for place, each in enumerate(names):
                names[place] = renamed.get(each, each)
    del graph.node[:]
    graph.node.extend(kept)
    # Sizes that were written down are those without it.
    del graph.value_info[:]
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")
    _put_batch(next(each for each in graph.input if each.name == name))
    return found, (
        (
            f"input '{name}' has no axis of the batch, the file adds it: all {rank} axes are one "
            "image, and results have a batch, too"
        ),
    )


def _put_batch(value: ValueInfoProto) -> None:
    shape = value.type.tensor_type.shape
    sizes = list(shape.dim)
    shape.ClearField("dim")
    shape.dim.add().dim_value = 1
    for size in sizes:
        if size.dim_value < 0:
            # Some exporters write what is not known as -1.
            size.dim_param = "?"
        shape.dim.append(size)


def _of_batch(graph: GraphProto, node: NodeProto, op: str) -> bool:
    """Whether a node puts in, or takes out, the first axis only."""
    return node.op_type == op and not node.domain and list(_axes(graph, node)) == [0]


def _axes(graph: GraphProto, node: NodeProto) -> Iterator[int]:
    for attribute in node.attribute:
        if attribute.name == "axes":
            yield from attribute.ints
    for name in node.input[1:2]:
        for tensor in graph.initializer:
            if tensor.name == name:
                yield from map(int, numpy_helper.to_array(tensor).reshape(-1))
        for each in graph.node:
            if each.op_type == "Constant" and each.output[0] == name:
                array = constant_of(each)
                yield from () if array is None else map(int, array.reshape(-1))
