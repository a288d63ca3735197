"""One convolution in every pattern on equal multipliers: cycles relative to dense."""

import argparse
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.results import write_result
from systolith.bench import compile_native
from systolith.emit import write_design
from systolith.network import (
    ActType,
    Conv2d,
    Granularity,
    IntegerNetwork,
    KOutOfN,
    Pattern,
    PerNeuron,
    Requantize,
    Strided,
    Tensor,
    forward,
)
from systolith.plan import ArrayShape, plan_network

RESULT = Path(__file__).parent / "results" / "layers.json"
CHANNELS, SIZE, FRAMES = 32, 16, 20
EVERY_THIRD = Strided(3, tuple(channel % 3 for channel in range(CHANNELS)))
EVERY_THIRD_OF_A_GROUP = Strided(3, tuple(channel // 4 % 3 for channel in range(CHANNELS)))


@dataclass(frozen=True, kw_only=True)
class Case:
    """A pattern, and how 96 multipliers are arranged for it."""

    pattern: Pattern = field(default_factory=Pattern)
    weight_bits: int = 8
    depthwise: bool = False
    array: ArrayShape = field(default_factory=lambda: ArrayShape(rows=12, columns=8))


PACKED = ArrayShape(rows=12, columns=8, packed=2)
CASES = {
    "dense": Case(),
    "4-out-of-8": Case(pattern=Pattern(select=KOutOfN(4, 8))),
    "2-out-of-8": Case(pattern=Pattern(select=KOutOfN(2, 8))),
    "1-out-of-8": Case(pattern=Pattern(select=KOutOfN(1, 8))),
    "1-out-of-4": Case(pattern=Pattern(select=KOutOfN(1, 4))),
    "1-out-of-4 kernels": Case(pattern=Pattern(select=KOutOfN(1, 4, Granularity.KERNEL))),
    "72 per neuron": Case(pattern=Pattern(select=PerNeuron(72))),
    "3 of 9 taps": Case(pattern=Pattern(taps=EVERY_THIRD)),
    "1-out-of-4 of 3 of 9 taps": Case(
        pattern=Pattern(select=KOutOfN(1, 4), taps=EVERY_THIRD_OF_A_GROUP)
    ),
    "dense, 4 bits packed": Case(weight_bits=4, array=PACKED),
    "1-out-of-4 by 2, 4 bits packed": Case(
        pattern=Pattern(select=KOutOfN(1, 4, shared_by=2)), weight_bits=4, array=PACKED
    ),
    "depthwise": Case(depthwise=True, array=ArrayShape(rows=3, columns=32)),
}


def convolution(case: Case, seed: int = 0) -> IntegerNetwork:
    """A 3x3 convolution with padding 1 and random weights on 8-bit activations."""
    rng = np.random.default_rng(seed)
    shape = (CHANNELS, 1 if case.depthwise else CHANNELS, 3, 3)
    mask = case.pattern.best_mask(rng.random(shape))
    most = (1 << case.weight_bits - 1) - 1
    act = ActType(bits=8, signed=False)
    layer = Conv2d(
        name="conv",
        input="input",
        weight=rng.integers(-most, most + 1, shape) * mask,
        bias=rng.integers(-1000, 1000, CHANNELS),
        mask=None if case.pattern.is_dense else mask,
        pattern=case.pattern,
        padding=(1, 1, 1, 1),
        groups=CHANNELS if case.depthwise else 1,
        weight_bits=case.weight_bits,
        requantize=Requantize(multiplier=np.full(CHANNELS, 20_000), shift=np.array([26])),
        output=act,
    )
    return IntegerNetwork(input=Tensor((CHANNELS, SIZE, SIZE), act), layers=(layer,))


def measure(name: str, folder: Path) -> dict[str, Any]:
    """Generate, simulate and check.

    Raises
    ------
    AssertionError
        If a value or the number of cycles is not as predicted.
    """
    case = CASES[name]
    network = convolution(case)
    plan = plan_network(network, arrays={"conv": case.array})
    start = time.perf_counter()
    design = write_design(plan, folder / name.replace(" ", "_"))
    generate = time.perf_counter() - start
    model = compile_native(design, folder / "simulators")
    images = np.random.default_rng(1).integers(0, 256, (FRAMES, *network.input.shape))
    result = model.run(images)
    assert np.array_equal(result.output, forward(network, images)["conv"]), name
    cycles = int(result.last_output_cycle[-1] - result.first_input_cycle[0] + 1)
    predicted = plan.cycles(FRAMES)
    assert cycles == predicted, f"{name}: {cycles} cycles, predicted {predicted}"
    return {
        "name": name,
        "multipliers": plan.multipliers,
        "macs_kept": plan.macs_kept,
        "cycles_simulated": cycles,
        "cycles_predicted": predicted,
        "cycles_per_frame": plan.cycles_per_frame,
        "macs_per_multiplier_and_cycle": plan.macs_kept
        / (plan.multipliers * plan.cycles_per_frame),
        "generate_seconds": round(generate, 1),
        "build_seconds": round(model.compile_seconds, 1),
        "cycles_per_second": round(result.cycles / result.seconds),
    }


def table(rows: list[dict[str, Any]]) -> Table:
    """Lay the figures out, cycles relative to the first row."""
    title = f"3x3 convolution, {CHANNELS} to {CHANNELS} channels, {SIZE}x{SIZE} pixels"
    found = Table(title=f"{title}, {FRAMES} frames")
    columns = (
        "pattern",
        "multi-\npliers",
        "cycles",
        "of dense",
        "MACs per\nmultiplier\nand cycle",
        "generate",
        "build",
        "Mcycle/s",
    )
    for column in columns:
        found.add_column(column, justify="left" if column == "pattern" else "right", no_wrap=True)
    for row in rows:
        found.add_row(
            row["name"],
            str(row["multipliers"]),
            f"{row['cycles_simulated']:,}",
            f"{row['cycles_simulated'] / rows[0]['cycles_simulated']:.3f}",
            f"{row['macs_per_multiplier_and_cycle']:.2f}",
            f"{row['generate_seconds']:.1f} s",
            f"{row['build_seconds']:.1f} s",
            f"{row['cycles_per_second'] / 1e6:.2f}",
        )
    return found


def main() -> None:
    """Measure every pattern and write the result file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine.layers", description=__doc__)
    parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(name, Path(folder)) for name in CASES]
    Console().print(table(rows))
    write_result(RESULT, "python -m benchmarks.engine.layers", {"rows": rows})


if __name__ == "__main__":
    main()
