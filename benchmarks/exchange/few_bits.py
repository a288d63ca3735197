"""Brevitas networks of 1 to 3 bits with batch norm, imported: every output compared with QONNX's.

python -m benchmarks.exchange.few_bits --data fashion.npz
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import brevitas.nn as qnn
import numpy as np
import torch
from brevitas.core.bit_width import BitWidthImplType
from brevitas.core.quant import QuantType
from brevitas.core.restrict_val import FloatToIntImplType, RestrictValueType
from brevitas.core.scaling import ScalingImplType
from brevitas.core.zero_point import ZeroZeroPoint
from brevitas.export import export_qonnx
from brevitas.inject import ExtendedInjector
from brevitas.quant import Int8WeightPerTensorFloat, Uint8ActPerTensorFloat
from brevitas.quant.solver import ActQuantSolver, WeightQuantSolver
from numpy.typing import NDArray
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_shapes import InferShapes
from torch import nn

from benchmarks.exchange.table import FEW_BITS, few_bit_rows
from benchmarks.results import write_result
from systolith.data import Dataset, load_fashion_mnist
from systolith.exchange import import_onnx
from systolith.network import Conv2d, Linear, forward

COMMAND = "python -m benchmarks.exchange.few_bits"
WIDTHS = ((1, 1), (1, 2), (2, 2), (3, 3))
"""Of weights and of activations, with the constant scales of FINN's examples."""
LEARNED = (3, 3)
"""Of those whose scales are learned, and whose activations are a ReLU's."""
BATCH, RATE = 100, 0.01
EXECUTED = 500
"""Images that QONNX's executor takes at once."""
Images = NDArray[np.float32]


class FewBits(ExtendedInjector):  # type: ignore[misc]
    """Quantization as in FINN's examples: a constant scale, no zero point; one bit is a sign."""

    bit_width_impl_type = BitWidthImplType.CONST
    scaling_impl_type = ScalingImplType.CONST
    restrict_scaling_type = RestrictValueType.FP
    zero_point_impl = ZeroZeroPoint
    float_to_int_impl_type = FloatToIntImplType.ROUND
    scaling_per_output_channel = False
    narrow_range = True
    signed = True


class FewBitWeights(FewBits, WeightQuantSolver):  # type: ignore[misc]
    """Weights between -1 and 1."""

    scaling_const = 1.0


class FewBitActivations(FewBits, ActQuantSolver):  # type: ignore[misc]
    """Activations between -1 and 1."""

    min_val = -1.0
    max_val = 1.0


class Parts:
    """Layers of one choice of widths."""

    def __init__(self, weight_bits: int, act_bits: int, *, learned: bool) -> None:
        kinds = [
            QuantType.BINARY if bits == 1 else QuantType.INT for bits in (weight_bits, act_bits)
        ]
        self.weights = {
            "weight_quant": Int8WeightPerTensorFloat if learned else FewBitWeights,
            "weight_bit_width": weight_bits,
            "bias": False,
        }
        self.acts: dict[str, Any] = {
            "act_quant": Uint8ActPerTensorFloat if learned else FewBitActivations,
            "bit_width": act_bits,
        }
        if not learned:
            self.weights["weight_quant_type"] = kinds[0]
            self.acts["quant_type"] = kinds[1]
        self.learned = learned

    def act(self) -> nn.Module:
        """An activation, quantized."""
        return qnn.QuantReLU(**self.acts) if self.learned else qnn.QuantIdentity(**self.acts)

    def linear(self, features: int, outputs: int) -> nn.Module:
        """A fully connected layer without bias."""
        return qnn.QuantLinear(features, outputs, **self.weights)

    def conv(self, channels: int, filters: int) -> nn.Module:
        """A convolution of 3x3 without padding."""
        return qnn.QuantConv2d(channels, filters, 3, **self.weights)


def tfc(parts: Parts, pixels: int, hidden: int = 64) -> nn.Sequential:
    """Three hidden layers with batch norm, as FINN's TFC."""
    image = qnn.QuantIdentity(act_quant=FewBitActivations, bit_width=8, quant_type=QuantType.INT)
    layers: list[nn.Module] = [nn.Flatten(), image if parts.learned else parts.act()]
    for features in (pixels, hidden, hidden):
        layers += [parts.linear(features, hidden), nn.BatchNorm1d(hidden), parts.act()]
    return nn.Sequential(*layers, parts.linear(hidden, 10))


def cnv(parts: Parts, channels: int, filters: int = 16) -> nn.Sequential:
    """Pairs of convolutions with batch norm, pools, two linear layers, as FINN's CNV."""
    layers: list[nn.Module] = [
        qnn.QuantIdentity(act_quant=FewBitActivations, bit_width=8, quant_type=QuantType.INT)
    ]
    before = channels
    for wide in (filters, 2 * filters):
        for _ in range(2):
            layers += [parts.conv(before, wide), nn.BatchNorm2d(wide), parts.act()]
            before = wide
        layers.append(nn.MaxPool2d(2))
    features = before * 16
    layers += [nn.Flatten(), parts.linear(features, 64), nn.BatchNorm1d(64), parts.act()]
    return nn.Sequential(*layers, parts.linear(64, 10))


