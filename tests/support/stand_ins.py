"""Stand-ins for Yosys and nextpnr on PATH, which answer at once."""

import json
from collections.abc import Mapping
from pathlib import Path

__all__ = ["NEXTPNR", "write_native_tools", "write_program"]

NEXTPNR = """#!/usr/bin/env python3
import json, sys, time
words = sys.argv[1:]
if "--version" in words:
    print('"nextpnr-ecp5" -- Next Generation Place and Route (Version nextpnr-{version})')
    sys.exit()
value = lambda name: words[words.index(name) + 1]
if "--no-route" in words:
    print("Info:     TRELLIS_COMB:  {draft_luts}/  100   90%")
    open(value("--write"), "w").write(open(value("--json")).read())
    sys.exit()
seed, router = value("--seed"), value("--router")
with open("calls", "a") as calls:
    print(seed, router, file=calls)
clock = json.loads('''{clocks}''').get(f"{{seed}} {{router}}")
print("Info: Routing globals..", flush=True)
open(value("--write"), "w").write("{{")
if clock is None:
    time.sleep(60)
cell = {{"type": "TRELLIS_COMB", "attributes": {{"NEXTPNR_BEL": "X1/Y1/SLICEA.COMB0"}}}}
cell |= {{"parameters": {{}}, "port_directions": {{}}, "connections": {{}}}}
top = {{"attributes": {{"top": "1"}}, "ports": {{}}, "cells": {{"conv1.sum_LUT4_Z": cell}}}}
open(value("--write"), "w").write(json.dumps({{"modules": {{"top": top}}}}))
fmax = {{"clk": {{"achieved": clock, "constraint": float(value("--freq"))}}}}
use = {{"TRELLIS_COMB": {{"used": 9, "available": 100}}}}
open(value("--report"), "w").write(json.dumps({{"fmax": fmax, "utilization": use}}))
open(value("--textcfg"), "w").write("configuration")
"""
YOSYS = """#!/usr/bin/env python3
import json, re, sys
if "-V" in sys.argv:
    print("Yosys {version} (git sha1 0123abcd)")
    sys.exit()
netlist = re.search(r"write_json (\\S+);", sys.argv[-1])[1]
cell = {{"type": "LUT4", "port_directions": {{}}, "connections": {{}}}}
cells = {{str(number): cell for number in range({cells})}}
cells[str({cells} - 1)] = cell | {{"type": "{last}", "parameters": {{}}, "attributes": {{}}}}
top = {{"attributes": {{"top": "1"}}, "ports": {{}}, "cells": cells}}
open(netlist, "w").write(json.dumps({{"modules": {{"top": top}}}}))
open("synthesis.log", "w").write("Yosys {version}")
"""
PACKER = """#!/usr/bin/env python3
import sys
open(sys.argv[sys.argv.index("--bit") + 1], "w").write("bits")
"""


def write_program(path: Path, text: str) -> Path:
    """Write an executable script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def write_native_tools(
    folder: Path,
    clocks: Mapping[str, float] | None = None,
    *,
    version: str = "0.99",
    cells: int = 10,
    draft_luts: int = 90,
    hard: bool = False,
) -> Path:
    """Write programs for ECP5 under their native names.

    Parameters
    ----------
    folder : Path
    clocks : mapping of str to float, optional
        Clock in MHz that a seed with a router reaches, as in ``"1 router2"``. A run that is not
        named takes a minute.
    version : str
        Of Yosys and nextpnr.
    cells : int
        Of each netlist.
    draft_luts : int
        LUTs that a draft takes, of 100.
    hard : bool
        Whether the last cell of each netlist is a multiplier.
    """
    given = json.dumps(dict(clocks or {}))
    last = "MULT18X18D" if hard else "LUT4"
    write_program(folder / "yosys", YOSYS.format(version=version, cells=cells, last=last))
    nextpnr = NEXTPNR.format(version=version, clocks=given, draft_luts=draft_luts)
    write_program(folder / "nextpnr-ecp5", nextpnr)
    write_program(folder / "ecppack", PACKER)
    return folder
