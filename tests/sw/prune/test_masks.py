import re

import pytest
import torch
from torch import nn

from systolith.network import KOutOfN, Pattern
from systolith.prune import MaskSet, PruneError

ONE_OF_TWO = Pattern(select=KOutOfN(1, 2))


def test_apply_zeroes_what_is_pruned_and_nothing_else() -> None:
    layer = nn.Linear(2, 2)
    before = layer.weight.detach().clone()
    mask = torch.tensor([[True, False], [False, True]])
    masks = MaskSet({"weight": mask}, {"weight": ONE_OF_TWO})
    masks.apply_(layer)
    assert torch.equal(layer.weight, before * mask)
    assert masks.density == 0.5
    assert list(masks) == ["weight"] and len(masks) == 1
    assert masks.patterns == {"weight": ONE_OF_TWO}


def test_apply_removes_what_is_not_finite() -> None:
    layer = nn.Linear(2, 1)
    nn.init.constant_(layer.weight, torch.nan)
    MaskSet({"weight": torch.tensor([[True, False]])}, {"weight": ONE_OF_TWO}).apply_(layer)
    assert layer.weight[0, 1] == 0


def test_a_mask_set_does_not_change_with_the_tensors_it_was_made_of() -> None:
    mask = torch.tensor([[True, False]])
    masks = MaskSet({"weight": mask}, {"weight": ONE_OF_TWO})
    mask[0, 1] = True
    assert masks["weight"].tolist() == [[True, False]]


def test_no_masks_keep_everything() -> None:
    assert MaskSet({}, {}).density == 1.0


def test_refuses_masks_that_break_their_pattern() -> None:
    message = (
        "3 problems:\n  - 'b' needs a mask and a pattern, but has no pattern"
        "\n  - mask of 'a': filter 0, group 0 (input channels 0..1) at tap (0, 0) keeps 2 weights, "
        "but 1-out-of-2 needs 1"
        "\n  - mask of 'c' must be bool, got torch.float32"
    )
    masks = {"a": torch.tensor([[True, True]]), "b": torch.ones(1, 1), "c": torch.ones(1, 2)}
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        MaskSet(masks, {"a": ONE_OF_TWO, "c": ONE_OF_TWO})


def test_apply_refuses_a_model_it_does_not_fit_and_changes_nothing() -> None:
    model = nn.Sequential(nn.Linear(2, 1), nn.Linear(4, 1))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    mask = torch.tensor([[True, False]])
    names = ["0.weight", "1.weight", "2.weight"]
    masks = MaskSet(dict.fromkeys(names, mask), dict.fromkeys(names, ONE_OF_TWO))
    message = (
        "2 problems:\n  - mask of '1.weight' must have the parameter's shape (1, 4), got (1, 2)"
        "\n  - masks must name a parameter of the model, got '2.weight'"
    )
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        masks.apply_(model)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_applied_masks_inside_the_block_only() -> None:
    layer = nn.Linear(2, 1)
    before = layer.weight.detach().clone()
    masks = MaskSet({"weight": torch.tensor([[True, False]])}, {"weight": ONE_OF_TWO})
    with masks.applied(layer):
        assert torch.equal(layer.weight, before * masks["weight"])
    assert torch.equal(layer.weight, before)
