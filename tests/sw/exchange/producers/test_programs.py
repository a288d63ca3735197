"""Programs of PyTorch with quantizers, in the operators that torchao's PT2E writes."""

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.nn import functional as F

from systolith.exchange import ExchangeError, import_program
from systolith.network import Add, AvgPool2d, Conv2d, Linear, forward
from systolith.quant import UnsupportedModelError, prepare

import_module("torch.ao.quantization.fx._decomposed")  # registers the operators
QUANTIZED = torch.ops.quantized_decomposed
BYTE = (-128, 127, torch.int8)
IMAGES = torch.rand(4, 3, 6, 6, generator=torch.Generator().manual_seed(0))


def requantize(x: Tensor, scale: float, zero: int) -> Tensor:
    """Quantize and dequantize, as PT2E does behind each operator."""
    integers = QUANTIZED.quantize_per_tensor.default(x, scale, zero, *BYTE)
    result: Tensor = QUANTIZED.dequantize_per_tensor.default(integers, scale, zero, *BYTE)
    return result


class Residual(nn.Module):
    """A residual block and a linear layer; all scales are powers of two, so no float rounds."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        for name, shape in {"a": (4, 3, 3, 3), "b": (4, 1, 3, 3), "fc": (5, 4)}.items():
            integers = torch.randint(-127, 128, shape, generator=generator).to(torch.int8)
            self.register_buffer(f"{name}_weight", integers)
            scale = 2.0 ** -torch.randint(6, 9, shape[:1], generator=generator)
            self.register_buffer(f"{name}_scale", scale)
            self.register_buffer(f"{name}_zero", torch.zeros(shape[:1], dtype=torch.int64))
            bias = torch.randint(-99, 99, shape[:1], generator=generator) * scale / 64
            self.register_buffer(f"{name}_bias", bias)

    def weight(self, name: str) -> Tensor:
        given = (self.get_buffer(f"{name}_{part}") for part in ("weight", "scale", "zero"))
        result: Tensor = QUANTIZED.dequantize_per_channel.default(*given, 0, -127, 127, torch.int8)
        return result

    def forward(self, x: Tensor) -> Tensor:
        x = requantize(x, 2**-6, -128)
        x = F.conv2d(x, self.weight("a"), self.get_buffer("a_bias"), padding=1)
        x = requantize(F.relu(x), 2**-4, -128)
        y = F.conv2d(x, self.weight("b"), self.get_buffer("b_bias"), padding=1, groups=4)
        x = requantize(F.relu(requantize(y, 2**-3, 26) + x), 2**-2, -128)
        x = requantize(F.avg_pool2d(x, 2), 2**-2, -120)
        x = requantize(F.max_pool2d(x, 3).flatten(1), 2**-2, -120)
        x = F.linear(x, self.weight("fc"), self.get_buffer("fc_bias"))
        return requantize(x, 2**-1, 4)


def export(model: nn.Module) -> ExportedProgram:
    return torch.export.export(model, (IMAGES,), dynamic_shapes=({0: Dim("images")},))


@pytest.mark.filterwarnings("ignore")
def test_a_program_is_read_exactly_also_from_a_file(tmp_path: Path) -> None:
    program = export(Residual().eval())
    torch.export.save(program, tmp_path / "residual.pt2")
    found = import_program(tmp_path / "residual.pt2")
    assert found.exact and found.agreement is not None and found.agreement.equal
    kinds = [type(layer) for layer in found.network.layers]
    assert [kinds.count(kind) for kind in (Conv2d, Add, AvgPool2d, Linear)] == [2, 1, 1, 1]
    images = torch.rand(64, 3, 6, 6, generator=torch.Generator().manual_seed(2))
    (real,) = found.real(forward(found.network, found.quantize_input(images.numpy()))).values()
    assert np.array_equal(real, program.module()(images).numpy())


@pytest.mark.filterwarnings("ignore")
def test_programs_of_the_other_door_are_refused(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU()).eval()
    with pytest.raises(ExchangeError, match="has no quantizers: give it to systolith.quant"):
        import_program(export(model))
    (tmp_path / "model.pt2").write_bytes(b"nothing")
    with pytest.raises(ExchangeError, match="holds no program"):
        import_program(tmp_path / "model.pt2")
    with pytest.raises(UnsupportedModelError, match="is quantized already; read it by systolith"):
        prepare(export(Residual().eval()), IMAGES)
