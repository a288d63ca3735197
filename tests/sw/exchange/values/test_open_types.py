"""Results that a file leaves unquantized, and that something else than a quantizer reads."""

from pathlib import Path

import numpy as np
import pytest

from systolith.exchange import ExchangeError, import_onnx
from tests.support.onnx_graphs import GraphBuilder, equal_to_runtime


def _weights(made: GraphBuilder, *shape: int, scale: object = 0.25) -> str:
    return made.stored(np.random.default_rng(0).integers(-9, 10, shape), scale)


def _branches(path: Path, scale: float = 0.25, kernel: object = 0.25) -> Path:
    """Add a convolution's results, as they are, to what it reads."""
    made = GraphBuilder((2, 5, 5))
    x = made.linear("x", scale, 128)
    y = made.node("Conv", x, _weights(made, 2, 2, 3, 3, scale=kernel), pads=[1] * 4)
    return made.save(path, made.linear(made.node("Relu", made.node("Add", y, x)), 2.0, 0))


def test_a_branch_of_whole_numbers_is_added_as_it_is(tmp_path: Path) -> None:
    found = equal_to_runtime(_branches(tmp_path / "branch.onnx"))
    (note,) = found.notes
    conv = found.network.layers[0]
    bits = found.network.tensors[conv.name].type.bits
    assert note.startswith(f"layer '{conv.name}' is not quantized in the file: the network keeps")
    assert 8 < bits < 16 and f"whole, in {bits} bits" in note


@pytest.mark.parametrize("kernel", [[0.25, 0.1], [0.25, 0.25 / 512]])
def test_a_branch_that_would_be_rounded_is_refused(kernel: list[float], tmp_path: Path) -> None:
    words = "comes from 'Conv_3' without being quantized: put a quantizer .* 16 bits do not hold"
    with pytest.raises(ExchangeError, match=words):
        import_onnx(_branches(tmp_path / "branch.onnx", kernel=kernel))


def test_a_branch_is_made_once_for_all_that_read_it(tmp_path: Path) -> None:
    made = GraphBuilder((2, 5, 5))
    y = made.node("Conv", made.linear("x", 0.25, 128), _weights(made, 2, 2, 1, 1))
    a = made.linear(made.node("Conv", y, _weights(made, 2, 2, 1, 1)), 16.0, 128)
    y = made.node("Add", a, y)
    found = equal_to_runtime(made.save(tmp_path / "twice.onnx", made.linear(y, 16.0, 128)))
    assert len(found.network.layers) == 3 and len(found.notes) == 1


@pytest.mark.parametrize(("high", "fits"), [(6.0, True), (80.0, True), (6.1, False)])
def test_a_clip_of_integers_between_bounds_is_a_narrower_range(
    high: float, fits: bool, tmp_path: Path
) -> None:
    made = GraphBuilder((2, 4, 4))
    y = made.linear(made.node("Conv", made.linear("x", 0.25, 128), _weights(made, 2, 2, 1, 1)), 0.5)
    y = made.node("Clip", made.linear(y, 0.5, 0, np.int8), made.const(0.0), made.const(high))
    y = made.node("GlobalAveragePool", y)
    path = made.save(tmp_path / "clip.onnx", made.linear(y, 0.25, 0))
    if fits:
        equal_to_runtime(path)
    else:
        with pytest.raises(ExchangeError, match="comes from 'Clip_.*' without being quantized"):
            import_onnx(path)
