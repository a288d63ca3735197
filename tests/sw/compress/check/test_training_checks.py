"""The recipe and the teacher are checked with the model, by the code that training uses."""

import re
import warnings
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from systolith.compress import (
    CheckStep,
    DPPFilterPruning,
    EnsemblePruning,
    GDPPruning,
    MacBudget,
    OBSPruning,
    ParticlePruning,
    PatternChoice,
    PrunedModel,
    Pruning,
    SPPPruning,
    SRSTEPruning,
    Trainer,
    check_model,
    check_prunings,
    compress_model,
    pattern_budget,
    prune_model,
    quantize_model,
)
from systolith.data import Dataset, crop_and_flip, load_digits
from systolith.foundation import ProblemsError, UsageError
from systolith.models import DigitsCNN
from systolith.network import KOutOfN, Pattern
from systolith.prune import PruneError, find_channel_groups, macs_after, measure_batch_norms
from systolith.quant import DJPQ, UnsupportedModelError, prepare, reconstruct_
from systolith.train import DenseTeacher, Recipe, Teacher, TrainingError, fit

IMAGES = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
PATTERNS = {"conv2": Pattern(select=KOutOfN(2, 8))}
FIVE = nn.Sequential(nn.Flatten(), nn.Linear(64, 5))


@pytest.fixture(scope="module")
def data() -> Dataset:
    digits = load_digits()
    return replace(
        digits, train_images=digits.train_images[:64], train_labels=digits.train_labels[:64]
    )


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (Recipe(ema=2), "ema must lie in 0..1, below 1, got 2"),
        (Recipe(quantize_epochs=-1), "quantize_epochs must be at least 0, got -1"),
        (Recipe(device="gpu"), "device must be one of auto, cpu, cuda, mps, got 'gpu'"),
        (Recipe(batch_size=0), "batch_size must be at least 1, got 0"),
        (Recipe(teacher=Teacher(FIVE)), "the teacher must give 10 logits .*, got .2, 5. for 2 "),
        (Recipe(teacher=Teacher(nn.Conv2d(3, 1, 1))), "images of .* do not fit the teacher"),
        (Recipe(teacher=Teacher(FIVE.double())), "weights of the teacher must be float32"),
        (Recipe(teacher=FIVE), "teacher must be a Teacher, .* or None, got Sequential"),
    ],
)
def test_the_check_refuses_what_training_refuses(
    data: Dataset, recipe: Recipe, message: str
) -> None:
    trainer = Trainer(data=data, recipe=recipe)
    check = check_model(DigitsCNN(), IMAGES, trainer=trainer)
    problems = [problem.text for problem in check.problems if problem.step is CheckStep.TRAIN]
    assert len(problems) == len(check.problems) == 1 and re.match(message, problems[0])
    with pytest.raises(TrainingError, match=f"^{message}"):
        check.raise_if_any()
    with pytest.raises(TrainingError, match=f"^{message}"):
        compress_model(DigitsCNN(), trainer)
    with pytest.raises(TrainingError, match=f"^{message}"):
        prune_model(DigitsCNN(), trainer, [SRSTEPruning(patterns=PATTERNS)])


def test_the_check_and_fit_say_the_same_of_a_model_and_its_data(data: Dataset) -> None:
    wrong = replace(data, train_labels=data.train_labels + 1)
    for model, given in ((DigitsCNN().double(), data), (FIVE, data), (DigitsCNN(), wrong)):
        check = check_model(model, IMAGES, trainer=Trainer(data=given))
        texts = [problem.text for problem in check.problems if problem.step is CheckStep.TRAIN]
        with pytest.raises(TrainingError) as caught:
            fit(model, given, epochs=1)
        assert list(caught.value.problems) == texts


def test_the_recipe_the_teacher_and_the_pruning_are_told_together(data: Dataset) -> None:
    recipe = Recipe(ema=2, teacher=Teacher(nn.Sequential(nn.Flatten(), nn.Linear(64, 5))))
    prunings = [SRSTEPruning(patterns={"conv2": Pattern(select=KOutOfN(1, 3))}, learning_rate=-1)]
    with pytest.raises(UsageError) as caught:
        compress_model(DigitsCNN(), Trainer(data=data, recipe=recipe), prunings)
    for part in (
        "ema must",
        "10 logits",
        "sr-ste: learning_rate must be positive",
        "divisible by 3",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [{"batch_size": 0}, {"batch_size": None}, {"seed": None}, {"prune_epochs": "x"}],
    ids=str,
)
@pytest.mark.parametrize(
    "pruning",
    [
        SPPPruning(patterns=PATTERNS),
        GDPPruning(keep=0.9),
        EnsemblePruning(keep=0.9, images=20),
        SRSTEPruning(patterns={"conv2": Pattern(select=KOutOfN(1, 3))}),
    ],
    ids=lambda pruning: pruning.method,
)
def test_wrong_settings_do_not_stop_the_check(
    data: Dataset, wrong: dict[str, Any], pruning: Pruning
) -> None:
    trainer = Trainer(data=data, recipe=Recipe(**wrong))
    check = check_model(DigitsCNN(), IMAGES, [pruning], trainer=trainer)
    texts = [problem.text for problem in check.problems]
    (name,) = wrong
    assert texts[0].startswith(f"{name} must be ")
    assert len(texts) == (2 if isinstance(pruning, SRSTEPruning) else 1)


