"""Activations of one bit: signs in training, in evaluation, as integers, in files and in RTL."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from systolith.exchange import Format, export_onnx, import_onnx
from systolith.frontend import IntegerModel, lower
from systolith.network import Conv2d, Linear, forward
from systolith.plan import plan_network
from systolith.quant import LayerBits, QuantConfig, SignQuantizer, UnsupportedModelError, prepare


class Signs(nn.Module):
    """Convolutions padded with zeros, batch norm, a max pool, and no ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.second = nn.Conv2d(6, 4, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.fc = nn.Linear(4 * 9, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.second(self.norm(self.first(x))))
        return self.fc(x.flatten(1))


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(8, 2, 6, 6, generator=torch.Generator().manual_seed(0))


def test_every_way_gives_the_same(images: torch.Tensor, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = prepare(Signs(), images, QuantConfig(weight_bits=1, act_bits=1))
    assert sum(isinstance(module, SignQuantizer) for module in model.modules()) == 2
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    model.train()
    losses = []
    for _ in range(12):
        loss = nn.functional.cross_entropy(model(images), torch.arange(8) % 5)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0], "signs pass gradients on"
    model.eval()
    network = lower(model)
    first, second, fc = (network[name] for name in ("first", "second", "fc"))
    assert isinstance(first, Conv2d) and isinstance(second, Conv2d) and isinstance(fc, Linear)
    codes = np.asarray(model.input_quantizer.integers(images).numpy())
    wanted = forward(network, codes)["fc"]
    with torch.no_grad():
        real = model(images).numpy()
    step = float(model.quantizer("fc").step.detach())
    assert np.array_equal(np.rint(real / step).astype(np.int64), wanted)
    assert np.array_equal(IntegerModel(model)(torch.from_numpy(codes)).numpy(), wanted)
    export_onnx(network, tmp_path / "signs.onnx", Format.QONNX)
    again = import_onnx(tmp_path / "signs.onnx")
    assert again.exact and again.agreement is not None and again.agreement.equal
    assert np.array_equal(next(iter(forward(again.network, codes).values())), wanted)
    plan_network(network)


def test_a_sum_of_zero_is_positive() -> None:
    quantizer = SignQuantizer()
    x = torch.tensor([[-1.0, -0.0, 0.0, 1e-30, -1e-30]], requires_grad=True)
    assert quantizer.integers(x).tolist() == [[-1, 1, 1, 1, -1]]
    quantizer(x).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [[1.0] * 5]


def test_what_has_no_sign_is_refused(images: torch.Tensor) -> None:
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(16, 3)
    )
    with pytest.raises(UnsupportedModelError) as error:
        prepare(model, images, QuantConfig(act_bits=1))
    assert len(error.value.problems) == 2
    assert "leave out the relu behind '0', or give it 2 bits" in error.value.problems[0]
    bits = {"0": LayerBits(act_bits=2), "2": LayerBits(act_bits=2)}
    prepare(model, images, QuantConfig(act_bits=1, layers=bits))
