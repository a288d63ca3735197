"""Programs of torch.export are read like the models that they were made of."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.frontend import IntegerModel, lower
from systolith.network import trace
from systolith.quant import QuantConfig, UnsupportedModelError, prepare
from tests.support.slow import first_few
from tests.support.written_models import IMAGES, Written

ANY_COUNT = ({0: torch.export.Dim("images")},)


def _block(m: Written, x: Tensor) -> Tensor:
    x = F.relu6(m.norm(m.a(F.pad(x, (1, 1, 1, 1)))))
    one, other = x.chunk(2, 1)
    x = torch.cat([other, one], 1)
    x = x + F.hardswish(m.c(F.dropout(x, training=m.training)))
    shuffled = x.view(x.size(0), 2, 2, 8, 8).transpose(1, 2).contiguous().view(-1, 4, 8, 8)
    x = F.max_pool2d(shuffled, 2)
    x = F.avg_pool2d(F.interpolate(x, scale_factor=2.0), 2)[:, :, 1:, :-1]
    return m.b(x).mean((2, 3)) + 0.0


def _sequence(m: Written, x: Tensor) -> Tensor:
    return m.fc(m.relu(m.a(x)).flatten(1))


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("forward", first_few([_block, _sequence], 1))
def test_a_program_becomes_the_integers_of_its_model(
    forward: Callable[[Written, Tensor], Tensor],
) -> None:
    model = Written(forward).eval()
    program = torch.export.export(model, (IMAGES,), dynamic_shapes=ANY_COUNT)
    config = QuantConfig(weight_bits=6)
    expected, quantized = prepare(model, IMAGES, config).eval(), prepare(program, IMAGES, config)
    network = lower(quantized)
    integers = IntegerModel(quantized)
    given = integers.quantize_input(IMAGES)
    golden = trace(network, given)
    last = network.layers[-1].name
    assert np.array_equal(golden[last], integers.trace(given)[last])
    assert torch.equal(IntegerModel(expected).logits(IMAGES), integers.logits(IMAGES))
    weights = {name for name in ("a", "b", "c", "fc") if name in expected.origins.values()}
    assert weights <= set(quantized.origins.values()), "layers have the names of their modules"


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_a_program_for_one_number_of_images_is_refused() -> None:
    program = torch.export.export(Written(_sequence).eval(), (IMAGES,))
    with pytest.raises(UnsupportedModelError) as caught:
        prepare(program, IMAGES)
    (problem,) = caught.value.problems
    assert problem == (
        "'GraphModule' (exported program): needs to take any number of images, takes 6; export "
        "with dynamic_shapes=({0: torch.export.Dim('images')},)"
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_a_program_in_training_mode_is_refused_by_name() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

        def forward(self, x: Tensor) -> Tensor:
            return F.dropout(self.norm(self.conv(x)))

    program = torch.export.export(Net().train(), (IMAGES,), dynamic_shapes=ANY_COUNT)
    with pytest.raises(UnsupportedModelError) as caught:
        prepare(program, IMAGES)
    assert "drops values in evaluation" in str(caught.value)
    assert "needs training=False; put the model into evaluation mode" in str(caught.value)