def test_what_trains_nothing_needs_nothing_to_train(data: Dataset) -> None:
    model = DigitsCNN().requires_grad_(False)
    recipe = Recipe(quantize_epochs=0)
    pruning = OBSPruning(patterns=PATTERNS, epochs=0)
    pruned = prune_model(model, Trainer(data=data), [pruning])
    quantize_model(pruned, Trainer(data=data, recipe=recipe), prunings=[pruning])
    for call in (
        lambda: prune_model(model, Trainer(data=data), [SRSTEPruning(patterns=PATTERNS)]),
        lambda: quantize_model(pruned, Trainer(data=data)),
        lambda: quantize_model(
            pruned,
            Trainer(data=data, recipe=recipe),
            prunings=[SRSTEPruning(patterns=PATTERNS, joint=True)],
        ),
    ):
        with pytest.raises(TrainingError, match="must have parameters that require gradients"):
            call()


@pytest.mark.parametrize(
    "pruning",
    [
        EnsemblePruning(keep=0.5, images=20, epochs=0),
        ParticlePruning(stride=2, images=20, epochs=0),
        DPPFilterPruning(keep=0.5, epochs=0),
    ],
    ids=lambda pruning: pruning.method,
)
def test_labels_that_are_read_without_training_are_checked(data: Dataset, pruning: Pruning) -> None:
    wrong = replace(data, train_labels=data.train_labels + 1)
    with pytest.raises(TrainingError, match="^training labels of data set 'digits' must lie in"):
        prune_model(DigitsCNN().requires_grad_(False), Trainer(data=wrong), [pruning])


def test_a_device_without_float64_only_trains(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.mps, "is_available", lambda: True)
    on_mps = Recipe(device="mps", quantize_epochs=0)
    message = "need a device with float64, which 'mps' has not"
    for quantize_epochs, prunings in ((0, [SRSTEPruning(patterns=PATTERNS)]), (1, [])):
        trainer = Trainer(data=data, recipe=replace(on_mps, quantize_epochs=quantize_epochs))
        check = check_model(DigitsCNN(), IMAGES, prunings, trainer=trainer)
        assert [message in problem.text for problem in check.problems] == [True]
    assert check_model(DigitsCNN(), IMAGES, trainer=Trainer(data=data, recipe=on_mps)).accepted


def test_large_shifts_are_warned_of_by_the_check(data: Dataset) -> None:
    trainer = Trainer(data=data, recipe=Recipe(augment=crop_and_flip))
    (warning,) = check_model(DigitsCNN(), IMAGES, trainer=trainer).warnings
    assert warning.step is CheckStep.TRAIN and "8x8 images by at most 1 pixel" in warning.text


class _Talkative(DigitsCNN):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        warnings.warn("from the model", stacklevel=2)
        return super().forward(images)


def test_warnings_of_the_model_are_none_of_pruning(data: Dataset) -> None:
    trainer = Trainer(data=data, recipe=Recipe(prune_epochs=1))
    prunings = [EnsemblePruning(keep=0.9, images=20)]
    (warning,) = check_model(_Talkative(), IMAGES, prunings, trainer=trainer).warnings
    assert warning.text.startswith("prune: lfe trains between rounds")


@pytest.mark.parametrize(
    "pruning",
    [
        SPPPruning(patterns=PATTERNS),
        GDPPruning(keep=0.9),
        EnsemblePruning(keep=0.9, images=20, rounds=2, members=8),
    ],
)
def test_each_warning_comes_once(data: Dataset, pruning: Pruning) -> None:
    recipe = Recipe(float_epochs=1, prune_epochs=1, quantize_epochs=0, augment=crop_and_flip)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        compress_model(DigitsCNN(), Trainer(data=data, recipe=recipe), [pruning])
    texts = [str(warning.message) for warning in caught]
    assert len(texts) >= 2 and len(texts) == len(set(texts)), texts


