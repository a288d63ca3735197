import re

import pytest
import torch
from torch import Tensor, nn

from systolith.data import Dataset, shift_images
from systolith.network import KOutOfN, Pattern
from systolith.prune import SRSTE, ScorePruner
from systolith.train import Algorithm, DivergedError, Progress, evaluate, fit


def _data() -> Dataset:
    """Two classes: bright in the left or the right half."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(100) % 2
    images = torch.rand(100, 1, 4, 4, generator=generator) * 0.4
    images[labels == 0, :, :, :2] += 0.5
    images[labels == 1, :, :, 2:] += 0.5
    return Dataset(
        name="halves",
        train_images=images[:70],
        train_labels=labels[:70],
        test_images=images[70:],
        test_labels=labels[70:],
    )


def _model() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 4, 3),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(16, 2),
        )


@pytest.mark.parametrize("algorithm", Algorithm)
def test_learns(algorithm: Algorithm) -> None:
    model, data = _model(), _data()
    assert evaluate(model, data.test_images, data.test_labels) < 0.9
    fit(model, data, epochs=8, batch_size=16, learning_rate=0.02, algorithm=algorithm)
    assert evaluate(model, data.test_images, data.test_labels) == 1.0
    assert not model.training


def test_the_seed_decides_everything_and_the_global_one_nothing() -> None:
    states = []
    for seed, global_seed in ((1, 0), (1, 99), (2, 0)):
        model = _model()
        torch.manual_seed(global_seed)
        before = torch.random.get_rng_state()
        fit(model, _data(), epochs=2, batch_size=16, augment=shift_images, seed=seed)
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
        fit(_model(), _data(), epochs=2, batch_size=70, augment=remember, seed=seed)
    assert len({str(images.tolist()) for images in seen}) == 4


def test_reports_after_each_epoch() -> None:
    reports: list[Progress] = []
    fit(_model(), _data(), epochs=3, batch_size=16, phase="warm-up", report=reports.append)
    assert [(p.phase, p.epoch, p.epochs) for p in reports] == [
        ("warm-up", epoch, 3) for epoch in (1, 2, 3)
    ]
    assert reports[-1].loss < reports[0].loss
    assert all(0 <= p.accuracy <= 1 for p in reports)
    assert reports[0].seconds_left > 0 and reports[-1].seconds_left == 0


def test_sparsifier_prunes_while_training() -> None:
    model, data = _model(), _data()
    sparsifier = SRSTE(ScorePruner(patterns={"5": Pattern(select=KOutOfN(1, 4))}))
    fit(model, data, epochs=8, batch_size=16, learning_rate=0.02, sparsifier=sparsifier)
    masks = sparsifier.masks(model)
    masks.apply_(model)
    assert masks.density == 0.25
    assert evaluate(model, data.test_images, data.test_labels) == 1.0


def test_extra_parameters_of_a_sparsifier_are_trained() -> None:
    class WithLogits(SRSTE):
        def __init__(self) -> None:
            super().__init__(ScorePruner(patterns={}))
            self.logits = nn.Parameter(torch.ones(3))

        def parameters(self) -> list[nn.Parameter]:
            return [self.logits]

    sparsifier = WithLogits()
    before = sparsifier.logits.detach().clone()
    hooked: list[bool] = []
    sparsifier.logits.register_hook(lambda grad: hooked.append(True))

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(16, 2)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.fc(x.flatten(1))
            return y * sparsifier.logits.mean()

    fit(Model(), _data(), epochs=1, sparsifier=sparsifier)
    assert hooked and not torch.equal(sparsifier.logits, before)


def test_no_epochs_change_nothing() -> None:
    model = _model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fit(model, _data(), epochs=0)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_refuses_numbers_out_of_range_all_at_once() -> None:
    message = (
        "epochs must be at least 0, got -1; learning_rate must be positive, got 0; "
        "batch_size must be at least 1, got 0; weight_decay must be at least 0, got -1"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        fit(_model(), _data(), epochs=-1, learning_rate=0, batch_size=0, weight_decay=-1)


def test_a_loss_that_is_no_number_is_an_error() -> None:
    model = _model()
    with torch.no_grad():
        next(model.parameters()).fill_(torch.nan)
    message = (
        "training needs a finite loss, got nan in epoch 1 of phase 'float'; "
        "try a learning_rate below 0.003"
    )
    with pytest.raises(DivergedError, match=f"^{re.escape(message)}$"):
        fit(model, _data(), epochs=1)


def test_evaluate_leaves_the_mode_as_it_is_and_takes_functions() -> None:
    model, data = _model().train(), _data()
    evaluate(model, data.test_images, data.test_labels)
    assert model.training
    right = torch.nn.functional.one_hot(data.test_labels)
    assert evaluate(lambda images: right, data.test_images, data.test_labels) == 1.0
    assert evaluate(lambda images: -right, data.test_images, data.test_labels) == 0.0
