"""What the tracer makes of a model, and what it refuses."""

import operator
import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.quant import Activation, UnsupportedModelError, prepare
from systolith.quant.recognition import FloatLayer, read_network
from systolith.quant.recognition.calls.remedies import SUPPORTED
from systolith.quant.recognition.operations import AveragePool, Convolve, Enlarge, LookUp, MaxPool


class Model(nn.Module):
    """Modules by name, and a forward function that uses them."""

    def __init__(self, forward: Callable[..., object], **modules: nn.Module) -> None:
        super().__init__()
        self._forward = forward
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x: Tensor) -> object:
        return self._forward(self, x)


def trace_layers(model: nn.Module) -> list[FloatLayer]:
    """FloatNetwork on images with as many channels as the first convolution reads."""
    convs = (module for module in model.modules() if isinstance(module, nn.Conv2d))
    channels = next((conv.in_channels for conv in convs), 1)
    images = torch.rand(2, channels, 9, 9, generator=torch.Generator().manual_seed(0))
    return read_network(model, images).layers


def _conv(inputs: int = 1, filters: int = 4, size: int = 3, **options: object) -> nn.Conv2d:
    return nn.Conv2d(inputs, filters, size, **options)  # type: ignore[arg-type]


def _refusal(model: nn.Module) -> list[str]:
    with pytest.raises(UnsupportedModelError) as caught:
        trace_layers(model)
    return list(caught.value.problems)


def _activations(model: nn.Module) -> dict[str, Activation]:
    return {layer.name: layer.activation for layer in trace_layers(model)}


@pytest.mark.parametrize(
    ("operation", "activation"),
    [
        (F.relu, Activation.RELU),
        (torch.relu, Activation.RELU),
        (lambda x: x.relu(), Activation.RELU),
        (F.relu6, Activation.RELU6),
        (lambda x: F.relu6(F.relu(x)), Activation.RELU6),
        (lambda x: F.relu(F.relu6(x)), Activation.RELU6),
        (lambda x: F.relu(F.dropout(x, 0.5, training=False)), Activation.RELU),
        (lambda x: x, Activation.NONE),
    ],
)
def test_activations_are_fused(
    operation: Callable[[Tensor], Tensor], activation: Activation
) -> None:
    model = Model(lambda m, x: operation(m.conv(x)), conv=_conv())
    assert _activations(model) == {"conv": activation}


def test_relu_moves_in_front_of_max_pool_and_flattening() -> None:
    model = Model(lambda m, x: F.relu(torch.flatten(F.max_pool2d(m.conv(x), 2), 1)), conv=_conv())
    assert _activations(model) == {
        "conv": Activation.RELU,
        "max_pool2d": Activation.NONE,
        "flatten": Activation.NONE,
    }


@pytest.mark.parametrize(
    "add",
    [
        lambda a, b: a + b,
        lambda a, b: torch.add(a, b),
        lambda a, b: a.add(b),
        lambda a, b: a.add_(b),
        operator.iadd,
    ],
)
def test_additions_are_recognized(add: Callable[[Tensor, Tensor], Tensor]) -> None:
    model = Model(lambda m, x: add(m.a(x), m.b(x)), a=_conv(), b=_conv())
    *_, last = trace_layers(model)
    assert last.inputs == ("a", "b")


def test_a_tensor_may_be_added_to_itself() -> None:
    def double(m: Model, x: Tensor) -> Tensor:
        x = m.a(x)
        return x + x

    *_, last = trace_layers(Model(double, a=_conv()))
    assert last.inputs == ("a", "a")


def test_names_are_readable_identifiers() -> None:
    model = nn.Sequential(nn.Sequential(_conv(), nn.ReLU()), nn.Flatten())
    layers = trace_layers(model)
    assert [layer.name for layer in layers] == ["layer_0_0", "layer_1"]
    assert [layer.qualified_name for layer in layers] == ["0.0", "1"]


def test_a_module_called_input_does_not_collide_with_the_networks_input() -> None:
    model = Model(lambda m, x: m.conv(m.input(x)), input=_conv(), conv=_conv(4))
    assert [layer.inputs for layer in trace_layers(model)] == [("input",), ("input_1",)]


