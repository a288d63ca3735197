"""The sections of an experiment file.

Every key has a default but for `name`, `model` and `data`, so a small file is enough. Unknown keys
are mistakes, for a mistyped key would otherwise be silently ignored.
"""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails

from systolith.config.all_errors import all_errors
from systolith.config.build import BuildSection
from systolith.config.errors import ConfigError
from systolith.config.hardware import HardwareSection
from systolith.config.pruning import PruneSection, order_problems
from systolith.config.section import Jobs, Section
from systolith.config.tuning import TuneSection
from systolith.plan import DEFAULT_MULTIPLIERS

__all__ = [
    "BitsSection",
    "DataSection",
    "Experiment",
    "ModelSection",
    "QuantizeSection",
    "SimulateSection",
    "TrainSection",
    "VerifySection",
    "check_experiment",
    "load_experiment",
    "merged",
    "read_content",
]

Count = Annotated[int, Field(ge=1)]
Epochs = Annotated[int, Field(ge=0)]
Bits = Annotated[int, Field(ge=2, le=8)]
WeightBits = Annotated[int, Field(ge=1, le=8)]
MOST_NAMES = 5
MOST_SEEDS = 2**62
"""PyTorch keeps seeds in 64 bits with a sign; some parts of a run add to the seed."""


class ModelSection(Section):
    """Which network.

    `factory` is the name of an example network, or ``module:callable`` of your own, called without
    arguments to get an ``nn.Module``.
    """

    factory: str
    weights: str | None = None
    """State dict to start from, relative to the experiment file: safetensors, .pt or .pth."""
    input_scale: Annotated[float, Field(gt=0)] = 1.0
    """255 for weights that were trained on pixels 0..255."""


class DataSection(Section):
    """Which images: the name of a data set, or ``module:callable`` returning a Dataset."""

    factory: str
    path: str | None = None
    """File or folder of a data set that is not bundled, relative to the experiment file."""
    normalize: bool = False
    """Subtract the mean colour and divide by the deviation, where the data set knows them."""
    augment: Literal["none", "shift", "crop-flip"] = "none"


class TrainSection(Section):
    """How long each phase of training takes, in epochs, and how.

    `threads` is fixed, and 1 if not given, so that a result depends on the machine no more than it
    must; small networks are fastest so. Raise it for large ones.
    """

    float_epochs: Epochs = 30
    prune_epochs: Epochs = 20
    quantize_epochs: Epochs = 10
    batch_size: Count = 64
    learning_rate: Annotated[float, Field(gt=0)] = 3e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-3
    algorithm: Literal["adamw", "sgd"] = "adamw"
    precision: Literal["float32", "bfloat16"] = "float32"
    threads: Count = 1


class BitsSection(Section):
    """Widths of one layer; what is left out follows the default."""

    weight_bits: WeightBits | None = None
    act_bits: Bits | None = None
    narrow_range: bool | None = None


class QuantizeSection(Section):
    """Widths of weights and activations."""

    weight_bits: WeightBits = 8
    act_bits: Bits = 8
    narrow_range: bool = False
    """Weights without their smallest integer: 2 bits are then ternary. 1 bit is binary."""
    input_signed: bool | None = None
    """Whether the network's input has a sign; None: if any pixel of the data is negative."""
    layers: dict[str, BitsSection] = {}


class VerifySection(Section):
    """Images for verification with cocotb, under each pattern of stalls."""

    images: Count = 8
    per_layer: bool = True
    rtl: str | None = None
    """Folder with a design to verify and simulate instead of the generated one."""


class SimulateSection(Section):
    """Images for bulk simulation, processes, and whether to write a waveform of one image."""

    images: Count | Literal["all"] = "all"
    jobs: Jobs = 1
    waveform: bool = False