def trained(model: nn.Sequential, data: Dataset, steps: int, seed: int) -> nn.Sequential:
    """Train for `steps` batches; keep float weights that become signs within -1 and 1."""
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    model.train()
    weighted = [each for each in model if isinstance(each, qnn.QuantLinear | qnn.QuantConv2d)]
    for layer in weighted:
        # So wide that few bits hold more than zeros.
        nn.init.uniform_(layer.weight, -1, 1)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - step / steps)
        chosen = torch.from_numpy(rng.integers(0, len(data.train_images), BATCH))
        # Some 10 classes: the logits of few bits are large.
        logits = model(data.train_images[chosen] * 2 - 1) / 8
        loss = nn.functional.cross_entropy(logits, data.train_labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for layer in weighted:
                layer.weight.clamp_(-1, 1)
    return model.eval()


def executed(path: Path, images: Images) -> NDArray[np.float32]:
    """Compute by QONNX's executor, many images at once."""
    model = ModelWrapper(str(path))
    name, result = model.graph.input[0].name, model.graph.output[0].name
    del model.graph.value_info[:]
    model.graph.output[0].type.tensor_type.ClearField("shape")
    model.set_tensor_shape(name, [EXECUTED, *images.shape[1:]])
    model = model.transform(InferShapes())
    parts = []
    for start in range(0, len(images), EXECUTED):
        part = images[start : start + EXECUTED]
        padded = np.concatenate(
            [part, np.zeros((EXECUTED - len(part), *part.shape[1:]), part.dtype)]
        )
        parts.append(execute_onnx(model, {name: padded})[result][: len(part)])
    return np.concatenate(parts)


def compare(model: nn.Module, images: Images, labels: NDArray[Any], folder: Path) -> dict[str, Any]:
    """Export, import, and compare every output of every image with two others."""
    path = folder / "model.onnx"
    export_qonnx(model, torch.from_numpy(images[:1]), export_path=str(path), dynamo=False)
    imported = import_onnx(path)
    began = time.monotonic()
    theirs = executed(path, images)
    seconds = time.monotonic() - began
    (ours,) = imported.real(forward(imported.network, imported.quantize_input(images))).values()
    doubled = model.double()
    with torch.no_grad():
        parts = torch.split(torch.from_numpy(images).double(), EXECUTED)
        exact = torch.cat([getattr(out := doubled(part), "value", out) for part in parts]).numpy()
    layers = [each for each in imported.network.layers if isinstance(each, Conv2d | Linear)]
    return {
        "images": len(images),
        "outputs": int(ours.size),
        "differ_from_qonnx": int((np.abs(ours - theirs) > 1e-3 * np.abs(theirs).max()).sum()),
        "differ_from_float64": int((np.abs(ours - exact) > 1e-6 * np.abs(exact).max()).sum()),
        "exact": imported.exact,
        "accuracy": float((ours.argmax(1) == labels).mean()),
        "multiplier_bits": [int(each.requantize.multiplier.max()).bit_length() for each in layers],
        "offsets": sum(each.requantize.offset is not None for each in layers),
        "seconds_of_executor": round(seconds, 1),
    }


def main() -> None:
    """Train and compare all of them, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="Fashion-MNIST")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=400, help="batches to train with")
    parser.add_argument("--only", default="", help="names that contain this")
    arguments = parser.parse_args()
    data = load_fashion_mnist(arguments.data)
    images = data.test_images[: arguments.images].numpy() * np.float32(2) - np.float32(1)
    labels = data.test_labels[: arguments.images].numpy()
    rows: dict[str, Any] = {}
    for learned, (weights, acts) in [*((False, each) for each in WIDTHS), (True, LEARNED)]:
        for kind, build, size in (("tfc", tfc, 784), ("cnv", cnv, 1)):
            name = f"{kind} w{weights}a{acts}{' learned' if learned else ''}"
            if arguments.only not in name:
                continue
            torch.manual_seed(0)
            model = build(Parts(weights, acts, learned=learned), size)
            model = trained(model, data, arguments.steps, seed=0)
            with tempfile.TemporaryDirectory() as folder:
                rows[name] = compare(model, images, labels, Path(folder))
            print(name, rows[name], flush=True)
    if not arguments.only:
        command = f"{COMMAND} --images {arguments.images} --steps {arguments.steps}"
        write_result(FEW_BITS, command, {"networks": rows})
        print("\n".join(few_bit_rows()))


if __name__ == "__main__":
    main()
