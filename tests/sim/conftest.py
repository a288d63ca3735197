"""Small designs to simulate, and one folder in which their simulators are compiled once."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from systolith.emit import Design, StreamPort
from systolith.network import ActType, IntArray, Tensor

HERE = Path(__file__).parent
CHAIN = HERE.parent / "support" / "chain.py"
UINT8 = ActType(bits=8, signed=False)
INT8 = ActType(bits=8, signed=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A design and the function that it computes."""

    design: Design
    images: IntArray
    reference: dict[str, IntArray]


@pytest.fixture(scope="session")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for simulators, which all processes of pytest-xdist share."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "simulators"
    folder.mkdir(exist_ok=True)
    return folder


def random_images(shape: tuple[int, ...], act: ActType, seed: int = 0) -> IntArray:
    return np.random.default_rng(seed).integers(act.low, act.high + 1, shape)


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Three layers in Amaranth: multiply by a weight per channel, pool in pairs, count."""
    folder = tmp_path_factory.mktemp("chain")
    subprocess.run([sys.executable, CHAIN, folder / "chain.v"], check=True)
    image, pooled = Tensor((4, 4, 6), INT8), Tensor((4, 4, 3), INT8)
    design = Design(
        top="chain",
        sources=(folder / "chain.v",),
        input=StreamPort(layer="input", tensor=image, lanes=2, signal="i"),
        outputs=(StreamPort(layer="count", tensor=pooled, lanes=2, signal="o"),),
        probes=(
            StreamPort(layer="scale", tensor=image, lanes=2, signal="scale"),
            StreamPort(layer="pool", tensor=pooled, lanes=2, signal="pool"),
        ),
        network_hash="c0ffee",
    )
    images = random_images((3, 4, 4, 6), INT8)
    scaled = ((images * np.array([3, -5, 7, 11])[:, None, None] + 128) & 255) - 128
    pool = scaled.reshape(3, 4, 4, 3, 2).max(axis=-1)
    count = ((pool + 1 + 128) & 255) - 128
    reference = {"input": images, "scale": scaled, "pool": pool, "count": count}
    return Case(design=design, images=images, reference=reference)


@pytest.fixture(scope="session")
def faulty() -> Design:
    """See faulty.v: the first byte of the first image chooses what breaks."""
    tensor = Tensor((4, 4, 6), UINT8)
    ports = [
        StreamPort(layer=layer, tensor=tensor, lanes=2, signal=signal)
        for layer, signal in (("input", "i"), ("conv1", "conv1"), ("conv2", "o"))
    ]
    return Design(
        top="faulty",
        sources=(HERE / "faulty.v",),
        input=ports[0],
        probes=(ports[1],),
        outputs=(ports[2],),
    )


@pytest.fixture(scope="session")
def faulty_case(faulty: Design) -> Callable[[int], Case]:
    """One image for the faulty design that triggers a fault, and what would be right."""

    def case(code: int) -> Case:
        images = random_images((1, 4, 4, 6), UINT8, seed=1) & 0x7F
        images[0, 0, 0, 0] = code
        reference = {
            "input": images,
            "conv1": (images + 1) & 0xFF,
            "conv2": (images + 2) & 0xFF,
        }
        return Case(design=faulty, images=images, reference=reference)

    return case
