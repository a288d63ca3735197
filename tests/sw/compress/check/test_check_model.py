"""A check of a model: every problem at once, with layer and remedy, and what layers can become."""

import warnings
from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.compress import (
    CheckStep,
    EnsemblePruning,
    GDPPruning,
    MacBudget,
    MagnitudePruning,
    ModelCheck,
    PatternChoice,
    Pruning,
    SPPPruning,
    SRSTEPruning,
    TaylorPruning,
    Trainer,
    check_model,
    compress_model,
    prune_model,
)
from systolith.data import load_digits
from systolith.foundation import UsageError
from systolith.models import DigitsCNN
from systolith.network import Granularity, KOutOfN, Pattern, PerNeuron, Strided
from systolith.prune import PruneError
from systolith.quant import LayerBits, QuantConfig
from systolith.train import EpochProgress, Recipe

IMAGES = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))


class _Odd(nn.Module):
    """Refused by every step, in several layers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(1, 6, 3)
        self.act = nn.RReLU()
        self.block = nn.ModuleDict({"wide": nn.Conv2d(6, 6, 3, padding_mode="circular")})
        self.last = nn.Conv2d(6, 4, 3, padding=1, padding_mode="reflect")
        self.fc = nn.Linear(64, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.rrelu(self.block["wide"](self.act(self.first(x))))
        y: Tensor = self.fc(self.last(x).relu().flatten(1))
        return y


def _check(*prunings: Pruning) -> ModelCheck:
    bits = QuantConfig(layers={"none": LayerBits(act_bits=4)})
    return check_model(_Odd(), IMAGES, prunings, bits)


def test_problems_of_all_steps_and_layers_are_reported_at_once() -> None:
    rules = [("first", Pattern(select=KOutOfN(1, 2))), (".*wide", Pattern(select=KOutOfN(2, 4)))]
    check = _check(SRSTEPruning(patterns=rules))
    refused = [(problem.step, problem.layer, problem.remedy) for problem in check.problems]
    relu = "replace it by nn.LeakyReLU() and train some epochs"
    assert refused == [
        (CheckStep.PRUNE, "first", "leave the layer dense"),
        (CheckStep.PRUNE, "block.wide", "n that fit are 2 3 6"),
        (CheckStep.QUANTIZE, "act", relu),
        (CheckStep.QUANTIZE, "block.wide", "set padding_mode='zeros' and train some epochs"),
        (CheckStep.QUANTIZE, "rrelu", relu),
        (CheckStep.QUANTIZE, "last", "set padding_mode='zeros' and train some epochs"),
        (CheckStep.QUANTIZE, "", ""),
    ]
    assert "bits must name a layer" in check.problems[-1].text
    assert not check.accepted and check.network is None
    with pytest.raises(UsageError, match="^7 problems:"):
        check.raise_if_any()


def test_layers_say_what_they_can_become() -> None:
    check = check_model(DigitsCNN(), load_digits().train_images[:8])
    rows = {layer.name: layer for layer in check.layers}
    assert list(rows) == ["conv1", "conv2", "pool2", "conv3", "pool3", "flatten", "fc"]
    conv3 = rows["conv3"]
    assert (conv3.kind, conv3.weights, conv3.macs) == ("Conv2d", (32, 32, 3, 3), 147_456)
    assert (conv3.group_sizes, conv3.removable) == ((2, 4, 8, 16), 32)
    assert conv3.integer_form == "int8 -> 32x4x4 uint8"
    assert rows["conv1"].group_sizes == ()
    assert rows["fc"].removable == 0
    assert rows["fc"].kept_reason == "it is an output of the network"
    assert rows["pool2"].weights == () and rows["pool2"].macs == 0
    assert check.accepted and check.patterns_known and check.network is not None
    assert check.to_json()["layers"][0]["name"] == "conv1"


def test_filters_that_are_tied_name_each_other() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(1, 4, 1), nn.Conv2d(4, 4, 1)
            self.fc = nn.Linear(256, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = self.a(x)
            y: Tensor = self.fc((x + self.b(x)).flatten(1))
            return y

    layers = {layer.name: layer for layer in check_model(Residual(), IMAGES).layers}
    assert (layers["a"].tied, layers["b"].tied) == (("b",), ("a",))


def test_given_patterns_are_in_the_network() -> None:
    data = load_digits()
    half = Pattern(select=KOutOfN(1, 2, Granularity.KERNEL))
    check = check_model(DigitsCNN(), data.train_images[:8], [SPPPruning(patterns={"conv2": half})])
    assert check.network is not None
    assert [str(layer.pattern) for layer in check.network.layers if layer.name == "conv2"] == [
        "1-out-of-2 kernels"
    ]


def test_patterns_that_the_integer_network_does_not_have_are_refused() -> None:
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 6, 3, groups=2))
    odd = Pattern(taps=Strided(2, (0, 1, 0, 1)))
    check = check_model(model, IMAGES, [MagnitudePruning(patterns={"2": odd})])
    (problem,) = check.problems
    assert problem.layer == "2"


def test_what_is_known_only_after_training_is_not_claimed() -> None:
    data = load_digits()
    rules = [("conv3", Pattern(select=KOutOfN(1, 4)))]
    prunings = [GDPPruning(keep=0.5), SRSTEPruning(patterns=rules)]
    check = check_model(DigitsCNN(), data.train_images[:8], prunings)
    assert check.accepted and not check.patterns_known
    texts = [str(warning) for warning in check.warnings]
    assert any("gdp may leave another number of its 32; set multiple_of = 4" in t for t in texts)
    fitting = [GDPPruning(keep=0.5, multiple_of=4), SRSTEPruning(patterns=rules)]
    warned = check_model(DigitsCNN(), data.train_images[:8], fitting).warnings
    assert not any("multiple_of" in str(warning) for warning in warned)


def test_budgets_and_searches_are_checked() -> None:
    data = load_digits()
    least = SRSTEPruning(patterns=PatternChoice(budget=MacBudget(0.001)))
    search = EnsemblePruning(keep=0.5, images=5000)
    for pruning, text in ((least, "cannot be met"), (search, "holds out 5000 training images")):
        (problem,) = check_model(
            DigitsCNN(), data.train_images[:8], [pruning], trainer=Trainer(data=data)
        ).problems
        assert text in problem.text


def test_nothing_is_trained_that_will_be_refused() -> None:
    def fail(progress: EpochProgress) -> None:
        raise AssertionError("training has begun")

    class Late(DigitsCNN):
        def forward(self, x: Tensor) -> Tensor:
            return torch.sinc(super().forward(x))

    trainer = Trainer(data=load_digits(), progress=fail)
    rules = SRSTEPruning(patterns={"conv1": Pattern(select=PerNeuron(99))})
    with pytest.raises(UsageError, match=r"(?s)2 problems:.*'conv1'.*'sinc' \(function sinc\)"):
        compress_model(Late(), trainer, [rules])


def test_the_model_stays_as_it_is_and_warnings_are_caught() -> None:
    model = nn.Sequential(OrderedDict(a=nn.Conv2d(1, 4, 3), end=nn.Softmax(1)))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rules = {"a": Pattern(select=PerNeuron(3))}
        check = check_model(model.train(), IMAGES, [MagnitudePruning(patterns=rules)])
    assert check.notes and "left out" in check.notes[0] and not check.warnings
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert model.training


@pytest.mark.parametrize(
    ("pruning", "text"),
    [
        (SPPPruning(patterns={"conv2": Pattern(select=KOutOfN(1, 4))}, epochs=1), "SPP needs"),
        (GDPPruning(keep=0.5, epochs=1), "GDP needs"),
        (EnsemblePruning(keep=0.9, images=2, rounds=2, epochs=1), "lfe trains between rounds"),
    ],
)
def test_schedules_that_cannot_finish_warn_before_training(pruning: Pruning, text: str) -> None:
    data = load_digits()
    few = Trainer(data=data, recipe=Recipe(batch_size=1400))
    check = check_model(DigitsCNN(), data.train_images[:8], [pruning], trainer=few)
    assert check.accepted
    assert any(text in str(warning) for warning in check.warnings), check.warnings
    assert not check_model(DigitsCNN(), data.train_images[:8], [pruning]).warnings


def test_a_second_mask_and_filters_behind_masks_are_refused_everywhere() -> None:
    pattern = Pattern(select=KOutOfN(2, 8))
    prunings = [
        SRSTEPruning(patterns={"conv2": pattern}),
        MagnitudePruning(patterns={"conv3": pattern}),
        TaylorPruning(keep=0.5),
    ]
    texts = [
        (
            "prune: only one method can mask weights, but 'magnitude' follows 'sr-ste'; give it "
            "all patterns"
        ),
        "prune: filters must leave before weights are masked, but 'taylor' follows 'sr-ste'",
    ]
    check = check_model(DigitsCNN(), torch.rand(4, 1, 8, 8), prunings)
    assert [problem.text for problem in check.problems][:2] == texts
    trainer = Trainer(data=load_digits(), recipe=Recipe(prune_epochs=0))
    with pytest.raises(PruneError) as caught:
        prune_model(DigitsCNN(), trainer, prunings)
    assert list(caught.value.problems) == texts


def test_layers_that_move_values_have_a_name() -> None:
    class Moving(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(1, 4, 3, padding=1)
            self.shuffle = torch.nn.PixelShuffle(2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = torch.nn.functional.silu(self.conv(x))
            x = torch.cat([x[:, 2:], x[:, :2]], 1)[:, [1, 0, 3, 2]]
            x = torch.nn.functional.interpolate(self.shuffle(x), scale_factor=2.0)
            x = torch.nn.functional.pixel_unshuffle(x, 2)
            return torch.nn.functional.pad(x, (-1, 0, 0, 2)).flatten(1)

    check = check_model(Moving(), torch.rand(4, 1, 8, 8))
    assert check.accepted, check.problems
    kinds = {layer.kind for layer in check.layers}
    assert kinds >= {"table", "upsampling", "flattening", "space to depth", "depth to space"}
    assert kinds & {"concatenation", "selection of channels"}
