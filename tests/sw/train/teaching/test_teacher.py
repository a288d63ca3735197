"""Distillation: its loss, its cached logits, and what does not fit."""

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.data import (
    Augment,
    Dataset,
    MixingAugment,
    MixUp,
    combine_augments,
    crop_and_flip,
    shift_images,
)
from systolith.foundation import no_progress
from systolith.train import (
    Algorithm,
    EpochCallback,
    EpochProgress,
    Normalized,
    Precision,
    Teacher,
    TrainingError,
    fit,
)
from systolith.train.teaching import LogitTable

pytestmark = pytest.mark.filterwarnings("ignore:augmentation should shift 6x6 images")


def _data(images: int = 70) -> Dataset:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(images) % 3
    return Dataset(
        name="noise",
        train_images=torch.rand(images, 2, 6, 6, generator=generator),
        train_labels=labels,
        test_images=torch.rand(4, 2, 6, 6, generator=generator),
        test_labels=labels[:4],
    )


def _model(seed: int = 0, channels: int = 4, classes: int = 3) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(2, channels, 3),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(16 * channels, classes),
        )


def _train(
    teacher: Teacher | None,
    augment: Augment | MixingAugment | None = None,
    precision: Precision = Precision.FLOAT32,
    progress: EpochCallback = no_progress,
    checkpoint: Path | None = None,
    seed: int = 0,
) -> dict[str, Tensor]:
    model = _model()
    fit(
        model,
        _data(),
        epochs=3,
        batch_size=16,
        seed=seed,
        teacher=teacher,
        augment=augment,
        precision=precision,
        progress=progress,
        checkpoint=checkpoint,
    )
    return model.state_dict()


def _same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_loss_is_the_papers(temperature: float) -> None:
    teacher = Teacher(_model(), weight=0.7, temperature=temperature)
    logits = torch.tensor([[1.0, 2.0, -1.0], [0.0, 0.5, 3.0]], dtype=torch.float64)
    taught = torch.tensor([[2.0, 1.0, 0.0], [0.0, 0.0, 4.0]], dtype=torch.float16)
    p = (taught.double() / temperature).softmax(1)
    q = (logits / temperature).softmax(1)
    divergence = (p * (p / q).log()).sum(1).mean()
    wanted = 0.3 * 5.0 + 0.7 * temperature**2 * divergence
    torch.testing.assert_close(
        teacher.loss(torch.tensor(5.0), logits, taught), wanted, rtol=1e-6, atol=0
    )


