"""A design whose outputs are read on at once: each is driven, watched and compared by itself."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from systolith.bench import (
    NONE,
    PATTERNS,
    NativeModel,
    SimulationError,
    Stalls,
    StreamRule,
    compile_native,
)
from systolith.emit import Design, write_design
from systolith.network import ActType, Conv2d, Flatten, IntegerNetwork, Requantize, Tensor, trace
from systolith.plan import NetworkPlan, plan_network
from systolith.verify import compare, verify
from tests.support.mutate import substitute

U8 = ActType(bits=8, signed=False)
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 2, 4, 5))
WITHHELD = ("ready withheld at 'b'", "ready withheld at 'flat'", "ready withheld at 'a'")


def _conv(name: str, source: str, filters: int, channels: int) -> Conv2d:
    return Conv2d(
        name=name,
        input=source,
        weight=np.random.default_rng(filters).integers(-9, 10, (filters, channels, 3, 3)),
        bias=np.zeros(filters, int),
        requantize=Requantize(multiplier=np.array([1]), shift=np.array([4])),
        output=U8,
        padding=(1, 1, 1, 1),
    )


@pytest.fixture(scope="module")
def plan() -> NetworkPlan:
    """Two convolutions; the first one's stream leaves twice and is read by the second."""
    layers = (_conv("a", "input", 4, 2), Flatten(name="flat", input="a"), _conv("b", "a", 3, 4))
    network = IntegerNetwork(input=Tensor((2, 4, 5), U8), layers=layers, outputs=("b", "flat", "a"))
    return plan_network(network, multipliers=30)


@pytest.fixture(scope="module")
def design(plan: NetworkPlan, tmp_path_factory: pytest.TempPathFactory) -> Design:
    return write_design(plan, tmp_path_factory.mktemp("rtl"))


@pytest.fixture(scope="module")
def model(design: Design, workdir: Path) -> NativeModel:
    return compile_native(design, workdir, quick=True)


def test_each_output_is_a_port_and_no_probe(design: Design) -> None:
    assert [(port.layer, port.signal) for port in design.outputs] == [
        ("b", "o_0"),
        ("flat", "o_1"),
        ("a", "o_2"),
    ]
    assert not design.probes


@pytest.mark.parametrize("stalls", PATTERNS, ids=lambda stalls: stalls.name)
def test_native_outputs_equal_the_reference(
    plan: NetworkPlan, design: Design, model: NativeModel, stalls: Stalls
) -> None:
    result = model.run(IMAGES, stalls=stalls, seed=1, jobs=2)
    reference = trace(plan.network, IMAGES)
    for name, values in zip(plan.network.outputs, result.outputs, strict=True):
        assert np.array_equal(values, reference[name])
    assert compare(design, result.outputs, reference) is None


def test_a_frame_has_left_when_all_of_it_has(plan: NetworkPlan, model: NativeModel) -> None:
    result = model.run(IMAGES)
    assert result.last_output_cycle[0] - result.first_input_cycle[0] + 1 == plan.latency_cycles
    assert result.last_output_cycle[-1] - result.first_input_cycle[0] + 1 == plan.cycles(3)


def test_the_output_is_not_one(model: NativeModel) -> None:
    with pytest.raises(ValueError, match=r"^the design has 3 outputs$"):
        assert model.run(IMAGES).output.size


@pytest.mark.parametrize("name", ["b", "flat", "a"])
def test_a_wrong_value_is_found_at_its_output(
    plan: NetworkPlan, design: Design, model: NativeModel, name: str
) -> None:
    reference = trace(plan.network, IMAGES)
    reference[name] = reference[name].copy()
    reference[name].reshape(3, -1, 4, 5)[1, 2, 3, 4] ^= 1
    found = compare(design, model.run(IMAGES).outputs, reference)
    assert found is not None
    place = (found.layer, found.image, found.channel, found.row, found.column)
    assert place == (name, 1, 2, 3, 4)


def test_every_output_passes_under_every_pattern(
    plan: NetworkPlan, design: Design, workdir: Path
) -> None:
    result = verify(design, IMAGES, trace(plan.network, IMAGES), workdir=workdir, quick=True)
    result.raise_if_failed()
    assert result.layers == ("input", "b", "flat", "a")
    assert tuple(pattern.stalls for pattern in result.patterns[-3:]) == WITHHELD
    assert result.patterns[0].last_output_cycle[-1] + 1 == result.patterns[0].cycles


def _broken(design: Design, folder: Path, signal: str, condition: str) -> Design:
    """Let an output be valid only under a condition."""
    (source,) = design.sources
    text, count = re.subn(rf"\(({signal}__valid)\)", r"(\1_unbroken)", source.read_text())
    assert count == 1
    broken = replace(design, sources=(folder / "broken.v",))
    broken.sources[0].write_text(text)
    return substitute(
        broken,
        folder / "substituted",
        rf"^  wire ({signal}__valid);$",
        rf"  wire \1_unbroken;\n  wire \1 = \1_unbroken & {condition};",
    )


@pytest.mark.parametrize("number", range(3))
def test_an_output_that_waits_for_ready_is_seen(
    plan: NetworkPlan, design: Design, workdir: Path, tmp_path: Path, number: int
) -> None:
    port = design.outputs[number]
    broken = _broken(design, tmp_path, port.signal, f"{port.signal}__ready")
    result = verify(
        broken, IMAGES, trace(plan.network, IMAGES), workdir=workdir, quick=True, patterns=[NONE],
        watchdog_cycles=500,
    )  # fmt: skip
    broken_rules = {(found.layer, found.rule) for found in result.violations}
    assert broken_rules == {(port.layer, StreamRule.VALID_RISES_ALONE)}
    assert [not pattern.passed for pattern in result.patterns[-3:]] == [
        index == number for index in range(3)
    ]


def test_the_native_driver_names_the_output_that_stopped(
    design: Design, workdir: Path, tmp_path: Path
) -> None:
    model = compile_native(_broken(design, tmp_path, "o_1", "rst"), workdir, quick=True)
    message = (
        r"^no transfer for 300 cycles: output o_1 is not valid at cycle \d+; input accepted 120 of "
        r"120 transfers, output o_0 gave 180 of 180, output o_1 gave 0 of 240, output o_2 gave 240 "
    )
    with pytest.raises(SimulationError, match=message):
        model.run(IMAGES, watchdog_cycles=300)


def test_references_of_all_outputs_are_needed(plan: NetworkPlan, design: Design) -> None:
    reference = trace(plan.network, IMAGES)
    outputs = [reference[name] for name in plan.network.outputs]
    some = {name: values for name, values in reference.items() if name in ("input", "b")}
    message = re.escape(
        "the reference lacks layer 'flat', whose stream is to be compared; "
        "the reference lacks layer 'a', whose stream is to be compared"
    )
    with pytest.raises(ValueError, match=f"^{message}$"):
        compare(design, outputs, some)
    assert compare(replace(design, outputs=design.outputs[:1]), outputs[:1], some) is None