def test_unused_layers_vanish() -> None:
    def forward(m: Model, x: Tensor) -> Tensor:
        m.unused(x)
        return m.conv(x)  # type: ignore[no-any-return]

    model = Model(forward, conv=_conv(), unused=_conv())
    assert [layer.name for layer in trace_layers(model)] == ["conv"]


def test_same_padding_goes_to_the_bottom_right_as_in_pytorch() -> None:
    conv = nn.Conv2d(1, 4, (2, 3), padding="same")
    (layer,) = trace_layers(Model(lambda m, x: m.conv(x), conv=conv))
    assert layer.operation.padding == (0, 1, 1, 1)
    dilated = nn.Conv2d(1, 4, (2, 3), padding="same", dilation=(3, 2))
    (layer,) = trace_layers(Model(lambda m, x: m.conv(x), conv=dilated))
    assert (layer.operation.padding, layer.operation.reach) == ((1, 2, 2, 2), (4, 5))


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        (
            Model(lambda m, x: m.conv(x), conv=_conv(dilation=2, padding=5)),
            "'conv' (Conv2d): needs padding smaller than the kernel (5, 5), got (5, 5)",
        ),
        (
            Model(lambda m, x: m.conv(x), conv=_conv(padding=1, padding_mode="reflect")),
            "'conv' (Conv2d): needs padding_mode 'zeros', got 'reflect'",
        ),
        (
            Model(lambda m, x: m.conv(x), conv=_conv(padding=1, padding_mode="replicate")),
            (
                "'conv' (Conv2d): needs padding_mode 'zeros', got 'replicate'; "
                "put a ReplicationPad2d in front"
            ),
        ),
        (
            Model(lambda m, x: m.conv(x), conv=_conv(padding=3)),
            "'conv' (Conv2d): needs padding smaller than the kernel (3, 3), got (3, 3)",
        ),
        (
            Model(lambda m, x: m.pool(x), pool=nn.AvgPool2d(2, divisor_override=-3)),
            "'pool' (AvgPool2d): needs a divisor_override of at least 1, got -3",
        ),
        (
            Model(lambda m, x: F.adaptive_avg_pool2d(x, (2, 1))),
            (
                "'adaptive_avg_pool2d' (function adaptive_avg_pool2d): needs an output_size that "
                "divides (9, 9), so that windows are equal, got (2, 1)"
            ),
        ),
        (
            Model(lambda m, x: torch.flatten(m.conv(x)), conv=_conv()),
            "'flatten' (function flatten): needs axes 1 to -1, got 0 to -1",
        ),
        (
            Model(lambda m, x: m.norm(m.conv(x)), conv=_conv(), norm=nn.BatchNorm2d(3)),
            "'norm' (BatchNorm2d): needs num_features 4 as 'conv' before it, got 3",
        ),
        (
            Model(
                lambda m, x: m.norm(m.conv(x)),
                conv=_conv(),
                norm=nn.BatchNorm2d(4, track_running_stats=False),
            ),
            "'norm' (BatchNorm2d): needs running statistics, tracks none",
        ),
        (
            Model(
                lambda m, x: torch.cat([m.norm(y := m.conv(x)), y], 1),
                conv=_conv(),
                norm=nn.BatchNorm2d(4, track_running_stats=False),
            ),
            "'norm' (BatchNorm2d): needs running statistics, tracks none",
        ),
        (
            Model(lambda m, x: m.act(m.conv(x)), conv=_conv(), act=nn.LPPool2d(2, 2)),
            f"'act' (LPPool2d): {SUPPORTED}",
        ),
        (
            Model(lambda m, x: F.relu(F.softmax(m.conv(x), 1)), conv=_conv()),
            (
                "'softmax' (function softmax): needs to be the very last operation, where it is "
                "left out"
            ),
        ),
        (
            Model(lambda m, x: m.conv(x).view(-1, 4), conv=_conv()),
            "'view' (method view): flatten with torch.flatten(x, 1) or nn.Flatten()",
        ),
        (
            Model(lambda m, x: F.conv2d(x, m.conv.weight * x.mean()), conv=_conv()),
            "'conv2d' (function conv2d): needs weights that do not depend on the images",
        ),
        (
            Model(lambda m, x: (m.conv(x), x), conv=_conv()),
            "forward() (model): needs at least one layer, got none",
        ),
        (
            Model(lambda m, x: x),
            "forward() (model): needs at least one layer, got none",
        ),
        (
            Model(lambda m, x: F.interpolate(m.conv(x), scale_factor=1.5), conv=_conv()),
            (
                "'interpolate' (function interpolate): needs a whole multiple of the size, got "
                "7x7 to 10x10"
            ),
        ),
        (
            Model(
                lambda m, x: F.interpolate(m.conv(x), scale_factor=2, mode="bicubic"),
                conv=_conv(),
            ),
            (
                "'interpolate' (function interpolate): needs mode 'nearest' or 'bilinear', or a "
                "trained nn.ConvTranspose2d(C, C, 4, 2, 1, groups=C); got 'bicubic'"
            ),
        ),
    ],
)
def test_refuses(model: nn.Module, problem: str) -> None:
    assert problem in _refusal(model)


