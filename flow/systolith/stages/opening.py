"""From what the user names to a session."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from systolith.config import (
    BuildSection,
    ConfigError,
    Experiment,
    HardwareSection,
    Interface,
    check_experiment,
    load_experiment,
    merged,
    read_content,
)
from systolith.emit import Meaning, read_meaning
from systolith.network import load
from systolith.stages.errors import UsageError
from systolith.stages.experiment import ExperimentSource
from systolith.stages.factories import check_factory
from systolith.stages.listener import Listener, Silent
from systolith.stages.session import Session
from systolith.stages.settings import Settings
from systolith.stages.sources import NetworkSource, Source

__all__ = ["open_run"]


def open_run(
    target: Path,
    output: Path | None = None,
    *,
    multipliers: int | None = None,
    images: str | int | None = None,
    interface: Interface | None = None,
    rtl: Path | None = None,
    waveform: bool = False,
    changes: Mapping[str, Any] | None = None,
    listener: Listener | None = None,
) -> Session:
    """Open an experiment file or a saved network.

    Parameters
    ----------
    target : Path
        ``*.toml`` or ``*.json``.
    output : Path, optional
        Folder for results; default ``out/NAME``.
    multipliers : int, optional
        Budget, instead of the file's.
    images : str or int, optional
        A number or ``"all"``, instead of the file's, for both verification and simulation; "all" is
        for simulation only. For a saved network also a file or folder with images: all of them for
        simulation.
    interface : Interface, optional
        What is generated around the engines, instead of the file's.
    rtl : Path, optional
        Folder with a design to check instead of the generated one.
    waveform : bool
        Whether bulk simulation also writes an FST file.
    changes : mapping, optional
        Replace or add to what the experiment file says, or to its defaults.
    listener : Listener, optional
        Hears of progress.

    Raises
    ------
    ConfigError, NetworkError, UsageError
        If a file or an argument is wrong.
    """
    own = _own_images(images)
    count = _count(images if own is None else None)
    if rtl is not None and not (rtl / "design.json").is_file():
        raise UsageError(f"--rtl needs a folder with a design.json, got {rtl}")
    source: Source
    match target.suffix:
        case ".toml":
            if own is not None:
                raise UsageError(
                    f"--images {own}: an experiment names its data itself; a number, or 'all', of "
                    "these is needed"
                )
            experiment = _load(target, changes)
            name, seed = experiment.name, experiment.seed
            folder = output or Path("out") / name
            source = ExperimentSource(experiment, folder, target.parent)
        case ".json":
            network = load(target)
            name, seed = network.name, 0
            experiment = _defaults(name, target, changes)
            folder = output or Path("out") / name
            source = NetworkSource(network, seed, _meaning(target), own)
        case _:
            raise UsageError(f"needs an experiment (.toml) or a network (.json), got {target}")
    hardware = experiment.hardware
    if multipliers is not None:
        hardware = hardware.model_copy(update={"multipliers": multipliers})
    if interface is not None:
        hardware = hardware.model_copy(update={"interface": interface})
    hardware = _within(hardware, experiment.build)
    simulated = experiment.simulate.images
    settings = Settings(
        name=name,
        seed=seed,
        hardware=hardware,
        verify_images=count if isinstance(count, int) else experiment.verify.images,
        per_layer=experiment.verify.per_layer and rtl is None,
        simulate_images=None if own else _number(simulated if count is None else count),
        jobs=experiment.simulate.jobs,
        waveform=waveform or experiment.simulate.waveform,
        build=experiment.build,
        rtl=rtl,
    )
    return Session(source, settings, folder, listener or Silent())


def _meaning(network: Path) -> Meaning | None:
    try:
        return read_meaning(network)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _load(target: Path, changes: Mapping[str, Any] | None) -> Experiment:
    """Read an experiment; its factories are looked for even if there are other mistakes."""
    try:
        return load_experiment(target, changes)
    except ConfigError as error:
        found = list(error.problems)
        try:
            content = merged(read_content(target), changes or {})
        except ConfigError:
            raise error from None
        for section in ("model", "data"):
            given = content.get(section)
            factory = given.get("factory") if isinstance(given, Mapping) else None
            if isinstance(factory, str):
                try:
                    check_factory(factory, section, target.parent)
                except UsageError as problem:
                    found.append(str(problem))
        raise ConfigError(target, found) from error


def _within(hardware: HardwareSection, build: BuildSection) -> HardwareSection:
    """Plan within the device that is built for, if no other is named."""
    if (part := build.part) is None:
        return hardware
    if hardware.device not in (None, part.device.name):
        raise UsageError(
            f"[hardware] plans for {hardware.device}, but [build] is for {part.device.name}"
        )
    return hardware.model_copy(update={"device": part.device.name})


def _own_images(images: str | int | None) -> Path | None:
    """Whether a file or folder is meant: something with a slash or an ending, or that is there."""
    if not isinstance(images, str) or images == "all" or images.lstrip("-").isdigit():
        return None
    path = Path(images)
    return path if path.suffix or path.exists() or len(path.parts) > 1 else None


def _count(images: str | int | None) -> int | str | None:
    """Read a number of images, or "all"."""
    if images is None or images == "all":
        return images
    try:
        count = int(images)
    except ValueError:
        count = 0
    if count < 1:
        raise UsageError(f"the number of images must be at least 1, or 'all', got {images!r}")
    return count


def _number(images: int | str) -> int | None:
    return images if isinstance(images, int) else None


def _defaults(name: str, path: Path, changes: Mapping[str, Any] | None) -> Experiment:
    """Settings for a network that comes without an experiment file."""
    nothing = {"factory": ""}
    return check_experiment({"name": name, "model": nothing, "data": nothing}, path, changes)
