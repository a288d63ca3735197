"""A checked configuration: what the backend was asked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from systolith.hls4ml_backend.errors import ConversionError
from systolith.hls4ml_backend.keys import OPTIONS, key_problems

__all__ = [
    "DEFAULT_PART",
    "Configuration",
    "check_configuration",
    "initial_config",
    "read_configuration",
]

DEFAULT_PART = "ecp5-85f"


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What the backend was asked for.

    Attributes
    ----------
    part : str
        Device that :meth:`build` places on.
    clock_mhz : float or None
        What placement must reach; None: what is usual for the part.
    device : str or None
        Device that the plan may fill; None: nothing but multipliers is limited.
    multipliers : int or None
        Of all arrays together.
    patterns : dict of str to str
        By layer.
    arrays : dict of str to pair of int
        Rows and columns, by layer.
    reuse : dict of str to int
        ReuseFactor by layer, where it is more than 1.
    quick : bool
        Whether the simulator is compiled in the least time, at the expense of its speed.
    check_model, check_csimulation : bool
        Whether hls4ml's graph is compared with the user's model, when it is converted, and the
        network with hls4ml's own C simulation, when it is compiled.
    """

    part: str
    clock_mhz: float | None
    device: str | None
    multipliers: int | None
    patterns: dict[str, str]
    arrays: dict[str, tuple[int, int]]
    reuse: dict[str, int]
    quick: bool
    check_model: bool
    check_csimulation: bool


def initial_config(given: Mapping[str, Any]) -> dict[str, Any]:
    """Make the backend's part of a configuration from options of ``convert_from_...``."""
    known = {OPTIONS[key]: value for key, value in given.items() if key in OPTIONS}
    return {
        "Part": known.get("Part") or known.get("Device") or DEFAULT_PART,
        "ClockPeriod": known.get("ClockPeriod"),
        "IOType": known.get("IOType") or "io_stream",
        "Device": known.get("Device"),
        "Multipliers": known.get("Multipliers"),
        "QuickSimulation": known.get("QuickSimulation"),
        "CheckModel": known.get("CheckModel", True),
        "CheckCSimulation": known.get("CheckCSimulation", True),
        "HLSConfig": {},
        "UnknownKeys": [key for key in given if key not in OPTIONS],
    }


def check_configuration(model: Any) -> None:
    """Check the configuration of a graph that nothing was done to yet.

    Raises
    ------
    ConversionError
        With every unknown key and every wrong value.
    """
    names = frozenset(node.name for node in model.get_layers())
    ConversionError.raise_if_any(key_problems(model.config.config, names))


def read_configuration(model: Any) -> Configuration:
    """Read the checked configuration of a graph, to which hls4ml may have added layers."""
    config = model.config.config
    hls = config["HLSConfig"]
    general = hls.get("Model") or {}
    sections: dict[str, dict[str, Any]] = {}
    for node in model.get_layers():
        by_type = (hls.get("LayerType") or {}).get(node.class_name, {})
        by_name = (hls.get("LayerName") or {}).get(node.name, {})
        sections[node.name] = {"ReuseFactor": general.get("ReuseFactor"), **by_type, **by_name}
    period = config.get("ClockPeriod")
    return Configuration(
        part=config["Part"],
        clock_mhz=None if period is None else 1000 / period,
        quick=bool(config.get("QuickSimulation")),
        check_model=config.get("CheckModel") is not False,
        check_csimulation=config.get("CheckCSimulation") is not False,
        device=config.get("Device") or general.get("Device"),
        multipliers=config.get("Multipliers") or general.get("Multipliers"),
        patterns={name: part["Pattern"] for name, part in sections.items() if "Pattern" in part},
        arrays={
            name: (part["Rows"], part["Columns"])
            for name, part in sections.items()
            if "Rows" in part and "Columns" in part
        },
        reuse={
            name: part["ReuseFactor"]
            for name, part in sections.items()
            if (part.get("ReuseFactor") or 1) > 1
        },
    )
