"""Wanda scores: magnitude times the norm of the inputs."""

import pytest
import torch
from torch import nn

from systolith.network import KOutOfN, Pattern
from systolith.prune import PruneError, ScorePruner
from systolith.prune.posttraining import measure_wanda
from tests.sw.prune.posttraining.layer_cases import CASES, images


def test_a_weight_counts_as_much_as_its_input() -> None:
    layer = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[3.0, 1.0], [1.0, 3.0]]))
    model, given = nn.Sequential(layer), torch.tensor([[1.0, 6.0], [0.0, 8.0]])
    score = measure_wanda(model, ["0"], given)
    assert torch.equal(score("0.weight", layer.weight), torch.tensor([[3.0, 10.0], [1.0, 30.0]]))
    pattern = Pattern(select=KOutOfN(1, 2))
    masks = ScorePruner(patterns={"0": pattern}, score=score).masks(model)
    assert masks["0.weight"].tolist() == [[False, True], [False, True]]


@pytest.mark.parametrize("name", CASES)
def test_norms_are_those_of_each_weights_inputs(name: str) -> None:
    layer, given = CASES[name][0], images(70)
    score = measure_wanda(nn.Sequential(layer), ["0"], given)
    weight = layer.get_parameter("weight").detach()
    filters = torch.zeros_like(weight)
    place = (len(weight) - 1, *(size - 1 for size in weight.shape[1:]))
    filters[place] = weight[place]
    with torch.no_grad():
        kept, layer.weight.data = layer.weight.data, filters
        bias = 0.0 if layer.bias is None else layer.bias[-1]
        outputs = layer(given)
        layer.weight.data = kept
    last = outputs[:, -1] if isinstance(layer, nn.Conv2d) else outputs[..., -1]
    expected = (last - bias).double().square().sum().sqrt()
    assert torch.allclose(score("0.weight", weight)[place].double(), expected, rtol=1e-4)


def test_a_weight_that_was_not_measured_is_named() -> None:
    score = measure_wanda(nn.Sequential(nn.Linear(2, 2)), ["0"], torch.ones(1, 2))
    with pytest.raises(PruneError, match=r"the inputs of '1\.weight', but have none$"):
        score("1.weight", torch.ones(2, 2))
