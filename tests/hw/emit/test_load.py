"""Other weights into the same design."""

import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from systolith.emit import load_bytes, write_design
from systolith.gateware import Pipeline
from systolith.network import (
    ActType,
    Add,
    AvgPool2d,
    Conv2d,
    IntegerNetwork,
    KOutOfN,
    Pattern,
    Requantize,
    Table,
    Tensor,
    forward,
)
from systolith.plan import (
    ArrayShape,
    ConvPlan,
    MemoryKind,
    NetworkPlan,
    PlanError,
    WeightMemory,
    plan_network,
)
from tests.support.networks import convolution, small_network
from tests.support.pipeline_bench import PipelineBench
from tests.support.random_networks import random_images, random_network, random_residual_network
from tests.support.slow import first_few
from tests.support.twins import twin

FRAMES = 2
QUICK_SEEDS = tuple(seed for seed in range(16) if seed not in (3, 12))
"""The other two draw networks that take half of all the time."""


def _frames(plan: NetworkPlan, *cases: tuple[IntegerNetwork, bytes], seed: int = 0) -> None:
    """See that the design computes each network, once its bytes are loaded, if there are any."""
    dut = Pipeline(plan)
    bench = PipelineBench(dut)
    for network, data in cases:
        images = random_images(network, FRAMES, seed)
        before = _loading(dut, data, seed) if data else None
        run = bench.run(images, gap=0.2, stall=0.2, seed=seed, before=before)
        for name, expected in forward(network, images).items():
            assert np.array_equal(run.outputs[name], expected)


def _loading(dut: Pipeline, data: bytes, seed: int) -> Callable[[Any], Awaitable[None]]:
    async def load(ctx):  # type: ignore[no-untyped-def]
        rng = random.Random(seed)
        assert ctx.get(dut.loaded)
        for byte in _started(data):
            ctx.set(dut.load.start, byte is None)
            ctx.set(dut.load.valid, byte is not None)
            ctx.set(dut.load.data, byte or 0)
            await ctx.tick()
            if rng.random() < 0.2:
                ctx.set(dut.load.valid, 0)
                await ctx.tick().repeat(rng.randrange(1, 4))
        ctx.set(dut.load.valid, 0)
        for _ in range(2000):
            assert not ctx.get(dut.overflow)
            if ctx.get(dut.loaded):
                return
            await ctx.tick()
        raise AssertionError("the load never ends")

    return load


def _started(data: bytes) -> Iterator[int | None]:
    yield None
    yield from data


@pytest.mark.parametrize("seed", first_few((*QUICK_SEEDS, 3, 12), 5))
def test_a_loaded_design_computes_the_other_network(seed: int) -> None:
    draw = random_residual_network if seed % 3 == 0 else random_network
    network = draw(seed)
    budget = int(np.random.default_rng(seed).integers(4, 60))
    plan = plan_network(network, multipliers=budget, reloadable=True)
    other = twin(network, seed + 100)
    _frames(plan, (network, b""), (other, load_bytes(plan, other)), seed=seed)


def test_loading_its_own_parameters_changes_nothing() -> None:
    network = small_network()
    plan = plan_network(network, multipliers=12, reloadable=True)
    _frames(plan, (network, load_bytes(plan, network)))


@pytest.mark.parametrize("kept", [None, (1, 4)])
def test_memories_that_pes_share_are_loaded(kept: tuple[int, int] | None) -> None:
    network = convolution(channels=8, filters=7, size=(4, 4), kept=kept, seed=3)
    # Tiles at both borders are smaller than the others.
    array = ArrayShape(rows=3, columns=4)
    plan = plan_network(network, arrays={"conv": array}, reloadable=True)
    plan = _with_weight_memory(plan, WeightMemory(MemoryKind.BLOCK, 2, 3))
    (engine,) = plan.convolutions
    sizes = {(tile.rows, tile.columns) for tile in engine.weight_tiles}
    assert sizes == {(2, 3), (2, 1), (1, 3), (1, 1)}
    other = twin(network, 5)
    _frames(plan, (network, b""), (other, load_bytes(plan, other)))


def _with_weight_memory(plan: NetworkPlan, memory: WeightMemory) -> NetworkPlan:
    """Let the PEs of every engine share memories."""
    stages = [
        replace(stage, weight_memory=memory) if isinstance(stage, ConvPlan) else stage
        for stage in plan.graph.stages
    ]
    return replace(plan, graph=plan.graph.with_stages(stages))


def test_tables_are_loaded() -> None:
    act = ActType(bits=4, signed=True)
    values = np.random.default_rng(0).integers(-8, 8, 16)
    network = IntegerNetwork(
        input=Tensor((2, 3, 3), act),
        layers=(Table(name="table", input="input", values=values, output=act),),
    )
    plan = plan_network(network, reloadable=True)
    other = twin(network, 1)
    _frames(plan, (other, load_bytes(plan, other)))


def test_a_load_fits_every_design_with_the_same_circuit(tmp_path: Path) -> None:
    networks = {"first": small_network(), "second": twin(small_network(), 1)}
    plans = {
        name: plan_network(network, multipliers=12, reloadable=True)
        for name, network in networks.items()
    }
    designs = {name: write_design(plan, tmp_path / name) for name, plan in plans.items()}
    assert designs["first"].circuit_hash == designs["second"].circuit_hash
    assert designs["first"].network_hash != designs["second"].network_hash
    loads = {name: (tmp_path / name / "load.bin").read_bytes() for name in networks}
    assert loads["second"] == load_bytes(plans["first"], networks["second"]) != loads["first"]
    assert designs["first"].load_size == len(loads["first"])


