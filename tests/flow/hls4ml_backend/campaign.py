"""Random models in numbers: ``python -m tests.flow.hls4ml_backend.campaign keras 0 200``.

With ``--csimulation``, models are compared with hls4ml's own C++, too, which takes 5 s for each.
"""

import argparse
import collections
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")

import numpy as np

from systolith.hls4ml_backend import ConversionError
from systolith.hls4ml_backend.checks import check_csimulation
from systolith.network import trace
from tests.flow.hls4ml_backend.interpreter import interpret
from tests.flow.hls4ml_backend.random_doors import silence
from tests.flow.hls4ml_backend.random_graphs import Graph, keras_graph, pytorch_graph

DOORS: dict[str, Callable[[int], Graph]] = {"keras": keras_graph, "pytorch": pytorch_graph}


def judge_exactly(door: str, seed: int, folder: Path, *, csimulation: bool = False) -> str:
    """Convert a random model and compare it; anything but a reasoned refusal is an error."""
    with silence():
        convert, _ = DOORS[door](seed)
        try:
            graph = convert(folder, multipliers=8)
        except ConversionError as error:
            return "refused: " + "; ".join(error.problems)
        except Exception as error:
            frames = []
            trail = error.__traceback__
            while trail is not None:
                frames.append(trail.tb_frame.f_code.co_filename)
                trail = trail.tb_next
            if any("systolith/hls4ml_backend" in frame for frame in frames):
                raise
            return f"refused by hls4ml: {type(error).__name__}: {error}"
        kind, rng = graph.mapped.input, np.random.default_rng(seed)
        codes = rng.integers(kind.low, kind.high + 1, (16, *graph.mapped.input_views[0].shape))
        x = np.ldexp(codes.astype(float), -kind.fraction)
        tensors = trace(graph.mapped.network, graph.quantize(x))
        ours = graph.as_floats(tensors, np.float64)
        ours = ours if isinstance(ours, list) else [ours]
        for got, wanted in zip(ours, interpret(graph, x), strict=True):
            assert np.array_equal(got, wanted), f"{door} {seed}: wrong values"
        checked = check_csimulation(graph, folder / "csimulation") if csimulation else ""
    assert graph.checks["model"].startswith("equal"), graph.checks
    kinds = collections.Counter(node.class_name for node in graph.get_layers())
    return f"right {checked} {dict(kinds)}"


def main() -> None:
    """Judge a range of seeds and count the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("door", choices=DOORS)
    parser.add_argument("first", type=int)
    parser.add_argument("last", type=int)
    parser.add_argument("--csimulation", action="store_true")
    given = parser.parse_args()
    counts: collections.Counter[str] = collections.Counter()
    for seed in range(given.first, given.last):
        with tempfile.TemporaryDirectory() as folder:
            try:
                result = judge_exactly(
                    given.door, seed, Path(folder), csimulation=given.csimulation
                )
            except Exception as error:
                result = f"WRONG: {type(error).__name__}: {error}"
        counts[re.split("[ :]", result)[0]] += 1
        print(seed, result, flush=True)
    print(dict(counts))


if __name__ == "__main__":
    main()
