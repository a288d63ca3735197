from math import log

import pytest
import torch

from systolith.prune import mask_statistics

CERTAIN = 100.0


def test_equal_logits_are_no_confidence_and_no_diversity() -> None:
    statistics = mask_statistics(torch.zeros(5, 8), 2)
    assert statistics.confidence == pytest.approx(0, abs=1e-12)
    assert statistics.diversity == pytest.approx(0, abs=1e-12)


def test_k_sure_choices_are_full_confidence() -> None:
    logits = torch.zeros(3, 8)
    logits[:, :2] = CERTAIN
    statistics = mask_statistics(logits, 2)
    assert statistics.confidence == pytest.approx(1)
    assert statistics.diversity == pytest.approx(0, abs=1e-12)


def test_every_row_wanting_something_else_is_full_diversity() -> None:
    statistics = mask_statistics(torch.eye(4) * CERTAIN, 1)
    assert statistics.diversity == pytest.approx(1)
    # With fewer rows than elements, all rows differ.
    assert mask_statistics(torch.eye(4)[:2] * CERTAIN, 1).diversity == pytest.approx(1)


def test_equals_the_formula() -> None:
    logits = torch.randn(6, 5, generator=torch.Generator().manual_seed(0)).double()
    p = logits.softmax(1)
    entropy = -(p * p.log()).sum(1).mean().item()
    mean = p.mean(0)
    together = -(mean * mean.log()).sum().item()
    statistics = mask_statistics(logits, 2)
    assert statistics.confidence == pytest.approx(1 - (entropy - log(2)) / (log(5) - log(2)))
    assert statistics.diversity == pytest.approx((together - entropy) / log(5))


def test_nothing_to_choose_is_certain() -> None:
    statistics = mask_statistics(torch.zeros(1, 1), 1)
    assert (statistics.confidence, statistics.diversity) == (1.0, 0.0)
