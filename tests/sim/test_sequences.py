"""A network of sequences from PyTorch to the pipeline: images of one row."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.frontend import IntegerModel, lower
from systolith.gateware import Pipeline
from systolith.network import trace
from systolith.plan import compute_timeline, plan_network
from systolith.quant import QuantConfig, prepare
from tests.support.pipeline_bench import PipelineBench

FRAMES = 3


class Heartbeats(nn.Module):
    """A classifier of electrocardiograms, with a residual block."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(2, 4, 7, stride=2, padding=3, bias=False)
        self.norm = nn.BatchNorm1d(4)
        self.block = nn.Conv1d(4, 4, 3, padding=2, dilation=2)
        self.depthwise = nn.Conv1d(4, 4, 3, padding="same", groups=4)
        self.classes = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool1d(F.relu(self.norm(self.first(x))), 3, 2, 1)
        x = F.relu(x + self.depthwise(F.relu(self.block(x))))
        result: Tensor = self.classes(F.avg_pool1d(x, 2, ceil_mode=True).flatten(1))
        return result


def test_sequences_in_hardware() -> None:
    torch.manual_seed(0)
    images = torch.rand(8, 2, 20)
    model = prepare(Heartbeats().eval(), images, QuantConfig(weight_bits=4, act_bits=5))
    network, integer = lower(model), IntegerModel(model)
    given = integer.quantize_input(images[:FRAMES])
    expected = trace(network, given)
    for name, values in integer.trace(given).items():
        np.testing.assert_array_equal(values, expected[name])
    plan = plan_network(network, multipliers=20)
    bench = PipelineBench(Pipeline(plan))
    for gap, stall in ((0.0, 0.0), (0.2, 0.5)):
        run = bench.run(given, gap=gap, stall=stall, seed=1)
        np.testing.assert_equal(run.outputs, {name: expected[name] for name in network.outputs})
        if not gap:
            assert run.cycles == compute_timeline(plan.graph, FRAMES).cycles