@pytest.mark.parametrize("value", [None, "x", 3, [1], DigitsCNN])
def test_arguments_of_a_wrong_type_are_named(data: Dataset, value: Any) -> None:
    model, trainer = DigitsCNN(), Trainer(data=data)
    calls = {
        "model": lambda: compress_model(value, trainer),
        "trainer": lambda: compress_model(model, value),
        "prunings": lambda: prune_model(model, trainer, value),
        "pruned": lambda: quantize_model(value, trainer),
        "images": lambda: check_model(model, value),
        "data": lambda: check_prunings(model, value, ()),
    }
    for name, call in calls.items():
        with pytest.raises(UsageError, match=rf"^{name}(\[0\])? must be a"):
            call()
    if value is not None:
        with pytest.raises(UsageError, match="^bits must be a QuantConfig or None, got"):
            quantize_model(PrunedModel(model=model), trainer, value)
    for kinds in ({"data": value}, {"data": data, "recipe": value}):
        with pytest.raises(TrainingError, match="of a Trainer must be a"):
            Trainer(**kinds)


@pytest.mark.parametrize("images", [None, [IMAGES], IMAGES[:0], IMAGES.to(torch.int64)])
def test_methods_without_images_say_so(images: Any) -> None:
    model = DigitsCNN()
    groups, quantized = find_channel_groups(model, IMAGES), prepare(model, IMAGES)
    calls = [
        lambda: DJPQ(model, groups, images),
        lambda: prepare(model, images),
        lambda: reconstruct_(quantized, images),
        lambda: quantized.calibrate_(images),
    ]
    for call in calls:
        with pytest.raises(UnsupportedModelError, match=r"images|float"):
            call()
    with pytest.raises(PruneError, match=r"must be a Tensor|needs at least|do not fit the model"):
        macs_after(model, groups, images)
    if not isinstance(images, torch.Tensor) or not len(images):
        with pytest.raises(PruneError, match=r"must be a Tensor|needs? at least"):
            measure_batch_norms(model, images)
    else:
        choice = PatternChoice(budget=MacBudget(0.5))
        with pytest.raises(PruneError, match=r"^torch.int64 images of .* do not fit the model: "):
            pattern_budget(model, images, choice)


def test_an_unfinished_teacher_is_finished_by_compression(data: Dataset) -> None:
    check = check_model(
        DigitsCNN(), IMAGES, trainer=Trainer(data=data, recipe=Recipe(teacher=DenseTeacher()))
    )
    assert check.accepted
    with pytest.raises(ProblemsError, match="which a DenseTeacher becomes by of"):
        fit(DigitsCNN(), data, **{"epochs": 1, "teacher": DenseTeacher()})


def test_weights_that_are_not_finite_are_reported_once(data: Dataset) -> None:
    """By quantization, layer by layer; by training, where the model does not call a layer."""
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)
    )
    norm = model[1]
    assert isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None
    norm.running_mean[0] = float("nan")
    images = data.train_images
    check = check_model(model, images, trainer=Trainer(data=data))
    assert [problem.step for problem in check.problems] == [CheckStep.QUANTIZE]
    assert "its running_mean are NaN" in check.problems[0].text
    model.unread = nn.Linear(2, 2)
    model.forward = lambda x: model[4](model[3](model[2](model[1](model[0](x)))))
    with torch.no_grad():
        model.unread.weight.fill_(float("inf"))
    check = check_model(model, images, trainer=Trainer(data=data))
    assert [problem.step for problem in check.problems] == [CheckStep.TRAIN, CheckStep.QUANTIZE]


def test_sequences_pass_all_checks(data: Dataset) -> None:
    """Data of any shape that a network reads; changes of places do not fit vectors."""
    sequences = replace(
        data, train_images=data.train_images.flatten(2), test_images=data.test_images.flatten(2)
    )
    model = nn.Sequential(
        nn.Conv1d(1, 8, 3, padding=1), nn.ReLU(), nn.ConvTranspose1d(8, 8, 4, 2, 1), nn.ReLU(),
        nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(8, 10),
    )  # fmt: skip
    trainer = Trainer(data=sequences, recipe=Recipe(augment=crop_and_flip))
    pruning = SRSTEPruning(patterns={"2": Pattern(select=KOutOfN(1, 2))})
    check = check_model(model, sequences.train_images, [pruning], trainer=trainer)
    assert not check.problems, check.problems
    assert check.network is not None and check.layers[1].kind == "ConvTranspose2d"
    vectors = replace(
        data, train_images=data.train_images.flatten(1), test_images=data.test_images.flatten(1)
    )
    trainer = Trainer(data=vectors, recipe=Recipe(augment=crop_and_flip))
    check = check_model(nn.Sequential(nn.Linear(64, 10)), vectors.train_images, trainer=trainer)
    (problem,) = check.problems
    assert problem.text.startswith("RandomCrop needs images (N, C, H, W) or sequences")
