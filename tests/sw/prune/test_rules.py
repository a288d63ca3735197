import re

import pytest
from torch import nn

from systolith.models import DigitsCNN, TinyResNet
from systolith.network import Granularity, KOutOfN, Pattern, PerNeuron
from systolith.prune import (
    PruneError,
    all_convolutions_but_first,
    check_patterns,
    match_patterns,
)

TWO_OF_EIGHT = Pattern(select=KOutOfN(2, 8))


def _model() -> nn.Module:
    model = nn.Module()
    model.conv1 = nn.Conv2d(1, 18, 3)
    model.conv2 = nn.Conv2d(18, 3, 3)
    model.fc = nn.Linear(6, 2)
    return model


def test_all_convolutions_but_the_first() -> None:
    assert all_convolutions_but_first(DigitsCNN(), TWO_OF_EIGHT) == {
        "conv2": TWO_OF_EIGHT,
        "conv3": TWO_OF_EIGHT,
    }


def test_depthwise_convolutions_stay_dense() -> None:
    names = all_convolutions_but_first(TinyResNet(), TWO_OF_EIGHT)
    assert list(names) == ["conv1.0", "conv2.0", "pointwise.0"]


def test_later_rules_win() -> None:
    kernels = Pattern(select=KOutOfN(1, 8, Granularity.KERNEL))
    rules = [("conv[23]", TWO_OF_EIGHT), ("conv3", kernels), ("fc", TWO_OF_EIGHT)]
    assert match_patterns(DigitsCNN(), rules) == {
        "conv2": TWO_OF_EIGHT,
        "conv3": kernels,
        "fc": TWO_OF_EIGHT,
    }


def test_a_rule_matches_whole_names() -> None:
    with pytest.raises(
        PruneError,
        match=r"^rule 'conv' must name a layer; there are conv1, conv2, conv3, fc$",
    ):
        match_patterns(DigitsCNN(), [("conv", TWO_OF_EIGHT)])


def test_reports_all_problems_of_all_layers_at_once() -> None:
    message = (
        "4 problems:\n"
        "  - rule '(' is not a regular expression: missing ), unterminated subpattern at position 0"
        "\n  - 2-out-of-4 pruning needs in_channels divisible by 4, but layer 'conv2' has 18"
        "\n  - 2-out-of-4 pruning needs in_features divisible by 4, but layer 'fc' has 6"
        "\n  - layer 'conv1': 99-out-of-9 per neuron needs k of at most 9, the weights that each "
        "filter reads"
    )
    two_of_four = Pattern(select=KOutOfN(2, 4))
    rules = [
        ("(", two_of_four),
        ("conv2|fc", two_of_four),
        ("conv1", Pattern(select=PerNeuron(99))),
    ]
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        match_patterns(_model(), rules)


def test_layers_that_share_a_parameter_have_one_mask() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    model[1].weight = model[0].weight
    message = "layers '0' and '1' share their weights, and so their mask: patterns must name only"
    with pytest.raises(PruneError, match=f"^{message} '0'$"):
        check_patterns(model, {"0": TWO_OF_EIGHT, "1": TWO_OF_EIGHT})
    assert check_patterns(model, {"0": TWO_OF_EIGHT})


def test_reports_unknown_layers_and_sharing() -> None:
    message = (
        "2 problems:\n  - patterns must name a layer of conv1, conv2, fc, got 'conv9'"
        "\n  - layer 'conv2': selections shared by 2 filters need a multiple of 2 filters, got 3"
    )
    patterns = {"conv9": TWO_OF_EIGHT, "conv2": Pattern(select=KOutOfN(1, 2, shared_by=2))}
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        check_patterns(_model(), patterns)
