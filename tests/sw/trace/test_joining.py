"""Models of several inputs as models of one."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from systolith.frontend import IntegerModel, lower
from systolith.network import trace
from systolith.quant import prepare
from systolith.trace import stack_inputs


class Pair(nn.Module):
    """An image and a mask, each with a convolution of its own."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(1, 4, 3)
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        parts = [self.first(image).relu(), self.second(mask).relu()]
        return self.head(torch.cat(parts, 1))  # type: ignore[no-any-return]


def test_a_joined_model_is_the_model_with_the_same_names() -> None:
    model, x = Pair().eval(), torch.rand(2, 4, 6, 6)
    joined = stack_inputs(model, (3, 1))
    assert torch.equal(joined(x), model(x[:, :3], x[:, 3:]))
    assert list(joined.state_dict()) == list(model.state_dict())
    assert all(a is b for a, b in zip(joined.parameters(), model.parameters(), strict=True))


def test_inputs_are_selected_from_channels() -> None:
    images = torch.rand(8, 4, 6, 6, generator=torch.Generator().manual_seed(0))
    quantized = prepare(stack_inputs(Pair().eval(), (3, 1)), images).eval()
    network, integer = lower(quantized), IntegerModel(quantized)
    kinds = [type(layer).__name__ for layer in network.layers]
    assert kinds == ["SelectChannels", "Conv2d"] * 2 + ["Concat", "Conv2d"]
    integers = integer.quantize_input(images)
    golden, mirrored = trace(network, integers), integer.trace(integers)
    assert all(np.array_equal(values, mirrored[name]) for name, values in golden.items())


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        ((4,), r"^channels must be two or more positive numbers, got \[4\]$"),
        ((3, 0), r"^channels must be two or more positive numbers, got \[3, 0\]$"),
        ((1, 1, 1), r"^forward\(\) takes image, mask, but 3 inputs are given$"),
    ],
)
def test_other_numbers_of_inputs_are_refused(channels: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        stack_inputs(Pair(), channels)
