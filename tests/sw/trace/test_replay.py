"""Recordings run again on other images, and compared with each other."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from systolith.trace import first_difference, record, record_for_any_count, run_node

IMAGES = torch.rand(4, 3, 8, 8)


class _Written(nn.Module):
    def __init__(self, compute: Callable[[Tensor], Tensor], channels: int = 4) -> None:
        super().__init__()
        self.compute = compute
        self.conv = nn.Conv2d(3, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.compute(self.conv(x))


def _in_place(x: Tensor) -> Tensor:
    y = x.clone()
    x[:, :] = y * 2
    return x


@pytest.mark.parametrize(
    "compute",
    [
        lambda x: x.view(x.size(0), -1),
        lambda x: x.reshape(2 * len(x), -1)[len(x) - 1 :],
        lambda x: x + torch.ones(len(x), 1, 1, 1),
        lambda x: x.expand(len(x), *x.shape[1:]).mean((2, 3)),
        lambda x: torch.cat([x, x[:, :, :, : x.size(3) // 2]], 3),
        lambda x: torch.stack(x.chunk(2, dim=1), 1),
        lambda x: F.relu(x, inplace=True) - x.data,
        lambda x: F.interpolate(x, size=x.shape[2:]),
        _in_place,
    ],
)
def test_a_recording_runs_on_any_number_of_images(compute: Callable[[Tensor], Tensor]) -> None:
    model = _Written(compute).eval()
    recording = record_for_any_count(model, IMAGES[:2])
    assert recording.problems == []
    for count in (1, 2, 3, 4):
        values: dict[fx.Node, Tensor] = {}
        for node in recording.graph.nodes:
            if node.op == "placeholder":
                values[node] = IMAGES[:count].clone()
            else:
                values[node] = run_node(node, values.__getitem__, count)
        (output,) = recording.outputs
        assert torch.equal(values[output], model(IMAGES[:count]))


@pytest.mark.parametrize(
    "compute",
    [
        lambda x: x / (1 / len(x)),
        lambda x: x if len(x) == 2 else x.relu(),
        lambda x: x + torch.arange(len(x))[:, None, None, None],
        lambda x: x + torch.rand(1),
    ],
)
def test_what_depends_on_the_number_of_images_is_a_problem(
    compute: Callable[[Tensor], Tensor],
) -> None:
    (problem,) = record_for_any_count(_Written(compute), IMAGES).problems
    assert problem.endswith("needs to be the same for any number of images")


@pytest.mark.parametrize(
    ("compute", "name"),
    [
        (lambda x: F.relu(x * 2), None),
        (lambda x: F.relu(x / x.size(1)), "truediv"),
        (lambda x: x.view(len(x), 36 * x.size(1)) * 2, "view"),
        (lambda x: x.relu() if x.size(1) == 4 else x.tanh(), "relu"),
        (lambda x: x.relu() + torch.zeros(1, x.size(1), 1, 1), "add"),
        (lambda x: (x * 2).relu() if x.size(1) == 4 else x * 2, "relu"),
    ],
)
def test_the_first_difference_of_two_recordings_is_named(
    compute: Callable[[Tensor], Tensor], name: str | None
) -> None:
    wide, narrow = (record(_Written(compute, channels), IMAGES) for channels in (4, 3))
    node = first_difference(wide, narrow)
    assert name == (None if node is None else node.name)
