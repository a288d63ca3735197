"""Checkpoints on full disks."""

from pathlib import Path

import pytest
import torch

from systolith.train import save_state


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
