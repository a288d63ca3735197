"""Checkpoints on full disks, and those that are damaged or of other training."""

import re
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch import nn

from systolith.data import Dataset
from systolith.network import KOutOfN, Pattern
from systolith.prune import ADMM, DPP, GDP, FilterBudget, Sparsifier, find_channel_groups
from systolith.train import CheckpointError, fit, load_state, save_state
from systolith.train.checkpoint import TrainingState

IMAGES = torch.rand(16, 4, 4, 4, generator=torch.Generator().manual_seed(0))
DATA = Dataset(
    name="noise",
    train_images=IMAGES,
    train_labels=torch.arange(16) % 2,
    test_images=IMAGES,
    test_labels=torch.arange(16) % 2,
)


def _model(channels: int = 8) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        last = nn.Conv2d(channels, 2, 4)
        return nn.Sequential(nn.Conv2d(4, channels, 1), nn.ReLU(), last, nn.Flatten())


def test_a_failing_write_keeps_what_was_there_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "folder/state"
    save_state({"epochs_done": 1}, path)
    write = Path.write_bytes

    def half(self: Path, data: memoryview) -> int:
        write(self, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(OSError, match="No space left"):
        save_state({"epochs_done": 2}, path)
    assert [file.name for file in path.parent.iterdir()] == ["state"]
    assert torch.load(path, weights_only=True) == {"epochs_done": 1}


@pytest.mark.parametrize("content", [b"", b"x" * 100])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "state"
    path.write_bytes(content)
    message = f"checkpoint '{path}' cannot be read; remove it to start anew: "
    with pytest.raises(CheckpointError, match=f"^{re.escape(message)}.+"):
        load_state(path)


def test_random_numbers_of_a_gpu_continue_there_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[str, int]] = []
    for name, backend in (("cuda", torch.cuda), ("mps", torch.mps)):
        monkeypatch.setattr(backend, "get_rng_state", lambda *device: torch.ones(1))
        monkeypatch.setattr(
            backend,
            "set_rng_state",
            lambda state, *device, name=name: written.append((name, int(state))),
        )

    def state(device: str) -> TrainingState:
        model = _model()
        return TrainingState(
            model=model,
            optimizer=torch.optim.SGD(model.parameters(), 0.1),
            sparsifier=None,
            average=None,
            generator=torch.Generator(),
            device=torch.device(device),
            settings={},
        )

    path = tmp_path / "state"
    for before in ("cpu", "cuda", "mps"):
        state(before).save(path, 1)
        for after in ("cpu", "cuda", "mps"):
            assert state(after).load(path) == 1
    assert written == [("cuda", 1), ("mps", 1)]


def test_training_of_another_model_or_sparsifier_is_refused_and_changes_nothing(
    tmp_path: Path,
) -> None:
    def dpp(k: int, layer: str = "0") -> Sparsifier:
        return DPP(_model(), {layer: Pattern(select=KOutOfN(k, 4))})

    path = tmp_path / "checkpoint"
    trained = _model()
    fit(trained, DATA, epochs=1, sparsifier=dpp(2), checkpoint=path)
    start = f"checkpoint '{path}' is of other training; remove it to start anew: sparsifier is "
    groups = find_channel_groups(_model(), IMAGES[:2])
    pattern = {"0": Pattern(select=KOutOfN(2, 4))}
    others: dict[str, Sparsifier | None] = {
        "DPP(patterns={0: 1-out-of-4}, .*), was DPP(patterns={0: 2-out-of-4}, ": dpp(1),
        "DPP(patterns={2: 2-out-of-4}, .*), was": dpp(2, "2"),
        "ADMM(patterns={0: 2-out-of-4}, .*interval=.*), was": ADMM(_model(), pattern),
        "GDP(budget=FilterBudget(keep=0.5, .*), was": GDP(groups, FilterBudget(keep=0.5)),
        "None, was": None,
    }
    for text, sparsifier in others.items():
        model = _model()
        expected = re.escape(start) + text.replace("(", r"\(").replace(")", r"\)")
        with pytest.raises(CheckpointError, match=f"^{expected}"):
            fit(model, DATA, epochs=1, sparsifier=sparsifier, checkpoint=path)
        assert torch.equal(model.get_parameter("0.weight"), _model().get_parameter("0.weight"))
    narrow, plain = _model(channels=4), tmp_path / "plain"
    fit(_model(), DATA, epochs=1, checkpoint=plain)
    before = deepcopy(narrow.state_dict())
    shapes = (
        r"the model's 0.bias is \(4,\), was \(8,\); the model's 0.weight is \(4, 4, 1, 1\), was"
    )
    with pytest.raises(CheckpointError, match=f"start anew: {shapes}"):
        fit(narrow, DATA, epochs=1, checkpoint=plain)
    assert all(torch.equal(before[name], now) for name, now in narrow.state_dict().items())
    again = _model()
    fit(again, DATA, epochs=1, sparsifier=dpp(2), checkpoint=path)
    assert torch.equal(again.get_parameter("0.weight"), trained.get_parameter("0.weight"))
