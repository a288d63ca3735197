"""Random small modules of all supported layers, with everything that can vary."""

import torch
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.network import AllTaps, Granularity, KOutOfN, Pattern, PerNeuron, Strided, Taps
from systolith.prune import ScorePruner, prunable_layers
from systolith.quant import LayerBits, QuantConfig, QuantizedModel, prepare

WEIGHT_BITS = st.integers(1, 8)
BITS = st.integers(2, 8)
ACTIVATIONS = {"relu": F.relu, "relu6": F.relu6, "": lambda x: x}

ImageShape = tuple[int, int, int]


class RandomNet(nn.Module):
    """Modules one after the other; some of them residual, some activated by functions."""

    def __init__(self) -> None:
        super().__init__()
        self.order: list[tuple[str, bool, str]] = []

    def append(self, module: nn.Module, *, residual: bool = False, activation: str = "") -> None:
        """Add a module ``m0``, ``m1``, ...; a residual one's output is added to its input."""
        name = f"m{len(self.order)}"
        self.add_module(name, module)
        self.order.append((name, residual, activation))

    def forward(self, x: Tensor) -> Tensor:
        for name, residual, activation in self.order:
            y = getattr(self, name)(x)
            x = ACTIVATIONS[activation](x + y if residual else y)
        return x


