"""Layers may have any names: keywords, ports, wires of streams, and very long ones."""

from itertools import pairwise
from pathlib import Path

import numpy as np

from systolith.emit import write_design
from systolith.network import (
    INPUT,
    ActType,
    Flatten,
    IntArray,
    IntegerNetwork,
    MaxPool2d,
    Tensor,
    content_hash,
    trace,
)
from systolith.plan import plan_network, signal_name
from systolith.stages.hardware.verification import verify_layers
from systolith.verify import verify

NAMES = (
    *("reg", "wire", "module", "always", "signal", "array"),
    *("clk", "rst", "i", "o", "o_", "o.1", "load", "overflow", "i__payload"),
    *("a", "a__payload", "a__valid", "a__valid_", "a.ready", "A"),
    *("top", "systolith_top", "systolith_bench", "dut", "in", "other"),
)


def _chain(names: tuple[str, ...]) -> IntegerNetwork:
    """Pools that change nothing, and one at the start that does."""
    pools = [
        MaxPool2d(name=name, input=source, kernel_size=(1 + (source == INPUT), 1), stride=(1, 1))
        for source, name in pairwise((INPUT, *names))
    ]
    return IntegerNetwork(
        input=Tensor((2, 2, 2), ActType(bits=4, signed=True)),
        layers=(*pools, Flatten(name="flat", input=names[-1])),
    )


def _images(network: IntegerNetwork) -> IntArray:
    return np.random.default_rng(0).integers(-8, 8, (3, *network.input.shape))


def test_designs_are_right_whatever_their_layers_are_called(tmp_path: Path) -> None:
    network = _chain(NAMES)
    images = _images(network)
    design = write_design(plan_network(network), tmp_path / "rtl")
    result = verify(
        design,
        images,
        trace(network, images),
        workdir=tmp_path,
        seed=1,
        network_hash=content_hash(network),
        quick=True,
    )
    assert result.passed
    # the last engine's result leaves as the output, flattened
    assert [probe.layer for probe in design.probes] == list(NAMES)


def test_layers_with_very_long_names_are_verified_alone(tmp_path: Path) -> None:
    names = (f"{'long' * 80}_1", f"{'long' * 80}_2")
    network = _chain(names)
    images = _images(network)
    results = verify_layers(
        plan_network(network),
        images,
        trace(network, images),
        folder=tmp_path / "layers",
        workdir=tmp_path / "simulators",
        seed=1,
        progress=lambda *_: None,
    )
    assert set(results) == set(names)
    assert all(result.passed for result in results.values())


def test_signals_differ_where_names_do() -> None:
    names = [f"{name}{end}" for name in NAMES for end in ("", "_")]
    plain = {name.replace(".", "_") for name in names}
    assert len({signal_name(name) for name in names}) == len(plain)
    assert signal_name("conv1") == "conv1"
