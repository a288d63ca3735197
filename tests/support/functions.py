"""Functions of each value, as people write them."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["FUNCTIONS", "Applied", "Function"]

Function = Callable[[Tensor], Tensor]

FUNCTIONS: Mapping[str, Function] = {
    **{
        kind.__name__: kind()
        for kind in (nn.SiLU, nn.Hardswish, nn.Hardsigmoid, nn.Tanh, nn.ELU, nn.GELU, nn.Softplus)
        + (nn.Mish, nn.SELU, nn.CELU, nn.Hardtanh, nn.Softsign)
        + (nn.LogSigmoid, nn.Hardshrink, nn.Softshrink, nn.Tanhshrink)
    },
    "sigmoid": lambda x: x.sigmoid() * 1.5,
    "silu": F.silu,
    "silu in place": lambda x: F.silu(x.clone(), inplace=True),
    "silu of a product": lambda x: x * torch.sigmoid(x),
    "hardswish of relu6": lambda x: x * F.relu6(x + 3) / 6,
    "gelu of erf": lambda x: 0.5 * x * (1 + torch.erf(x / 2**0.5)),
    "mish of softplus": lambda x: x * torch.tanh(F.softplus(x)),
    "clip": lambda x: x.clamp(-0.5, 0.25),
    "polynomial": lambda x: x**2 + 0.5 * x - 0.1,
    "difference": lambda x: 1 - torch.exp(-x.abs()),
    "softsign": lambda x: x / (1 + x.abs()),
    "relu beside its input": lambda x: x + F.relu(x),
}


class Applied(nn.Module):
    """A convolution and a linear layer with a function between, before or behind the flattening."""

    def __init__(self, function: Function, *, flattened: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.function = function
        self.fc = nn.Linear(64, 5)
        self.flattened = flattened

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x))
        if self.flattened:
            x = x.flatten(1)
        logits: Tensor = self.fc(self.function(x).flatten(1))
        return logits
