"""The sections of an experiment file.

Every key has a default but for `name`, `model` and `data`, so a small file is enough. Unknown keys
are mistakes, for a mistyped key would otherwise be silently ignored.
"""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from systolith.config.errors import ConfigError
from systolith.network import Granularity, KOutOfN, Pattern
from systolith.plan import DEFAULT_MULTIPLIERS, ArrayShape

__all__ = [
    "ArraySection",
    "BitsSection",
    "DataSection",
    "Experiment",
    "HardwareSection",
    "ModelSection",
    "PruneSection",
    "QuantizeSection",
    "SimulateSection",
    "TrainSection",
    "VerifySection",
    "load_experiment",
]

Count = Annotated[int, Field(ge=1)]
Bits = Annotated[int, Field(ge=2, le=8)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ModelSection(_Section):
    """Which network.

    `factory` is the name of an example network, or ``module:callable`` of your own, called without
    arguments to get an ``nn.Module``.
    """

    factory: str


class DataSection(_Section):
    """Which images: the name of a bundled data set, or ``module:callable`` returning a Dataset."""

    factory: str


class TrainSection(_Section):
    """How long each phase of training takes, in epochs, and how.

    `threads` is fixed, and 1 if not given, so that a result depends on the machine no more than it
    must; small networks are fastest so. Raise it for large ones.
    """

    float_epochs: Count = 30
    prune_epochs: Annotated[int, Field(ge=0)] = 20
    quantize_epochs: Annotated[int, Field(ge=0)] = 10
    batch_size: Count = 64
    learning_rate: Annotated[float, Field(gt=0)] = 3e-3
    threads: Count = 1


class PruneSection(_Section):
    """One rule: the layers whose names match get exactly k out of n; later rules win."""

    layers: str
    k: Count
    n: Count
    granularity: Literal["weight", "kernel"] = "weight"
    shared_by: Count = 1

    @model_validator(mode="after")
    def _k_within_n(self) -> "PruneSection":
        if self.k > self.n:
            raise ValueError(f"k-out-of-n needs k <= n, got k={self.k}, n={self.n}")
        return self

    @property
    def pattern(self) -> Pattern:
        """The pattern of the matching layers."""
        granularity = Granularity(self.granularity)
        return Pattern(select=KOutOfN(self.k, self.n, granularity, self.shared_by))


class BitsSection(_Section):
    """Widths of one layer; what is left out follows the default."""

    weight_bits: Bits | None = None
    act_bits: Bits | None = None


class QuantizeSection(_Section):
    """Widths of weights and activations."""

    weight_bits: Bits = 8
    act_bits: Bits = 8
    layers: dict[str, BitsSection] = {}


class ArraySection(_Section):
    """Shape of one layer's PE array."""

    rows: Count
    columns: Count
    multipliers: Count = 1

    @property
    def shape(self) -> ArrayShape:
        """The same for the plan."""
        return ArrayShape(rows=self.rows, columns=self.columns, multipliers=self.multipliers)


class HardwareSection(_Section):
    """Budget of multipliers for all PE arrays, and arrays that are fixed."""

    multipliers: Count = DEFAULT_MULTIPLIERS
    arrays: dict[str, ArraySection] = {}


class VerifySection(_Section):
    """Images for verification with cocotb, under each pattern of stalls."""

    images: Count = 8
    per_layer: bool = True


class SimulateSection(_Section):
    """Images for bulk simulation, processes, and whether to write a waveform of one image."""

    images: Count | Literal["all"] = "all"
    jobs: Count = 1
    waveform: bool = False


class Experiment(_Section):
    """One experiment, from model to report."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    seed: Annotated[int, Field(ge=0)] = 0
    model: ModelSection
    data: DataSection
    train: TrainSection = TrainSection()
    prune: tuple[PruneSection, ...] = Field(default=(), strict=False)
    quantize: QuantizeSection = QuantizeSection()
    hardware: HardwareSection = HardwareSection()
    verify: VerifySection = VerifySection()
    simulate: SimulateSection = SimulateSection()


def load_experiment(path: Path) -> Experiment:
    """Read and check an experiment file.

    Raises
    ------
    ConfigError
        If the file is missing, is not TOML, or has mistakes; all of them are listed.
    """
    try:
        content = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise ConfigError(path, ["no such file"]) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(path, [f"cannot be read as TOML: {error}"]) from error
    try:
        return Experiment.model_validate(content)
    except ValidationError as error:
        raise ConfigError(path, list(_mistakes(error.errors()))) from error


def _mistakes(details: list[ErrorDetails]) -> Iterator[str]:
    """Describe each mistake in the user's terms; alternatives for one key are one mistake."""
    by_key: dict[str, list[ErrorDetails]] = {}
    for detail in details:
        by_key.setdefault(_key(detail["loc"]), []).append(detail)
    for key, found in by_key.items():
        yield f"{key}: {' or '.join(map(_requirement, found))}{_given(found[0])}"


def _key(loc: tuple[int | str, ...]) -> str:
    """Write a location as in the file; the branches of a union are no part of it."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return "".join(part for part in parts if part not in _UNION_BRANCHES).lstrip(".")


def _requirement(detail: ErrorDetails) -> str:
    match detail["type"]:
        case "extra_forbidden":
            return f"unknown key; known are {', '.join(_known_keys(detail['loc']))}"
        case "missing":
            return "is required"
        case "value_error":
            return str(detail["ctx"]["error"])
        case _:
            return detail["msg"].replace("Input should be", "must be")


def _given(detail: ErrorDetails) -> str:
    if detail["type"] in ("extra_forbidden", "missing", "value_error"):
        return ""
    return f", got {detail['input']!r}"


_UNION_BRANCHES = (".constrained-int", ".literal['all']")


def _known_keys(loc: tuple[int | str, ...]) -> list[str]:
    """Keys of the section in which an unknown one was found."""
    section: Any = Experiment
    for part in loc[:-1]:
        fields = getattr(section, "model_fields", None)
        if fields is not None and part in fields:
            section = _section_of(fields[part].annotation)
    return sorted(section.model_fields)


def _section_of(annotation: Any) -> Any:
    """The section within an annotation such as ``dict[str, Section]``."""
    for argument in getattr(annotation, "__args__", ()):
        if isinstance(argument, type) and issubclass(argument, BaseModel):
            return argument
    return annotation
