"""Streams beside a shortcut may wait for data, which is not waiting for ready."""

from pathlib import Path

import numpy as np
import pytest
from numpy.random import default_rng

from systolith.bench import StreamRun, StreamTrace, streams
from systolith.emit import Design, write_design
from systolith.network import (
    ActType,
    Add,
    Conv2d,
    Flatten,
    IntegerNetwork,
    Linear,
    Requantize,
    Tensor,
    trace,
)
from systolith.plan import plan_network
from systolith.verify import verify
from systolith.verify.verification import is_starved

U8 = ActType(bits=8, signed=False)
END = Requantize(multiplier=np.array([1]), shift=np.array([3]))
HALF = Requantize(multiplier=np.array([1]), shift=np.array([17]))
BY_CHANNEL = Requantize(multiplier=np.full(4, 40343), shift=np.full(4, 18))


def _conv(name: str, source: str, shape: tuple[int, ...], groups: int = 1) -> Conv2d:
    padding = (1, 1, 1, 1) if shape[-1] == 3 else (0, 0, 0, 0)
    return Conv2d(
        name=name,
        input=source,
        weight=default_rng(0).integers(-3, 9, shape),
        bias=np.zeros(shape[0], int),
        requantize=BY_CHANNEL,
        output=U8,
        padding=padding,
        groups=groups,
    )


@pytest.fixture(scope="module")
def network() -> IntegerNetwork:
    """A shortcut past a depthwise and a pointwise convolution of one speed, and a slow end."""
    end = default_rng(1).integers(-9, 9, (3, 144))
    return IntegerNetwork(
        input=Tensor((1, 6, 6), U8),
        layers=(
            _conv("first", "input", (4, 1, 3, 3)),
            _conv("depthwise", "first", (4, 1, 3, 3), groups=4),
            _conv("pointwise", "depthwise", (4, 4, 1, 1)),
            Add(
                name="sum",
                inputs=("pointwise", "first"),
                multipliers=(40343, 39387),
                requantize=HALF,
                output=U8,
            ),
            Flatten(name="flat", input="sum"),
            Linear(
                name="fc",
                input="flat",
                weight=end,
                bias=np.zeros(3, int),
                requantize=END,
                output=ActType(bits=16, signed=True),
            ),
        ),
    )


@pytest.fixture(scope="module")
def design(network: IntegerNetwork, tmp_path_factory: pytest.TempPathFactory) -> Design:
    return write_design(plan_network(network, multipliers=16), tmp_path_factory.mktemp("rtl"))


def test_a_branch_without_data_is_not_blamed(
    network: IntegerNetwork, design: Design, workdir: Path
) -> None:
    images = default_rng(2).integers(0, 256, (1, 1, 6, 6))
    reference = trace(network, images)
    verify(design, images, reference, workdir=workdir, quick=True).raise_if_failed()


def _run(design: Design, cycles: dict[str, list[int]]) -> StreamRun:
    """Make a record of when each stream had its transfers."""
    return StreamRun(
        traces=tuple(
            StreamTrace(
                port=port,
                values=np.zeros((len(cycles[port.layer]), port.lanes), int),
                cycles=np.array(cycles[port.layer], int),
            )
            for port in streams(design)[:3]
        ),
        violations=(),
        waited=frozenset(),
        seconds=0.0,
    )


@pytest.mark.parametrize(("came", "starved"), [(13, True), (14, False), (20, False)])
@pytest.mark.parametrize("frames", [0, 2])
def test_a_stream_is_starved_if_less_came_than_a_transfer_takes(
    design: Design, came: int, starved: bool, frames: int
) -> None:
    whole = 144  # transfers of a frame, of each of these streams but the input
    slow = {"input": list(range(36)), "first": list(range(0, 288, 2)), "depthwise": []}
    slow["depthwise"] = [cycle + 26 for cycle in slow["first"]]  # 14 transfers behind
    stopped = {
        "input": list(range(36 * (frames + 1))),
        "first": list(range(whole * frames + came)),
        "depthwise": list(range(whole * frames)),
    }
    assert is_starved("depthwise", _run(design, stopped), [_run(design, slow)]) is starved
