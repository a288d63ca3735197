"""Write the files in ``files``: quantized networks of ONNX Runtime, NNCF, Brevitas and PyTorch.

Run it in an environment with torch 2.13, onnxruntime 1.31, brevitas 0.13 and nncf 3.4: ``python
make_files.py FOLDER``. The tests read the files that it wrote, and need none of these.
"""

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import Tensor, nn
from torch.nn import functional as F

qnn: Any = import_module("brevitas.nn")
exports: Any = import_module("brevitas.export")
quants: Any = import_module("brevitas.quant")

IMAGES = np.random.default_rng(1).standard_normal((16, 3, 8, 8)).astype(np.float32)


class Branches(nn.Module):
    """Joined, split and upsampled branches, functions, an addition, dilation and pools."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.join, self.dilated = nn.Conv2d(16, 8, 1), nn.Conv2d(4, 4, 3, padding=2, dilation=2)
        self.fc = nn.Linear(4, 5)
        for name, values in self.norm.named_buffers():
            if name == "running_mean":
                values.normal_(0, 0.3)
            elif name == "running_var":
                values.uniform_(0.5, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Compute logits."""
        y = F.leaky_relu(self.norm(self.first(x)), 0.1)
        z = F.interpolate(F.relu(self.depthwise(F.max_pool2d(y, 2))), scale_factor=2)
        a, b = torch.sigmoid(self.join(torch.cat([y, z], 1))).chunk(2, 1)
        y = F.hardtanh(self.dilated(a), -1, 1) + b
        y = F.avg_pool2d(y, 3, stride=1, padding=1)
        logits: Tensor = self.fc(F.adaptive_avg_pool2d(y, 1).flatten(1))
        return logits


class Quantized(nn.Module):
    """A network of Brevitas with a concatenation, a sigmoid and upsampling."""

    def __init__(self, weight: Any, signed: Any, unsigned: Any) -> None:
        super().__init__()
        how = {"weight_quant": weight, "weight_bit_width": 4, "bias": False}
        act = {"act_quant": unsigned, "bit_width": 4, "return_quant_tensor": True}
        self.images = qnn.QuantIdentity(act_quant=signed, bit_width=8, return_quant_tensor=True)
        self.first, self.norm = qnn.QuantConv2d(3, 8, 3, padding=1, **how), nn.BatchNorm2d(8)
        self.relu, self.relu2 = qnn.QuantReLU(**act), qnn.QuantReLU(**act)
        self.depthwise = qnn.QuantConv2d(8, 8, 3, padding=1, groups=8, **how)
        self.same, self.join = qnn.QuantIdentity(**act), qnn.QuantConv2d(16, 8, 1, **how)
        self.sigmoid = qnn.QuantSigmoid(bit_width=4, return_quant_tensor=True)
        self.grow, self.last = nn.Upsample(scale_factor=2), qnn.QuantConv2d(8, 4, 3, **how)
        self.out = qnn.QuantIdentity(act_quant=signed, bit_width=8)
        self.fc = qnn.QuantLinear(4 * 36, 5, **how)

    def forward(self, x: Tensor) -> Tensor:
        """Compute logits."""
        y = self.same(self.relu(self.norm(self.first(self.images(x)))))
        z = self.same(self.relu2(self.depthwise(y)))
        y = self.sigmoid(self.join(torch.cat([y, z], 1))).value
        logits: Tensor = self.fc(self.out(self.last(self.grow(F.max_pool2d(y, 2)))).flatten(1))
        return logits


class Reader:
    """The images, one after the other."""

    def __init__(self) -> None:
        self.rest: Iterator[Any] = iter(IMAGES[:, None])

    def get_next(self) -> dict[str, Any] | None:
        """Give the next image."""
        image = next(self.rest, None)
        return None if image is None else {"images": image}


def write_runtime(ready: Path, folder: Path) -> None:
    """Quantize by ONNX Runtime: both formats, types, per channel, symmetric, optimized."""
    types = {"u": QuantType.QUInt8, "s": QuantType.QInt8}
    for form in QuantFormat:
        for kinds in ("us", "ss", "uu"):
            for channels in (False, True):
                for symmetric in (False, True):
                    path = folder / (
                        f"onnxruntime_{form.name.lower()}_{kinds[0]}8{kinds[1]}8"
                        f"{'_per_channel' * channels}{'_symmetric' * symmetric}.onnx"
                    )
                    quantize_static(
                        ready,
                        path,
                        Reader(),
                        quant_format=form,
                        per_channel=channels,
                        activation_type=types[kinds[0]],
                        weight_type=types[kinds[1]],
                        extra_options={"ActivationSymmetric": symmetric},
                    )
                    options = onnxruntime.SessionOptions()
                    options.graph_optimization_level = (
                        onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
                    )
                    optimized = path.with_stem(f"{path.stem}_optimized_extended")
                    options.optimized_model_filepath = str(optimized)
                    onnxruntime.InferenceSession(path, options)


def write_nncf(ready: Path, folder: Path) -> None:
    """Quantize by NNCF, with symmetric and with any activations."""
    nncf = import_module("nncf")  # not part of the environment of the tests
    for preset in nncf.QuantizationPreset:
        images = nncf.Dataset(list(IMAGES[:, None]), lambda image: {"images": image})
        model = nncf.quantize(onnx.load(ready), images, preset=preset, subset_size=16)
        onnx.save(model, folder / f"nncf_{preset.value}.onnx")


def write_brevitas(folder: Path) -> None:
    """Export from Brevitas, in both formats, with any scales and powers of two."""
    floats = (
        quants.Int8WeightPerTensorFloat,
        quants.Int8ActPerTensorFloat,
        quants.Uint8ActPerTensorFloat,
    )
    fixed = (
        quants.Int8WeightPerTensorFixedPoint,
        quants.Int8ActPerTensorFixedPoint,
        quants.Uint8ActPerTensorFixedPoint,
    )
    for name, how in (("w4a4", floats), ("w4a4_fixed", fixed)):
        torch.manual_seed(3)
        model = Quantized(*how).train()
        for _ in range(3):
            model(torch.from_numpy(IMAGES))
        one = torch.from_numpy(IMAGES[:1])
        for form, export in (("qonnx", exports.export_qonnx), ("qcdq", exports.export_onnx_qcdq)):
            path = str(folder / f"brevitas_{form}_{name}.onnx")
            export(model.eval(), args=one, export_path=path, dynamo=False)


def strip_places(path: Path) -> None:
    """Remove the stack traces that torch.onnx writes, which hold paths of this machine."""
    proto = onnx.load(path)
    graph = proto.graph
    for part in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output):
        part.doc_string = ""
        del part.metadata_props[:]
    onnx.save(proto, path)


def main(folder: Path) -> None:
    """Write all files."""
    torch.manual_seed(1)
    model, images = Branches().eval(), torch.from_numpy(IMAGES[:2])
    plain, ready = folder / "float.onnx", folder / "ready.onnx"
    torch.onnx.export(
        model,
        (images,),
        str(plain),
        dynamo=False,
        opset_version=17,
        input_names=["images"],
        dynamic_axes={"images": {0: "batch"}},
    )
    torch.onnx.export(
        model,
        (images,),
        str(folder / "torch_dynamo_float.onnx"),
        dynamo=True,
        opset_version=18,
        input_names=["images"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        external_data=False,
    )
    strip_places(folder / "torch_dynamo_float.onnx")
    quant_pre_process(plain, ready, skip_symbolic_shape=True)
    write_runtime(ready, folder)
    write_nncf(ready, folder)
    write_brevitas(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
