"""Statistics of batch norms follow weights that changed without training."""

from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from systolith.models import DigitsCNN
from systolith.prune import PruneError
from systolith.prune.posttraining import measure_batch_norms, recalibrate_batch_norms_

IMAGES = torch.rand(48, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def test_an_unchanged_network_keeps_its_statistics() -> None:
    model = DigitsCNN().eval()
    model.bn2.running_mean.fill_(3.0)
    before = deepcopy(model.state_dict())
    recalibrate_batch_norms_(model, IMAGES, measure_batch_norms(model, IMAGES))
    for name, tensor in model.state_dict().items():
        assert torch.allclose(tensor, before[name], rtol=1e-6), name


def test_statistics_change_as_much_as_the_inputs_do() -> None:
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3)).eval()
    model[1].running_mean.fill_(5.0)
    model[1].running_var.fill_(2.0)
    before = measure_batch_norms(model, IMAGES)
    mean = before["1"][0]
    with torch.no_grad():
        model[0].weight.mul_(3.0)
        model[0].bias.mul_(3.0)
    recalibrate_batch_norms_(model, IMAGES, before)
    assert torch.allclose(model[1].running_mean, 5.0 + 2 * mean, rtol=1e-5)
    assert torch.allclose(model[1].running_var, torch.full((3,), 18.0), rtol=1e-5)


def test_without_statistics_from_before_it_is_pytorchs_update_without_dropout() -> None:
    model, expected = DigitsCNN(), DigitsCNN()
    update_bn([IMAGES], expected)
    recalibrate_batch_norms_(model, IMAGES)
    for name in ("bn1", "bn2", "bn3"):
        for kind in ("running_mean", "running_var"):
            ours, theirs = (net.get_buffer(f"{name}.{kind}") for net in (model, expected))
            assert torch.equal(ours, theirs), (name, kind)
    dropping = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm2d(1))
    recalibrate_batch_norms_(dropping, IMAGES)
    assert torch.allclose(dropping[1].running_mean, IMAGES.mean().reshape(1), rtol=1e-5)


def test_measuring_changes_nothing() -> None:
    model = DigitsCNN()
    model.bn1.momentum, model.bn3.training = 0.3, False
    before = deepcopy(model.state_dict())
    untracked = nn.Sequential(model, nn.BatchNorm1d(10, track_running_stats=False))
    assert set(measure_batch_norms(untracked, IMAGES)) == {"0.bn1", "0.bn2", "0.bn3"}
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert model.bn1.momentum == 0.3 and model.bn1.training and not model.bn3.training
    assert measure_batch_norms(nn.Linear(2, 2), torch.rand(2, 2)) == {}


def test_one_image_has_no_variance() -> None:
    with pytest.raises(PruneError, match=r"^batch norms need at least 2 images, got 1$"):
        recalibrate_batch_norms_(DigitsCNN(), IMAGES[:1])
