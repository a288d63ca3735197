"""Scores of patterns are derivatives of the loss towards their masks; masks are nested."""

from itertools import pairwise

import torch
from torch import Tensor

from systolith.network import Granularity, KOutOfN, Pattern, PerNeuron, Strided
from systolith.prune.dpp.drawn_layer import LogitInit
from systolith.prune.dpp.layer_patterns import LayerPatterns

SHAPE = (6, 8, 3, 3)
STRIDED = Strided(3, (0,) * 4 + (1,) * 4)
OPTIONS = (
    Pattern(),
    *(Pattern(select=KOutOfN(k, 4)) for k in (3, 2, 1)),
    Pattern(select=KOutOfN(2, 8, Granularity.KERNEL, shared_by=2)),
    Pattern(select=PerNeuron(5)),
    Pattern(select=KOutOfN(1, 4), taps=STRIDED),
    Pattern(taps=STRIDED),
)


def _started(weight: Tensor, generator: torch.Generator) -> LayerPatterns:
    layer = LayerPatterns(OPTIONS, weight, noise=1.0, entropy=None)
    for family in layer.families.values():
        family.start_(generator, weight, LogitInit.RANDOM)
    return layer


def test_patterns_that_differ_in_k_are_one_family() -> None:
    layer = LayerPatterns(OPTIONS, torch.zeros(SHAPE), noise=None, entropy=None)
    assert len(layer.families) == 4
    assert layer.family(OPTIONS[1]) is layer.family(OPTIONS[3])
    assert layer.family(OPTIONS[0]) is None and layer.family(OPTIONS[-1]) is None


def test_masks_of_one_draw_are_nested() -> None:
    generator = torch.Generator().manual_seed(0)
    layer = _started(torch.zeros(SHAPE), generator)
    layer.mask(OPTIONS[2], generator)
    family = layer.family(OPTIONS[2])
    assert family is not None
    masks = [family.logits.mask_for(k) for k in (1, 2, 3, 4)]
    assert [mask.sum(1).unique().tolist() for mask in masks] == [[1], [2], [3], [4]]
    assert all(bool((larger | ~smaller).all()) for smaller, larger in pairwise(masks))


def test_every_pattern_is_told_what_it_would_do_to_the_loss() -> None:
    """Finite differences in double precision, of a loss that is not linear in the mask."""
    generator = torch.Generator().manual_seed(0)
    weight, target = torch.randn(2, *SHAPE, generator=generator, dtype=torch.float64).unbind()

    def loss(mask: Tensor) -> Tensor:
        return (mask * weight * target).sum().sin() + (mask * weight).square().sum()

    for drawn in OPTIONS:
        layer = _started(weight, generator)
        mask = layer.mask(drawn, generator).double().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(mask), mask)
        scores = layer.scores(gradient, drawn, generator)
        # Families keep their latest draw, so the scored masks are still available.
        for pattern, score in zip(OPTIONS, scores, strict=True):
            family = layer.family(pattern)
            if family is None:
                towards = layer.mask(pattern, None).double()
            else:
                assert not isinstance(pattern.select, type(Pattern().select))
                kept = family.logits.mask_for(pattern.select.k)
                towards = family.decisions.mask(kept).double()
            step = 1e-6
            here = mask.detach()
            slope = (loss(here + step * towards) - loss(here - step * towards)) / (2 * step)
            assert abs(score - float(slope)) < 1e-4 * (1 + abs(score))


def test_of_a_loss_linear_in_the_mask_scores_are_the_losses() -> None:
    """By enumeration, with integers, so sums are exact."""
    generator = torch.Generator().manual_seed(1)
    weight, target = torch.randint(-4, 5, (2, *SHAPE), generator=generator).double().unbind()
    layer = _started(weight, generator)
    drawn = OPTIONS[2]
    mask = layer.mask(drawn, generator)
    scores = dict(zip(OPTIONS, layer.scores(weight * target, drawn, generator), strict=True))
    assert scores[drawn] == float((mask * weight * target).sum())
    assert scores[Pattern()] == float((weight * target).sum())
    assert scores[OPTIONS[-1]] == float((layer.mask(OPTIONS[-1], None) * weight * target).sum())
