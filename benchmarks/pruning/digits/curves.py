"""Confidence and diversity of drawn masks over training: means over layers, every third epoch."""

from collections.abc import Mapping
from functools import partial

from benchmarks.pruning.digits.bench import EPOCHS, DigitsBench, Trial
from benchmarks.pruning.digits.masks import PATTERNS
from benchmarks.pruning.weights import mean_statistics
from systolith.prune import DPP, LogitInit, all_convolutions_but_first
from systolith.train import EpochProgress

EPOCHS_SHOWN = range(0, EPOCHS + 1, 3)


def follow_masks(bench: DigitsBench, init: LogitInit, pattern: str) -> Mapping[str, float]:
    """Train with drawn masks.

    Returns
    -------
    dict of str to float
        Confidence and diversity, 0..1, after each shown epoch; epoch 0 is the start.
    """
    model = bench.trained()
    patterns = all_convolutions_but_first(model, PATTERNS[pattern])
    dpp = DPP(model, patterns, init=init, seed=bench.seed)
    row: dict[str, float] = {}

    def note(epoch: int) -> None:
        row.update({f"{name}_{epoch}": value for name, value in mean_statistics(dpp).items()})

    def report(progress: EpochProgress) -> None:
        if progress.epoch_done and progress.epoch in EPOCHS_SHOWN:
            note(progress.epoch)

    note(0)
    bench.fit(model, sparsifier=dpp, progress=report)
    return row


TRIALS: Mapping[str, Trial] = {
    f"{init.value}-{pattern}": partial(follow_masks, init=init, pattern=pattern)
    for pattern in ("1of16", "2of16")
    for init in (LogitInit.MAGNITUDE, LogitInit.RANDOM)
}
