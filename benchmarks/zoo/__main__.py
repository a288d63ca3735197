"""Quantize networks of the zoo, compare them, simulate their RTL; write results and cards.

python -m benchmarks.zoo --all
python -m benchmarks.zoo jet_mlp ds_cnn
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.results import write_result
from benchmarks.zoo.table import RESULTS
from systolith import zoo
from systolith.bench import BURSTS, NONE, RANDOM, compile_native
from systolith.emit import write_design
from systolith.network import IntArray, IntegerNetwork, content_hash, forward
from systolith.plan import NetworkPlan
from systolith.quant import UnsupportedModelError
from systolith.zoo.making import make_network

COMMAND = "python -m benchmarks.zoo"
SEED, IMAGES = 0, 4
CARDS = Path(str(zoo.__file__)).parent / zoo.CARDS


def measure(
    name: str, *, quick: bool = False, rtl: bool = True
) -> tuple[zoo.ZooCard, dict[str, Any]]:
    """Make a network, compare it in integers and in RTL.

    Parameters
    ----------
    name : str
        Name in the zoo.
    quick : bool
        Compile without optimization.
    rtl : bool
        Whether to simulate the Verilog, too.

    Raises
    ------
    AssertionError
        If a value or the number of cycles is not as predicted.
    """
    seconds: dict[str, float] = {}
    start = time.perf_counter()
    made = make_network(zoo.ZOO[name], SEED)
    seconds["make"] = _since(start)
    network = made.network
    start = time.perf_counter()
    device, plan = zoo.smallest_fit(made)
    seconds["plan"] = _since(start)
    card = zoo.make_card(made, device, plan)
    images = draw_images(network)
    reference = made.reference(images)
    golden = forward(network, images)
    for output in network.outputs:
        assert np.array_equal(golden[output], reference[output]), f"{name}: '{output}' differs"
    wanted = [reference[output] for output in network.outputs]
    simulated = simulate(plan, images, wanted, seconds, quick) if rtl else {}
    return card, {
        "seed": SEED,
        "network_hash": content_hash(network),
        "door": made.entry.door.value,
        "check": made.check,
        "images": len(images),
        "outputs_per_image": int(sum(golden[each][0].size for each in network.outputs)),
        "executor": made.executor,
        **simulated,
        "seconds": seconds,
    }


def simulate(
    plan: NetworkPlan,
    images: IntArray,
    wanted: list[IntArray],
    seconds: dict[str, float],
    quick: bool,
) -> dict[str, Any]:
    """Simulate without stalls and under two kinds of random ones; compare outputs and cycles."""
    with tempfile.TemporaryDirectory() as folder:
        design = write_design(plan, Path(folder) / "rtl")
        model = compile_native(design, Path(folder) / "simulators", quick=quick)
        seconds["compile"] = round(model.compile_seconds, 1)
        start, cycles = time.perf_counter(), {}
        for stalls in (NONE, RANDOM, BURSTS):
            result = model.run(images, stalls=stalls, seed=SEED, watchdog_cycles=20_000_000)
            for found, expected in zip(result.outputs, wanted, strict=True):
                assert np.array_equal(found.ravel(), expected.ravel()), f"differs: {stalls.name}"
            taken = result.last_output_cycle[-1] - result.first_input_cycle[0] + 1
            cycles[stalls.name] = int(taken)
        seconds["simulate"] = _since(start)
    predicted = plan.cycles(len(images))
    assert cycles[NONE.name] == predicted, f"{cycles[NONE.name]} cycles, predicted {predicted}"
    return {"cycles_predicted": predicted, "cycles_simulated": cycles, "stall_seed": SEED}


def draw_images(network: IntegerNetwork) -> IntArray:
    """Draw images uniformly over the input's type."""
    act = network.input.type
    rng = np.random.default_rng(SEED)
    return rng.integers(act.low, act.high + 1, (IMAGES, *network.input.shape))


def _since(start: float) -> float:
    return round(time.perf_counter() - start, 1)


def _keep_card(card: zoo.ZooCard) -> None:
    cards = {name: known.to_json() for name, known in zoo.read_cards().items()}
    cards[card.name] = card.to_json()
    temporary = CARDS.with_suffix(".part")
    temporary.write_text(json.dumps(dict(sorted(cards.items())), indent=1) + "\n")
    temporary.replace(CARDS)


def main() -> None:
    """Measure the networks that are named."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(zoo.ZOO))
    parser.add_argument("--all", action="store_true", help="all networks")
    parser.add_argument("--quick", action="store_true", help="compile without optimization")
    parser.add_argument("--no-rtl", action="store_true", help="compare integers only")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in zoo.ZOO if arguments.all else arguments.names:
        print(name, flush=True)
        try:
            card, row = measure(
                zoo.find_entry(name).name, quick=arguments.quick, rtl=not arguments.no_rtl
            )
        except UnsupportedModelError as error:
            print(f"not supported yet: {error}", flush=True)
            continue
        write_result(RESULTS / f"{name}.json", f"{COMMAND} {name}", row)
        _keep_card(card)


if __name__ == "__main__":
    main()