def test_another_pattern_is_another_circuit(tmp_path: Path) -> None:
    hashes = {
        write_design(
            plan_network(
                convolution(channels=8, filters=4, size=(4, 4), kept=kept),
                arrays={"conv": ArrayShape(rows=2, columns=2)},
                reloadable=True,
            ),
            tmp_path / str(kept),
        ).circuit_hash
        for kept in ((1, 4), (1, 8), (2, 4))
    }
    assert len(hashes) == 3


def test_everything_in_which_a_network_is_of_another_kind_is_named() -> None:
    network = convolution(channels=8, filters=4, size=(4, 4), kept=(2, 4))
    plan = plan_network(network, multipliers=8, reloadable=True)
    layer = network["conv"]
    assert isinstance(layer, Conv2d)
    pattern = Pattern(select=KOutOfN(1, 4))
    mask = pattern.best_mask(np.abs(layer.weight))
    changed = replace(layer, pattern=pattern, mask=mask, weight=layer.weight * mask, stride=(2, 2))
    with pytest.raises(PlanError) as caught:
        load_bytes(plan, replace(network, layers=(changed,)))
    assert len(caught.value.problems) == 2
    assert "layer 'conv': stride of the design is 1, 1, got 2, 2" in str(caught.value)
    assert "layer 'conv': pattern of the design is" in str(caught.value)


def test_a_bias_too_large_for_its_field_is_refused() -> None:
    network = convolution(channels=8, filters=4, size=(4, 4), kept=(2, 4))
    plan = plan_network(network, multipliers=8, reloadable=True)
    layer = network["conv"]
    assert isinstance(layer, Conv2d)
    changed = replace(layer, bias=layer.bias + (1 << 30))
    with pytest.raises(PlanError, match=r"layer 'conv': bias must fit \d+ bits, got \d+"):
        load_bytes(plan, replace(network, layers=(changed,)))


def test_a_multiplier_needs_a_design_with_multipliers() -> None:
    network = convolution(channels=8, filters=4, size=(4, 4), kept=(2, 4))
    layer = network["conv"]
    assert isinstance(layer, Conv2d)
    shifts = replace(layer, requantize=Requantize(multiplier=np.array([1]), shift=np.array([9])))
    plan = plan_network(replace(network, layers=(shifts,)), multipliers=8, reloadable=True)
    with pytest.raises(PlanError, match=r"layer 'conv': requantize of the design is power of two"):
        load_bytes(plan, network)


def test_a_design_that_is_not_reloadable_says_so() -> None:
    network = small_network()
    with pytest.raises(PlanError, match="was not planned as reloadable"):
        load_bytes(plan_network(network, multipliers=12), network)


def _with_offsets(spec: Requantize, network: IntegerNetwork) -> IntegerNetwork:
    layer = network["conv"]
    assert isinstance(layer, Conv2d)
    return replace(network, layers=(replace(layer, requantize=spec),))


def test_finer_and_coarser_offsets_fit_a_design_that_only_shifts() -> None:
    network = convolution(channels=8, filters=4, size=(4, 4), kept=(2, 4))
    own, finer, coarser, none = (
        _with_offsets(
            Requantize(
                multiplier=np.array([1 << raised]), shift=np.array([7 + raised]), offset=offset
            ),
            network,
        )
        for raised, offset in (
            (4, np.array([-9, 3, 7, 15])),
            (20, np.array([-(1 << 19) - 1, 1 << 20, 3, 5])),
            (1, np.array([-1, 1, 0, 2])),
            (0, None),
        )
    )
    plan = plan_network(own, multipliers=8, reloadable=True)
    assert all(engine.requantizer.scale_bits == 0 for engine in plan.convolutions)
    others = (own, finer, coarser, none)
    _frames(plan, *((other, load_bytes(plan, other)) for other in others))


def test_offsets_need_a_design_that_has_some() -> None:
    network = convolution(channels=8, filters=4, size=(4, 4), kept=(2, 4))
    plan = plan_network(network, multipliers=8, reloadable=True)
    layer = network["conv"]
    assert isinstance(layer, Conv2d)
    spec = replace(layer.requantize, offset=np.array([1]))
    with pytest.raises(PlanError, match="layer 'conv': offsets need a design with offsets"):
        load_bytes(plan, _with_offsets(spec, network))


def test_a_multiplier_too_wide_for_the_design_is_refused_wherever_it_stands() -> None:
    wide = Requantize(multiplier=np.array([(1 << 24) - 1]), shift=np.array([30]))
    narrow = replace(wide, multiplier=np.array([3]))
    act = ActType(bits=8, signed=False)

    def network(spec: Requantize) -> IntegerNetwork:
        pool = AvgPool2d(name="mean", input="input", requantize=spec, output=act)
        conv = Conv2d(
            name="conv",
            input="input",
            weight=np.ones((2, 2, 1, 1), dtype=np.int64),
            bias=np.zeros(2, dtype=np.int64),
            requantize=spec,
            output=act,
        )
        add = Add(
            name="sum", inputs=("input", "conv"), multipliers=(1, 1), requantize=spec, output=act
        )
        return IntegerNetwork(
            input=Tensor((2, 4, 4), act), layers=(pool, conv, add), outputs=("mean", "sum")
        )

    plan = plan_network(network(narrow), multipliers=8, reloadable=True)
    with pytest.raises(PlanError) as caught:
        load_bytes(plan, network(wide))
    for name in ("mean", "conv", "sum"):
        wanted = f"layer '{name}': multiplier must fit 16 bits, got 16777215"
        assert wanted in caught.value.problems
