"""Nodes that join, split, select and rearrange channels, against ONNX Runtime."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from systolith.exchange import ExchangeError, Format, export_onnx, import_onnx
from systolith.network import (
    ActType,
    Concat,
    DepthToSpace,
    IntegerNetwork,
    MaxPool2d,
    SelectChannels,
    SpaceToDepth,
    Tensor,
    forward,
)
from tests.support.onnx_graphs import GraphBuilder, equal_to_runtime, run_qonnx, run_runtime
from tests.support.random_networks import random_images

SHAPE = (8, 4, 6)
Write = Callable[[GraphBuilder, str], str]


def convolve(graph: GraphBuilder, x: str, channels: int, filters: int = 5) -> str:
    rng = np.random.default_rng(channels)
    weight = graph.stored(rng.integers(-8, 8, (filters, channels, 1, 1)), np.float32(0.25))
    return graph.linear(graph.node("Conv", x, weight), np.float32(0.5), 100)


def indices(graph: GraphBuilder, *numbers: int) -> str:
    return graph.const(numbers, np.int64)


def sliced(graph: GraphBuilder, x: str, start: int, end: int, axis: int, step: int = 1) -> str:
    return graph.node("Slice", x, *(indices(graph, n) for n in (start, end, axis, step)))


def split(graph: GraphBuilder, x: str, *sizes: int) -> list[str]:
    name = graph.node("Split", x, indices(graph, *sizes), axis=1)
    outputs = [name, *(f"{name}_{number}" for number in range(1, len(sizes)))]
    del graph.nodes[-1].output[:]
    graph.nodes[-1].output.extend(outputs)
    return outputs


def shuffle(graph: GraphBuilder, x: str) -> str:
    x = graph.node("Reshape", x, indices(graph, 0, 2, 4, 4, 6))
    x = graph.node("Transpose", x, perm=[0, 2, 1, 3, 4])
    return graph.node("Reshape", x, indices(graph, 0, 8, 4, 6))


def halves(graph: GraphBuilder, x: str) -> str:
    one, other = split(graph, x, 3, 5)
    return graph.node("Concat", convolve(graph, other, 5), convolve(graph, one, 3), axis=1)


WRITTEN: dict[str, tuple[Write, list[type], int]] = {
    "slice": (lambda g, x: sliced(g, x, 2, 7, 1), [SelectChannels], 5),
    "slice from the end": (lambda g, x: sliced(g, x, -1, -99, 1, -1), [SelectChannels], 8),
    "every second pixel": (
        lambda g, x: g.node(
            "Slice", x, *(indices(g, *n) for n in ((0, 0), (99, 99), (2, 3), (2, 2)))
        ),
        [SpaceToDepth, SelectChannels],
        8,
    ),
    "gather": (lambda g, x: g.node("Gather", x, indices(g, 7, 0, 0), axis=1), [SelectChannels], 3),
    "shuffle": (
        lambda g, x: shuffle(g, g.node("MaxPool", x, kernel_shape=[1, 1])),
        [MaxPool2d, SelectChannels],
        8,
    ),
    "blocks": (lambda g, x: g.node("DepthToSpace", x, blocksize=2), [DepthToSpace], 2),
    "pixel shuffle": (
        lambda g, x: g.node("DepthToSpace", x, blocksize=2, mode="CRD"),
        [SelectChannels, DepthToSpace],
        2,
    ),
    "blocks of pixels": (lambda g, x: g.node("SpaceToDepth", x, blocksize=2), [SpaceToDepth], 32),
    "joined with itself": (lambda g, x: g.node("Concat", x, x, axis=-3), [Concat], 16),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_equals_onnx_runtime(name: str, tmp_path: Path) -> None:
    write, kinds, channels = WRITTEN[name]
    graph = GraphBuilder(SHAPE)
    y = write(graph, graph.linear("x", np.float32(0.5), 128))
    result = equal_to_runtime(graph.save(tmp_path / "m.onnx", convolve(graph, y, channels)))
    assert [type(layer) for layer in result.network.layers][:-1] == kinds


def test_integers_move_as_reals_do(tmp_path: Path) -> None:
    graph = GraphBuilder(SHAPE)
    parameters = [graph.const(np.float32(0.5)), graph.const(128, np.uint8)]
    q = graph.node("QuantizeLinear", "x", *parameters)
    parts = [graph.node("DequantizeLinear", part, *parameters) for part in split(graph, q, 2, 6)]
    joined = [convolve(graph, part, size, 2) for part, size in zip(parts, (2, 6), strict=True)]
    found = equal_to_runtime(
        graph.save(tmp_path / "m.onnx", graph.node("Concat", *joined, axis=1)), least=2
    )
    kinds = {type(layer) for layer in found.network.layers}
    assert {SelectChannels, Concat} <= kinds


def test_parts_of_a_split_meet_again(tmp_path: Path) -> None:
    graph = GraphBuilder(SHAPE)
    y = halves(graph, graph.linear("x", np.float32(0.5), 128))
    found = equal_to_runtime(graph.save(tmp_path / "m.onnx", y))
    assert isinstance(found.network.layers[-1], Concat)


def test_several_scales_are_requantized_by_the_quantizer_behind(tmp_path: Path) -> None:
    graph = GraphBuilder(SHAPE)
    x = graph.linear("x", np.float32(0.5), 128)
    finer = graph.linear(graph.node("MaxPool", x, kernel_shape=[1, 1]), np.float32(0.25), 128)
    joined = graph.linear(graph.node("Concat", x, finer, axis=1), np.float32(1.0), 128)
    equal_to_runtime(graph.save(tmp_path / "m.onnx", joined))


def test_several_scales_without_a_quantizer_are_refused(tmp_path: Path) -> None:
    graph = GraphBuilder(SHAPE)
    x = graph.linear("x", np.float32(0.5), 128)
    finer = graph.linear(graph.node("MaxPool", x, kernel_shape=[1, 1]), np.float32(0.25), 128)
    y = convolve(graph, graph.node("Concat", x, finer, axis=1), 16)
    with pytest.raises(ExchangeError, match=r"reads a concatenation of several scales: put a quan"):
        import_onnx(graph.save(tmp_path / "m.onnx", y))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda g, x: g.node("Concat", x, x, axis=2), r"joins along axis 2; axis 1, that of the"),
        (lambda g, x: sliced(g, x, 0, 4, 2, 3), r"makes shape \(8, 2, 6\) of \(8, 4, 6\) in a way"),
        (
            lambda g, x: g.node("Gather", x, indices(g, 9), axis=1),
            r"moves values that do not exi",
        ),
        (lambda g, x: g.node("Gather", x, indices(g, 0), axis=0), r"works along axis 0; the batch"),
    ],
)
def test_refuses_by_name(write: Write, message: str, tmp_path: Path) -> None:
    graph = GraphBuilder(SHAPE)
    y = write(graph, graph.linear("x", np.float32(0.5), 128))
    with pytest.raises(ExchangeError, match=message):
        import_onnx(graph.save(tmp_path / "m.onnx", graph.node("Relu", y)))


@pytest.mark.parametrize("form", list(Format))
def test_exported_layers_compute_the_same(form: Format, tmp_path: Path) -> None:
    act = ActType(bits=8, signed=True)
    network = IntegerNetwork(
        input=Tensor((4, 4, 4), act),
        layers=(
            SelectChannels(name="some", input="input", channels=(3, 1)),
            Concat(name="more", inputs=("some", "input", "some")),
            DepthToSpace(name="larger", input="more", block=2),
            SpaceToDepth(name="back", input="larger", block=2),
        ),
    )
    images = random_images(network, 4, 0)
    path = tmp_path / "m.onnx"
    export_onnx(network, path, form)
    run = run_runtime if form is Format.QDQ else run_qonnx
    (expected,) = forward(network, images).values()
    np.testing.assert_array_equal(run(path, images.astype(np.float32)), expected)
    found = import_onnx(path)
    (again,) = forward(found.network, found.quantize_input(images.astype(np.float32))).values()
    np.testing.assert_array_equal(again, expected)
