"""The sections of an experiment file.

Every key has a default except `name`, `model` and `data`, so small files suffice. Unknown keys are
mistakes: otherwise a mistyped key would be ignored silently.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator

from systolith.config.hardware import BuildSection, HardwareSection
from systolith.config.mistakes import ConfigError, collect_errors, describe_errors
from systolith.config.pruning import PruneSection, order_problems
from systolith.config.section import Count, Jobs, Section
from systolith.config.training import DataSection, ModelSection, TrainSection
from systolith.config.tuning import TuneSection
from systolith.plan import DEFAULT_MULTIPLIERS

__all__ = [
    "BitsSection",
    "Experiment",
    "QuantizeSection",
    "SimulateSection",
    "VerifySection",
    "check_experiment",
    "load_experiment",
    "merge_tables",
    "read_content",
]

ActBits = Annotated[int, Field(ge=1, le=8)]
WeightBits = Annotated[int, Field(ge=1, le=8)]
MOST_NAMES = 5
MOST_SEEDS = 2**62
"""Seeds are smaller: PyTorch takes signed 64-bit seeds, and parts of a run add to the seed."""


class BitsSection(Section):
    """Widths of one layer; None is the default of all layers."""

    weight_bits: WeightBits | None = None
    act_bits: ActBits | None = None
    narrow_range: bool | None = None


class QuantizeSection(Section):
    """Widths of weights and activations."""

    weight_bits: WeightBits = 8
    act_bits: ActBits = 8
    narrow_range: bool = False
    """Whether weights exclude their smallest integer: 2 bits are then ternary. 1 bit is binary."""
    input_signed: bool | None = None
    """Whether the network's input is signed; None: it is if any pixel of the data is negative."""
    rounding: Literal["nearest", "reconstructed"] | None = None
    """Of weights before quantized training; None: reconstructed without any epochs of it."""
    bias_correction: bool | None = None
    """Of each channel's mean before quantized training; None: as for `rounding`."""
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
    def _check_order(cls, steps: tuple[PruneSection, ...]) -> tuple[PruneSection, ...]:
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
    changes : mapping, optional
        Replace or add to the file's content, section by section.

    Raises
    ------
    ConfigError
        If the file is missing, is not TOML, or has mistakes; all of them are listed.
    """
    return check_experiment(read_content(path), path, changes)


def read_content(path: Path) -> dict[str, Any]:
    """Read the content of a TOML file.

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
    """Say that a file is needed, and list the TOML files of the folder."""
    inside = ", ".join(sorted(file.name for file in path.glob("*.toml"))[:MOST_NAMES])
    return f"is a folder, but a file is needed{': ' if inside else ''}{inside}"


def check_experiment(
    content: Mapping[str, Any], path: Path, changes: Mapping[str, Any] | None = None
) -> Experiment:
    """Check the content of an experiment file, with changes as in :func:`load_experiment`.

    Raises
    ------
    ConfigError
        If there are mistakes; all of them are listed under the name `path`.
    """
    given = merge_tables(content, changes or {})
    try:
        return Experiment.model_validate(given)
    except ValidationError as error:
        details, valid = collect_errors(Experiment, given, error)
        raise ConfigError(path, list(describe_errors(Experiment, details)), valid) from error


def merge_tables(content: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Apply changes to the content of a file: tables are merged, other values are replaced."""
    changed = dict(content)
    for key, change in changes.items():
        before = changed.get(key)
        if isinstance(before, Mapping) and isinstance(change, Mapping):
            changed[key] = merge_tables(before, change)
        else:
            changed[key] = change
    return changed
