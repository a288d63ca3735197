"""Running a model in order to record it, and problems that prevent that."""

import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from systolith.trace.modules import is_leaf
from systolith.trace.overloads import program_problems

__all__ = ["as_written", "evaluating", "first_images", "model_problems"]

_DTYPES = (torch.float32, torch.float64)


@contextmanager
def evaluating(model: nn.Module, *, copies: bool = True) -> Iterator[None]:
    """Put a model into evaluation mode without gradients; each module's mode is restored.

    Parameters
    ----------
    model : nn.Module
    copies : bool
        Whether the model gets copies of the tensors that it is called with: models that change
        their input in place, such as ``x.sub_(0.5)``, leave the caller's images as they are.
    """
    modes = {module: module.training for module in model.modules()}
    hook = model.register_forward_pre_hook(_copied) if copies else None
    try:
        model.eval()
    except NotImplementedError:  # of exported programs, which are exported in one mode
        for module in modes:
            module.training = False
    try:
        with torch.no_grad():
            yield
    finally:
        if hook is not None:
            hook.remove()
        for module, mode in modes.items():
            module.training = mode


def _copied(_: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(value.clone() if isinstance(value, Tensor) else value for value in given)


@contextmanager
def as_written() -> Iterator[None]:
    """Run compiled models without their compilation."""
    if "torch._dynamo" not in sys.modules:
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


def first_images(model: nn.Module, images: Tensor, count: int) -> Tensor:
    """Take `count` images, repeating the first if there are fewer.

    They get the type and the device of the model's floating-point parameters.
    """
    weight = next((p for p in model.parameters() if p.is_floating_point()), None)
    chosen = images[:count]
    if missing := count - len(chosen):
        chosen = torch.cat([chosen, images[:1].repeat(missing, *[1] * (images.ndim - 1))])
    return chosen.float() if weight is None else chosen.to(weight)


def model_problems(model: nn.Module) -> Iterator[str]:
    """Find reasons why a model cannot be run and recorded."""
    if not isinstance(model, nn.Module):
        yield f"a model must be a torch.nn.Module, got {type(model).__name__}"
        return
    kind = type(model).__name__
    scripted = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, torch.jit.ScriptModule)
    ]
    for name, module in scripted[:1]:
        yield (
            f"'{name or kind}' ({type(module).__name__}): is TorchScript, whose operations cannot "
            "be seen; give the Python module that it was made of"
        )
    if scripted:
        return
    if is_leaf(model):
        yield f"'{kind}' (model): needs to be part of a model; give nn.Sequential(model)"
        return
    yield from _input_problems(model)
    yield from program_problems(model)
    for name, module in model.named_modules():
        tensors = {**module._parameters, **module._buffers}
        for tensor in (tensor for tensor in tensors.values() if tensor is not None):
            title = f"'{name or kind}' ({type(module).__name__})"
            if is_lazy(tensor):
                yield f"{title}: has no weights yet; run the model on images once, before"
                break
            if tensor.device.type == "meta":
                yield f"{title}: needs weights, but they are on the meta device, without values"
                break
            if tensor.is_floating_point() and tensor.dtype not in _DTYPES:
                yield f"{title}: needs float32 weights, got {tensor.dtype}; call model.float()"
                break


def _input_problems(model: nn.Module) -> Iterator[str]:
    try:
        parameters = list(inspect.signature(model.forward).parameters.values())
    except (TypeError, ValueError):
        return
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [p for p in parameters if p.default is p.empty and p.kind in positional]
    takes = [p for p in parameters if p.kind in (*positional, inspect.Parameter.VAR_POSITIONAL)]
    if len(needed) > 1 or not takes:
        names = ", ".join(parameter.name for parameter in needed) or "none"
        several = "; join them by systolith.trace.stack_inputs" if len(needed) > 1 else ""
        yield f"forward() (model): needs exactly one input, got {names}{several}"