@pytest.mark.parametrize(
    "pad",
    [
        nn.ZeroPad2d((0, 1, 2, 1)),
        lambda x: F.pad(x, (0, 1, 2, 1)),
        lambda x: F.pad(x, [0, 1, 2, 1], value=0.0),
    ],
)
@pytest.mark.parametrize(
    ("reader", "padding"),
    [
        (_conv(size=5, stride=2), (2, 1, 0, 1)),
        (_conv(size=5, padding=1), (3, 2, 1, 2)),
        (nn.AvgPool2d(4, 1, 1), (3, 2, 1, 2)),
    ],
)
def test_zeros_added_in_front_become_padding(
    pad: Callable[[Tensor], Tensor], reader: nn.Module, padding: tuple[int, int, int, int]
) -> None:
    modules = {"pad": pad} if isinstance(pad, nn.Module) else {}
    model = Model(
        lambda self, x: self.reader(pad(x) if not modules else self.pad(x)),
        reader=reader,
        **modules,
    )
    (layer,) = trace_layers(model)
    assert isinstance(layer.operation, Convolve | AveragePool)
    assert layer.operation.padding == padding and layer.inputs == ("input",)
    images = torch.rand(2, 1, 9, 9)
    quantized = prepare(model.eval(), images)
    assert quantized.shapes() == {"input": (1, 9, 9), layer.name: tuple(model(images).shape[1:])}


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        (
            Model(
                lambda self, x: self.conv(F.pad(self.first(x), (1, 1, 0, 0, 2, 2))),
                first=_conv(),
                conv=_conv(8),
            ),
            (
                "'pad' (function pad): needs rows and columns to add on 2 or 4 sides, "
                "got (1, 1, 0, 0, 2, 2)"
            ),
        ),
        (
            Model(lambda self, x: self.conv(F.pad(x, (1, 1, 1, 1), "reflect")), conv=_conv()),
            (
                "'pad' (function pad): needs to pad with zeros or mode 'replicate', got mode "
                "'reflect', value None"
            ),
        ),
    ],
)
def test_refuses_padding_by_other_than_zeros(model: nn.Module, problem: str) -> None:
    assert _refusal(model) == [problem]


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.ReLU6()])
def test_zeros_before_a_max_pool_change_nothing_after_a_relu(activation: nn.Module) -> None:
    model = nn.Sequential(_conv(), activation, nn.ZeroPad2d((0, 1, 1, 0)), nn.MaxPool2d(2)).eval()
    images = torch.rand(4, 1, 8, 10)
    quantized = prepare(model, images)
    pool = trace_layers(model)[-1].operation
    assert isinstance(pool, MaxPool) and pool.padding == (1, 0, 0, 1)
    before, after = list(quantized.trace(images).values())[-2:]
    assert torch.equal(after, F.max_pool2d(F.pad(before, (0, 1, 1, 0)), 2))


