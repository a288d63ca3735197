"""A few training steps on random images, for tests of what sparsifiers do to them."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.prune import Sparsifier

STEPS = 40


def network() -> nn.Sequential:
    """Two convolutions, one of them without batch norm, and a linear layer."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            *(nn.Conv2d(1, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU()),
            *(nn.Conv2d(6, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            nn.Linear(8, 4),
        )


IMAGES = torch.zeros(1, 1, 8, 8)


def batch(step: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(step)
    images = torch.randn(8, 1, 8, 8, generator=generator)
    return images, torch.randint(4, (8,), generator=generator)


def optimizer_of(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)


def train(
    model: nn.Module,
    sparsifier: Sparsifier,
    optimizer: torch.optim.Optimizer,
    first: int = 0,
    last: int = STEPS,
) -> Iterator[float]:
    """Train, and yield the progress after each step."""
    for step in range(first, last):
        images, labels = batch(step)
        optimizer.zero_grad()
        with sparsifier.step(model, step / STEPS):
            F.cross_entropy(model(images), labels).backward()
        optimizer.step()
        yield step / STEPS
