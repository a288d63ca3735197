"""Names of layers in messages, and what to write instead of what is refused."""

import re
from collections.abc import Iterable, Mapping

from torch import nn

from systolith.compress.check.findings import CheckStep, LayerCheck, ModelProblem

__all__ = ["name_problems", "names_in_messages"]

_QUOTED = re.compile(r"'([^']+)'")
_TITLE = re.compile(r"'([^']+)' \((?:function |method )?(\w+)\)")
_MISFIT = re.compile(r"\d+-out-of-\d+ pruning needs")
_BY_KIND: Mapping[str, str] = {
    **dict.fromkeys(("RReLU", "rrelu"), "replace it by nn.LeakyReLU() and train some epochs"),
    **dict.fromkeys(
        ("GroupNorm", "InstanceNorm2d", "LayerNorm"), "replace it by nn.BatchNorm2d and train"
    ),
    "ConvTranspose2d": "use one stride, dilation 1 and output_padding up to the padding",
    "ConvTranspose1d": "use nn.Upsample and nn.Conv1d, and train some epochs",
    "LSTM": "recurrent layers have no hardware; use convolutions",
    "GRU": "recurrent layers have no hardware; use convolutions",
}
_BY_TEXT: Mapping[str, str] = {
    r"needs padding smaller than the kernel": "use padding smaller than the kernel",
    r"needs padding_mode 'zeros'": "set padding_mode='zeros' and train some epochs",
    r"budget of .* cannot be met": "raise the budget, or give sparser candidates",
    r"no engine adds flattened": "move nn.Flatten() behind the addition",
}


def name_problems(
    step: CheckStep,
    texts: Iterable[str],
    layers: Mapping[str, LayerCheck],
    names: Mapping[str, str],
) -> list[ModelProblem]:
    """Make problems of messages.

    Parameters
    ----------
    step : CheckStep
    texts : iterable of str
        Messages; they name layers in quotes.
    layers : mapping of str to LayerCheck
        By name in the model.
    names : mapping of str to str
        Names in the model by the names that messages may use.
    """
    problems = []
    for text in texts:
        named = next((names[name] for name in _QUOTED.findall(text) if name in names), "")
        remedy = _remedy(text, layers.get(named))
        problems.append(ModelProblem(step=step, text=text, layer=named, remedy=remedy))
    return problems


def names_in_messages(
    model: nn.Module, layers: Iterable[LayerCheck], texts: Iterable[str]
) -> dict[str, str]:
    """Return names of layers in the model by the names that messages use: with underscores, too."""
    own = [name for name, _ in model.named_modules() if name]
    own += [match[1] for text in texts if (match := _TITLE.match(text))]
    own += [layer.name for layer in layers]
    return {**{name.replace(".", "_"): name for name in own}, **{name: name for name in own}}


def _remedy(text: str, layer: LayerCheck | None) -> str:
    if layer is not None and _MISFIT.search(text):
        sizes = " ".join(map(str, layer.group_sizes))
        return f"n that fit are {sizes}" if sizes else "leave the layer dense"
    for pattern, remedy in _BY_TEXT.items():
        if re.search(pattern, text):
            return remedy
    match = _TITLE.match(text)
    return "" if match is None else _BY_KIND.get(match[2], "")
