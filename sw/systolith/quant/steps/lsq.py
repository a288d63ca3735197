"""Learned step size quantization: the function and its gradients."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["fake_quantize", "quantize", "round_half_up"]

CHUNK = 1 << 18
"""Values per chunk on a CPU, so that intermediate results stay in its cache."""


def round_half_up(x: Tensor) -> Tensor:
    """Round to nearest, ties towards plus infinity, as the hardware does."""
    return torch.floor(x + 0.5)


def quantize(x: Tensor, step: Tensor, low: int, high: int) -> Tensor:
    """Compute the integers ``clamp(round(x / step), low, high)``, as int64.

    Clamping comes before rounding: the result is the same, and nothing overflows.
    """
    return round_half_up((x / step).clamp(low, high)).to(torch.int64)


def fake_quantize(
    x: Tensor,
    step: Tensor,
    low: int,
    high: int,
    gradient_scale: float,
    *,
    rectify: bool = False,
) -> Tensor:
    """Quantize and scale back: ``step * clamp(round(x / step), low, high)``, differentiable.

    Gradients, with v = x / step and g = `gradient_scale`:

    - to x: 1 where ``low <= v <= high``, else 0;
    - to step: g times ``round(v) - v`` inside, ``low`` below and ``high`` above.

    Parameters
    ----------
    x : Tensor of float
        Any shape. Half precision, as under autocast, is computed in float32.
    step : Tensor of float
        Positive; broadcasts with x.
    low, high : int
        Range of the integers.
    gradient_scale : float
        LSQ's g, ``1 / sqrt(N * high)`` for N values that share a step.
    rectify : bool
        For low = 0: compute values and gradients of ``relu(x)``, whose gradient at v = 0 is 0.

    Returns
    -------
    Tensor, shape, type and memory format of x

    Notes
    -----
    Esser, McKinstry, Bablani, Appuswamy, Modha: Learned step size quantization (ICLR 2020),
    equations 1, 2, 3, 5 and section 2.2.

    **Deviation:** ties are rounded towards plus infinity, as in hardware.
    """
    arguments = (x, step, low, high, gradient_scale, rectify)
    result: Tensor = _FakeQuantize.apply(*arguments)  # type: ignore[no-untyped-call]
    return result  # torch does not annotate apply()


class _FakeQuantize(torch.autograd.Function):
    """Make few passes over memory, which dominate the cost, and save only x."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, step: Tensor, low: int, high: int, scale: float, rectify: bool
    ) -> Tensor:
        ctx.save_for_backward(x, step)
        ctx.range, ctx.scale, ctx.rectify = (low, high), scale, rectify
        result = torch.empty_like(x)
        for some, target in _chunks(step, x, result):
            v = _divide(some, step).clamp_(low, high).add_(0.5).floor_()
            if target.dtype == v.dtype:
                torch.mul(v, step, out=target)
            else:
                target.copy_(v.mul_(step))
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, step = ctx.saved_tensors
        (gradient,) = gradients
        low, high = ctx.range
        to_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        to_step = torch.zeros_like(step) if ctx.needs_input_grad[1] else None
        for some, given, *targets in _chunks(step, x, gradient, *([] if to_x is None else [to_x])):
            v, g = _divide(some, step), _widen(given)
            edges = _just_outside(low, high, v.dtype, ctx.rectify)
            for target in targets:
                target.copy_(_inside(g, v, *edges))
            if to_step is not None:
                subtracted = _inside(v, v, *edges)
                v.clamp_(low, high).add_(0.5).floor_().sub_(subtracted).mul_(g)
                to_step += v.sum_to_size(step.shape)
        if to_step is not None:
            to_step *= ctx.scale
        return to_x, to_step, None, None, None, None


def _chunks(step: Tensor, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Split along the first axis; not for several steps, small tensors or other devices."""
    first = tensors[0]
    if step.numel() > 1 or first.device.type != "cpu" or first.numel() <= CHUNK:
        return iter([tensors])
    rows = max(CHUNK * len(first) // first.numel(), 1)
    return zip(*(torch.split(tensor, rows) for tensor in tensors), strict=True)


def _divide(x: Tensor, step: Tensor) -> Tensor:
    """Divide into new memory, in float32 or wider; in place where widening has made a copy."""
    wide = _widen(x)
    return wide / step if wide is x else wide.div_(step)


def _widen(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _inside(x: Tensor, v: Tensor, below: float, above: float) -> Tensor:
    """Take x where ``below < v < above``, else 0, in PyTorch's fastest way."""
    result: Tensor = torch.ops.aten.hardtanh_backward(x, v, below, above)
    return result


@lru_cache
def _just_outside(low: int, high: int, dtype: torch.dtype, rectify: bool) -> tuple[float, float]:
    """Closest numbers outside the range; with `rectify`, `low` itself is outside."""
    edges = torch.tensor([low, high], dtype=dtype)
    below, above = torch.nextafter(edges, edges.new_tensor([-torch.inf, torch.inf])).tolist()
    return (low if rectify else below), above
