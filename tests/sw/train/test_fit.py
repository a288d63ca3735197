import re
import warnings
from copy import deepcopy
from importlib import import_module
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from systolith.data import load_digits, shift_images
from systolith.foundation import no_progress
from systolith.network import KOutOfN, Pattern
from systolith.prune import SRSTE, ScorePruner
from systolith.quant import prepare
from systolith.train import (
    Algorithm,
    CheckpointError,
    DivergedError,
    EpochCallback,
    EpochProgress,
    Precision,
    evaluate,
    fit,
)
from systolith.train.optimizers import anneal
from tests.support.halves import make_classifier, make_halves


@pytest.mark.parametrize("algorithm", Algorithm)
def test_learns(algorithm: Algorithm) -> None:
    model, data = make_classifier(), make_halves()
    assert evaluate(model, data.test_images, data.test_labels) < 0.9
    fit(model, data, epochs=8, batch_size=16, learning_rate=0.02, algorithm=algorithm)
    assert evaluate(model, data.test_images, data.test_labels) == 1.0
    assert not model.training


def test_the_seed_decides_everything_and_the_global_one_nothing() -> None:
    states = []
    for seed, global_seed in ((1, 0), (1, 99), (2, 0)):
        model = make_classifier()
        torch.manual_seed(global_seed)
        before = torch.random.get_rng_state()
        fit(model, make_halves(), epochs=2, batch_size=16, augment=shift_images, seed=seed)
        assert torch.equal(before, torch.random.get_rng_state())
        states.append(model.state_dict())
    first, again, other = states
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_the_seed_decides_the_order_of_images() -> None:
    seen: list[Tensor] = []

    def remember(images: Tensor, generator: torch.Generator) -> Tensor:
        seen.append(images)
        return images

    for seed in (1, 2):
        fit(make_classifier(), make_halves(), epochs=2, batch_size=70, augment=remember, seed=seed)
    assert len({str(images.tolist()) for images in seen}) == 4


class _Interruption(Exception):
    pass


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("pruned", [False, True])
def test_interrupted_training_resumes_with_identical_results(
    tmp_path: Path, pruned: bool, precision: Precision
) -> None:
    checkpoint = tmp_path / "folder" / "fit.checkpoint"

    def train(model: nn.Module, progress: EpochCallback, checkpoint: Path | None) -> None:
        sparsifier = SRSTE(ScorePruner(patterns={"5": Pattern(select=KOutOfN(1, 4))}))
        fit(
            model,
            make_halves(),
            epochs=4,
            batch_size=16,
            augment=shift_images,
            sparsifier=sparsifier if pruned else None,
            precision=precision,
            progress=progress,
            checkpoint=checkpoint,
        )

    def interrupt(progress: EpochProgress) -> None:
        if progress.epoch == 3:
            raise _Interruption

    straight, resumed = make_classifier(), make_classifier()
    train(straight, no_progress, None)
    with pytest.raises(_Interruption):
        train(make_classifier(), interrupt, checkpoint)
    epochs: list[int] = []
    train(resumed, lambda progress: epochs.append(progress.epoch), checkpoint)
    assert epochs == [3, 4]
    wanted, actual = straight.state_dict(), resumed.state_dict()
    assert all(torch.equal(wanted[name], actual[name]) for name in wanted)
    third = make_classifier()
    train(third, interrupt, checkpoint)
    assert all(torch.equal(wanted[name], third.state_dict()[name]) for name in wanted)


def test_a_checkpoint_of_other_training_is_refused(tmp_path: Path) -> None:
    checkpoint = tmp_path / "fit.checkpoint"

    def interrupt(progress: EpochProgress) -> None:
        if progress.epoch == 2:
            raise _Interruption

    with pytest.raises(_Interruption):
        fit(make_classifier(), make_halves(), epochs=3, progress=interrupt, checkpoint=checkpoint)
    with pytest.raises(
        CheckpointError, match=r"other training.*epochs is 4, was 3; seed is 1, was 0$"
    ):
        fit(make_classifier(), make_halves(), epochs=4, seed=1, checkpoint=checkpoint)
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="cannot be read; remove it to start anew: "):
        fit(make_classifier(), make_halves(), epochs=3, checkpoint=checkpoint)


def test_reports_within_a_long_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("systolith.train.fit"), "REPORT_SECONDS", 0.0)
    reports: list[EpochProgress] = []
    fit(make_classifier(), make_halves(), epochs=2, batch_size=16, progress=reports.append)
    assert [(p.epoch, p.step, p.steps) for p in reports] == [
        (epoch, step, 5) for epoch in (1, 2) for step in range(1, 6)
    ]
    assert [p.epoch_done for p in reports[:5]] == [False] * 4 + [True]
    assert [p.seconds_left for p in reports[-1:]] == [0]


def test_learning_rate_rises_then_falls_to_zero() -> None:
    rates = [anneal(step / 10, 0.2) for step in range(11)]
    assert rates[:3] == [0.0, 0.5, 1.0] and rates[10] == 0.0
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert anneal(0.0, 0.0) == 1.0


def test_reports_the_density_of_what_is_pruned() -> None:
    reports: list[EpochProgress] = []
    sparsifier = SRSTE(ScorePruner(patterns={"5": Pattern(select=KOutOfN(1, 4))}))
    fit(make_classifier(), make_halves(), epochs=1, sparsifier=sparsifier, progress=reports.append)
    fit(make_classifier(), make_halves(), epochs=1, progress=reports.append)
    assert [report.density for report in reports] == [0.25, 1.0]


