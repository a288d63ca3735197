"""Every activation of PyTorch over every integer of its input, through hardware."""

import numpy as np
import pytest
import torch
from torch import nn

from systolith.frontend import IntegerModel, lower
from systolith.gateware import Pipeline
from systolith.network import Table
from systolith.plan import plan_network
from systolith.quant import QuantConfig, prepare
from tests.support.functions import FUNCTIONS, Function
from tests.support.pipeline_bench import run_frames


class _Alone(nn.Module):
    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_hardware_computes_every_integer_as_pytorch_does(name: str) -> None:
    # Three-sigma inputs of a normalized layer, and both ends of the type.
    reals = torch.linspace(-4, 4, 256).reshape(1, 4, 8, 8)
    quantized = prepare(_Alone(FUNCTIONS[name]).eval(), reals, QuantConfig(input_signed=True))
    network, integer = lower(quantized), IntegerModel(quantized)
    (table,) = network.layers
    assert isinstance(table, Table)
    codes = np.arange(-128, 128).reshape(1, 4, 8, 8)
    run = run_frames(Pipeline(plan_network(network, cycles=64)), codes, gap=0.1, stall=0.3)
    (outputs,) = run.outputs.values()
    assert np.array_equal(outputs, integer.trace(codes)[table.name])
    step = quantized.input_quantizer.step.detach()
    with torch.no_grad():
        fake = quantized.eval()(torch.from_numpy(codes) * step)
    assert np.array_equal(
        outputs, np.rint(fake.numpy() / float(quantized.quantizer(table.name).step))
    )
