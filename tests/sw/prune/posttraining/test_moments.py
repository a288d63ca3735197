"""Second moments are those of what the layers multiply."""

import pytest
import torch
from torch import Tensor, nn

from systolith.prune import PruneError
from systolith.prune.posttraining import (
    count_calls,
    measure_input_moments,
    measure_output_moments,
    moments,
)
from systolith.prune.posttraining.least_squares import output_errors
from tests.sw.prune.posttraining.layer_cases import CASES, images


def moments_of(model: nn.Module, *names: str, given: Tensor) -> dict[str, Tensor]:
    return measure_input_moments(model, count_calls(model, names, given), given)


@pytest.mark.parametrize("name", CASES)
def test_moments_give_the_mean_square_of_the_layers_outputs(name: str) -> None:
    layer = CASES[name][0].double()
    model, given = nn.Sequential(layer), images(70).double()
    gram = moments_of(model, "0", given=given)["0"]
    assert gram.dtype == torch.float64 and torch.equal(gram, gram.mT)
    weight = layer.get_parameter("weight").detach()
    squares = output_errors(weight.reshape(len(gram), len(weight) // len(gram), -1), gram).flatten()
    outputs = layer(given).detach()
    if layer.bias is not None:
        shape = (-1, 1, 1) if outputs.shape[1] == len(weight) else (-1,)
        outputs = outputs - layer.get_parameter("bias").detach().reshape(shape)
    axes = (0, 2, 3) if isinstance(layer, nn.Conv2d) else (0, 1, 2)
    assert torch.allclose(squares, outputs.square().mean(axes), rtol=1e-12)
    CASES[name][0].float()


class _Twice(nn.Module):
    """Calls one layer on two tensors, then something that must not run."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.unused = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.whole_runs = 0

    def forward(self, x: Tensor) -> Tensor:
        y = self.b(self.a(x))
        y = self.b(y)
        self.whole_runs += 1
        return y


def test_a_layer_called_twice_counts_both_and_the_rest_does_not_run() -> None:
    model, given = _Twice(), torch.randn(130, 4)
    calls = count_calls(model, ("b", "a"), given)
    assert calls == {"a": 1, "b": 2} and list(calls) == ["a", "b"] and model.whole_runs == 1
    gram = measure_input_moments(model, calls, given)
    assert model.whole_runs == 1
    first = model.a(given)
    both = torch.cat([first, model.b(first)]).detach().double()
    assert torch.allclose(gram["b"][0], both.T @ both / 260, rtol=1e-5, atol=1e-6)


def test_what_cannot_be_seen_is_named() -> None:
    model = _Twice()
    with pytest.raises(PruneError, match=r"needs the inputs of 'unused', but .* never calls"):
        count_calls(model, ["a", "unused"], torch.randn(2, 4))
    norm = nn.Sequential(nn.BatchNorm2d(3))
    with pytest.raises(
        PruneError, match=r"needs a convolution or Linear layer, but '0' is a BatchNorm"
    ):
        count_calls(norm, ["0"], torch.randn(2, 3, 4, 4))
    computed = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)))
    with pytest.raises(PruneError, match=r"^masks need parameters, but '0' computes its weights"):
        count_calls(computed, ["0"], torch.randn(2, 4))
    with pytest.raises(PruneError, match=r"^inputs of 'a' must be finite"):
        moments_of(model, "a", given=torch.full((3, 4), torch.inf))
    with pytest.raises(PruneError, match=r"^reconstruction needs images, got none$"):
        count_calls(model, ["a"], torch.empty(0, 4))
    with pytest.raises(PruneError, match=r"^reconstruction needs layers of the model, got 'z'$"):
        count_calls(model, ["z"], torch.randn(2, 4))


@pytest.mark.parametrize("name", ["conv", "stride", "grouped", "linear"])
def test_small_portions_give_the_same_moments(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, given = nn.Sequential(CASES[name][0]), images()
    whole = measure_output_moments(model, model, {"0": 1}, given)
    monkeypatch.setattr(moments, "MOST_ELEMENTS", 1)
    monkeypatch.setattr(moments, "BATCH", 5)
    parts = measure_output_moments(model, model, {"0": 1}, given)
    for kind in ("gram", "cross", "squares"):
        assert torch.allclose(getattr(parts, kind), getattr(whole, kind), rtol=1e-4, atol=1e-5)
    assert torch.allclose(whole.gram[:, -1, -1], torch.ones(1).double())
