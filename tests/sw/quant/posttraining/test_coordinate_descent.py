"""Rounding by descent: never worse than the nearest integers, exact on masks."""

import pytest
import torch
from torch import Tensor

from systolith.quant.posttraining import round_by_descent


def _case(seed: int, filters: int = 6, size: int = 12) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(size, size, generator=generator, dtype=torch.float64)
    inputs = torch.randn(size, 500, generator=generator, dtype=torch.float64).relu()
    inputs = mixing.abs() @ inputs  # correlated, as neighbouring pixels are
    weight = torch.randn(filters, size, generator=generator)
    mask = torch.rand(filters, size, generator=generator) < 0.7
    step = weight.abs().amax(1) / 7
    outputs = (weight * mask).double() @ inputs
    return weight, mask, step, inputs, outputs


def _error(integers: Tensor, step: Tensor, inputs: Tensor, outputs: Tensor) -> float:
    return float(((integers * step[:, None]) @ inputs - outputs).square().mean())


@pytest.mark.parametrize("seed", range(8))
def test_outputs_come_at_least_twice_as_close_as_those_of_nearest_integers(seed: int) -> None:
    weight, mask, step, inputs, outputs = _case(seed)
    gram, cross = inputs @ inputs.T / 500, outputs @ inputs.T / 500
    integers = round_by_descent(weight, mask, step, (-8, 7), gram, cross)
    nearest = torch.floor(weight * mask / step[:, None] + 0.5).clamp(-8, 7).double()
    error = _error(integers, step, inputs, outputs)
    assert error < 0.5 * _error(nearest, step, inputs, outputs)
    assert torch.equal(integers, integers.round())
    assert -8 <= integers.min() and integers.max() <= 7
    assert not integers[~mask].any()


def test_no_single_weight_could_be_rounded_better() -> None:
    weight, mask, step, inputs, outputs = _case(0)
    gram, cross = inputs @ inputs.T / 500, outputs @ inputs.T / 500
    integers = round_by_descent(weight, mask, step, (-8, 7), gram, cross)
    damping = 0.01 * gram.diagonal().mean()

    def objective(candidate: Tensor) -> float:
        pull = damping * (candidate * step[:, None] - weight * mask).square().sum()
        return float(_error(candidate, step, inputs, outputs) * len(weight) + pull)

    least = objective(integers)
    for row, column in mask.nonzero().tolist():
        for change in (-1, 1):
            other = integers.clone()
            other[row, column] += change
            if -8 <= other[row, column] <= 7:
                assert objective(other) >= least - 1e-9


def test_inputs_that_are_always_zero_keep_the_nearest_integers() -> None:
    weight, mask, step, _, _ = _case(0)
    gram, cross = torch.zeros(12, 12).double(), torch.zeros(6, 12).double()
    integers = round_by_descent(weight, mask, step, (-8, 7), gram, cross)
    nearest = torch.floor(weight * mask / step[:, None] + 0.5).clamp(-8, 7)
    assert torch.equal(integers, nearest.double())
