"""The backend's configuration: its keys, their checks and the values that were read."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from systolith.devices import DEVICES
from systolith.hls4ml_backend.layers.weights import pattern_problem
from systolith.hls4ml_backend.project import ConversionError

__all__ = [
    "DEFAULT_PART",
    "OPTIONS",
    "Configuration",
    "check_configuration",
    "initial_config",
    "key_problems",
    "read_configuration",
]

DEFAULT_PART = "ecp5-85f"


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """The checked configuration of a conversion.

    Attributes
    ----------
    part : str
        Device that :meth:`build` places on.
    clock_mhz : float or None
        Clock that placement must reach; None for the usual clock of the part.
    device : str or None
        Device whose resources limit the plan; None if only multipliers are limited.
    multipliers : int or None
        Number of multipliers of all arrays together.
    patterns : dict of str to str
        Pattern, by layer.
    arrays : dict of str to pair of int
        Rows and columns, by layer.
    reuse : dict of str to int
        ReuseFactor of more than 1, by layer.
    quick : bool
        Whether the simulator is compiled quickly and runs slower.
    check_model : bool
        Whether a conversion compares hls4ml's graph with the user's model.
    check_csimulation : bool
        Whether :meth:`compile` compares the network with hls4ml's own C simulation.
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
    """Check the configuration of an unchanged graph.

    Raises
    ------
    ConversionError
        With every unknown key and every wrong value.
    """
    names = frozenset(node.name for node in model.get_layers())
    ConversionError.raise_if_any(key_problems(model.config.config, names))


def read_configuration(model: Any) -> Configuration:
    """Read the checked configuration of a graph, after hls4ml has added layers."""
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


Check = Callable[[object], str | None]


def _count(value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return None
    return f"must be an integer of at least 1, got {value!r}"


def _period(value: object) -> str | None:
    if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
        return None
    return f"must be nanoseconds, more than 0, got {value!r}"


def _device(value: object) -> str | None:
    return None if value in DEVICES else f"must be one of {', '.join(DEVICES)}, got {value!r}"


def _io_type(value: object) -> str | None:
    return None if value == "io_stream" else f"must be 'io_stream', got {value!r}"


def _strategy(value: object) -> str | None:
    known = ("latency", "resource", "unrolled", "resource_unrolled", "distributed_arithmetic", "da")
    if isinstance(value, str) and value.lower() in known:
        return None
    return f"must be one of {', '.join(known)}, which all give the same engines, got {value!r}"


def _boolean(value: object) -> str | None:
    return None if isinstance(value, bool) else f"must be True or False, got {value!r}"


def _optional(check: Check) -> Check:
    return lambda value: None if value is None else check(value)


def _anything(value: object) -> str | None:
    return None


BACKEND_KEYS: Mapping[str, Check] = {
    "Part": _device,
    "ClockPeriod": _optional(_period),
    "IOType": _io_type,
    "Device": _optional(_device),
    "Multipliers": _optional(_count),
    "QuickSimulation": _optional(_boolean),
    "CheckModel": _optional(_boolean),
    "CheckCSimulation": _optional(_boolean),
}
"""Keys that ``convert_from_...`` sets from its options, such as part and clock_period."""
IGNORED = (
    *("Trace", "ParallelizationFactor", "ConvImplementation", "TableSize", "Compression"),
    *("TargetCycles", "Implementation", "Skip", "TimeStepLoopParallelism", "Algorithm"),
    *("Direction", "Static", "RecurrentReuseFactor", "TableRangePower2"),
    *(f"{part}ReuseFactor" for part in ("Depthwise", "Pointwise", "Forward", "Backward")),
    *(f"{part}RecurrentReuseFactor" for part in ("Forward", "Backward")),
)
"""Keys for the generation of C++, or that hls4ml itself reads."""
SHARED: Mapping[str, Check] = {
    "Precision": _anything,
    "ReuseFactor": _optional(_count),
    "Strategy": _strategy,
}
LAYER_KEYS: Mapping[str, Check] = {
    **SHARED,
    **dict.fromkeys(IGNORED, _anything),
    "Pattern": pattern_problem,
    "Rows": _count,
    "Columns": _count,
}
MODEL_KEYS: Mapping[str, Check] = {
    **SHARED,
    **dict.fromkeys(IGNORED, _anything),
    **dict.fromkeys(
        (
            *("BramFactor", "TraceOutput", "ChannelsLastConversion", "TransposeOutputs"),
            *("BitExact", "AllowDAFallback", "AllowV2Fallback", "PipelineStyle"),
            *("PipelineInterval", "TableWarning"),
        ),
        _anything,
    ),
    "Multipliers": _optional(_count),
    "Device": _optional(_device),
}
SECTIONS = ("Model", "LayerName", "LayerType", "Flows", "Optimizers", "SkipOptimizers")


def key_problems(config: Mapping[str, Any], layers: frozenset[str]) -> Iterator[str]:
    """List every unknown key and every invalid value.

    Parameters
    ----------
    config : mapping
        Configuration of a ModelGraph.
    layers : frozenset of str
        Names of the graph's layers.
    """
    for key, check in BACKEND_KEYS.items():
        if problem := check(config.get(key)):
            yield f"{key} {problem}"
    for key in config.get("UnknownKeys", ()):
        yield f"there is no option {key!r}; there are {', '.join(OPTIONS)}"
    hls: Mapping[str, Any] = config.get("HLSConfig", {})
    for key in hls:
        if key not in SECTIONS:
            yield f"HLSConfig: there is no section {key!r}; there are {', '.join(SECTIONS)}"
    yield from _section("Model", hls.get("Model") or {}, MODEL_KEYS)
    for name, section in (hls.get("LayerType") or {}).items():
        yield from _section(f"LayerType {name}", section, LAYER_KEYS)
    for name, section in (hls.get("LayerName") or {}).items():
        if name not in layers:
            yield f"LayerName: there is no layer {name!r}; there are {', '.join(sorted(layers))}"
        else:
            yield from _section(f"layer {name!r}", section, LAYER_KEYS)
            if ("Rows" in section) != ("Columns" in section):
                yield f"layer {name!r}: Rows and Columns are given together, or neither"


def _section(where: str, section: object, keys: Mapping[str, Check]) -> Iterator[str]:
    if not isinstance(section, Mapping):
        yield f"{where}: must be a dictionary, got {section!r}"
        return
    for key, value in section.items():
        if key not in keys:
            yield f"{where}: there is no key {key!r}; there are {', '.join(keys)}"
        elif problem := keys[key](value):
            yield f"{where}: {key} {problem}"


OPTIONS: Mapping[str, str] = {
    "part": "Part",
    "clock_period": "ClockPeriod",
    "io_type": "IOType",
    "device": "Device",
    "multipliers": "Multipliers",
    "quick_simulation": "QuickSimulation",
    "check_model": "CheckModel",
    "check_csimulation": "CheckCSimulation",
}
"""Keys, by option of ``convert_from_...``."""