@st.composite
def quantized_models(draw: st.DrawFn) -> QuantizedModel:
    """Models with random weights, batch norm statistics, bits and masks, calibrated on noise."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(draw(st.integers(0, 2**31)))
        net = RandomNet()
        shape = input_shape = (draw(st.integers(1, 4)), draw(SIDE), draw(SIDE))
        for _ in range(draw(st.integers(1, 5))):
            grow = draw(st.sampled_from([_convolve, _convolve, _depthwise, _residual, _pool]))
            shape = grow(draw, net, shape)
        if draw(st.booleans()):
            _classify(draw, net, shape)
        _randomize(net)
        signed = draw(st.booleans())
        images = torch.rand(5, *input_shape) * draw(st.sampled_from([0.01, 1.0, 255.0]))
        layers = prunable_layers(net)
        narrow = st.none() | st.booleans()
        bits = st.builds(LayerBits, weight_bits=WEIGHT_BITS, act_bits=BITS, narrow_range=narrow)
        config = QuantConfig(
            weight_bits=draw(WEIGHT_BITS),
            act_bits=draw(BITS),
            narrow_range=draw(st.booleans()),
            input_bits=draw(BITS),
            output_bits=draw(st.integers(2, 16)),
            input_signed=signed,
            power_of_two=draw(st.booleans()),
            layers=draw(st.dictionaries(st.sampled_from(sorted(layers)), bits)) if layers else {},
        )
        patterns = {name: draw(_patterns(layer.weight.shape)) for name, layer in layers.items()}
        masks = ScorePruner(patterns=patterns).masks(net)
        return prepare(net.eval(), images - images.mean() if signed else images, config, masks)


SIDE = st.integers(4, 9)
ACTIVATION = st.sampled_from(sorted(ACTIVATIONS))


def _convolve(draw: st.DrawFn, net: RandomNet, shape: ImageShape) -> ImageShape:
    channels, height, width = shape
    kernel = draw(st.integers(1, min(3, height))), draw(st.integers(1, min(3, width)))
    stride = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    choices: list[str | tuple[int, int]] = ["valid", (kernel[0] - 1, kernel[1] - 1)]
    if stride == (1, 1):
        choices.append("same")
    conv = nn.Conv2d(
        channels,
        draw(st.integers(1, 6)),
        kernel,
        stride,
        padding=draw(st.sampled_from(choices)),
        bias=draw(st.booleans()),
    )
    return _append(net, shape, _with_norm(draw, conv), activation=draw(ACTIVATION))


def _depthwise(draw: st.DrawFn, net: RandomNet, shape: ImageShape) -> ImageShape:
    channels = shape[0]
    filters = channels * draw(st.integers(1, 2))
    conv = nn.Conv2d(channels, filters, 3, padding=1, groups=channels)
    return _append(net, shape, _with_norm(draw, conv), activation=draw(ACTIVATION))


def _residual(draw: st.DrawFn, net: RandomNet, shape: ImageShape) -> ImageShape:
    conv = nn.Conv2d(shape[0], shape[0], draw(st.integers(1, 3)), padding="same")
    module = _with_norm(draw, conv)
    if draw(st.booleans()):
        module.append(nn.ReLU())
    return _append(net, shape, module, residual=True, activation=draw(ACTIVATION))


def _pool(draw: st.DrawFn, net: RandomNet, shape: ImageShape) -> ImageShape:
    kernel = draw(st.integers(1, min(3, *shape[1:])))
    stride = draw(st.sampled_from([None, 1, 2]))
    padding = draw(st.integers(0, kernel // 2))
    if draw(st.booleans()):
        return _append(net, shape, nn.MaxPool2d(kernel, stride, padding))
    return _append(net, shape, nn.AvgPool2d(kernel, stride, padding), activation=draw(ACTIVATION))


def _classify(draw: st.DrawFn, net: RandomNet, shape: ImageShape) -> None:
    features = shape[0] * shape[1] * shape[2]
    if draw(st.booleans()):
        net.append(nn.AdaptiveAvgPool2d(1))
        features = shape[0]
    net.append(nn.Flatten())
    for _ in range(draw(st.integers(1, 2))):
        outputs = draw(st.integers(1, 6))
        net.append(nn.Linear(features, outputs), activation=draw(ACTIVATION))
        features = outputs


def _append(
    net: RandomNet,
    shape: ImageShape,
    module: nn.Module,
    *,
    residual: bool = False,
    activation: str = "",
) -> ImageShape:
    net.append(module, residual=residual, activation=activation)
    channels, height, width = module.eval()(torch.zeros(1, *shape)).shape[1:]
    return channels, height, width


def _with_norm(draw: st.DrawFn, conv: nn.Conv2d) -> nn.Sequential:
    norms = [nn.BatchNorm2d(conv.out_channels)] if draw(st.booleans()) else []
    return nn.Sequential(conv, *norms, nn.Dropout(0.5))


def _randomize(net: nn.Module) -> None:
    """Give batch norms statistics whose scales differ by two orders of magnitude."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for value in (module.running_mean, module.bias, module.weight):
                assert value is not None
                nn.init.normal_(value)
            assert module.running_var is not None
            module.running_var.copy_(10.0 ** (4 * torch.rand(module.num_features) - 2))


@st.composite
def _patterns(draw: st.DrawFn, weight_shape: torch.Size) -> Pattern:
    shape = tuple((*weight_shape, 1, 1)[:4])
    filters, channels, kh, kw = shape
    shared_by = draw(st.sampled_from([s for s in range(1, filters + 1) if filters % s == 0]))
    n = draw(st.sampled_from([n for n in range(1, channels + 1) if channels % n == 0]))
    taps: Taps = AllTaps()
    if draw(st.booleans()):
        stride = draw(st.integers(1, kh * kw))
        offsets = [draw(st.integers(0, stride - 1)) for _ in range(channels // n)]
        taps = Strided(stride, tuple(offset for offset in offsets for _ in range(n)))
    read = int(Pattern(taps=taps).tap_mask(shape).sum())
    match draw(st.sampled_from(["dense", "k of n", "per neuron"])):
        case "k of n":
            granularity = draw(st.sampled_from(Granularity))
            k = draw(st.integers(1, n))
            return Pattern(select=KOutOfN(k, n, granularity, shared_by), taps=taps)
        case "per neuron":
            return Pattern(select=PerNeuron(draw(st.integers(1, read)), shared_by), taps=taps)
        case _:
            return Pattern(taps=taps)
