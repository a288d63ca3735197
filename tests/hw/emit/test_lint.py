"""Emitted Verilog has no warnings but those that are waived, with a reason each."""

import subprocess
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest

from systolith.bench import find_toolchain
from systolith.emit import Bus, emit_shell, emit_verilog
from systolith.network import ActType, ArgMax, IntegerNetwork, Tensor
from systolith.plan import plan_network
from tests.support.moving_networks import MOVING_NETWORKS, moving_network
from tests.support.networks import small_network
from tests.support.random_networks import random_network, random_residual_network
from tests.support.shell.networks import forked_network, framed_network
from tests.support.slow import first_few


def _warnings(verilog: str, folder: Path) -> list[str]:
    source = folder / "design.v"
    source.write_text(verilog)
    toolchain = find_toolchain()
    waivers = files("systolith.emit").joinpath("lint.vlt")
    done = subprocess.run(
        [toolchain.verilator, "--lint-only", "-Wall", str(waivers), str(source)],
        env=dict(toolchain.environment),
        capture_output=True,
        text=True,
        check=False,
    )
    return [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("%")]


@pytest.mark.parametrize("reloadable", [False, True])
def test_a_network_is_clean(reloadable: bool, tmp_path: Path) -> None:
    plan = plan_network(small_network(), multipliers=12, reloadable=reloadable)
    assert _warnings(emit_verilog(plan), tmp_path) == []


SHELLS = [
    (make, reloadable, bus)
    for two in (False, True)
    for make in (framed_network, forked_network)
    for reloadable in (False, True)
    for bus in (Bus.AXI, Bus.WISHBONE)
    if ((make is forked_network) ^ reloadable ^ (bus is Bus.WISHBONE)) is two
]
"""All shells; the first half has every two choices together."""


@pytest.mark.parametrize(("make", "reloadable", "bus"), first_few(SHELLS, 4))
def test_outside_interfaces_are_clean(
    make: Callable[[], IntegerNetwork], reloadable: bool, bus: Bus, tmp_path: Path
) -> None:
    plan = plan_network(make(), multipliers=12, reloadable=reloadable)
    assert _warnings(emit_shell(plan, bus=bus), tmp_path) == []


@pytest.mark.parametrize("seed", first_few(range(8), 2))
def test_random_networks_are_clean(seed: int, tmp_path: Path) -> None:
    network = random_residual_network(seed) if seed % 2 else random_network(seed)
    assert _warnings(emit_verilog(plan_network(network, multipliers=40)), tmp_path) == []


@pytest.mark.parametrize("name", MOVING_NETWORKS)
def test_moved_channels_are_clean(name: str, tmp_path: Path) -> None:
    plan = plan_network(moving_network(name), cycles=10_000)
    assert _warnings(emit_verilog(plan), tmp_path) == []


@pytest.mark.parametrize(("channels", "lanes"), [(10, 1), (10, 5), (7, 7), (1, 1)])
def test_classes_are_clean(channels: int, lanes: int, tmp_path: Path) -> None:
    layer = ArgMax(name="class", input="input", classes=channels)
    image = Tensor((channels, 2, 2), ActType(bits=8, signed=True))
    network = IntegerNetwork(input=image, layers=(layer,))
    plan = plan_network(network, cycles=4 * channels // lanes, reloadable=channels == 7)
    assert plan.engines[0].lanes_in == lanes
    assert _warnings(emit_verilog(plan), tmp_path) == []
    assert _warnings(emit_shell(plan, bus=Bus.AXI), tmp_path) == []


def test_a_wire_that_nothing_drives_is_seen(tmp_path: Path) -> None:
    verilog = "module top(input wire a, output wire b); wire c; assign b = a & c; endmodule\n"
    assert "UNDRIVEN" in _warnings(verilog, tmp_path)[0]
