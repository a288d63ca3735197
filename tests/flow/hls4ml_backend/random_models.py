"""Random small networks with random types, out of all that both hls4ml and the engines compute."""

import random
from typing import Any

import torch
from torch import Tensor, nn

from tests.flow.hls4ml_backend.comparing import pytorch_config

ROUNDINGS = ("AP_TRN", "AP_RND")
OVERFLOWS = ("AP_WRAP", "AP_SAT", "AP_SAT_SYM")


class RandomModel(nn.Module):
    """A convolution, maybe a residual block, pools, maybe a second convolution, a dense layer."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self.height, self.width = rng.choice((4, 6, 8)), rng.choice((4, 6))
        self.channels = rng.randint(1, 3)
        hidden = rng.choice((2, 4))
        kernel = rng.choice((1, 2, 3))
        self.first = nn.Conv2d(
            self.channels, hidden, kernel, padding=kernel // 2, bias=rng.random() < 0.8
        )
        self.residual = rng.random() < 0.4
        if self.residual:
            self.block = nn.Conv2d(hidden, hidden, 3, padding=1, groups=1)
        self.normalized = rng.random() < 0.3
        if self.normalized:
            self.norm = nn.BatchNorm2d(hidden)
        self.rectified = rng.random() < 0.8
        self.relu = nn.ReLU()
        self.pooled = rng.choice(("max", "average", None))
        if self.pooled == "max":
            self.pool: nn.Module = nn.MaxPool2d(2)
        elif self.pooled == "average":
            self.pool = nn.AvgPool2d(2)
        self.strided = rng.random() < 0.4
        if self.strided:
            self.second = nn.Conv2d(hidden, 3, 2, stride=2)
        self.flatten = nn.Flatten()
        with torch.no_grad():
            features = self._features(torch.zeros(1, *self.shape)).shape[1]
        self.dense = nn.Linear(features, rng.randint(2, 5))
        if self.normalized:
            nn.init.uniform_(self.norm.weight, -1.5, 1.5)
            nn.init.normal_(self.norm.bias)

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.channels, self.height, self.width

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(self._features(x))

    def _features(self, x: Tensor) -> Tensor:
        x = self.first(x)
        if self.residual:
            x = torch.add(self.block(x), x)
        if self.normalized:
            x = self.norm(x)
        if self.rectified:
            x = self.relu(x)
        if self.pooled is not None:
            x = self.pool(x)
        if self.strided:
            x = self.second(x)
        return self.flatten(x)


def random_type(rng: random.Random) -> str:
    """A type of 3 to 12 bits."""
    width = rng.randint(3, 12)
    integer = rng.randint(1, min(width, 5))
    modes = (rng.choice(ROUNDINGS), rng.choice(OVERFLOWS))
    return f"ap_fixed<{width},{integer},{','.join(modes)}>"


def random_case(seed: int) -> tuple[RandomModel, dict[str, Any]]:
    """A model and its configuration, equal for equal seeds."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    model = RandomModel(rng).eval()
    config = pytorch_config(model, model.shape)
    for section in config["LayerName"].values():
        precision = section["Precision"]
        for name in precision:
            precision[name] = "auto" if name == "accum" else random_type(rng)
    for name in ("pool", "flatten"):
        if name in config["LayerName"]:
            config["LayerName"][name]["Precision"]["result"] = "auto"
    return model, config
