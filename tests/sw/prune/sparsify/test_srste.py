import re

import pytest
import torch
from torch import nn

from systolith.network import KOutOfN, Pattern
from systolith.prune import SRSTE, Cubic, FrozenMasks, MaskSet, PruneError, ScorePruner

PATTERNS = {"0": Pattern(select=KOutOfN(1, 2))}


def _model() -> nn.Sequential:
    model = nn.Sequential(nn.Linear(4, 3))
    with torch.no_grad():
        generator = torch.Generator().manual_seed(1)
        model[0].weight.copy_(torch.randn(3, 4, generator=generator))
    return model


def test_srste_gradient_is_the_closed_form() -> None:
    model, decay = _model(), 0.25
    dense = model[0].weight.detach().clone()
    mask = ScorePruner(patterns=PATTERNS).masks(model)["0.weight"]
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(2))

    with SRSTE(ScorePruner(patterns=PATTERNS), decay=decay).step(model, 0.0):
        assert torch.equal(model[0].weight, dense * mask)
        (model(x) ** 2).sum().backward()

    # y = x (mask * W)^T + b, so d/d(mask * W) of sum(y^2) is 2 y^T x.
    y = x @ (dense * mask).T + model[0].bias
    g = 2 * y.T @ x
    expected = g + decay * (~mask) * dense
    assert torch.allclose(model[0].weight.grad, expected.detach(), rtol=1e-6, atol=1e-6)
    assert torch.equal(model[0].weight, dense)


def test_srste_default_decay_is_the_papers() -> None:
    model = _model()
    dense = model[0].weight.detach().clone()
    sparsifier = SRSTE(ScorePruner(patterns=PATTERNS))
    with sparsifier.step(model, 0.0):
        model(torch.zeros(1, 4)).sum().backward()
    mask = sparsifier.masks(model)["0.weight"]
    assert torch.equal(model[0].weight.grad, 2e-4 * dense * ~mask)


def test_srste_lets_a_pruned_weight_return() -> None:
    model = nn.Sequential(nn.Linear(2, 1, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 0.9]]))
    sparsifier = SRSTE(ScorePruner(patterns=PATTERNS))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    assert sparsifier.masks(model)["0.weight"].tolist() == [[True, False]]
    for _ in range(3):
        optimizer.zero_grad()
        with sparsifier.step(model, 0.0):
            ((model(torch.tensor([[0.0, 1.0]])) - 3) ** 2).sum().backward()
        optimizer.step()
    assert sparsifier.masks(model)["0.weight"].tolist() == [[False, True]]


def test_srste_follows_the_schedule() -> None:
    model = _model()
    sparsifier = SRSTE(ScorePruner(patterns=PATTERNS, schedule=Cubic(begin=0.0, end=1.0)))
    for progress, zeros in ((0.0, 0), (1.0, 6)):
        with sparsifier.step(model, progress):
            assert int((model[0].weight == 0).sum()) == zeros


def test_srste_restores_dense_weights_after_an_error() -> None:
    model = _model()
    dense = model[0].weight.detach().clone()
    sparsifier = SRSTE(ScorePruner(patterns=PATTERNS))
    with pytest.raises(RuntimeError), sparsifier.step(model, 0.0):
        model(torch.zeros(1, 5))
    assert torch.equal(model[0].weight, dense)


def test_srste_refuses_negative_decay() -> None:
    message = "SR-STE needs decay of at least 0, got -1"
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        SRSTE(ScorePruner(patterns={}), decay=-1)


def test_frozen_masks_hold_through_training() -> None:
    model = _model()
    masks = ScorePruner(patterns=PATTERNS).masks(model)
    sparsifier = FrozenMasks(masks)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(2))
    for _ in range(3):
        optimizer.zero_grad()
        with sparsifier.step(model, 0.0):
            (model(x) ** 2).sum().backward()
        assert torch.equal(model[0].weight.grad != 0, masks["0.weight"])
        optimizer.step()
        assert torch.equal(model[0].weight != 0, masks["0.weight"])
    assert sparsifier.masks(model) is masks
    assert isinstance(masks, MaskSet)
