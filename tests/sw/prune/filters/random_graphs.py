"""Random small networks: grouped and depthwise convolutions, branches, moved channels."""

import random
from math import gcd

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STEPS = ("conv", "conv", "norm", "depthwise", "cat", "add", "move")
MOVES = ("shuffle", "written shuffle", "first half", "second half", "blocks")
MOST_CONVOLUTIONS = 4
"""Sums stay below 2^53, so float64 computes them exactly."""


class RandomGraph(nn.Module):
    """Steps that each read earlier values; 6 to 9 of them, on images of 2 x 8 x 8.

    The head reads every value that no step reads.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        draw = random.Random(seed)
        self.steps: list[tuple[str, tuple[int, ...]]] = []
        self.layers = nn.ModuleDict()
        widths = [draw.choice((2, 4, 6))]
        self.stem = nn.Conv2d(2, widths[0], 1)
        convolutions = 1
        for _ in range(draw.randint(6, 9)):
            kind, first = draw.choice(STEPS), draw.randrange(max(0, len(widths) - 3), len(widths))
            if kind in ("conv", "depthwise") and convolutions == MOST_CONVOLUTIONS:
                kind = "norm"
            width, sources = widths[first], (first,)
            match kind:
                case "conv":
                    filters = draw.choice((2, 4, 6, 8))
                    common = gcd(width, filters)
                    groups = draw.choice([g for g in range(1, common + 1) if common % g == 0])
                    layer = nn.Conv2d(width, filters, 3, padding=1, groups=groups)
                    width = filters
                case "depthwise":
                    filters = width * draw.choice((1, 2))
                    layer = nn.Conv2d(width, filters, 3, padding=1, groups=width, bias=False)
                    width = filters
                case "norm":
                    layer = nn.BatchNorm2d(width)
                case "cat":
                    sources = (first, *draw.choices(range(len(widths)), k=draw.randint(1, 2)))
                    width = sum(widths[source] for source in sources)
                    if width > 16:
                        continue
                case "move":
                    if width % 2:
                        continue
                    kind = draw.choice(MOVES)
                    width = width // 2 if "half" in kind else width
                case "add":
                    equal = [i for i, other in enumerate(widths) if other == width]
                    sources = (first, draw.choice(equal))
            if kind in ("conv", "depthwise", "norm"):
                convolutions += kind != "norm"
                self.layers[str(len(self.steps))] = layer
            self.steps.append((kind, sources))
            widths.append(width)
        read = {source for _, sources in self.steps for source in sources}
        self.ends = [place for place in range(len(widths)) if place not in read]
        self.head = nn.Linear(sum(widths[place] for place in self.ends) * 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        values = [F.relu(self.stem(x))]
        for number, (kind, sources) in enumerate(self.steps):
            given = [values[source] for source in sources]
            if kind == "cat":
                values.append(torch.cat(given, dim=1))
            elif kind == "add":
                values.append(given[0] + given[1])
            elif kind in MOVES:
                values.append(_move(kind, given[0]))
            else:
                values.append(F.relu(self.layers[str(number)](given[0])))
        ends = torch.cat([values[place] for place in self.ends], dim=1)
        return self.head(F.max_pool2d(ends, 4).flatten(1))


def _move(kind: str, x: Tensor) -> Tensor:
    match kind:
        case "shuffle":
            return F.channel_shuffle(x, 2)
        case "written shuffle":
            n, c, h, w = x.shape
            return x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)
        case "first half":
            return x.chunk(2, 1)[0]
        case "second half":
            return x[:, x.shape[1] // 2 :]
        case _:
            return F.pixel_shuffle(F.max_pool2d(F.pixel_unshuffle(x, 2), 1), 2)
