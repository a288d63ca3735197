"""Draw calls of convolutions, norms, pools and pads with arguments of every kind."""

from torch import Tensor

from systolith.fuzz.choices import Choices

__all__ = [
    "draw_convolution_call",
    "draw_norm_call",
    "draw_pad_call",
    "draw_pool_call",
    "draw_transposed_call",
]

CallForm = tuple[str, tuple[str, ...]]
"""Form of a call, and its features."""


def draw_convolution_call(
    choices: Choices,
    image: Tensor,
    rare: int,
    *,
    same_size: bool = False,
    kernel: int | None = None,
) -> CallForm:
    """Draw a convolution of the image, sometimes a depthwise one."""
    channels, height, width = image.shape[1:]
    size = kernel or _draw_size(choices, min(height, 4), min(width, 4))
    filters, options = choices.integer(1, 6), {}
    if same_size:
        filters = channels
        options["padding"] = "'same'"
        if isinstance(size, int) and size % 2 and choices.chance(75):
            options["padding"] = str(size // 2)
    else:
        if choices.chance(30):
            options["stride"] = str(_draw_size(choices, 3, 3))
        if kernel is None and choices.chance(60):
            options["padding"] = _draw_padding(choices, size, rare, same="stride" not in options)
    if choices.chance(20):
        options["groups"] = str(channels)
        filters = channels if same_size else channels * choices.integer(1, 2)
    elif choices.chance(15) and (divisors := [d for d in range(2, channels) if channels % d == 0]):
        groups = choices.one_of(divisors)
        options["groups"] = str(groups)
        filters = -(-filters // groups) * groups
    if choices.chance(30):
        options["bias"] = "False"
    if choices.chance(rare):
        options["dilation"] = str(_draw_size(choices, 3, 3))
    if choices.chance(rare):
        options["padding_mode"] = choices.one_of(["'reflect'", "'replicate'", "'circular'"])
    arguments = "".join(f", {name}={value}" for name, value in options.items())
    covers = [f"Conv2d {name}" for name in options if name not in ("groups", "padding_mode")]
    if "groups" in options:
        covers.append("Conv2d depthwise" if options["groups"] == str(channels) else "Conv2d groups")
    if "padding_mode" in options:
        covers.append(f"Conv2d padding_mode {options['padding_mode']}")
    text = f"<conv=nn.Conv2d({channels}, {filters}, {size}{arguments})>({{0}})"
    return text, ("Conv2d", *covers)


def draw_transposed_call(choices: Choices, image: Tensor, rare: int) -> CallForm:
    """Draw a transposed convolution of the image, sometimes one of several groups."""
    channels = image.shape[1]
    stride, kernel = choices.integer(1, 3), _draw_size(choices, 4, 4)
    filters, options = choices.integer(1, 4), {}
    least = kernel if isinstance(kernel, int) else min(kernel)
    if stride > 1:
        options["stride"] = str(stride)
    if choices.chance(50):
        options["padding"] = str(padding := choices.integer(0, least - 1))
        if stride > 1 and choices.chance(40):
            options["output_padding"] = str(choices.integer(0, min(padding, stride - 1)))
    if choices.chance(25) and (groups := [g for g in range(2, channels + 1) if channels % g == 0]):
        options["groups"] = str(number := choices.one_of(groups))
        filters *= number
    if choices.chance(30):
        options["bias"] = "False"
    if choices.chance(rare):
        options["dilation"] = "2"
    if choices.chance(rare):
        options["stride"] = "(1, 2)"
    arguments = "".join(f", {name}={value}" for name, value in options.items())
    covers = [f"ConvTranspose2d {name}" for name in options]
    text = f"<conv=nn.ConvTranspose2d({channels}, {filters}, {kernel}{arguments})>({{0}})"
    return text, ("ConvTranspose2d", *covers)


def draw_norm_call(choices: Choices, image: Tensor, rare: int) -> CallForm:
    """Draw a batch norm."""
    option = ""
    if choices.chance(25):
        option = choices.one_of([", eps=0.001", ", affine=False", ", momentum=None"])
    elif choices.chance(rare):
        option = ", track_running_stats=False"
    text = f"<norm=nn.BatchNorm2d({image.shape[1]}{option})>({{0}})"
    return text, (f"BatchNorm2d{option.split('=')[0].replace(',', '')}",)


def draw_pool_call(choices: Choices, image: Tensor, rare: int) -> CallForm:
    """Draw a max or average pool, as a module or a function."""
    kind = choices.one_of(["max", "avg"])
    kernel = _draw_size(choices, min(image.shape[2], 3), min(image.shape[3], 3))
    options = {}
    if choices.chance(45):
        options["stride"] = str(_draw_size(choices, 3, 3))
    if choices.chance(30):
        least = kernel if isinstance(kernel, int) else min(kernel)
        options["padding"] = str(choices.integer(0, least // 2))
    if choices.chance(2 * rare):
        options["ceil_mode"] = "True"
    if kind == "avg" and choices.chance(2 * rare):
        options["count_include_pad"] = "False"
    if kind == "avg" and choices.chance(rare):
        options["divisor_override"] = str(choices.integer(1, 6))
    if kind == "max" and choices.chance(rare):
        options["dilation"] = "2"
    arguments = "".join(f", {name}={value}" for name, value in options.items())
    name = "MaxPool2d" if kind == "max" else "AvgPool2d"
    if choices.chance(50):
        text = f"<pool=nn.{name}({kernel}{arguments})>({{0}})"
    else:
        text = f"F.{kind}_pool2d({{0}}, {kernel}{arguments})"
    return text, (name, *(f"{name} {option}" for option in options))


def draw_pad_call(choices: Choices, rare: int) -> CallForm:
    """Draw zeros around an image."""
    sides = tuple(choices.integer(0, 2) for _ in range(4))
    text = choices.one_of(
        [
            f"F.pad({{0}}, {sides})",
            f"<pad=nn.ZeroPad2d({sides})>({{0}})",
            f"F.pad({{0}}, {sides[:2]})",
            f"F.pad({{0}}, {sides}, 'constant', 0)",
            f"F.pad({{0}}, {list(sides)}, value=0.0)",
        ]
    )
    if choices.chance(rare):
        text = f"<pad=nn.ConstantPad2d({sides}, 0.0)>({{0}})"
    return text, ("pad in front of a layer",)


def _draw_size(choices: Choices, most_high: int, most_wide: int) -> int | tuple[int, int]:
    if choices.chance(70):
        return choices.integer(1, min(most_high, most_wide))
    return choices.integer(1, most_high), choices.integer(1, most_wide)


def _draw_padding(choices: Choices, kernel: int | tuple[int, int], rare: int, *, same: bool) -> str:
    high, wide = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    options = [str((choices.integer(0, high - 1), choices.integer(0, wide - 1))), "'valid'"]
    if same:
        options.append("'same'")
    options.append(str(choices.integer(0, min(high, wide) - 1)))
    if choices.chance(rare):
        return str(choices.integer(0, min(high, wide)))
    return choices.one_of(options)
