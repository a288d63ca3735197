"""Commonplace ways to write a classifier that need no hardware of their own."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.frontend import lower
from systolith.quant import UnsupportedModelError, prepare
from systolith.quant.layers.requantizing import Activation
from systolith.quant.recognition import read_network
from systolith.quant.recognition.operations import LookUp, ToVectors
from tests.support.written_models import IMAGES, Written, assert_computes_the_same, problems_of

Forward = Callable[[Written, Tensor], Tensor]


@pytest.mark.parametrize(
    "flatten",
    [
        lambda x: x.view(x.size(0), -1),
        lambda x: x.view(-1, 144),
        lambda x: x.view(size=(len(x), 144)),
        lambda x: x.reshape(x.shape[0], -1),
        lambda x: torch.reshape(x, (-1, 4 * 6 * 6)),
        lambda x: x.flatten(-3),
        lambda x: x.flatten(2).flatten(1),
        lambda x: torch.flatten(x, start_dim=1, end_dim=3),
        lambda x: nn.Flatten()(x),
        lambda x: x.unsqueeze(1).flatten(1),
    ],
)
def test_flattening_however_it_is_written(flatten: Callable[[Tensor], Tensor]) -> None:
    layers = assert_computes_the_same(Written(lambda m, x: m.fc(flatten(m.a(x)))))
    assert [type(layer.operation) is ToVectors for layer in layers] == [False, True, False]


@pytest.mark.parametrize(
    "reshape",
    [
        lambda x: x.view(-1, 4),
        lambda x: x.flatten(0, 1),
        lambda x: F.max_pool1d(x.flatten(2), 2),
        lambda x: F.max_pool1d(x.view(len(x), 4, 36), 2),
        lambda x: F.max_pool2d(x.view(len(x), 6, 6, 4), 2),
    ],
)
def test_other_shapes_are_refused(reshape: Callable[[Tensor], Tensor]) -> None:
    (problem,) = problems_of(Written(lambda m, x: reshape(m.a(x))))
    assert "flatten with torch.flatten(x, 1)" in problem or "needs axes 1 to -1" in problem


@pytest.mark.parametrize("write", ["permute", "transpose"])
def test_another_order_of_values_is_refused(write: str) -> None:
    def forward(m: Written, x: Tensor) -> Tensor:
        y = m.a(x)
        y = y.permute(0, 2, 3, 1) if write == "permute" else y.transpose(2, 3)
        return m.fc(y.flatten(1))

    assert problems_of(Written(forward))[0].startswith(f"'{write}' (method {write}): needs to move")


@pytest.mark.parametrize(
    ("clip", "activation"),
    [
        (nn.Hardtanh(0, 6), Activation.RELU6),
        (lambda x: F.hardtanh(x, 0.0, 6.0), Activation.RELU6),
        (lambda x: torch.clamp(x, 0, 6), Activation.RELU6),
        (lambda x: x.clip(min=0, max=6), Activation.RELU6),
        (lambda x: x.clamp(min=0), Activation.RELU),
        (lambda x: torch.clamp_min(x, 0), Activation.RELU),
    ],
)
def test_clips_are_activations(clip: Callable[[Tensor], Tensor], activation: Activation) -> None:
    (layer,) = assert_computes_the_same(Written(lambda m, x: clip(m.a(x))))
    assert layer.activation is activation


@pytest.mark.parametrize(
    "clip",
    [
        nn.Hardtanh(),
        lambda x: F.hardtanh(x),
        lambda x: x.clamp(0, 1),
        lambda x: x.clamp(max=6),
        lambda x: torch.clip(x, -0.5, 0.25),
    ],
)
def test_other_clips_are_tables(clip: Callable[[Tensor], Tensor]) -> None:
    _, layer = assert_computes_the_same(Written(lambda m, x: clip(m.a(x))))
    assert isinstance(layer.operation, LookUp)


def test_limits_by_channel_are_refused() -> None:
    limits = torch.zeros(4, 1, 1)
    (problem,) = problems_of(Written(lambda m, x: torch.clamp(m.a(x), limits, limits + 6)))
    assert problem.endswith("needs min to be one number, got shape (4, 1, 1)")


def test_indices_of_a_max_pool_are_refused() -> None:
    pool = nn.MaxPool2d(2, return_indices=True)
    model = Written(lambda m, x: pool(m.a(x))[0])
    model.pool = pool
    (problem,) = problems_of(model)
    assert problem == "'pool' (MaxPool2d): needs return_indices=False, got True"


@pytest.mark.parametrize(
    "drop",
    [
        nn.Dropout(0.9).eval(),
        nn.AlphaDropout(0.9).eval(),
        lambda x: F.dropout(x, 0.9, False),
        lambda x: F.dropout2d(x, 0.9, training=False),
        lambda x: F.dropout(x, 0.0),
    ],
)
def test_dropout_vanishes(drop: Callable[[Tensor], Tensor]) -> None:
    assert len(assert_computes_the_same(Written(lambda m, x: m.b(drop(m.a(x)))))) == 2


def test_dropout_that_stays_in_evaluation_is_refused() -> None:
    assert problems_of(Written(lambda m, x: m.b(F.dropout(m.a(x))))) == [
        (
            "'dropout' (function dropout): drops values in evaluation, too; "
            "write training=self.training"
        )
    ]


@pytest.mark.parametrize(
    "normalize",
    [
        lambda m, x: (x - 0.5) / 0.25,
        lambda m, x: 2 * x - 1,
        lambda m, x: x / 255.0,
        lambda m, x: (x - m.mean) / (m.mean + 1),
        lambda m, x: x.sub(m.mean[None]).div_(0.5),
    ],
)
def test_normalization_is_folded_into_the_first_layer(normalize: Forward) -> None:
    layers = assert_computes_the_same(Written(lambda m, x: m.b(m.a(normalize(m, x)))))
    assert [layer.qualified_name for layer in layers] == ["a", "b"]
    flat = nn.Sequential(nn.Flatten(), nn.Linear(192, 5))
    flat.mean = torch.rand(3, 1, 1)
    flat.register_forward_pre_hook(lambda m, given: normalize(m, given[0]))
    assert len(assert_computes_the_same(flat)) == 2


def test_a_shift_in_front_of_padding_is_a_table_and_a_factor_is_folded() -> None:
    class Padded(nn.Module):
        def __init__(self, shift: float) -> None:
            super().__init__()
            self.conv, self.shift = nn.Conv2d(3, 4, 3, padding=1), shift

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.conv(x * 2 - self.shift)
            return logits

    assert_computes_the_same(Padded(0.0))
    table, conv = assert_computes_the_same(Padded(1.0))
    assert isinstance(table.operation, LookUp) and conv.inputs == (table.name,)


def _with_statistics(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> nn.Module:
    with torch.no_grad():
        for values in (norm.running_mean, norm.running_var, norm.weight, norm.bias):
            values.uniform_(0.5, 1.5)
    return norm


@pytest.mark.parametrize(
    ("layers", "names"),
    [
        ([nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3)], ["1"]),
        ([nn.BatchNorm2d(3), nn.Conv2d(3, 6, 3, groups=3)], ["1"]),
        ([nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1)], ["0", "3"]),
        (
            [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1)],
            ["0", "3"],
        ),
        ([nn.Flatten(), nn.Linear(192, 8), nn.BatchNorm1d(8), nn.ReLU()], ["0", "1"]),
        ([nn.Flatten(), nn.Linear(192, 8, bias=False), nn.BatchNorm1d(8)], ["0", "1"]),
        ([nn.Flatten(), nn.BatchNorm1d(192), nn.Linear(192, 8)], ["0", "2"]),
        ([nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(192, 8)], ["1", "2"]),
    ],
)
def test_batch_norms_are_folded_into_a_neighbour(layers: list[nn.Module], names: list[str]) -> None:
    for layer in layers:
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            _with_statistics(layer)
    layers = assert_computes_the_same(nn.Sequential(*layers))
    assert [layer.qualified_name for layer in layers] == names


@pytest.mark.parametrize(
    "end",
    [nn.Softmax(dim=1), nn.LogSoftmax(-1), lambda x: F.softmax(x, 1), lambda x: x.log_softmax(-1)],
)
def test_a_softmax_at_the_very_end_is_left_out_with_a_note(end: Forward) -> None:
    model = Written(lambda m, x: end(m.fc(m.a(x).flatten(1)))).eval()
    with pytest.warns(UserWarning, match="is left out, as it does not change the predicted class"):
        quantized = prepare(model, IMAGES)
    assert len(quantized.notes) == 1
    with torch.no_grad():
        logits, probabilities = quantized(IMAGES), model(IMAGES)
    assert torch.equal(logits.argmax(1), probabilities.argmax(1))
    assert [layer.name for layer in read_network(model, IMAGES).layers] == ["a", "flatten", "fc"]


@pytest.mark.parametrize("options", [{}, {"dim": 0}, {"dim": 2}])
def test_a_softmax_over_other_axes_is_refused(options: dict[str, int]) -> None:
    (problem,) = problems_of(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Softmax(**options)))
    assert problem == (
        f"'1' (Softmax): needs axis 1, that of the classes, got {options.get('dim')}; or return "
        "the logits"
    )


def test_an_optional_input_keeps_its_default() -> None:
    class Optional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
            logits: Tensor = self.conv(x if mask is None else x * mask)
            return logits

    assert len(assert_computes_the_same(Optional())) == 1


def test_a_convolution_of_a_class_of_its_own() -> None:
    class Standardized(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
            return F.conv2d(F.pad(x, (0, 1, 0, 1)), weight, self.bias, self.stride)

    class Named(nn.Linear):
        pass

    model = nn.Sequential(Standardized(3, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), Named(64, 5))
    layers = assert_computes_the_same(model)
    assert [layer.qualified_name for layer in layers] == ["0", "2", "3"]
    assert prepare(model, IMAGES).layer("layer_0").weight.requires_grad


def test_data_parallel_and_compiled_models() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    (layer,) = assert_computes_the_same(nn.DataParallel(model))
    assert layer.qualified_name == "module.0"
    (layer,) = assert_computes_the_same(torch.compile(model, backend="eager"))
    assert layer.activation is Activation.RELU


def test_what_hardware_does_not_have_is_refused_with_a_rewrite() -> None:
    def shortcut(m: Written, x: Tensor) -> Tensor:
        y = m.a(x)
        z = F.pad(y[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))
        return torch.cat([z, z], 1)

    problems = problems_of(Written(shortcut))
    rewrite = "a frozen Conv2d with a kernel of 1x1, of ones and zeros,"
    assert [rewrite in problem for problem in problems] == [False, True]


@pytest.mark.parametrize("pad", [(0, 1), (0, -1)])
def test_padding_of_vectors_is_refused(pad: tuple[int, int]) -> None:
    model = Written(lambda m, x: F.pad(m.fc(m.a(x).flatten(1)), pad))
    assert problems_of(model) == ["'pad' (function pad): needs images (N, C, H, W), got (2, 5)"]


@pytest.mark.parametrize(
    ("pool", "fixed"),
    [
        (lambda x: F.avg_pool2d(x, x.size(3)), True),
        (lambda x: F.avg_pool2d(x, x.shape[2:]), True),
        (lambda x: F.adaptive_max_pool2d(x, 1), True),
        (lambda x: F.adaptive_avg_pool2d(x, 2), True),
        (lambda x: x.amax((2, 3), keepdim=True), True),
        (lambda x: x.mean((2, 3)).view(x.size(0), -1), False),
        (lambda x: F.adaptive_avg_pool2d(x, 1), False),
        (lambda x: F.avg_pool2d(x, 6), False),
        (lambda x: F.max_pool2d(x, 2, ceil_mode=True), True),
        (lambda x: nn.AvgPool2d(2, ceil_mode=True)(x), True),
        (lambda x: x[:, :, :8, :], True),
        (lambda x: x[:, :], False),
        (lambda x: F.avg_pool2d(x, x[0, 0].shape), True),
        (lambda x: F.avg_pool2d(x, len(x[0, 0])), True),
        (lambda x: F.avg_pool2d(x, x.stride(2)), True),
        (lambda x: x.view(len(x), -1), False),
    ],
)
def test_other_sizes_are_refused_if_the_model_read_the_size(
    pool: Callable[[Tensor], Tensor], fixed: bool
) -> None:
    model = Written(lambda m, x: pool(m.a(x))).eval()
    quantized = prepare(model, IMAGES)
    assert lower(quantized, (3, 8, 8)).input.shape == (3, 8, 8)
    if not fixed:
        larger = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
        assert lower(quantized, (3, 12, 12)).input.shape == (3, 12, 12)
        assert (quantized(larger) - model(larger)).abs().max() < 0.1 * model(larger).abs().max()
        return
    message = r"^images must have shape \(3, 8, 8\), got \(3, 12, 12\): the model reads the size"
    with pytest.raises(UnsupportedModelError, match=message):
        lower(quantized, (3, 12, 12))


@pytest.mark.parametrize(
    "rank",
    [
        lambda x: x.max(1)[1],
        lambda x: torch.max(x, 1).indices,
        lambda x: x.topk(1).indices,
        lambda x: torch.sort(x, dim=1, descending=True)[1],
    ],
)
def test_ranking_is_refused_with_the_rewrite(rank: Callable[[Tensor], Tensor]) -> None:
    (problem,) = problems_of(Written(lambda m, x: rank(m.a(x))))
    assert "ranks values; write argmax(1) at the end, which the host or the chip" in problem


def test_the_greater_of_two_is_no_ranking() -> None:
    *_, problem = problems_of(Written(lambda m, x: torch.max(m.a(x), 2 * m.a(x))))
    assert problem.endswith("needs add, multiply or concatenate; max(x, y) is y + relu(x - y)")


def test_the_rewrite_of_the_greater_of_two_computes_it() -> None:
    def greater(m: Written, x: Tensor) -> Tensor:
        y = m.a(x)
        z = F.avg_pool2d(y, 3, 1, 1)
        return z + F.relu(y - z)

    model = Written(greater).eval()
    quantized = prepare(model, IMAGES)
    with torch.no_grad():
        one = model.a(IMAGES)
        wanted = torch.maximum(one, F.avg_pool2d(one, 3, 1, 1))
        got = quantized.eval()(IMAGES)
    assert float((got - wanted).abs().max() / wanted.abs().max()) < 0.05


REWRITES = [
    (nn.GroupNorm(2, 4), "BatchNorm"),
    (nn.InstanceNorm2d(4), "BatchNorm"),
    (lambda x: torch.where(x > 0, x, 2 * x), "clamp, relu or threshold"),
    (lambda x: torch.einsum("nchw,oc->nohw", x, torch.ones(2, 4)), "a Conv2d of 1x1"),
    (lambda x: torch.sort(x, 1)[0], "argmax(1)"),
    (lambda x: torch.max(x, 1)[0], "argmax(1)"),
]


@pytest.mark.parametrize(("call", "rewrite"), REWRITES)
def test_a_refusal_names_the_nearest_rewrite(
    call: Callable[[Tensor], Tensor], rewrite: str
) -> None:
    problems = problems_of(Written(lambda m, x: call(m.a(x))))
    assert any(rewrite in problem for problem in problems)
