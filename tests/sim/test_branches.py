"""Networks whose branches split and meet again, from PyTorch to the pipeline."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.frontend import IntegerModel, lower
from systolith.gateware import Pipeline
from systolith.network import trace
from systolith.plan import ForkPlan, compute_timeline, plan_network
from systolith.quant import QuantConfig, prepare
from tests.support.pipeline_bench import PipelineBench
from tests.support.slow import first_few

FRAMES = 3


class Fire(nn.Module):
    """A fire module of SqueezeNet."""

    def __init__(self) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(3, 2, 1)
        self.one, self.three = nn.Conv2d(2, 4, 1), nn.Conv2d(2, 4, 3, padding=1)
        self.last = nn.Conv2d(8, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.squeeze(x))
        y = torch.cat([F.relu(self.one(x)), F.relu(self.three(x))], 1)
        result: Tensor = self.last(F.max_pool2d(y, 2)).mean((2, 3))
        return result


class Dense(nn.Module):
    """A block of DenseNet: each layer reads all results before it."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 1)
        self.layers = nn.ModuleList(nn.Conv2d(4 + 2 * n, 2, 3, padding=1) for n in range(3))

    def forward(self, x: Tensor) -> Tensor:
        parts = [F.relu(self.first(x))]
        for layer in self.layers:
            parts.append(F.relu(layer(torch.cat(parts, 1))))
        return torch.cat(parts, 1)


class Shuffle(nn.Module):
    """Two units of ShuffleNetV2: one half of the channels passes by, then channels are shuffled."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.units = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(4, 4, 1),
                nn.ReLU(),
                nn.Conv2d(4, 4, 3, padding=1, groups=4),
                nn.Conv2d(4, 4, 1),
                nn.ReLU(),
            )
            for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x))
        for unit in self.units:
            passing, given = x.chunk(2, dim=1)
            x = torch.cat((passing, unit(given)), dim=1)
            b, c, h, w = x.shape
            x = x.view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h, w)
        return x.mean((2, 3))


class UNet(nn.Module):
    """One level down and up again by a pixel shuffle, joined with what was there before."""

    def __init__(self) -> None:
        super().__init__()
        self.before = nn.Conv2d(3, 4, 3, padding=1)
        self.below = nn.Conv2d(4, 16, 3, padding=1)
        self.after = nn.Conv2d(8, 2, 3, padding=1)
        self.up = nn.PixelShuffle(2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.before(x))
        below = F.relu(self.below(F.max_pool2d(x, 2)))
        result: Tensor = self.after(torch.cat([x, self.up(below)], 1))
        return result


class Transposed(UNet):
    """As :class:`UNet`, up again by transposed convolutions: one with a cut, one depthwise."""

    def __init__(self) -> None:
        super().__init__()
        self.below = nn.Conv2d(4, 3, 3, padding=1)
        self.up = nn.Sequential(
            nn.ConvTranspose2d(3, 4, 4, 2, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU()
        )
        self.after = nn.ConvTranspose2d(8, 2, 3, 2, 1, 1, groups=2)


@pytest.mark.parametrize("multipliers", first_few([12, 100], 1))
@pytest.mark.parametrize("kind", [Fire, Dense, Shuffle, UNet, Transposed])
def test_branches_meet_again(kind: type[nn.Module], multipliers: int) -> None:
    torch.manual_seed(0)
    images = torch.rand(8, 3, 4, 6)
    model = prepare(kind().eval(), images, QuantConfig(weight_bits=4, act_bits=5))
    network, integer = lower(model), IntegerModel(model)
    given = integer.quantize_input(images[:FRAMES])
    expected = trace(network, given)
    for name, values in integer.trace(given).items():
        np.testing.assert_array_equal(values, expected[name])
    plan = plan_network(network, multipliers=multipliers)
    assert any(isinstance(stage, ForkPlan) for stage in plan.stages)
    bench = PipelineBench(Pipeline(plan))
    for gap, stall in ((0.0, 0.0), (0.2, 0.5)):
        run = bench.run(given, gap=gap, stall=stall, seed=1)
        np.testing.assert_equal(run.outputs, {name: expected[name] for name in network.outputs})
        if not gap:
            assert run.cycles == compute_timeline(plan.graph, FRAMES).cycles
            assert run.cycles == plan.cycles(FRAMES)
