"""Probabilities that the host computes from a board's logits."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from systolith.data import Dataset
from systolith.emit import Meaning
from systolith.host import compute_probabilities, rank_classes
from systolith.network import append_argmax
from systolith.plan import plan_network
from systolith.quant import QuantConfig, prepare
from systolith.stages.board import BoardResult, guess_classes
from systolith.stages.software.experiment import describe_meaning
from tests.support.networks import small_network


@pytest.mark.parametrize("end", ["softmax", "sigmoid"])
def test_probabilities_are_those_of_torch(end: str) -> None:
    outputs = [-900, -3, 0, 5, 900, 900]
    ours = compute_probabilities(outputs, scale=0.25, zero_point=-3, end=end)
    real = 0.25 * (torch.tensor(outputs, dtype=torch.float64) + 3)
    theirs = real.softmax(0) if end == "softmax" else real.sigmoid()
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-14, atol=0)
    best = rank_classes(outputs, ours.tolist(), 3)
    assert [guess.category for guess in best] == [4, 5, 3]
    assert [guess.probability for guess in best] == [ours[4], ours[5], ours[3]]


class _Ended(nn.Module):
    def __init__(self, end: str) -> None:
        super().__init__()
        self.linear, self.end = nn.Linear(4, 3), end

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.linear(x.flatten(1))
        match self.end:
            case "softmax":
                return F.log_softmax(logits, 1)
            case "sigmoid":
                return logits.sigmoid()
            case "class":
                return logits.softmax(1).argmax(1)
        return logits


@pytest.mark.parametrize(
    ("end", "found"),
    [("softmax", "softmax"), ("sigmoid", "sigmoid"), ("class", "softmax"), ("logits", "")],
)
@pytest.mark.filterwarnings("ignore:.* is left out")
def test_what_was_left_out_is_known(end: str, found: str) -> None:
    images = torch.randn(8, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    quantized = prepare(_Ended(end).eval(), images, QuantConfig(input_signed=True))
    assert quantized.ends.get(quantized.outputs[0], "") == found
    labels = torch.zeros(8, dtype=torch.int64)
    data = Dataset(
        name="noise",
        train_images=images,
        train_labels=labels,
        test_images=images,
        test_labels=labels,
    )
    meaning = describe_meaning(quantized, data, ("linear",))
    assert dict(meaning.ends) == ({"linear": found} if found else {})


def test_answers_are_ranked_with_what_is_known() -> None:
    plan = plan_network(small_network())
    logits = {"fc": np.array([3, 7, 7, -1, 0])}
    answer = BoardResult(cycles=9, outputs=logits, expected=logits, classes={"fc": 1})
    meaning = Meaning(input_scale=1.0, output_scales={"fc": 0.5}, ends={"fc": "softmax"})
    saved = Meaning.from_json(meaning.to_json(plan.network))
    best = guess_classes(answer, plan, saved, 2)["fc"]
    assert [guess.category for guess in best] == [1, 2]
    assert best[0].probability == best[1].probability == pytest.approx(0.4579, abs=1e-4)
    assert guess_classes(answer, plan, None, 1)["fc"][0].probability is None
    found = {"fc_class": np.array([4])}
    chip = BoardResult(
        cycles=9, outputs=found, expected=found, classes={"fc_class": 4}, given=frozenset(found)
    )
    with_class = plan_network(append_argmax(small_network()))
    (only,) = guess_classes(chip, with_class, None, 5)["fc_class"]
    assert (only.category, only.probability) == (4, None)
