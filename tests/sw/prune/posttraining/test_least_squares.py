"""Kept weights are the least squares solution on the images themselves."""

import pytest
import torch

from systolith.prune.posttraining import least_squares
from systolith.prune.posttraining.least_squares import damp, output_errors, solve_kept


def test_kept_weights_minimize_the_change_of_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(2, 6, 50, generator=generator, dtype=torch.float64)
    wanted = torch.randn(2, 3, 6, generator=generator, dtype=torch.float64)
    keys = torch.rand(2, 3, 6, generator=generator)
    mask = keys.argsort(-1).argsort(-1) < 4
    gram = inputs @ inputs.mT / 50
    solution = solve_kept(wanted, gram, mask)
    assert not solution[~mask].any()
    for group in range(2):
        for row in range(3):
            kept = mask[group, row]
            x, y = inputs[group][kept].T, wanted[group, row] @ inputs[group]
            best = torch.linalg.lstsq(x, y[:, None]).solution[:, 0]
            assert torch.allclose(solution[group, row, kept], best)
            left = (solution[group, row] @ inputs[group] - y).square().mean()
            error = output_errors(solution - wanted, gram)[group, row]
            assert torch.allclose(error, left)
    monkeypatch.setattr(least_squares, "MOST_ELEMENTS", 1)
    assert torch.equal(solve_kept(wanted, gram, mask), solution)


def test_damping_is_a_share_of_the_mean_diagonal_and_one_without_inputs() -> None:
    gram = torch.stack([torch.diag(torch.tensor([1.0, 3.0])), torch.zeros(2, 2)]).double()
    assert torch.allclose(
        damp(gram, 0.5).diagonal(dim1=1, dim2=2), torch.tensor([[2.0, 4.0], [1.0, 1.0]]).double()
    )