def test_frozen_weights_stay_frozen() -> None:
    model = nn.Sequential(_conv(), _conv(4, 2))
    model[0].weight.requires_grad_(False)
    quantized = prepare(model, torch.rand(2, 1, 8, 8))
    frozen = [quantized.layer(name).weight.requires_grad for name in ("layer_0", "layer_1")]
    assert frozen == [False, True]


def test_a_relu_whose_input_is_read_elsewhere_is_a_table() -> None:
    def forward(m: Model, x: Tensor) -> Tensor:
        x = m.conv(x)
        return F.relu(x) + x

    conv, table = trace_layers(Model(forward, conv=_conv()))
    assert isinstance(table.operation, LookUp)
    assert table.inputs == (conv.name,)


def test_a_relu_behind_a_pool_whose_input_is_read_later_is_a_table() -> None:
    def forward(m: Model, x: Tensor) -> Tensor:
        x = m.conv(x)
        pooled = F.relu(F.max_pool2d(x, 1))
        return pooled + x

    layers = trace_layers(Model(forward, conv=_conv()))
    kinds = [type(layer.operation).__name__ for layer in layers]
    assert kinds == ["Convolve", "MaxPool", "LookUp", "AddUp"]


def test_a_batch_norm_whose_convolution_is_read_elsewhere_is_a_layer() -> None:
    def forward(m: Model, x: Tensor) -> Tensor:
        x = m.conv(x)
        return m.norm(x) + x  # type: ignore[no-any-return]

    conv, norm, last = trace_layers(Model(forward, conv=_conv(), norm=nn.BatchNorm2d(4)))
    assert isinstance(norm.operation, Convolve) and norm.operation.module.groups == 4
    assert last.inputs == (norm.name, conv.name)


def test_a_sum_in_place_is_what_later_readers_see() -> None:
    def forward(m: Model, x: Tensor) -> Tensor:
        x = m.a(x)
        y = x.add_(m.b(x))
        return y + x

    *_, first, last = trace_layers(Model(forward, a=_conv(), b=_conv(4, padding=1)))
    assert (first.inputs, last.inputs) == (("a", "b"), (first.name, first.name))


def test_refuses_control_flow_on_values() -> None:
    def forward(m: Model, x: Tensor) -> Tensor:
        return m.conv(x) if x.sum() > 0 else x  # type: ignore[no-any-return]

    assert _refusal(Model(forward, conv=_conv())) == [
        (
            "'Model' (model): needs a forward() that does not branch on values or take them out "
            "of tensors, but it, or a hook, calls __bool__() of what depends on the images"
        )
    ]


def test_refuses_two_inputs() -> None:
    class Two(nn.Module):
        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            return a + b

    joined = "join them by systolith.trace.stack_inputs"
    assert f"forward() (model): needs exactly one input, got a, b; {joined}" in _refusal(Two())


def test_lists_all_problems_together() -> None:
    model = Model(
        lambda m, x: torch.sinc(m.act(m.conv(x))),
        conv=_conv(padding=3, padding_mode="circular"),
        act=nn.LPPool2d(2, 2),
    )
    message = (
        "4 problems:\n  - 'conv' (Conv2d): needs padding_mode 'zeros', got 'circular'"
        "\n  - 'conv' (Conv2d): needs padding smaller than the kernel (3, 3), got (3, 3)"
        f"\n  - 'act' (LPPool2d): {SUPPORTED}\n  - 'sinc' (function sinc): {SUPPORTED}"
    )
    with pytest.raises(UnsupportedModelError, match=f"^{re.escape(message)}$"):
        prepare(model, torch.zeros(1, 1, 8, 8))


@pytest.mark.parametrize("pool", [nn.AdaptiveAvgPool2d((14, 7)), nn.AdaptiveMaxPool2d((14, 7))])
def test_adaptive_pools_of_more_windows_than_pixels_repeat_pixels(pool: nn.Module) -> None:
    model = nn.Sequential(_conv(size=3), pool)
    x = torch.rand(2, 1, 9, 9)
    *_, last = trace_layers(model)
    assert last.operation == Enlarge((2, 1))
    assert torch.equal(model(x), model[0](x).repeat_interleave(2, 2))
