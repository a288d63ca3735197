"""Dilated convolutions as Keras writes them: an image in parts, and together again."""

from pathlib import Path

import numpy as np
import pytest

from systolith.network import Conv2d, Pad2d, Upsample
from systolith.tflite import TfliteError, import_tflite
from tests.support.tflite_files import VALID, Moves

Pair = tuple[int, int]
FLAT = ((0, 0), (0, 0))


class Parts(Moves):
    """A file with images in parts."""

    def divide(self, source: int, blocks: tuple[int, ...], padding: tuple[Pair, ...]) -> int:
        _, *sizes, channels = self.tensors[source].shape
        size = [(n + sum(pair)) // by for n, pair, by in zip(sizes, padding, blocks, strict=True)]
        inputs = [source, self.numbers(*blocks), self._pairs(padding)]
        return self.apply("SPACE_TO_BATCH_ND", inputs, (int(np.prod(blocks)), *size, channels))

    def join(self, source: int, blocks: tuple[int, ...], crops: tuple[Pair, ...]) -> int:
        _, *sizes, channels = self.tensors[source].shape
        size = [n * by - sum(pair) for n, pair, by in zip(sizes, crops, blocks, strict=True)]
        inputs = [source, self.numbers(*blocks), self._pairs(crops)]
        return self.apply("BATCH_TO_SPACE_ND", inputs, (1, *size, channels))

    def depthwise(self, source: int, kernel: Pair) -> int:
        count, height, width, channels = self.tensors[source].shape
        values = self.rng.integers(-127, 128, (1, *kernel, channels), dtype=np.int8)
        weight = self.constant(f"weight{len(self.tensors)}", values, scale=0.004)
        bias = self.constant(f"bias{len(self.tensors)}", np.zeros(channels, np.int32))
        size = height - kernel[0] + 1, width - kernel[1] + 1
        return self.apply(
            "DEPTHWISE_CONV_2D", [source, weight, bias], (count, *size, channels),
            "DepthwiseConv2DOptions", Padding=VALID, StrideH=1, StrideW=1, DepthMultiplier=1,
            DilationHFactor=1, DilationWFactor=1,
        )  # fmt: skip

    def _pairs(self, pairs: tuple[Pair, ...]) -> int:
        return self.constant(f"pairs{len(self.tensors)}", np.array(pairs, dtype=np.int32))


@pytest.mark.parametrize(
    ("blocks", "padding", "crops", "wanted"),
    [
        ((2, 2), ((2, 3), (2, 2)), ((0, 1), (0, 0)), (2, 2, 2, 2)),  # SAME
        ((2, 2), ((0, 1), (0, 0)), ((0, 1), (0, 0)), (0, 0, 0, 0)),  # VALID
        ((2, 3), ((2, 3), (3, 4)), ((0, 1), (0, 1)), (2, 2, 3, 3)),
        ((1, 2), ((0, 0), (1, 3)), ((0, 0), (1, 0)), (0, 0, 0, 3)),
    ],
)
@pytest.mark.parametrize("depthwise", [False, True])
def test_dilated_convolutions(
    depthwise: bool,
    blocks: Pair,
    padding: tuple[Pair, Pair],
    crops: tuple[Pair, Pair],
    wanted: tuple[int, int, int, int],
    tmp_path: Path,
) -> None:
    """One layer, with the padding that is left; zeros are the zero point."""
    file = Parts((1, 9, 8, 3))
    parts = file.divide(file.convolve(0, 3, (1, 1)), blocks, padding)
    near = file.depthwise(parts, (3, 3)) if depthwise else file.convolve(parts, 2, (3, 3))
    joined = file.join(near, blocks, crops)
    _, conv = file.check(tmp_path, joined).network.layers
    assert isinstance(conv, Conv2d)
    assert (conv.dilation, conv.padding) == (blocks, wanted)


def test_causal_convolutions_of_sequences(tmp_path: Path) -> None:
    """PAD, parts of a sequence as images of one row, and a function of each value between."""
    file = Parts((1, 17, 3))
    ends = file._pairs(((0, 0), (4, 0), (0, 0)))
    padded = file.apply("PAD", [0, ends], (1, 21, 3))
    parts = file.reshape(file.divide(padded, (2,), ((0, 1),)), 2, 1, 11, 3)
    near = file.apply("RELU", [file.convolve(parts, 4, (1, 3))], (2, 1, 9, 4))
    joined = file.join(file.reshape(near, 2, 9, 4), (2,), ((0, 1),))
    conv, *_ = file.check(tmp_path, joined).network.layers
    assert isinstance(conv, Conv2d)
    assert (conv.dilation, conv.padding[2]) == ((1, 2), 4)


def test_two_convolutions_between(tmp_path: Path) -> None:
    file = Parts((1, 8, 12, 2))
    parts = file.divide(0, (2, 2), FLAT)
    near = file.convolve(file.convolve(parts, 3, (2, 2)), 2, (1, 3))
    layers = file.check(tmp_path, file.join(near, (2, 2), FLAT)).network.layers
    assert [getattr(layer, "dilation", None) for layer in layers] == [(2, 2), (2, 2)]


def test_padding_that_is_read_twice_stays(tmp_path: Path) -> None:
    file = Parts((1, 9, 8, 3))
    near = file.convolve(file.divide(0, (2, 2), ((2, 3), (2, 2))), 2, (3, 3))
    cropped = file.join(near, (2, 2), ((0, 1), (0, 0)))
    whole = file.join(near, (2, 2), FLAT)
    layers = file.check(tmp_path, cropped, whole).network.layers
    assert [type(layer) for layer in layers] == [Conv2d, Pad2d]


def test_what_is_no_dilated_convolution(tmp_path: Path) -> None:
    """Every reason by name."""
    file = Parts((1, 8, 8, 2))
    parts = file.divide(0, (2, 2), FLAT)
    strided = file.convolve(parts, 2, (2, 2), stride=2)
    pooled = file.apply(
        "MAX_POOL_2D", [parts], (4, 3, 3, 2), "Pool2DOptions", Padding=VALID, StrideH=1,
        StrideW=1, FilterHeight=2, FilterWidth=2,
    )  # fmt: skip
    other = file.join(parts, (4, 1), FLAT)
    fewer = file.join(parts, (2, 1), FLAT)
    file.outputs = [
        *(file.join(strided, (2, 2), FLAT), file.join(pooled, (2, 2), FLAT)),
        *(file.convolve(other, 2, (1, 1)), fewer),
    ]
    file.tensors[fewer].shape = (2, 8, 4, 2)
    with pytest.raises(TfliteError) as error:
        import_tflite(file.write(tmp_path / "m.tflite"))
    between = (
        "between SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND, convolutions of stride 1 and functions "
        "of each value are supported"
    )
    reasons = [problem.split(": ", 1)[1] for problem in error.value.problems]
    name = file.tensors[parts].name
    assert sorted(reasons) == [
        f"has strides (2, 2); {between}",
        "joins 4 images in blocks of (2, 1); one image is supported",
        f"reads '{file.tensors[other].name}' (1, 16, 4, 2), which is no image of the network",
        f"reads the parts of an image '{name}'; {between}",
    ]


def test_repeated_values_before_a_linear_layer(tmp_path: Path) -> None:
    file = Moves((1, 6))
    x = file.apply("TILE", [0, file.numbers(1, 2)], (1, 12))
    file.check(tmp_path, file.dense(x, 3))


def test_constants_of_channels_behind_repeated_pixels(tmp_path: Path) -> None:
    """The constants are subtracted before the pixels are repeated."""
    file = Moves((1, 5, 1, 2))
    x = file.apply("TILE", [0, file.numbers(1, 1, 3, 1)], (1, 5, 3, 2))
    values = np.array([[-92, 97]], dtype=np.int8)
    constant = file.constant("constant", values, scale=0.05)
    x = file.apply("SUB", [file.reshape(x, 1, 15, 2), constant], (1, 15, 2), "SubOptions")
    file.check(tmp_path, x)


@pytest.mark.parametrize("kind", ["TILE", "BROADCAST_TO"])
def test_upsampling_as_keras_3_writes_it(kind: str, tmp_path: Path) -> None:
    """Version 3 of TILE, for which the reference kernels are not listed."""
    file = Moves((1, 3, 4, 2))
    x = file.reshape(file.convolve(0, 2, (1, 1)), 1, 3, 1, 4, 2)
    repeated = (1, 3, 2, 4, 2)
    times = (1, 1, 2, 1, 1) if kind == "TILE" else repeated
    x = file.reshape(file.apply(kind, [x, file.numbers(*times)], repeated), 1, 6, 4, 2)
    layers = file.check(tmp_path, file.convolve(x, 2, (2, 2))).network.layers
    assert [type(layer) for layer in layers] == [Conv2d, Upsample, Conv2d]


def test_bilinear_resizing_is_refused_with_a_rewrite(tmp_path: Path) -> None:
    file = Moves((1, 3, 4, 2))
    inputs = [file.convolve(0, 2, (1, 1)), file.numbers(6, 8)]
    file.outputs = [file.apply("RESIZE_BILINEAR", inputs, (1, 6, 8, 2), "ResizeBilinearOptions")]
    with pytest.raises(TfliteError) as error:
        import_tflite(file.write(tmp_path / "m.tflite"))
    (problem,) = error.value.problems
    assert problem.endswith(": is not supported; use RESIZE_NEAREST_NEIGHBOR by whole numbers")
