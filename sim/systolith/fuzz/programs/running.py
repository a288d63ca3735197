"""Make a PyTorch module of a program, and images for it."""

import warnings
from typing import Any
from zlib import crc32

import torch
from torch import Tensor, nn

from systolith.fuzz.programs.program import Program

__all__ = ["images_of", "model_of", "randomize", "runs"]

IMAGES = 12
LEAST_SPREAD = 1e-2


def model_of(program: Program) -> nn.Module:
    """Execute the program's source and make an instance, in evaluation mode.

    Weights depend on the seed and on their names only, so a program that lost a statement keeps
    those of the others.
    """
    scope: dict[str, Any] = {"__name__": "fuzzed", "randomize": randomize}
    exec(compile(program.source, "<program>", "exec"), scope)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(program.seed)
        model: nn.Module = scope["Net"](program.seed).eval()
        if program.stale:
            model.load_state_dict(scope["Net"](program.seed + 1).state_dict())
    return model


def images_of(program: Program) -> Tensor:
    """Draw images, float32 of shape (N, *input_shape)."""
    generator = torch.Generator().manual_seed(program.seed)
    images = torch.rand(IMAGES, *program.input_shape, generator=generator)
    return 2 * images - 1 if program.signed else images


def runs(program: Program) -> bool:
    """Whether outputs are finite, repeatable floats that differ between images."""
    images = images_of(program)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            first, again = (model_of(program)(images.clone()) for _ in range(2))
    except Exception:  # a program that people would not have, whatever it raises
        return False
    return (
        isinstance(first, Tensor)
        and first.is_floating_point()
        and len(first) == len(images)
        and first.numel() > 0
        and bool(torch.isfinite(first).all())
        and torch.equal(first, again)
        and float(first.std(0).max()) > LEAST_SPREAD * float(first.abs().max())
    )


def randomize(model: nn.Module, seed: int) -> None:
    """Draw weights, biases and statistics of batch norms."""
    with torch.no_grad():
        for name, module in model.named_modules():
            generator = torch.Generator().manual_seed(crc32(f"{seed}/{name}".encode()))
            _randomize(module, generator)


def _randomize(module: nn.Module, generator: torch.Generator) -> None:
    def normal(tensor: Tensor, scale: float = 1.0) -> None:
        tensor.copy_(scale * torch.randn(tensor.shape, generator=generator))

    if isinstance(module, nn.Conv2d | nn.Linear):
        normal(module.weight, (2 / module.weight[0].numel()) ** 0.5)
        if module.bias is not None:
            normal(module.bias, 0.3)
    elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        if module.affine:
            normal(module.bias, 0.5)
            normal(module.weight)
        if module.running_mean is not None and module.running_var is not None:
            normal(module.running_mean, 0.5)
            spread = torch.rand(module.num_features, generator=generator)
            module.running_var.copy_(4.0 ** (2 * spread - 1))
