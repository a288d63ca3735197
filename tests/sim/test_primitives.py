"""Primitives made of a device's cells do what their plain description does, cycle by cycle."""

import random
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import pytest
from amaranth import Shape
from amaranth.lib import wiring

from systolith.bench import find_toolchain
from systolith.bench.compile import QUICK_FLAGS, RUNTIME, place_runtime, run_make, run_verilator
from systolith.emit import to_verilog
from systolith.gateware import GatedSum, Multiplier, RegisteredRam, Technology
from systolith.plan import MULTIPLIER_LATENCY
from tests.support.slow import first_few

FILES = {
    Technology.ECP5: ("ecp5.v", "ecp5_fabric.v"),
    Technology.GOWIN: ("gowin.v",),
    Technology.NEXUS: ("nexus.v",),
}
CELLS = {
    technology: "".join(files("systolith.netlist").joinpath(name).read_text() for name in names)
    for technology, names in FILES.items()
}
CYCLES = 5000
DRIVER = """
#include <cstdint>
#include <cstdio>
#include <random>
#include "Vbench.h"
int main() {
    std::mt19937_64 random(5);
    Vbench bench;
    long wrong[COUNT] = {};
    for (long cycle = 0; cycle < CYCLES; cycle++) {
        bench.stimulus = random();
        bench.clk = 0;
        bench.eval();
        for (int n = 0; n < COUNT; n++)
            if (cycle > WARM_UP && !(bench.same >> n & 1)) wrong[n]++;
        bench.clk = 1;
        bench.eval();
    }
    for (long count : wrong) std::printf("%ld ", count);
}
"""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A primitive in both forms, and how 64 random bits drive it."""

    forms: tuple[wiring.Component, wiring.Component]
    ports: str
    output: str
    width: int
    undefined: str = "1'b0"
    """Whether the output that comes two cycles later means nothing."""
    clocked: bool = True


def _differences(cases: Sequence[Case], folder: Path, made_of: Technology, cells: str) -> list[int]:
    """Simulate both forms; count for each case the cycles in which they differ."""
    modules, pairs = [cells], []
    for number, case in enumerate(cases):
        outputs = []
        for form, technology in zip(case.forms, (Technology.GENERIC, made_of), strict=True):
            name = f"{technology.value}_{number}"
            modules.append(to_verilog(form, name, technology))
            outputs.append(f"{name}_out")
            pairs.append(f"wire [{case.width - 1}:0] {outputs[-1]};")
            clock = ".clk(clk), .rst(1'b0), " if case.clocked else ""
            ports = f"{clock}{case.ports}, .{case.output}({outputs[-1]})"
            pairs.append(f"{name} {name}({ports});")
        pairs.append(f"reg u1_{number}, u2_{number};")
        pairs.append(f"always @(posedge clk) u1_{number} <= {case.undefined};")
        pairs.append(f"always @(posedge clk) u2_{number} <= u1_{number};")
        pairs.append(f"assign same[{number}] = u2_{number} || {outputs[0]} == {outputs[1]};")
    most = len(cases) - 1
    header = f"module bench(input clk, input [63:0] stimulus, output [{most}:0] same);"
    (folder / "bench.v").write_text("\n".join([header, *pairs, "endmodule", *modules]))
    return count_differences(folder, DRIVER, pairs=len(cases), warm_up=4 * MULTIPLIER_LATENCY)


def count_differences(folder: Path, driver: str, *, pairs: int, warm_up: int) -> list[int]:
    """Simulate ``bench.v`` of a folder, and count the cycles in which each pair differs."""
    settings = {"CYCLES": CYCLES, "COUNT": pairs, "WARM_UP": warm_up}
    defines = "".join(f"#define {name} {value}\n" for name, value in settings.items())
    (folder / "driver.cpp").write_text(defines + driver)
    toolchain = find_toolchain()
    arguments = ["--top-module", "bench", "--Mdir", "obj", "bench.v", "../driver.cpp"]
    make = place_runtime(toolchain, folder, folder / "obj", RUNTIME, [], QUICK_FLAGS)
    run_verilator(toolchain, folder, arguments)
    run_make(toolchain, folder / "obj", "Vbench.mk", make)
    done = subprocess.run([folder / "obj" / "Vbench"], capture_output=True, text=True, check=True)
    return [int(count) for count in done.stdout.split()]


def _multiplier(a: tuple[int, bool], b: tuple[int, bool]) -> Case:
    forms = Multiplier(Shape(*a), Shape(*b)), Multiplier(Shape(*a), Shape(*b))
    ports = f".a(stimulus[{a[0] - 1}:0]), .b(stimulus[63:{64 - b[0]}])"
    return Case(forms=forms, ports=ports, output="o", width=forms[0].o.shape().width)


def _ram(width: int, depth: int, *, written: bool) -> Case:
    rng = random.Random(width * depth)
    words = [rng.randrange(1 << width) for _ in range(depth)]
    first, second = (
        RegisteredRam(width=width, depth=depth, words=words, written=written) for _ in range(2)
    )
    bits = (depth - 1).bit_length()
    read, write = f"stimulus[{bits - 1}:0]", f"stimulus[{2 * bits - 1}:{bits}]"
    # Addresses beyond the end are never read, nor written.
    read, write = (f"({address} % {depth})" for address in (read, write))
    ports = f".read_address({read})"
    undefined = "1'b0"
    if written:
        data = f"{{stimulus, ~stimulus}} >> {2 * bits}"
        ports += f", .write_enable(stimulus[63]), .write_address({write}), .write_data({data})"
        undefined = f"stimulus[63] && {read} == {write}"
    return Case(
        forms=(first, second), ports=ports, output="read_data", width=width, undefined=undefined
    )


FACTORS = [
    ((8, False), (8, True)),
    ((8, False), (17, True)),
    ((18, True), (18, True)),
    ((18, False), (18, False)),
    ((19, True), (16, False)),
    ((19, False), (16, True)),
    ((20, True), (16, False)),
    ((23, False), (16, False)),
    ((24, True), (16, True)),
    ((25, True), (16, False)),
    ((16, False), (24, True)),
    ((22, True), (20, False)),
    ((37, True), (19, True)),
    ((1, False), (1, True)),
    ((9, True), (9, True)),
    ((9, False), (9, False)),
]
SIZES = [(10, 72), (36, 512), (9, 2048), (18, 1024), (40, 16), (11, 1500), (1, 3), (64, 600)]
SIZES += [(8, 4096), (5, 3000), (3, 8192), (8, 16384)]


TERMS = [
    ((8, False), (9, False), (10, False)),
    ((8, False), (9, False), (10, True)),
    ((8, True), (9, True), (10, True)),
    ((1, False), (5, True), (6, True)),
    ((19, True), (14, True), (19, True)),
]


def _gated_sum(
    left: tuple[int, bool], right: tuple[int, bool], o: tuple[int, bool], negative: bool
) -> Case:
    first, second = (
        GatedSum(Shape(*left), Shape(*right), Shape(*o), negative=negative) for _ in range(2)
    )
    ports = (
        f".left(stimulus[{left[0] - 1}:0]), .right(stimulus[{31 + right[0]}:32]), "
        ".left_on(stimulus[62]), .right_on(stimulus[63])"
    )
    return Case(forms=(first, second), ports=ports, output="o", width=o[0], clocked=False)


def _gated_sums() -> list[Case]:
    return [_gated_sum(*terms, negative) for terms in TERMS for negative in (False, True)]


def _multipliers() -> list[Case]:
    return [_multiplier(a, b) for a, b in FACTORS]


def _memories() -> list[Case]:
    return [_ram(*size, written=written) for size in SIZES for written in (False, True)]


@pytest.mark.parametrize("technology", CELLS)
def test_cells_do_what_plain_verilog_does(technology: Technology, tmp_path: Path) -> None:
    cases = _multipliers()
    if technology is Technology.ECP5:
        cases += _memories() + _gated_sums()
    assert _differences(cases, tmp_path, technology, CELLS[technology]) == [0] * len(cases)


BREAKS = [
    (Technology.ECP5, _multipliers, "product = a * b", "product = a * b + 1"),
    (Technology.GOWIN, _multipliers, "ASIGN & A[8]", "A[8]"),
    (Technology.ECP5, _gated_sums, "on0 ? CIN : made0", "CIN"),
    (Technology.ECP5, _memories, "(n % 2) * 9 +: 9", "9 +: 9"),
    (Technology.ECP5, _multipliers, "SIGNEDA & A17", "A17"),
    (Technology.ECP5, _multipliers, "output_register <= piped", "output_register <= product"),
    (Technology.ECP5, _memories, "read_register : read;", "read : read;"),
    (Technology.ECP5, _memories, "WIDTH_A == 36 && ada[2]", "WIDTH_A == 36 && ada[2] && ada[4]"),
    (Technology.GOWIN, _multipliers, "product = a * b", "product = a * b + 1"),
    (Technology.NEXUS, _multipliers, "product = a * b", "product = a * b + 1"),
    (Technology.NEXUS, _multipliers, "SIGNEDB & B[17]", "B[17]"),
    (Technology.GOWIN, _multipliers, "BSIGN & B[17]", "1'b0"),
    (Technology.GOWIN, _multipliers, "PIPE_REG ? pipe_register : product", "product"),
]


@pytest.mark.parametrize(("technology", "cases", "right", "wrong"), first_few(BREAKS, 2))
def test_a_cell_that_does_something_else_is_seen(
    technology: Technology,
    cases: Callable[[], list[Case]],
    right: str,
    wrong: str,
    tmp_path: Path,
) -> None:
    cells = CELLS[technology]
    assert cells.count(right) == 1
    assert any(_differences(cases(), tmp_path, technology, cells.replace(right, wrong)))
