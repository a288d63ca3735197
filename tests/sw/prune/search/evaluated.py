"""Networks, data and groups that evaluators of many masks are tested with."""

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.models import DigitsCNN, TinyResNet
from systolith.prune.filters import ChannelGroup
from systolith.prune.search import EvaluationSplit, Loss


class _Awkward(nn.Module):
    """Groups, biases, strides, in-place operations, a shortcut from the input, sample counts."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 6, 3, padding=1)
        self.grouped = nn.Conv2d(
            6, 6, (3, 1), stride=2, padding=1, groups=3, padding_mode="circular"
        )
        self.relu = nn.ReLU(inplace=True)
        self.hidden = nn.Linear(30, 10)
        self.last = nn.Linear(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        y += x
        y = self.relu(self.grouped(y))
        y = F.max_pool2d(y, (1, 2)).sum(2)[:, :, None] + y[:, :, :, :1].transpose(2, 3)[..., :1]
        y = torch.cat([y, y.square()[:, :, :, :2]], dim=3).mean(3)
        y = y.repeat(1, 5, 1).view(y.size(0), -1)
        logits: Tensor = self.last(self.hidden(y).relu_())
        return logits


class _Written(nn.Module):
    """Branches on shapes, sizes in arguments, statements in place: torch.fx cannot trace it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.blocks = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(3))
        self.last = nn.Linear(16, 4)
        self.first.register_forward_hook(lambda module, given, output: output / 2)

    def forward(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        if x.ndim != 4 or len(x) < 1:
            raise ValueError("images must have shape (N, C, H, W)")
        x = torch.relu(self.norm(self.first(x)))
        for block in self.blocks[: x.size(3) // 4]:  # the first two
            y = torch.add(block(x), x)
            y.clamp_(min=0)
            x = y if scale is None else y * scale
        x = F.avg_pool2d(x, x.size(3) // 2)
        x = torch.cat([x.reshape(len(x), -1), torch.zeros(len(x), 0, dtype=x.dtype)], 1)
        logits: Tensor = self.last(
            x.view(x.size(0), 4, -1).view(x.size(0) * 4, -1).view(len(x), -1)
        )
        return logits


def make_model(name: str) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        kinds = {
            "chain": DigitsCNN,
            "residual": TinyResNet,
            "awkward": _Awkward,
            "written": _Written,
        }
        model: nn.Module = kinds[name]()
    generator = torch.Generator().manual_seed(5)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(torch.randn(module.num_features, generator=generator) / 4)
            module.weight.data.copy_(1 + torch.rand(module.num_features, generator=generator))
    model = model.double().eval()
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    linear.bias.data -= (
        model(make_split().images).detach().mean(0)
    )  # else one class wins for all images
    return model


def make_split(
    loss: Loss = Loss.CROSS_ENTROPY, batch_size: int = 4, folded: int = 9
) -> EvaluationSplit:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(10, 1, 8, 8, generator=generator, dtype=torch.float64)
    labels = torch.randint(4, (10,), generator=generator)
    return EvaluationSplit(
        images=images, labels=labels, loss=loss, batch_size=batch_size, folded=folded
    )


def make_group(name: str, size: int, *gated: str) -> ChannelGroup:
    units = dict.fromkeys(gated, tuple(range(size)))
    return ChannelGroup(
        name=name,
        size=size,
        producers=gated,
        gated=gated,
        consumers=(),
        outputs=units,
        inputs={},
    )


GROUPS: dict[str, tuple[ChannelGroup, ...]] = {
    "chain": (make_group("a", 16, "bn1"), make_group("b", 32, "conv3")),
    "residual": (
        make_group("trunk", 16, "stem.1", "conv2.1"),
        make_group("inner", 16, "conv1.1"),
        make_group("late", 16, "pointwise.1"),
    ),
    "awkward": (
        make_group("a", 6, "first"),
        replace(make_group("b", 3, "grouped"), outputs={"grouped": (0, -1, 1, 2, 2, -1)}),
        make_group("c", 10, "hidden"),
    ),
    "written": (make_group("a", 4, "norm", "blocks.0", "blocks.1"),),
}
