"""Random small networks: all kinds of convolutions, branches, products, moved channels."""

import random
from math import gcd

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STEPS = ("conv", "conv", "transposed", "norm", "depthwise", "cat", "add", "mul", "move")
LEARNING = ("conv", "transposed", "depthwise", "mul")
"""Steps after which values are greater."""
MOVES = ("shuffle", "written shuffle", "first half", "second half", "blocks")
MOST_CONVOLUTIONS = 4
"""Sums stay below 2^53, so float64 computes them exactly."""
CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d}
NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d}


class RandomGraph(nn.Module):
    """Steps that each read earlier values; 6 to 9 of them, on images of 2 x 8 x 8 or 2 x 8 values.

    The head reads the last value, and most of the values that no step reads.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        draw = random.Random(seed)
        self.axes = draw.choice((1, 2))
        self.steps: list[tuple[str, tuple[int, ...]]] = []
        self.layers = nn.ModuleDict()
        widths = [draw.choice((2, 4, 6))]
        self.stem = CONVOLUTIONS[self.axes](2, widths[0], 1)
        convolutions = 1
        for _ in range(draw.randint(6, 9)):
            kind, first = draw.choice(STEPS), draw.randrange(max(0, len(widths) - 3), len(widths))
            if kind in LEARNING and convolutions == MOST_CONVOLUTIONS:
                kind = "norm"
            width, sources = widths[first], (first,)
            match kind:
                case "conv" | "transposed":
                    filters = draw.choice((2, 4, 6, 8))
                    common = gcd(width, filters)
                    groups = draw.choice([g for g in range(1, common + 1) if common % g == 0])
                    if kind == "conv":
                        kernel = {"kernel_size": 3, "padding": 1}
                        layer = CONVOLUTIONS[self.axes](width, filters, groups=groups, **kernel)
                    else:
                        kernel = draw.choice(({"kernel_size": 4, "stride": 2}, {"kernel_size": 3}))
                        kernel |= {"padding": 1, "bias": draw.random() < 0.5}
                        layer = TRANSPOSED[self.axes](width, filters, groups=groups, **kernel)
                    width = filters
                case "depthwise":
                    filters = width * draw.choice((1, 2))
                    made = draw.choice((CONVOLUTIONS, TRANSPOSED))[self.axes]
                    layer = made(width, filters, 3, padding=1, groups=width, bias=False)
                    width = filters
                case "norm":
                    layer = NORMS[self.axes](width)
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
                case "mul":  # with the stem, whose values are small
                    if width != widths[0]:
                        continue
                    sources = (first, 0)
            convolutions += kind in LEARNING
            if kind in ("conv", "transposed", "depthwise", "norm"):
                self.layers[str(len(self.steps))] = layer
            self.steps.append((kind, sources))
            widths.append(width)
        read = {source for _, sources in self.steps for source in sources}
        last = len(widths) - 1
        ends = [place for place in range(last) if place not in read and draw.random() < 0.7]
        self.ends = [*ends, last]
        self.head = nn.Linear(sum(widths[place] for place in self.ends) * 2**self.axes, 3)

    def inputs(self, images: Tensor) -> Tensor:
        """Make what the network reads of images of 2 x 8 x 8."""
        return images if self.axes == 2 else images[:, :, 0]

    def forward(self, x: Tensor) -> Tensor:
        pool = F.max_pool1d if self.axes == 1 else F.max_pool2d
        values = [F.relu(self.stem(x))]
        for number, (kind, sources) in enumerate(self.steps):
            given = [values[source] for source in sources]
            if kind == "cat":
                values.append(torch.cat(given, dim=1))
            elif kind == "add":
                values.append(given[0] + given[1])
            elif kind == "mul":
                values.append(given[0] * given[1])
            elif kind in MOVES:
                values.append(_move(kind, given[0]))
            else:
                y = F.relu(self.layers[str(number)](given[0]))
                values.append(pool(y, 2) if y.shape[2] == 16 else y)
        ends = torch.cat([values[place] for place in self.ends], dim=1)
        return self.head(pool(ends, 4).flatten(1))


def _move(kind: str, x: Tensor) -> Tensor:
    match kind:
        case "shuffle":
            return F.channel_shuffle(x, 2)
        case "written shuffle":
            n, c, *size = x.shape
            return x.view(n, 2, c // 2, *size).transpose(1, 2).contiguous().view(n, c, *size)
        case "first half":
            return x.chunk(2, 1)[0]
        case "second half":
            return x[:, x.shape[1] // 2 :]
        case _ if x.ndim == 3:
            return F.interpolate(F.pad(x, (1, -1))[:, :, ::2], scale_factor=2.0)
        case _:
            return F.pixel_shuffle(F.max_pool2d(F.pixel_unshuffle(x, 2), 1), 2)
