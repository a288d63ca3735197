"""Draw calls that move, join and split values, in the ways that PyTorch has."""

from collections.abc import Sequence

from torch import Tensor

from systolith.fuzz.choices import Choices

__all__ = ["JOINS", "draw_move_call"]

CallForm = tuple[str, tuple[str, ...]]
"""Form of a call, and its features."""
JOINS = (
    "torch.cat([{0}, {1}], 1)",
    "torch.cat(({1}, {0}), dim=1)",
    "torch.concat([{0}, {1}, {0}], 1)",
    "torch.cat([F.relu({0}), {1}], -3)",
)
MOST_PIXELS = 60
"""Largest image that is made larger, height times width."""


def draw_move_call(choices: Choices, image: Tensor) -> CallForm:
    """Draw a call that moves values of an image: slices, shuffles, blocks, sizes, borders."""
    feature, forms = choices.one_of(list(_forms(choices, image).items()))
    return choices.one_of(forms), (feature,)


def _forms(choices: Choices, image: Tensor) -> dict[str, Sequence[str]]:
    channels, height, width = image.shape[1:]
    forms: dict[str, Sequence[str]] = {}
    start = choices.integer(0, channels - 1)
    end = choices.integer(start + 1, channels)
    forms["slice of channels"] = (
        f"{{0}}[:, {start}:{end}]",
        f"{{0}}[:, {start}:{end}, :, :]",
        f"torch.narrow({{0}}, 1, {start}, {end - start})",
        f"{{0}}[:, {start}:]",
        "{0}[:, ::2]",
    )
    if height > 1 and width > 1:
        forms["crop"] = (
            "{0}[:, :, 1:, :-1]",
            "{0}[..., 1:]",
            "F.pad({0}, (0, -1, -1, 0))",
            "F.pad({0}, (1, -1, 0, 1))",
        )
    forms["border"] = (
        "F.pad({0}, (1, 0, 0, 2))",
        "F.pad({0}, (1, 1, 1, 1), value=0.5)",
        "<border=nn.ZeroPad2d(1)>({0})",
    )
    if channels > 1:
        cut = choices.integer(1, channels - 1)
        forms["split"] = (
            f"torch.split({{0}}, [{cut}, {channels - cut}], 1)[{choices.integer(0, 1)}]",
            f"torch.cat(torch.split({{0}}, [{cut}, {channels - cut}], dim=1)[::-1], 1)",
            "{0}.chunk(2, dim=1)[0]",
            "torch.cat(torch.chunk({0}, 2, 1)[::-1], 1)",
        )
    groups = [number for number in range(2, channels) if channels % number == 0]
    if groups:
        number = choices.one_of(groups)
        apart = f"{{0}}.view(-1, {number}, {channels // number}, {height}, {width})"
        forms["shuffle"] = (
            f"<shuffle=nn.ChannelShuffle({number})>({{0}})",
            f"{apart}.transpose(1, 2).reshape(-1, {channels}, {height}, {width})",
        )
    if channels % 4 == 0 and height * width <= MOST_PIXELS:
        forms["pixel shuffle"] = ("F.pixel_shuffle({0}, 2)", "<blocks=nn.PixelShuffle(2)>({0})")
    if height % 2 == 0 and width % 2 == 0:
        forms["pixel unshuffle"] = (
            "F.pixel_unshuffle({0}, 2)",
            "<pixels=nn.PixelUnshuffle(2)>({0})",
        )
    if height * width <= MOST_PIXELS:
        forms["upsampling"] = (
            "F.interpolate({0}, scale_factor=2)",
            "F.interpolate({0}, scale_factor=(1, 2), mode='nearest')",
            f"F.interpolate({{0}}, size=({2 * height}, {width}))",
            "<grow=nn.Upsample(scale_factor=2)>({0})",
            "F.interpolate({0}, scale_factor=2, mode='bilinear')",
            "<smooth=nn.Upsample(scale_factor=(3, 2), mode='bilinear')>({0})",
        )
    return forms