class Experiment(Section):
    """One experiment, from model to report."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.]*$")]
    """Verilog modules and files are named after it, too."""
    seed: Annotated[int, Field(ge=0, lt=MOST_SEEDS)] = 0
    model: ModelSection
    data: DataSection
    train: TrainSection = TrainSection()
    prune: tuple[PruneSection, ...] = Field(default=(), strict=False)
    quantize: QuantizeSection = QuantizeSection()
    hardware: HardwareSection = HardwareSection()
    verify: VerifySection = VerifySection()
    simulate: SimulateSection = SimulateSection()
    build: BuildSection = BuildSection()
    tune: TuneSection | None = None

    @field_validator("prune")
    @classmethod
    def _in_order(cls, steps: tuple[PruneSection, ...]) -> tuple[PruneSection, ...]:
        if problems := order_problems(steps):
            raise ValueError("; ".join(problems))
        return steps

    @property
    def multipliers(self) -> int:
        """Of all PE arrays together, for budgets of cycles in pruning."""
        return self.hardware.multipliers or DEFAULT_MULTIPLIERS


def load_experiment(path: Path, changes: Mapping[str, Any] | None = None) -> Experiment:
    """Read and check an experiment file.

    Parameters
    ----------
    path : Path
        Of the file.
    changes : mapping, optional
        What replaces or adds to the file's content, section by section.

    Raises
    ------
    ConfigError
        If the file is missing, is not TOML, or has mistakes; all of them are listed.
    """
    return check_experiment(read_content(path), path, changes)


def read_content(path: Path) -> dict[str, Any]:
    """Read what a TOML file says.

    Raises
    ------
    ConfigError
        If the file is missing, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise ConfigError(path, ["no such file"]) from None
    except IsADirectoryError:
        raise ConfigError(path, [_folder_problem(path)]) from None
    except OSError as error:
        raise ConfigError(path, [f"cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError:
        raise ConfigError(path, ["must be text in UTF-8, but is not"]) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(path, [f"cannot be read as TOML: {error}"]) from error


def _folder_problem(path: Path) -> str:
    """Tell that a file is needed, and which of the folder's may be meant."""
    inside = ", ".join(sorted(each.name for each in path.glob("*.toml"))[:MOST_NAMES])
    return f"is a folder, but a file is needed{': ' if inside else ''}{inside}"


def check_experiment(
    content: Mapping[str, Any], path: Path, changes: Mapping[str, Any] | None = None
) -> Experiment:
    """Check what an experiment file says, with changes as in :func:`load_experiment`.

    Raises
    ------
    ConfigError
        If there are mistakes; all of them are listed, as those of `path`.
    """
    given = merged(content, changes or {})
    try:
        return Experiment.model_validate(given)
    except ValidationError as error:
        details = all_errors(Experiment, given, error)
        raise ConfigError(path, list(_mistakes(details))) from error


def merged(content: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Lay changes over content; tables are merged, anything else is replaced."""
    found = dict(content)
    for key, change in changes.items():
        before = found.get(key)
        if isinstance(before, Mapping) and isinstance(change, Mapping):
            found[key] = merged(before, change)
        else:
            found[key] = change
    return found


def _mistakes(details: list[ErrorDetails]) -> Iterator[str]:
    """Describe each mistake in the user's terms; alternatives for one key are one mistake."""
    by_key: dict[str, list[ErrorDetails]] = {}
    for detail in details:
        by_key.setdefault(_key(detail["loc"]), []).append(detail)
    for key, found in by_key.items():
        yield f"{key}: {' or '.join(map(_requirement, found))}{_given(found[0])}"


def _key(loc: tuple[int | str, ...]) -> str:
    """Write a location as in the file; the branches of a union are no part of it."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in _without_tags(loc))
    return "".join(part for part in parts if part not in _UNION_BRANCHES).lstrip(".")


def _without_tags(loc: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Leave the method out, which tells the sections of pruning steps apart: prune, 0, dpp, .."""
    return (*loc[:2], *loc[3:]) if loc[:1] == ("prune",) and len(loc) > 2 else loc


def _requirement(detail: ErrorDetails) -> str:
    match detail["type"]:
        case "extra_forbidden":
            return f"unknown key; known are {', '.join(_known_keys(detail['loc']))}"
        case "missing" | "union_tag_not_found":
            return "is required" if detail["type"] == "missing" else "needs a method"
        case "union_tag_invalid":
            return f"method must be one of {detail['ctx']['expected_tags']}"
        case "value_error":
            return str(detail["ctx"]["error"])
        case _:
            return detail["msg"].replace("Input should be", "must be")


def _given(detail: ErrorDetails) -> str:
    if detail["type"] in ("extra_forbidden", "missing", "value_error", "union_tag_not_found"):
        return ""
    if detail["type"] == "union_tag_invalid":
        return f", got '{detail['ctx']['tag']}'"
    return f", got {detail['input']!r}"


_UNION_BRANCHES = (".constrained-int", ".literal['all']")


def _known_keys(loc: tuple[int | str, ...]) -> list[str]:
    """Keys of the section in which an unknown one was found."""
    section: Any = Experiment
    for part in loc[:-1]:
        fields = getattr(section, "model_fields", {})
        if part in fields:
            section = _section_of(fields[part].annotation)
        elif (tagged := _tagged(section, part)) is not None:
            section = tagged
    return sorted(section.model_fields)


def _section_of(annotation: Any) -> Any:
    """Find the section, or the union of sections, in an annotation like ``dict[str, Section]``."""
    for argument in get_args(annotation):
        if isinstance(argument, type) and issubclass(argument, BaseModel):
            return argument
        if get_args(argument):
            return _section_of(argument) if _tagged(argument, None) is None else argument
    return annotation


def _tagged(union: Any, tag: int | str | None) -> Any:
    """Find the section of a method; any one of them if the tag is None."""
    for section in get_args(union):
        for inner in (section, *get_args(section)):
            method = getattr(inner, "model_fields", {}).get("method")
            if method is not None and (tag is None or tag in get_args(method.annotation)):
                return inner
    return None
