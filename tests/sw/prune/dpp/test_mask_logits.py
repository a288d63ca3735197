import pytest
import torch

from systolith.prune.dpp.gumbel import draw_top_k, relaxed_gradient
from systolith.prune.dpp.mask_logits import Annealing, MaskLogits

READ = torch.tensor([[True, True, False, True], [False] * 4, [True, True, False, True]])


def _logits(k: int = 2, *, entropy: float = 0.0) -> MaskLogits:
    logits = MaskLogits(READ, k, noise=1.0, entropy=entropy)
    logits.start_(torch.Generator().manual_seed(0))
    return logits


def test_only_what_is_read_is_drawn() -> None:
    logits, generator = _logits(), torch.Generator().manual_seed(1)
    for _ in range(50):
        mask = logits.draw_mask(generator)
        assert mask.sum(1).tolist() == [2, 2, 2], "rows that mean nothing included"
        assert not mask[:, 2][READ.any(1)].any()
    assert not logits.final_mask()[:, 2][READ.any(1)].any()


def test_draws_vary_and_the_final_mask_does_not() -> None:
    logits, generator = _logits(), torch.Generator().manual_seed(1)
    drawn = torch.stack([logits.draw_mask(generator) for _ in range(50)])
    assert bool((drawn != drawn[0]).any())
    assert torch.equal(logits.final_mask(), logits.final_mask())


def test_gradients_add_up() -> None:
    logits, at_mask = _logits(entropy=0.1), torch.randn(3, 4)
    logits.draw_mask(torch.Generator().manual_seed(1))
    logits.learn_(at_mask, 1.0)
    once = logits.parameter.grad.clone()
    logits.learn_(at_mask, 1.0)
    assert torch.allclose(logits.parameter.grad, 2 * once)


def test_gradients_reach_what_is_read_only() -> None:
    logits, at_mask = _logits(entropy=0.1), torch.randn(3, 4) * READ
    logits.draw_mask(torch.Generator().manual_seed(1))
    logits.learn_(at_mask, 1.0)
    assert torch.equal(logits.parameter.grad != 0, READ)


def test_learns_from_the_latest_draw() -> None:
    logits = MaskLogits(torch.ones(1, 5, dtype=torch.bool), 2, noise=0.0, entropy=0.0)
    logits.start_(torch.Generator().manual_seed(0))
    generator, at_mask = torch.Generator(), torch.randn(1, 5)
    logits.draw_mask(generator)
    with torch.no_grad():
        logits.parameter.neg_()
    logits.draw_mask(generator)
    logits.learn_(at_mask, 0.5)
    rows = logits.value
    wanted = relaxed_gradient(rows, draw_top_k(rows, 2), at_mask, 0.5)
    assert torch.equal(logits.parameter.grad, wanted)


def test_scores_are_standardized_over_what_is_read() -> None:
    logits, scores = _logits(), torch.arange(12.0).reshape(3, 4) * READ + 100 * ~READ
    logits.start_(torch.Generator(), scores)
    there = logits.value[READ]
    assert float(there.mean()) == pytest.approx(0, abs=1e-6)
    assert float(there.std(correction=0)) == pytest.approx(0.5)
    assert torch.equal(there.argsort(), scores[READ].argsort())


def test_equal_scores_say_nothing() -> None:
    logits = _logits()
    logits.start_(torch.Generator(), torch.full((3, 4), 7.0))
    assert not logits.value[READ].any()


def test_annealing_is_a_line_until_drawing_ends() -> None:
    annealing = Annealing(temperature=(5.0, 0.5), draw_until=0.8)
    assert [annealing.temperature_at(t) for t in (0.0, 0.4, 0.8)] == pytest.approx([5, 2.75, 0.5])
    assert [annealing.draws_at(t) for t in (0.0, 0.79, 0.8, 1.0)] == [True, True, False, False]
    assert not Annealing(temperature=(5.0, 0.5), draw_until=0.0).draws_at(0.0)