def test_reports_the_density_of_frozen_masks() -> None:
    """A quantized model holds its masks; no sparsifier is needed to count what they keep."""
    model, data, reports = make_classifier(), make_halves(), list[EpochProgress]()
    masks = ScorePruner(patterns={"5": Pattern(select=KOutOfN(1, 4))}).masks(model)
    quantized = prepare(model, data.train_images[:8], masks=masks)
    fit(quantized, data, epochs=1, progress=reports.append)
    assert [report.density for report in reports] == [0.25]


def test_bfloat16_trains_float32_weights() -> None:
    model, data = make_classifier(), make_halves()
    fit(model, data, epochs=8, batch_size=16, learning_rate=0.02, precision=Precision.BFLOAT16)
    assert evaluate(model, data.test_images, data.test_labels) == 1.0
    assert all(value.dtype == torch.float32 for value in model.parameters())


def test_reports_after_each_epoch() -> None:
    reports: list[EpochProgress] = []
    fit(
        make_classifier(),
        make_halves(),
        epochs=3,
        batch_size=16,
        phase="warm-up",
        progress=reports.append,
    )
    assert [(p.phase, p.epoch, p.epochs) for p in reports] == [
        ("warm-up", epoch, 3) for epoch in (1, 2, 3)
    ]
    assert reports[-1].loss < reports[0].loss
    assert all(0 <= p.accuracy <= 1 for p in reports)
    assert reports[0].seconds_left > 0 and reports[-1].seconds_left == 0


def test_sparsifier_prunes_while_training() -> None:
    model, data = make_classifier(), make_halves()
    sparsifier = SRSTE(ScorePruner(patterns={"5": Pattern(select=KOutOfN(1, 4))}))
    fit(model, data, epochs=8, batch_size=16, learning_rate=0.02, sparsifier=sparsifier)
    masks = sparsifier.masks(model)
    masks.apply_(model)
    assert masks.density == 0.25
    assert evaluate(model, data.test_images, data.test_labels) == 1.0


def test_no_epochs_change_nothing() -> None:
    model = make_classifier()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fit(model, make_halves(), epochs=0)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_refuses_numbers_out_of_range_all_at_once() -> None:
    message = (
        "5 problems:\n  - epochs must be at least 0, got -1\n"
        "  - learning_rate must be positive, got 0\n  - warmup must lie in 0..1, below 1, got 1.5\n"
        "  - batch_size must be at least 1, got 0\n  - weight_decay must be at least 0, got -1"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        fit(
            make_classifier(),
            make_halves(),
            epochs=-1,
            learning_rate=0,
            warmup=1.5,
            batch_size=0,
            weight_decay=-1,
        )


def test_gradients_are_clipped_to_their_norm() -> None:
    start, states = make_classifier().state_dict(), []
    for clip_norm in (None, 1e3, 1e-3):
        model = make_classifier()
        fit(
            model,
            make_halves(),
            epochs=1,
            batch_size=70,
            learning_rate=1.0,
            weight_decay=0,
            algorithm=Algorithm.SGD,
            clip_norm=clip_norm,
        )
        states.append(model.state_dict())
    plain, loose, tight = states
    assert all(torch.equal(plain[name], loose[name]) for name in plain)
    moved = [tight[name] - start[name] for name, _ in make_classifier().named_parameters()]
    norm = torch.cat([part.flatten() for part in moved]).norm()
    assert norm == pytest.approx(1e-3 * (1 + 0.9), rel=1e-3)  # Nesterov's first step
    with pytest.raises(ValueError, match=r"^clip_norm must be positive, got 0$"):
        fit(make_classifier(), make_halves(), epochs=1, clip_norm=0)


def test_a_loss_that_is_no_number_is_an_error() -> None:
    message = (
        "training needs a finite loss, got nan in epoch 1 of phase 'float'; "
        "try a learning_rate below 1e+30"
    )
    with pytest.raises(DivergedError, match=f"^{re.escape(message)}$"):
        fit(make_classifier(), make_halves(), epochs=1, batch_size=16, learning_rate=1e30)


def test_a_model_that_forgets_its_classes_is_warned_of() -> None:
    """With bounded activations the loss stays finite, whatever the learning rate."""
    data = load_digits()
    steps = {"epochs": 1, "batch_size": 16, "algorithm": Algorithm.SGD, "weight_decay": 0.0}
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(model, data, learning_rate=0.05, **steps)
        fit(deepcopy(model), data, learning_rate=0.05, **steps)
    message = (
        r"^phase 'again' has forgotten the classes: \d+\.\d% of the images are right in epoch 1, "
        r"\d+\.\d% were before it; try a learning_rate below 50\.0$"
    )
    with pytest.warns(UserWarning, match=message):
        fit(model, data, learning_rate=50.0, phase="again", **steps)


@pytest.mark.parametrize("seed", [-1, 1 << 64])
def test_refuses_seeds_that_generators_do_not_take(seed: int) -> None:
    with pytest.raises(
        ValueError, match=rf"^seed must lie in 0\.\.18446744073709551615, got {seed}$"
    ):
        fit(make_classifier(), make_halves(), epochs=1, seed=seed)
    fit(make_classifier(), make_halves(), epochs=1, seed=(1 << 64) - 1)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_refuses_rates_that_are_no_numbers(number: float) -> None:
    with pytest.raises(
        ValueError, match=r"- learning_rate must be positive, got (nan|inf)\n  - weight_decay must"
    ):
        fit(make_classifier(), make_halves(), epochs=1, learning_rate=number, weight_decay=number)
    with pytest.raises(ValueError, match=r"^warmup must lie in 0..1, below 1, got nan$"):
        fit(make_classifier(), make_halves(), epochs=1, warmup=float("nan"))
