"""Splits, masks, gates and networks that evaluators of many masks refuse."""

import re
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from systolith.prune import PruneError
from systolith.prune.search import EvaluationSplit, GateEvaluator, LayerEvaluator
from tests.sw.prune.search.evaluated import GROUPS, make_group, make_model, make_split


def test_refuses_an_empty_split_and_wrong_shapes() -> None:
    message = (
        "3 problems:\n  - an evaluation split needs at least one image, got none"
        "\n  - labels of an evaluation split must be int64 and have shape (0,), one per image, "
        "got torch.float32 (3,)"
        "\n  - batch_size of an evaluation split must be at least 1, got 0"
    )
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        EvaluationSplit(images=torch.zeros(0, 1, 8, 8), labels=torch.zeros(3), batch_size=0)
    message = (
        "images of an evaluation split must be of float and have shape (N, ...), "
        "got torch.uint8 (2, 4)"
    )
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        EvaluationSplit(
            images=torch.zeros(2, 4, dtype=torch.uint8), labels=torch.zeros(2, dtype=torch.int64)
        )


def test_refuses_unknown_layers_masks_and_gates() -> None:
    model, split = make_model("chain"), make_split()
    message = "the model must call the module 'conv9' to vary it, but calls none so named"
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        LayerEvaluator(model, "conv9", split)
    message = "the layer to vary must be a convolution or Linear, but 'bn1' is a BatchNorm2d"
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        LayerEvaluator(model, "bn1", split)
    message = "masks of layer 'fc' need shape (P, 10, 128), got (2, 128, 10)"
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        LayerEvaluator(model, "fc", split)(torch.ones(2, 128, 10))
    message = (
        "4 problems:\n  - gates of group 'a' need shape (P, 16), got (3, 8)"
        "\n  - gates must name groups of a, b, fixed, got 'c'"
        "\n  - group 'fixed' cannot be gated: it is an output of the network"
        "\n  - gates need one number of variants, got [2, 3]"
    )
    fixed = replace(make_group("fixed", 10), reason="it is an output of the network")
    evaluator = GateEvaluator(model, (*GROUPS["chain"], fixed), split)
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        evaluator({"a": torch.ones(3, 8), "c": torch.ones(2, 32), "fixed": torch.ones(2, 10)})
    message = "gates must name at least one group of a, b, fixed, got none"
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        evaluator({})


class _Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 64)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layer(self.layer(x.flatten(1)))
        return logits


class _Mixes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 4)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layer(x.flatten(1))
        return logits.flip(0)


class _Counts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 4)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layer(x.flatten(1))
        return logits + 1 / len(x)


class _Branches(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


def test_refuses_networks_that_cannot_be_folded() -> None:
    message = "the layer to vary must be called once, but 'layer' is called 2 times"
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        LayerEvaluator(_Twice().double(), "layer", make_split())
    message = (
        "a network is evaluated with many masks at once, so each of its samples must be computed "
        "by itself, whatever their number; it gives other logits then"
    )
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        LayerEvaluator(_Mixes().double(), "layer", make_split())
    message = "'_Branches' (model): needs a forward() that does not branch on values"
    with pytest.raises(PruneError, match=f"^{re.escape(message)}"):
        LayerEvaluator(_Branches(), "layer", make_split())
    message = "'add' (function add): needs to be the same for any number of images"
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        LayerEvaluator(_Counts().double(), "layer", make_split())


def test_refuses_layers_whose_weights_are_computed() -> None:
    model = make_model("chain")
    parametrizations.weight_norm(model.conv2)
    message = (
        "masks need parameters, but 'conv2' computes its weights; call "
        "torch.nn.utils.parametrize.remove_parametrizations(module, 'weight')"
    )
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        LayerEvaluator(model, "conv2", make_split())
