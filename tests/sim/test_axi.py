"""Shells in Verilator, driven by agents that others wrote: cocotbext-axi, cocotbext-wishbone."""

from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from systolith.bench.cocotb_runner import RUNTIME, PortsOnlyVerilator
from systolith.bench.compile import QUICK_FLAGS, VERILATOR_FLAGS, place_runtime
from systolith.bench.toolchain import find_toolchain
from systolith.emit import Bus, StreamPort, load_bytes, output_streams, write_shell
from systolith.network import INPUT, IntArray, IntegerNetwork, content_hash, forward
from systolith.plan import NetworkPlan, plan_network
from tests.support.shell import bench, load_bench
from tests.support.shell.job import Results, ShellJob
from tests.support.shell.networks import forked_network, framed_network
from tests.support.shell.scenarios import ALL
from tests.support.slow import first_few
from tests.support.twins import twin

IMAGES = 4
DESIGNS = {
    "axi": (framed_network, Bus.AXI, True),
    "wishbone": (framed_network, Bus.WISHBONE, True),
    "axi, two outputs, weights fixed": (forked_network, Bus.AXI, False),
}


def _images(shape: Sequence[int]) -> IntArray:
    """Random images; the second half of the last is 0."""
    images = np.random.default_rng(1).integers(0, 32, (IMAGES, *shape))
    pixels = images.reshape(IMAGES, shape[0], -1)
    pixels[-1, :, pixels.shape[2] // 2 :] = 0
    return images


def _frames(port: StreamPort, values: IntArray) -> tuple[bytes, ...]:
    """Images as they travel in TDATA."""
    size_bytes = -(-port.width // 8)
    transfers = port.pack(port.to_transfers(values))
    octets = [word.to_bytes(size_bytes, "little") for word in transfers]
    count = port.transfers_per_frame
    return tuple(b"".join(octets[n : n + count]) for n in range(0, len(octets), count))


def _results(plan: NetworkPlan, network: IntegerNetwork, images: IntArray) -> Results:
    golden = forward(network, images)
    return Results(
        load=load_bytes(plan, network) if plan.reloadable else b"",
        results=tuple(_frames(port, golden[port.layer]) for port in output_streams(plan)),
    )


def _job(plan: NetworkPlan, bus: Bus) -> ShellJob:
    network = plan.network
    source = StreamPort(layer=INPUT, tensor=network.input, lanes=plan.lanes_in, signal="i")
    images = _images(network.input.shape)
    ones = [np.full((1, *port.tensor.shape), -1) for port in output_streams(plan)]
    ports = zip(output_streams(plan), ones, strict=True)
    major, minor, patch = map(int, version("systolith").split("."))
    return ShellJob(
        wishbone=bus is Bus.WISHBONE,
        images=_frames(source, images),
        transfers=source.transfers_per_frame,
        masks=tuple(_frames(port, one)[0] for port, one in ports),
        own=_results(plan, network, images),
        other=_results(plan, twin(network, 5), images),
        latency=plan.latency_cycles,
        interval=plan.steady_interval,
        version=(major, minor, patch),
        network_hash=content_hash(network),
    )


def _simulate(plan: NetworkPlan, bus: Bus, folder: Path, workdir: Path) -> dict[str, str | None]:
    """Run all scenarios in one simulation. Returns what failed, or None, for each."""
    source = write_shell(plan, folder, bus=bus)
    visible = folder / "visible.vlt"
    ports = "".join(
        f'public_flat_rw -module "{bus.value}" -var "{name}"\n'
        for name in ("aclk", "aresetn", "s_axi*", "m_axis*", "wb_*")
    )
    visible.write_text(f"`verilator_config\n{ports}")
    _job(plan, bus).save(folder / "job.json")
    toolchain = find_toolchain(cocotb=True)
    make = place_runtime(toolchain, workdir, folder / "obj", RUNTIME, ["--vpi"], QUICK_FLAGS)
    runner = PortsOnlyVerilator(toolchain, make)
    runner.build(
        sources=[visible, source],
        build_args=list(VERILATOR_FLAGS[2:]),
        hdl_toplevel=bus.value,
        build_dir=folder / "obj",
        log_file=folder / "build.txt",
    )
    results = folder / "results.xml"
    with suppress(RuntimeError, SystemExit):  # the results tell more
        runner.test(
            test_module=[bench.__name__, load_bench.__name__],
            hdl_toplevel=bus.value,
            hdl_toplevel_lang="verilog",
            build_dir=folder / "obj",
            test_dir=folder,
            results_xml=str(results),
            plusargs=[f"+job={folder / 'job.json'}"],
            log_file=folder / "output.txt",
        )
    if not results.exists():
        raise AssertionError((folder / "output.txt").read_text()[-2000:])
    failures: dict[str, str | None] = {}
    for case in ElementTree.parse(results).iter("testcase"):
        failed = next((part for part in case if part.tag in ("failure", "error")), None)
        failures[case.attrib["name"]] = None if failed is None else str(failed.attrib)
    return failures


@pytest.mark.parametrize("design", first_few(DESIGNS, 1))
def test_seen_from_outside(design: str, workdir: Path, tmp_path: Path) -> None:
    make, bus, reloadable = DESIGNS[design]
    plan = plan_network(make(), multipliers=8, reloadable=reloadable)
    failures = _simulate(plan, bus, tmp_path, workdir)
    assert sorted(failures) == sorted(ALL)
    assert {name: failure for name, failure in failures.items() if failure is not None} == {}
