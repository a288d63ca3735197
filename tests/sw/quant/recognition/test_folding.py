import re

import pytest
import torch
from torch import nn

from systolith.quant import fold_batch_norm


def _trained(norm: nn.BatchNorm2d) -> nn.BatchNorm2d:
    generator = torch.Generator().manual_seed(5)
    for value in (norm.running_mean, norm.running_var, norm.weight, norm.bias):
        if value is not None:
            value.data.copy_(torch.rand(value.shape, generator=generator) + 0.1)
    return norm.eval()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("eps", [1e-5, 1e-3])
def test_folding_changes_no_result(bias: bool, affine: bool, groups: int, eps: float) -> None:
    conv = nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=groups, bias=bias).double()
    norm = _trained(nn.BatchNorm2d(8, eps, affine=affine).double())
    x = torch.randn(2, 4, 7, 7, dtype=torch.float64)
    folded = fold_batch_norm(conv, norm).double()
    # The folded weights are stored in float32.
    assert torch.allclose(folded(x), norm(conv(x)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("frozen", ["weight", "norm", "both", "neither"])
def test_frozen_weights_stay_frozen_when_folded(frozen: str) -> None:
    conv, norm = nn.Conv2d(2, 2, 1, bias=False), nn.BatchNorm2d(2)
    conv.requires_grad_(frozen in ("norm", "neither"))
    norm.requires_grad_(frozen in ("weight", "neither"))
    folded = fold_batch_norm(conv, norm)
    assert folded.weight.requires_grad == (frozen in ("norm", "neither"))
    assert folded.bias.requires_grad == (frozen != "both")


def test_zeros_stay_zeros_and_arguments_stay_as_they_are() -> None:
    conv, norm = nn.Conv2d(2, 2, 1), _trained(nn.BatchNorm2d(2))
    with torch.no_grad():
        conv.weight[0, 1] = 0.0
    before = conv.weight.detach().clone()
    folded = fold_batch_norm(conv, norm)
    assert folded.weight[0, 1] == 0
    assert torch.equal(conv.weight, before)


def test_refuses_what_cannot_be_folded() -> None:
    message = "folding a batch norm needs running statistics, but it tracks none"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        fold_batch_norm(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2, track_running_stats=False))
    message = "folding needs as many batch norm features as out_channels (2), got 3"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        fold_batch_norm(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(3))
