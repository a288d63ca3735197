"""The moving average of weights."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from systolith.data import Dataset, shift_images
from systolith.foundation import no_progress
from systolith.network import KOutOfN, Pattern
from systolith.prune import SRSTE, ScorePruner
from systolith.train import EpochCallback, EpochProgress, TrainingError, fit
from systolith.train.averaging import average_weights, take_average_


def _data() -> Dataset:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(32, 1, 4, 4, generator=generator)
    labels = torch.arange(32) % 2
    return Dataset(
        name="noise",
        train_images=images,
        train_labels=labels,
        test_images=images,
        test_labels=labels,
    )


def _model() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2)
        )


def test_the_average_is_the_one_computed_by_hand() -> None:
    model = nn.Linear(1, 1, bias=False)
    average = average_weights(model, 0.25)
    wanted = 0.0
    for step, value in enumerate([3.0, 5.0, -2.0, 7.0, 1.0, 4.0]):
        with torch.no_grad():
            model.weight.fill_(value)
        average.update_parameters(model)
        decay = min(0.25, (1 + step) / (10 + step)) if step else 0.0
        wanted = decay * wanted + (1 - decay) * value
    take_average_(model, average)
    assert model.weight.item() == pytest.approx(wanted, rel=1e-6)


def test_the_decay_of_training_is_that_of_its_steps() -> None:
    states: list[dict[str, Tensor]] = []
    plain, averaged = _model(), _model()

    def remember(progress: EpochProgress) -> None:
        states.append({name: value.clone() for name, value in plain.state_dict().items()})

    fit(plain, _data(), epochs=4, batch_size=32, progress=remember)
    fit(averaged, _data(), epochs=4, batch_size=32, ema=0.2)
    wanted = states[0]
    for step, state in enumerate(states[1:], 1):
        for name, value in state.items():
            if value.is_floating_point():
                wanted[name].lerp_(value, 1 - min(0.2, (1 + step) / (10 + step)))
            else:
                wanted[name] = value
    actual = averaged.state_dict()
    assert int(actual["1.num_batches_tracked"]) == 4
    assert all(torch.equal(wanted[name], actual[name]) for name in wanted)


def test_a_decay_of_zero_keeps_the_last_weights() -> None:
    plain, averaged, untrained = _model(), _model(), _model()
    fit(plain, _data(), epochs=2, batch_size=8)
    fit(averaged, _data(), epochs=2, batch_size=8, ema=0.0)
    assert all(
        torch.equal(value, averaged.state_dict()[name])
        for name, value in plain.state_dict().items()
    )
    fit(untrained, _data(), epochs=0, ema=0.9)
    assert all(
        torch.equal(value, untrained.state_dict()[name])
        for name, value in _model().state_dict().items()
    )


class _Interruption(Exception):
    pass


@pytest.mark.parametrize("last", [2, 4])
def test_interrupted_averages_resume_with_identical_results(tmp_path: Path, last: int) -> None:
    checkpoint = tmp_path / "checkpoint"

    def train(progress: EpochCallback, checkpoint: Path | None) -> dict[str, Tensor]:
        model = _model()
        fit(
            model,
            _data(),
            epochs=4,
            batch_size=8,
            ema=0.9,
            augment=shift_images,
            sparsifier=SRSTE(ScorePruner(patterns={"4": Pattern(select=KOutOfN(1, 4))})),
            progress=progress,
            checkpoint=checkpoint,
        )
        return model.state_dict()

    def interrupt(progress: EpochProgress) -> None:
        if progress.epoch == last:
            raise _Interruption

    straight = train(no_progress, None)
    with pytest.raises(_Interruption):
        train(interrupt, checkpoint)
    for _ in range(2):  # the second time, all epochs are done
        resumed = train(no_progress, checkpoint)
        assert all(torch.equal(straight[name], resumed[name]) for name in straight)


@pytest.mark.parametrize("ema", [1.0, -0.1, float("nan")])
def test_refuses_decays_out_of_range(ema: float) -> None:
    with pytest.raises(TrainingError, match=rf"^ema must lie in 0\.\.1, below 1, got {ema}$"):
        fit(_model(), _data(), epochs=1, ema=ema)
