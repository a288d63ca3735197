"""Cycle counts of the emitted Verilog, counted by Verilator, against the plan."""

from pathlib import Path

import numpy as np
import pytest

from systolith.bench import compile_native
from systolith.emit import write_design
from systolith.network import IntegerNetwork, forward
from systolith.plan import ArrayShape, NetworkPlan, plan_network
from tests.support.networks import convolution, random_convolution
from tests.support.slow import first_few

FRAMES = 6


def _simulated_cycles(network: IntegerNetwork, plan: NetworkPlan, folder: Path) -> int:
    """Simulate, see that the outputs are right, and count from first input to last output."""
    images = np.random.default_rng(0).integers(0, 256, (FRAMES, *network.input.shape))
    result = compile_native(write_design(plan, folder / "rtl"), folder, quick=True).run(images)
    assert np.array_equal(result.output, forward(network, images)["conv"])
    return int(result.last_output_cycle[-1] - result.first_input_cycle[0] + 1)


@pytest.mark.parametrize("seed", first_few(range(20), 8))
def test_predicted_cycles_are_simulated_cycles(seed: int, tmp_path: Path) -> None:
    network, array = random_convolution(seed)
    plan = plan_network(network, arrays={"conv": array})
    assert _simulated_cycles(network, plan, tmp_path) == plan.cycles(FRAMES)
    assert plan.steady_interval == plan.cycles_per_frame


def test_three_quarters_sparse_takes_a_quarter_of_the_cycles(tmp_path: Path) -> None:
    array = ArrayShape(rows=12, columns=4)
    cycles = {}
    for name, kept in (("dense", None), ("sparse", (2, 8))):
        network = convolution(channels=32, filters=8, size=(8, 8), kept=kept)
        plan = plan_network(network, arrays={"conv": array})
        assert plan.multipliers == 48
        cycles[name] = _simulated_cycles(network, plan, tmp_path / name)
    assert cycles["sparse"] <= 0.27 * cycles["dense"]
