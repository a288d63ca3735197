"""Tables of the documentation from the result files of digits: mean test loss, standard error."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.pruning.digits.curves import EPOCHS_SHOWN
from benchmarks.pruning.workbench import RESULTS

__all__ = ["curve_rows", "filter_rows", "mask_rows", "pattern_rows"]

MASK_METHODS = {
    "random masks": "random",
    "frozen magnitude": "magnitude",
    "SR-STE": "sr-ste",
    "DPP, from magnitude": "dpp",
    "DPP, from random logits": "dpp-random-init",
    "SPP": "spp",
    "ADMM": "admm",
    "DPF": "dpf",
}
MASK_PATTERNS = {
    "1-of-16": "1of16",
    "2-of-16": "2of16",
    "kernels, 1-of-16": "kernel-1of16",
}
FILTER_METHODS = {
    "random": "random",
    "random, the same share of each layer": "random-per-layer",
    "L1": "l1",
    "L1, the same share of each layer": "l1-per-layer",
    "L2": "l2",
    "FPGM": "fpgm",
    "LAMP": "lamp",
    "scales of batch norms": "bn-scale",
    "Taylor gates": "taylor",
    "GDP per cost": "gdp",
    "GDP, not per cost": "gdp-not-per-cost",
    "random, as many in each layer as GDP keeps": "random-as-gdp",
    "DPP of filters, the same share of each layer": "dpp-filters",
    "random, layers reconstructed": "random-reconstructed",
    "L1, layers reconstructed": "l1-reconstructed",
    "FPGM, layers reconstructed": "fpgm-reconstructed",
    "scales of batch norms, layers reconstructed": "bn-scale-reconstructed",
    "Taylor scores per cost, layers reconstructed": "taylor-per-cost-reconstructed",
    "GDP for 4 epochs, then layers of the dense network reconstructed": "gdp-reconstructed",
}
PATTERN_WAYS = {
    "learned": "learned",
    "learned, then trained anew": "retrained",
    "by magnitude": "magnitude",
    "the same in all layers": "uniform",
    "random": "random",
}


def mask_rows() -> Iterator[str]:
    """Yield one row per method; columns are patterns, with AdamW and with SGD."""
    columns = {
        f"{pattern}, {optimizer}": f"{name}{suffix}"
        for pattern, name in MASK_PATTERNS.items()
        for optimizer, suffix in (("AdamW", ""), ("SGD", "-sgd"))
    }
    yield from _rows("masks", MASK_METHODS, columns)


def filter_rows() -> Iterator[str]:
    """Yield one row per method; columns are shares of the MACs."""
    columns = {f"{share} % of the MACs": f"{share}%" for share in (12, 30)}
    yield from _rows("filters", FILTER_METHODS, columns)


def pattern_rows() -> Iterator[str]:
    """Yield one row per way to choose patterns; columns are budgets."""
    columns = {f"MACs of a uniform {k}-out-of-16": f"{k}of16" for k in (2, 3)}
    yield from _rows("patterns", PATTERN_WAYS, columns)


def curve_rows() -> Iterator[str]:
    """Yield rows of each start of DPP and each pattern; columns are epochs."""
    path = RESULTS / "digits-curves.json"
    trials: Mapping[str, Any] = json.loads(path.read_text())["trials"]
    yield f"| pattern, logits from | | {' | '.join(f'epoch {e}' for e in EPOCHS_SHOWN)} |"
    yield f"|---|---|{'---|' * len(EPOCHS_SHOWN)}"
    labels = {short: label for label, short in MASK_PATTERNS.items()}
    for name, trial in trials.items():
        start, pattern = name.split("-")
        for number in ("confidence", "diversity"):
            cells = [f"{trial[f'{number}_{e}']['mean']:.2f}" for e in EPOCHS_SHOWN]
            yield f"| {labels[pattern]}, {start} | {number} | {' | '.join(cells)} |"


def _rows(family: str, methods: Mapping[str, str], columns: Mapping[str, str]) -> Iterator[str]:
    path = RESULTS / f"digits-{family}.json"
    trials: Mapping[str, Any] = json.loads(path.read_text())["trials"]
    yield f"| method | {' | '.join(columns)} |"
    yield f"|---|{'---|' * len(columns)}"
    for label, method in methods.items():
        cells = [_loss(trials.get(f"{method}-{column}")) for column in columns.values()]
        yield f"| {label} | {' | '.join(cells)} |"


def _loss(trial: Mapping[str, Any] | None) -> str:
    if trial is None:
        return ""
    loss = trial["test_loss"]
    return f"{loss['mean']:.3f} ± {loss['standard_error']:.3f}"
