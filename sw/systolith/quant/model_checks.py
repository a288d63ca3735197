"""What is wrong with a model before it runs, and with its numbers."""

import inspect
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from systolith.quant.used_modules import is_leaf

__all__ = ["model_problems", "not_finite"]

_DTYPES = (torch.float32, torch.float64)


def model_problems(model: nn.Module) -> Iterator[str]:
    """Find what keeps a model from being run and recorded."""
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
        yield f"forward() (model): needs exactly one input, got {names}"


def not_finite(title: str, tensors: Mapping[str, Tensor | None]) -> Iterator[str]:
    """Find tensors of a layer that hold NaN or infinities, as after training that diverged."""
    for name, tensor in tensors.items():
        if tensor is not None and (bad := int((~tensor.isfinite()).sum())):
            yield (
                f"{title}: needs finite numbers, but {bad} of {tensor.numel()} of its {name} are "
                "NaN or infinite"
            )