def test_a_step_is_the_one_written_by_hand() -> None:
    data, master = _data(64), _model(1).eval()
    model = _model()[:-2].append(nn.Linear(64, 3))  # without dropout
    by_hand = _model()[:-2].append(nn.Linear(64, 3))
    by_hand.load_state_dict(model.state_dict())
    fit(
        model,
        data,
        epochs=1,
        batch_size=64,
        learning_rate=0.1,
        weight_decay=0,
        algorithm=Algorithm.SGD,
        teacher=Teacher(master, weight=0.5, temperature=2.0),
    )
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    images, labels = data.train_images[order], data.train_labels[order]
    with torch.no_grad():
        taught = master(images).half().float()
    logits = by_hand(images)
    soft = F.kl_div(
        (logits / 2).log_softmax(1),
        (taught / 2).log_softmax(1),
        reduction="batchmean",
        log_target=True,
    )
    (0.5 * F.cross_entropy(logits, labels) + 0.5 * 4 * soft).backward()
    optimizer = torch.optim.SGD(by_hand.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    optimizer.step()
    assert _same(model.state_dict(), by_hand.state_dict())


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("augment", [None, shift_images, crop_and_flip])
def test_cached_logits_change_no_bit(
    tmp_path: Path, augment: Augment | None, precision: Precision
) -> None:
    def unlimited(images: Tensor, generator: torch.Generator) -> Tensor:
        return images.clone() if augment is None else augment(images, generator)

    master = _model(1, channels=8)
    wanted = _train(Teacher(master), unlimited, precision)
    assert not _same(wanted, _train(None, augment, precision))
    in_memory, in_files = Teacher(master), Teacher(master, cache=tmp_path)
    for teacher in (in_memory, in_files, in_memory, in_files, Teacher(master, cache=tmp_path)):
        assert _same(wanted, _train(teacher, augment, precision))
        _train(teacher, augment, precision, seed=1)
    (table,) = tmp_path.iterdir()
    variants = {None: 1, shift_images: 9, crop_and_flip: 162}[augment]
    assert table.stat().st_size == 70 * variants * (2 * 3 + 2)


def test_cached_logits_spare_the_teachers_work(tmp_path: Path) -> None:
    seen: list[int] = []

    class Counting(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(len(images))
            return images.flatten(1)[:, :3]

    _train(Teacher(Counting(), cache=tmp_path))
    first = len(seen)
    _train(Teacher(Counting(), cache=tmp_path))
    assert first == 2 + 5  # two checks, and five batches of the first of three epochs
    assert len(seen) - first == 2
    assert set(seen) == {2, 64}, "other batches might round differently"


def test_each_teacher_and_augmentation_has_logits_of_its_own(tmp_path: Path) -> None:
    for seed in (1, 2):
        for augment in (None, shift_images):
            _train(Teacher(_model(seed), cache=tmp_path), augment)
            assert _same(
                _train(Teacher(_model(seed), cache=tmp_path), augment),
                _train(Teacher(_model(seed)), augment),
            )
    assert len(list(tmp_path.iterdir())) == 4


class _Interruption(Exception):
    pass


@pytest.mark.parametrize("cached", [False, True])
def test_interrupted_distillation_resumes_with_identical_results(
    tmp_path: Path, cached: bool
) -> None:
    def teacher(folder: str) -> Teacher:
        return Teacher(_model(1), cache=tmp_path / folder if cached else None)

    def interrupt(progress: EpochProgress) -> None:
        if progress.epoch == 2:
            raise _Interruption

    checkpoint = tmp_path / "checkpoint"
    straight = _train(teacher("a"), shift_images)
    with pytest.raises(_Interruption):
        _train(teacher("b"), shift_images, progress=interrupt, checkpoint=checkpoint)
    assert _same(straight, _train(teacher("b"), shift_images, checkpoint=checkpoint))
    with pytest.raises(ValueError, match=r"is of other training; .*: teacher is None, was \w{32},"):
        _train(None, shift_images, checkpoint=checkpoint)


def test_mixed_images_have_mixed_labels_and_answers_of_their_own(tmp_path: Path) -> None:
    augment = combine_augments([crop_and_flip, MixUp(alpha=1.0)])
    teacher = Teacher(_model(1), cache=tmp_path)
    wanted = _train(teacher, augment)
    assert _same(wanted, _train(teacher, augment)) and not any(tmp_path.iterdir())
    assert not _same(wanted, _train(teacher, crop_and_flip))


def test_a_table_that_does_not_fit_memory_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = _train(Teacher(_model(1)), crop_and_flip)
    monkeypatch.setattr("systolith.train.teaching.teacher.MEMORY_BYTES", 70 * 162 * 8 - 1)
    monkeypatch.setattr(LogitTable, "__init__", None)
    assert _same(wanted, _train(Teacher(_model(1)), crop_and_flip))


def test_the_teacher_stays_as_it_was_given() -> None:
    master = _model(1).train()
    before = {name: value.clone() for name, value in master.state_dict().items()}
    teacher = Teacher(master)
    digest = teacher.digest
    wanted = _train(teacher)
    assert _same(before, master.state_dict()) and master.training
    assert all(parameter.requires_grad for parameter in master.parameters())
    with torch.no_grad():
        next(master.parameters()).zero_()
    assert teacher.digest == digest != Teacher(master).digest
    assert _same(wanted, _train(teacher))


def test_a_table_knows_only_what_was_filled(tmp_path: Path) -> None:
    for path in (None, tmp_path / "new" / "table"):
        table = LogitTable(10, 2, path)
        rows, logits = torch.tensor([7, 0]), torch.tensor([[1.0, -2.0], [0.0, 0.0]]).half()
        assert not table.known(rows).any()
        table.fill(rows, logits)
        assert table.known(torch.arange(10)).nonzero().flatten().tolist() == [0, 7]
        assert torch.equal(table.read(rows), logits)
    again = LogitTable(10, 2, tmp_path / "new" / "table")
    assert torch.equal(again.read(rows), logits) and again.known(rows).all()


def test_a_table_that_was_cut_off_is_filled_again(tmp_path: Path) -> None:
    table = LogitTable(10, 2, tmp_path / "table")
    rows, logits = torch.tensor([1, 9]), torch.tensor([[1.0, -2.0], [3.0, 0.0]]).half()
    table.fill(rows, logits)
    del table
    with (tmp_path / "table").open("r+b") as file:
        file.truncate(50)  # after the checksums of the first five rows
    again = LogitTable(10, 2, tmp_path / "table")
    assert again.known(rows).tolist() == [True, False]
    again.fill(rows, logits)
    assert torch.equal(again.read(rows), logits)


def test_damaged_logits_are_computed_again(tmp_path: Path) -> None:
    wanted = _train(Teacher(_model(1), cache=tmp_path))
    (table,) = tmp_path.iterdir()
    assert _same(wanted, _train(Teacher(_model(1), cache=str(tmp_path))))
    content = bytearray(table.read_bytes())
    for damage in (slice(6, 12), slice(70 * 6 + 40, 70 * 6 + 44), slice(100, 103)):
        content[damage] = bytes(byte ^ 0x7E for byte in content[damage])
    content[200:260] = bytes(60)
    table.write_bytes(content)
    assert _same(wanted, _train(Teacher(_model(1), cache=tmp_path)))
    assert LogitTable(70, 3, table).known(torch.arange(70)).all()


def test_refuses_a_cache_that_cannot_be_written_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*, dir: Path) -> None:
        raise PermissionError(13, "Permission denied", str(dir))

    monkeypatch.setattr("systolith.train.teaching.teacher.TemporaryFile", refuse)
    message = f"the teacher's cache '{tmp_path}' must be a folder that can be written: "
    with pytest.raises(TrainingError, match=f"^{re.escape(message)}Permission denied$"):
        _train(Teacher(_model(1), cache=tmp_path))


def test_refuses_a_cache_that_is_no_folder_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    message = f"the teacher's cache '{tmp_path / 'file'}' must be a folder that can be written: "
    with pytest.raises(TrainingError, match=f"^{re.escape(message)}File exists$"):
        _train(Teacher(_model(1), cache=tmp_path / "file"))


def test_normalized_models_take_plain_images() -> None:
    model = nn.Flatten()
    images = torch.rand(2, 2, 1, 1)
    mean, deviation = torch.tensor([0.5, 0.25]), torch.tensor([0.5, 2.0])
    outputs = Normalized(model, (0.5, 0.25), (0.5, 2.0))(images)
    assert torch.equal(outputs, (images.flatten(1) - mean) / deviation)


def test_refuses_numbers_out_of_range() -> None:
    message = (
        "2 problems:\n  - weight of a teacher must be above 0, at most 1, got 0\n"
        "  - temperature of a teacher must be positive, got nan"
    )
    with pytest.raises(TrainingError, match=f"^{re.escape(message)}$"):
        Teacher(_model(), weight=0, temperature=float("nan"))


@pytest.mark.parametrize(
    ("master", "problem"),
    [
        (
            _model(classes=5),
            (
                "the teacher must give 3 logits for each image, as the model does, got (2, 5) "
                "for 2 images"
            ),
        ),
        (
            nn.Conv2d(1, 2, 1),
            (
                "images of shape (2, 2, 6, 6) do not fit the teacher: Given groups=1, weight of "
                "size [2, 1, 1, 1], expected input[2, 2, 6, 6] to have 1 channels, but got 2 "
                "channels instead"
            ),
        ),
    ],
)
def test_refuses_teachers_that_do_not_fit_before_training(master: nn.Module, problem: str) -> None:
    with pytest.raises(TrainingError, match=f"^{re.escape(problem)}$"):
        _train(Teacher(master))


def test_refuses_logits_that_float16_does_not_hold() -> None:
    class Large(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.flatten(1)[:, :3] * 1e6

    with pytest.raises(TrainingError, match=r"^the teacher's logits must be finite, in -65504"):
        _train(Teacher(Large()))
