"""Training towards classes of pixels, values, and the input itself."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix, jaccard_score
from torch import nn
from torch.nn import functional as F

from systolith.compress import ParticlePruning, Trainer, prune_model
from systolith.data import (
    UNKNOWN_CLASS,
    Augment,
    Cutout,
    Dataset,
    MixingAugment,
    MixUp,
    TargetKind,
    combine_augments,
    shift_images,
)
from systolith.foundation import no_progress
from systolith.frontend import IntegerModel
from systolith.network import KOutOfN, Pattern
from systolith.prune import SRSTE, ScorePruner
from systolith.quant import prepare
from systolith.train import (
    Algorithm,
    CrossEntropy,
    EpochCallback,
    EpochProgress,
    Metric,
    Recipe,
    Teacher,
    TrainingError,
    evaluate,
    evaluate_data,
    fit,
)

PIXELS, VALUES, INPUT = TargetKind.PIXEL_CLASSES, TargetKind.VALUES, TargetKind.INPUT
KINDS = (PIXELS, VALUES, INPUT)


def _data(kind: TargetKind) -> Dataset:
    images = torch.rand(44, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    labels = {
        PIXELS: (images.sum(1) > 2).long() + (images[:, 0] > 0.7),
        VALUES: images.mean(1, keepdim=True).repeat(1, 1, 2, 2),
        INPUT: torch.zeros(0, dtype=torch.int64),
    }[kind]
    if kind is PIXELS:
        labels[:, 0, 0] = UNKNOWN_CLASS
    return Dataset(
        name="noise",
        train_images=images[:36],
        train_labels=labels[:36],
        test_images=images[36:],
        test_labels=torch.arange(8) % 2 if kind is INPUT else labels[36:],
        target=kind,
    )


def _model(kind: TargetKind, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        body = [nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.1)]
        end = {
            PIXELS: [nn.Conv2d(4, 3, 1)],
            VALUES: [nn.Conv2d(4, 4, 1), nn.PixelShuffle(2)],
            INPUT: [nn.Flatten(), nn.Linear(64, 64), nn.Sigmoid()],
        }[kind]
        return nn.Sequential(*body, *end)


def _teacher(kind: TargetKind) -> Teacher:
    return Teacher(_model(kind, seed=1), weight=0.4, temperature=2.0)


AUGMENTS: dict[TargetKind, Augment | MixingAugment | None] = {
    PIXELS: combine_augments([shift_images, MixUp(), Cutout(size=1)]),
    VALUES: MixUp(),
    INPUT: shift_images,
}


@pytest.mark.parametrize("kind", KINDS)
def test_interrupted_training_resumes_with_identical_results(
    tmp_path: Path, kind: TargetKind
) -> None:
    def train(progress: EpochCallback, checkpoint: Path | None, rounds: int = 1) -> nn.Module:
        for _ in range(rounds):
            model = _model(kind)
            pruner = ScorePruner(patterns={"0": Pattern(select=KOutOfN(2, 4))})
            settings = {"teacher": _teacher(kind), "sparsifier": SRSTE(pruner), "batch_size": 10}
            fit(
                model,
                _data(kind),
                epochs=4,
                augment=AUGMENTS[kind],
                progress=progress,
                checkpoint=checkpoint,
                **settings,
            )
        return model

    def interrupt(progress: EpochProgress) -> None:
        assert (progress.accuracy is None) is (kind is not PIXELS)
        if progress.epoch == 3:
            raise InterruptedError

    path = tmp_path / "fit.checkpoint"
    with pytest.raises(InterruptedError):
        train(interrupt, path)
    resumed, whole = train(no_progress, path).state_dict(), train(no_progress, None).state_dict()
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_is_the_one_written_by_hand(kind: TargetKind) -> None:
    data, taught = _data(kind), _teacher(kind)
    model, by_hand = (_model(kind).apply(_without_dropout) for _ in range(2))
    settings = {"learning_rate": 0.1, "weight_decay": 0.0, "algorithm": Algorithm.SGD}
    fit(model, data, epochs=1, batch_size=36, teacher=taught, **settings)
    optimizer = torch.optim.SGD(by_hand.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    order = torch.randperm(36, generator=torch.Generator().manual_seed(0))
    images, targets = data.train_images[order], data.train_targets[order]
    outputs = by_hand.train()(images)
    with torch.no_grad():
        wanted = _model(kind, seed=1).eval()(images).half().float()
    if kind is PIXELS:
        p, q = (wanted / 2).softmax(1), (outputs / 2).log_softmax(1)
        apart = 4 * (p * (p.log() - q)).sum(1).mean()
        loss = 0.6 * F.cross_entropy(outputs, targets) + 0.4 * apart
    else:
        loss = 0.6 * F.mse_loss(outputs, targets.reshape(outputs.shape))
        loss = loss + 0.4 * F.mse_loss(outputs, wanted)
    loss.backward()
    optimizer.step()
    for given, mine in zip(model.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(given, mine, rtol=1e-4, atol=1e-6)


def _without_dropout(module: nn.Module) -> None:
    if isinstance(module, nn.Dropout):
        module.p = 0.0


@pytest.mark.parametrize("objective", [None, nn.L1Loss(), nn.HuberLoss(delta=0.1)])
def test_values_are_learned_by_any_distance(objective: nn.Module | None) -> None:
    data, model = _data(VALUES), _model(VALUES)
    before = evaluate(model, data.test_images, data.test_targets, VALUES)
    fit(model, data, epochs=20, learning_rate=0.02, batch_size=9, objective=objective)
    assert evaluate(model, data.test_images, data.test_targets, VALUES) < before / 4


@pytest.mark.filterwarnings("ignore:.*is left out, as it does not change the predicted class")
@pytest.mark.parametrize("kind", KINDS)
def test_integers_in_real_units_are_the_quantized_models_outputs(kind: TargetKind) -> None:
    data, model = _data(kind), _model(kind)
    fit(model, data, epochs=3, batch_size=9, learning_rate=0.02)
    quantized = prepare(model, data.calibration_images)
    fit(quantized, data, epochs=2, batch_size=9, learning_rate=1e-3)
    integers = IntegerModel(quantized)
    with torch.no_grad():
        finished = quantized.finish(quantized(data.test_images))
    assert torch.equal(integers.real_outputs(data.test_images), finished)
    assert ("sigmoid" in quantized.ends.values()) is (kind is INPUT)
    if kind is INPUT:  # a sigmoid that training had not applied would make 0.5 of these
        assert 0 < finished.min() and finished.max() < 1
        loss = evaluate(quantized, data.test_images, data.test_targets, INPUT)
        assert loss < 1.1 * evaluate(model, data.test_images, data.test_targets, INPUT)
    given = integers.logits if kind.is_classes else integers.real_outputs
    assert evaluate_data(given, data) == evaluate_data(quantized, data)


def test_metrics_are_those_of_their_definitions() -> None:
    data, model = _data(PIXELS), _model(PIXELS).eval()
    known = data.test_labels != UNKNOWN_CLASS
    with torch.no_grad():
        given = model(data.test_images).argmax(1)[known].numpy()
    wanted = data.test_labels[known].numpy()
    matrix = confusion_matrix(wanted, given)
    assert evaluate_data(model, data) == {
        Metric.ACCURACY: pytest.approx(np.trace(matrix) / matrix.sum()),
        Metric.MEAN_IOU: pytest.approx(jaccard_score(wanted, given, average="macro")),
    }
    data, model = _data(INPUT), _model(INPUT).eval()
    with torch.no_grad():
        apart = (model(data.test_images) - data.test_images.flatten(1)).double().square().mean(1)
    normal, odd = apart[::2], apart[1::2]
    metrics = evaluate_data(model, data)
    assert metrics[Metric.SQUARED_ERROR] == pytest.approx(float(normal.mean()))
    assert metrics[Metric.ROC_AUC] == float((odd[:, None] > normal).double().mean())


def test_all_that_does_not_fit_is_told_before_training() -> None:
    data = _data(VALUES)
    with pytest.raises(TrainingError) as caught:
        fit(
            nn.Conv2d(4, 3, 1),
            data,
            epochs=1,
            augment=shift_images,
            learning_rate=0.0,
        )
    rate, crop, shape = caught.value.problems
    assert rate == "learning_rate must be positive, got 0.0"
    assert crop.endswith("needs targets of 4x4 as the images, got 8x8")
    wanted = "outputs of shape (2, 1, 8, 8), or flattened, got (2, 3, 4, 4)"
    assert shape == f"training labels of data set 'noise' need {wanted}"


@pytest.mark.parametrize(
    ("kind", "model", "objective", "problem"),
    [
        (PIXELS, nn.Conv2d(4, 2, 1), None, r"must lie in 0\.\.1, as the model has 2 outputs"),
        (PIXELS, nn.Conv2d(4, 3, 2), None, r"logits of shape \(2, classes, 4, 4\), got \(2, 3"),
        (INPUT, nn.Conv2d(4, 3, 1), None, r"training images .* need outputs of shape \(2, 4, 4, 4"),
        (INPUT, nn.Conv2d(4, 4, 1), CrossEntropy(), "is a loss of classes, but targets are of"),
        (INPUT, nn.Conv2d(4, 4, 1), nn.L1Loss(reduction="none"), "must return a scalar, got"),
        (PIXELS, nn.Conv2d(4, 3, 1), nn.MSELoss(), "does not fit targets of kind 'pixel-classes'"),
    ],
)
def test_what_does_not_fit_is_refused(
    kind: TargetKind, model: nn.Module, objective: nn.Module | None, problem: str
) -> None:
    with pytest.raises(TrainingError, match=problem):
        fit(model, _data(kind), epochs=1, objective=objective)


def test_searches_that_compare_losses_of_classes_say_so() -> None:
    trainer = Trainer(data=_data(INPUT), recipe=Recipe(prune_epochs=1))
    with pytest.raises(TrainingError, match="particles compares masks by the loss of classes, but"):
        prune_model(_model(INPUT), trainer, [ParticlePruning(kernels=0.5, images=8)])


def test_a_softmax_left_to_the_host_gives_no_values() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.Softmax(1))
    with pytest.warns(UserWarning, match="is left out"):
        quantized = prepare(model, _data(INPUT).calibration_images)
    with pytest.raises(TrainingError, match="need what the model returns, but '2' \\(Softmax\\)"):
        fit(quantized, _data(INPUT), epochs=1)


def test_vectors_and_sequences_are_taught() -> None:
    values = torch.rand(20, 3, 8, generator=torch.Generator().manual_seed(0))
    for images in (values, values.flatten(1)):
        data = Dataset(name="own", train_images=images, test_images=images, target=INPUT)
        model: nn.Module = nn.Linear(8, 8)
        if images.ndim == 2:
            model = nn.Linear(24, 24)
        fit(model, data, epochs=1, teacher=Teacher(model))
        assert evaluate_data(model, data)[Metric.SQUARED_ERROR] > 0
