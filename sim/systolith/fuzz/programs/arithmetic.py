"""Ways to write sums and products of activations, and of an activation and constants."""

__all__ = [
    "ADDITIONS",
    "BARE_ADDITIONS",
    "BARE_PRODUCTS",
    "CONSTANTS",
    "GATES",
    "PRODUCTS",
    "RARE_ADDITIONS",
    "RARE_BARE_ADDITIONS",
]

ADDITIONS = (
    "{0} + {1}",
    "{1} + {0}",
    "torch.add({0}, {1})",
    "{0}.add({1})",
    "{0}.add_({1})",
    "{0} + {0}",
)
RARE_ADDITIONS = (
    "sum([{0}, {1}])",
    "sum(each for each in ({0}, {1}))",
    "torch.add({0}, {1}, alpha=2)",
    "torch.add({0}, other={1})",
    "torch.add(input={0}, other={1})",
    "{0} - {1}",
    "torch.stack([{0}, {1}]).sum(0)",
    "torch.stack(({1}, {0}, {1})).sum(dim=0)",
    "torch.stack([{0}, {1}], 1).mean(1)",
    "torch.sub({0}, {1})",
    "{0}.sub({1}, alpha=0.5)",
    "torch.add({0}, {1}, alpha=-0.5)",
    "torch.stack([{0}, {1}]).amax(0)",
    "torch.cat([{0}, {1}], 1)",
    "torch.cat(({0}, {1}), dim=1)",
    "torch.cat([{0}, {0}], 1)",
    "torch.maximum({0}, {1})",
    "<sum=torch.ao.nn.quantized.FloatFunctional()>.add({0}, {1})",
    "0.5 * ({0} + {1})",
    "{0} + {1} + {0}",
)
BARE_ADDITIONS = (
    "{0} += {1}",
    "{0}.add_({1})",
)
RARE_BARE_ADDITIONS = (
    "{0}.add_({1}, alpha=2)",
    "torch.add({0}, {1}, out={0})",
    "{0}.copy_({1})",
    "{0}.sub_({1})",
    "{0}[:, 0] += {1}[:, 0]",
)
PRODUCTS = (
    "{0} * {1}",
    "{1} * {0}",
    "torch.mul({0}, {1})",
    "{0}.mul({1})",
    "{0}.mul_({1})",
)
"""Products of two tensors, one of which may be a gate that is repeated."""
BARE_PRODUCTS = (
    "{0} *= {1}",
    "{0}.mul_({1})",
)
GATES = {
    "a gate of channels": (
        "torch.sigmoid(<conv=nn.Conv2d({channels}, {channels}, 1)>({0}.mean((2, 3), True)))",
        "F.adaptive_avg_pool2d({0}, 1)",
        (
            "<gate=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d({channels}, 2, 1), nn.ReLU(), "
            "nn.Conv2d(2, {channels}, 1), nn.Sigmoid())>({0})"
        ),
        "F.hardsigmoid(<fc=nn.Linear({channels}, {channels})>({0}.mean((2, 3))))[:, :, None, None]",
        (
            "torch.sigmoid(<fc=nn.Linear({channels}, {channels})>(F.adaptive_avg_pool2d({0}, 1)"
            ".flatten(1))).view(-1, {channels}, 1, 1)"
        ),
    ),
    "a gate of pixels": (
        "torch.sigmoid(<conv=nn.Conv2d({channels}, 1, 1)>({0}))",
        "<conv=nn.Conv2d({channels}, 1, 3, padding=1)>({0})",
        "{0}[:, :1]",
    ),
    "a gate of all values": (
        "<conv=nn.Conv2d({channels}, 1, 1)>(F.adaptive_avg_pool2d({0}, 1))",
        "F.adaptive_avg_pool2d({0}, 1)[:, :1]",
    ),
    "a gate of each value": (
        "torch.sigmoid(<conv=nn.Conv2d({channels}, {channels}, 1)>({0}))",
        "<conv=nn.Conv2d({channels}, {channels}, 3, padding=1)>({0})",
    ),
}
"""Tensors to multiply an image with, by the axes that they have."""
CONSTANTS = (
    "{0} + <same=nn.BatchNorm2d({channels})>.bias.view(1, -1, 1, 1)",
    "<same=nn.BatchNorm2d({channels})>.bias[:, None, None] + {0}",
    "{0} - <same=nn.BatchNorm2d({channels})>.bias.detach().reshape(-1, 1, 1)",
    "{0} * <same=nn.BatchNorm2d({channels})>.weight.view(1, -1, 1, 1)",
    "{0} / torch.arange(1.0, 1 + {channels}).view(-1, 1, 1)",
    "torch.add({0}, torch.full((1, {channels}, 1, 1), 0.25))",
    "{0} + torch.linspace(-0.5, 0.5, {channels}).view(1, -1, 1, 1)",
    "({0} - torch.full(({channels}, 1, 1), 0.4)) / torch.full(({channels}, 1, 1), 0.25)",
    "{0} + 0.5",
    "{0} * 0.75",
    "0.25 - {0}",
)
"""Numbers, or numbers for each channel, that are added and multiplied."""
