"""Models that return several tensors: heads, features, logits beside probabilities."""

from collections import OrderedDict, namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._pytree import tree_leaves

from systolith.exchange import Format, export_onnx, import_onnx
from systolith.frontend import IntegerModel, lower
from systolith.network import NetworkError, trace
from systolith.plan import plan_network
from systolith.prune import (
    FilterBudget,
    FilterScore,
    find_channel_groups,
    remove_filters,
    score_filters,
    select_filters,
)
from systolith.quant import QuantizedModel, UnsupportedModelError, prepare
from tests.support.written_models import Written

IMAGES = torch.rand(8, 3, 6, 6, generator=torch.Generator().manual_seed(0))
Heads = namedtuple("Heads", ["large", "small"])


class _Model(nn.Module):
    """A body, two heads on it, and a form in which they are returned."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form = form
        self.body, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.large, self.small = nn.Conv2d(4, 5, 1), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Any:
        before = self.norm(self.body(x))
        y = F.relu(before)
        large, small = self.large(y), self.small(y.mean((2, 3)))
        match self.form:
            case "tuple":
                return large, small
            case "list in dict":
                return OrderedDict(out=[large], aux=small)
            case "named":
                return Heads(large=large, small=small)
            case "twice":
                return small, small, large
            case "logits and probabilities":
                return small, F.softmax(small, 1), torch.sigmoid(large)
            case "features":
                return y, small
            case "before and behind relu":
                return before, small
            case "one in a list":
                return [small]
            case "with an image":
                return x, small
            case "with a number":
                return small, 3
            case "with a constant":
                return small, torch.zeros(2)
            case _:
                return {}


FORMS = (
    *("tuple", "list in dict", "named", "twice", "logits and probabilities", "features"),
    *("before and behind relu", "one in a list"),
)


def _prepared(form: str) -> tuple[nn.Module, QuantizedModel]:
    torch.manual_seed(1)
    model = _Model(form).eval()
    return model, prepare(model, IMAGES)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.filterwarnings("ignore:.*left out")
def test_all_tensors_come_in_the_models_own_form(form: str) -> None:
    model, quantized = _prepared(form)
    with torch.no_grad():
        wanted, got = model(IMAGES), quantized.eval()(IMAGES)
    assert type(got) is type(wanted)
    pairs = list(zip(tree_leaves(got), tree_leaves(wanted), strict=True))
    for one, other in pairs if form != "logits and probabilities" else pairs[:1]:
        assert one.shape == other.shape
        assert float((one - other).abs().max() / other.abs().max()) < 0.05
    if isinstance(wanted, dict):
        assert list(got) == list(wanted)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.filterwarnings("ignore:.*left out")
def test_integers_are_equal_everywhere(form: str) -> None:
    _, quantized = _prepared(form)
    network, integers = lower(quantized), IntegerModel(quantized)
    assert network.outputs == integers.outputs == quantized.outputs
    codes = integers.quantize_input(IMAGES)
    golden, other = trace(network, codes), integers.trace(codes)
    assert golden.keys() == other.keys()
    assert all(np.array_equal(golden[name], other[name]) for name in golden)
    results = integers(torch.from_numpy(codes))
    results = results if isinstance(results, tuple) else (results,)
    for name, result in zip(network.outputs, results, strict=True):
        assert np.array_equal(result.numpy(), golden[name])
    plan_network(network, multipliers=16)


@pytest.mark.parametrize("form", ["tuple", "features"])
def test_onnx_files_have_all_outputs(form: str, tmp_path: Path) -> None:
    _, quantized = _prepared(form)
    network = lower(quantized)
    for kind in Format:
        export_onnx(network, tmp_path / "model.onnx", kind)
        back = import_onnx(tmp_path / "model.onnx").network
        codes = IntegerModel(quantized).quantize_input(IMAGES)
        golden, again = trace(network, codes), trace(back, codes)
        pairs = zip(network.outputs, back.outputs, strict=True)
        assert all(np.array_equal(golden[one], again[other]) for one, other in pairs)


@pytest.mark.filterwarnings("ignore:.*left out")
def test_ends_are_those_of_each_output() -> None:
    _, quantized = _prepared("logits and probabilities")
    assert quantized.ends == {"small": "softmax", "large": "sigmoid"}
    assert len(quantized.notes) == 2


def test_logits_need_one_output() -> None:
    _, quantized = _prepared("tuple")
    with pytest.raises(NetworkError, match="logits need one output, got large, small"):
        IntegerModel(quantized).logits(IMAGES)


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        ("with an image", "needs at least one layer, got none"),
        ("with a number", "needs to return tensors, got int"),
        ("with a constant", "needs to return what a layer computes"),
        ("nothing", "needs to return tensors, got none"),
    ],
)
def test_what_is_no_result_of_a_layer_is_refused(form: str, problem: str) -> None:
    with pytest.raises(UnsupportedModelError, match=problem):
        _prepared(form)


def test_channels_of_outputs_stay_when_filters_leave() -> None:
    torch.manual_seed(1)
    for form, kept in (("tuple", {"body"}), ("features", set())):
        model = _Model(form).eval()
        groups = find_channel_groups(model, IMAGES)
        removable = {name for group in groups if group.removable for name in group.producers}
        assert removable == kept
        if kept:
            scores = score_filters(model, groups, FilterScore.L1)
            masks = select_filters(groups, scores, FilterBudget(keep=0.5))
            large, small = remove_filters(model, masks, IMAGES)(IMAGES)
            assert large.shape == (8, 5, 6, 6) and small.shape == (8, 3)


def test_an_output_that_changed_through_a_view_is_refused() -> None:
    def forward(m: Written, x: Tensor) -> tuple[Tensor, Tensor]:
        x = m.a(x)
        y = x
        x.mul_(x[:, :1])
        return x, y

    with pytest.raises(UnsupportedModelError, match="changes in place what is read later"):
        prepare(Written(forward).eval(), torch.rand(4, 3, 8, 8))


MOVES = [
    lambda x: x.permute(0, 2, 3, 1),
    lambda x: x.view(len(x), 2, 2, 6, 6).permute(0, 1, 3, 4, 2).contiguous(),
    lambda x: torch.cat([x.permute(0, 2, 3, 1).reshape(len(x), -1, 2)], 1),
    lambda x: x.flatten(2).transpose(1, 2),
    lambda x: F.relu(x.flip(3)),
]


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.filterwarnings("ignore:.*left to the host")
def test_moves_of_what_is_returned_are_left_to_the_host(move: Callable[[Tensor], Tensor]) -> None:
    torch.manual_seed(1)
    images = torch.rand(6, 3, 8, 8)
    model = Written(lambda m, x: (move(m.a(x)), F.avg_pool2d(x, 2))).eval()
    quantized = prepare(model, images).eval()
    with torch.no_grad():
        wanted, got = model(images)[0], quantized(images)[0]
    assert got.shape == wanted.shape
    assert float((got - wanted).abs().max() / wanted.abs().max()) < 0.05
    reals = IntegerModel(quantized).real_outputs(images.numpy())
    assert torch.equal(reals[0].float(), got)
    (note,) = quantized.returned.moves
    assert "is left to the host: the network gives the values of 'a' in its own order" in note
    assert lower(quantized).outputs[0] == "a"


def test_logits_of_a_classifier_are_in_the_models_order() -> None:
    torch.manual_seed(1)
    model = Written(lambda m, x: F.adaptive_avg_pool2d(m.a(x), 1).flatten(1).flip(1)).eval()
    quantized = prepare(model, IMAGES).eval()
    with torch.no_grad():
        assert float((quantized(IMAGES) - model(IMAGES)).abs().max()) < 0.05
        integers = IntegerModel(quantized)
        assert torch.equal(integers.logits(IMAGES).argmax(1), quantized(IMAGES).argmax(1))


def test_a_table_of_what_is_returned_too_reads_few_bits() -> None:
    def forward(m: Written, x: Tensor) -> tuple[Tensor, Tensor]:
        y = m.a(x)
        return y.flatten(1), torch.tanh(y)

    quantized = prepare(Written(forward).eval(), torch.rand(4, 3, 8, 8))
    assert quantized.quantizer("a").act_type.bits == 8
    assert quantized.quantizer("tanh").act_type.bits > 8
    plan_network(lower(quantized), multipliers=8)


def test_layers_have_names_that_modules_do_not_use() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.keys, self.values = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            y = self.keys(x) * self.values(x)
            return F.max_pool2d((1 - y).to(torch.float32), 2)

    quantized = prepare(Named().eval(), IMAGES)
    assert {"layer_keys", "layer_values"} < quantized.layers.keys()
    assert quantized.origins["layer_values"] == "values"
    assert len(lower(quantized).layers) == len(quantized.layers)
