"""Gates on activations: channels fade out while the weights stay as they are."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from systolith.prune.errors import PruneError

__all__ = ["gated"]


@contextmanager
def gated(
    model: nn.Module, gates: Mapping[str, Tensor], straight_through: bool = False
) -> Iterator[None]:
    """Multiply outputs of modules by gates, channel by channel, inside a ``with`` block.

    A gate of 0 or 1 on activations prunes as well as zeroed weights, and better while training: the
    batch norm before the gate keeps seeing what the filter computes.

    Parameters
    ----------
    model : nn.Module
    gates : mapping of str to Tensor, shape (C,) or (N, C)
        By module name, from :func:`module_gates` or :meth:`FilterMasks.gates`; bool or float. Gates
        with N rows are one for each sample. They take the type of the activations.
    straight_through : bool
        Let the gradient with respect to the output pass as if the gate were 1, so what is gated
        learns on. Gates that require a gradient get theirs in either case.

    Raises
    ------
    PruneError
        If a gate names no module; all of them are listed.

    Notes
    -----
    Straight-through estimator: Bengio, Leonard, Courville: Estimating or propagating gradients
    through stochastic neurons (arXiv 1308.3432), section 4.
    """
    modules = {name: module for name in gates if (module := _find(model, name)) is not None}
    if unknown := [name for name in gates if name not in modules]:
        raise PruneError(f"gates must name a module of the model, got '{name}'" for name in unknown)
    with ExitStack() as hooks:
        for name, module in modules.items():
            hook = _Hook(gates[name], straight_through)
            hooks.enter_context(module.register_forward_hook(hook))
        yield


def _find(model: nn.Module, name: str) -> nn.Module | None:
    try:
        return model.get_submodule(name)
    except AttributeError:
        return None


class _Hook:
    def __init__(self, gate: Tensor, straight_through: bool) -> None:
        self._gate, self._straight_through = gate, straight_through

    def __call__(self, module: nn.Module, given: Any, output: Tensor) -> Tensor:
        rows = self._gate if self._gate.ndim == 2 else self._gate.unsqueeze(0)
        gate = rows.view(*rows.shape, *[1] * (output.ndim - 2))
        if not self._straight_through:
            return output * gate.to(output.dtype)
        if type(module) in _FORGET_THEIR_OUTPUT and not gate.requires_grad:
            # Unseen by autograd, which takes the gradient straight through. It would raise an error
            # if the module needed its output for it.
            output.detach().mul_(gate.to(output.dtype))
            return output
        result: Tensor = _StraightThrough.apply(output, gate)  # type: ignore[no-untyped-call]
        return result  # torch does not annotate apply()


_FORGET_THEIR_OUTPUT = (nn.Conv2d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d)


class _StraightThrough(torch.autograd.Function):
    """A product whose gradient with respect to its first factor ignores the second."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, gate: Tensor) -> Tensor:
        if ctx.needs_input_grad[1]:
            ctx.save_for_backward(output)
        ctx.gate_shape, ctx.gate_dtype = gate.shape, gate.dtype
        return output * gate.to(output.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None]:
        (gradient,) = gradients
        if not ctx.needs_input_grad[1]:
            return gradient, None
        (output,) = ctx.saved_tensors
        return gradient, (gradient * output).to(ctx.gate_dtype).sum_to_size(ctx.gate_shape)
