import re
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn

from systolith.network import KOutOfN, Pattern
from systolith.prune import MaskSet, PruneError, topk_mask
from tests.support.strategies import patterns_with_shapes

ONE_OF_TWO = Pattern(select=KOutOfN(1, 2))


def test_apply_zeroes_what_is_pruned_and_nothing_else() -> None:
    layer = nn.Linear(2, 2)
    before = layer.weight.detach().clone()
    mask = torch.tensor([[True, False], [False, True]])
    masks = MaskSet({"weight": mask}, {"weight": ONE_OF_TWO})
    masks.apply_(layer)
    assert torch.equal(layer.weight, before * mask)
    assert masks.density == 0.5
    assert list(masks) == ["weight"] and len(masks) == 1
    assert masks.patterns == {"weight": ONE_OF_TWO}


def test_apply_removes_what_is_not_finite() -> None:
    layer = nn.Linear(2, 1)
    nn.init.constant_(layer.weight, torch.nan)
    MaskSet({"weight": torch.tensor([[True, False]])}, {"weight": ONE_OF_TWO}).apply_(layer)
    assert layer.weight[0, 1] == 0


def test_a_mask_set_does_not_change_with_the_tensors_it_was_made_of() -> None:
    mask = torch.tensor([[True, False]])
    masks = MaskSet({"weight": mask}, {"weight": ONE_OF_TWO})
    mask[0, 1] = True
    assert masks["weight"].tolist() == [[True, False]]


def test_no_masks_keep_everything() -> None:
    assert MaskSet({}, {}).density == 1.0


def test_refuses_masks_that_break_their_pattern() -> None:
    message = (
        "3 problems:\n  - 'b' needs a mask and a pattern, but has no pattern"
        "\n  - mask of 'a': filter 0, group 0 (input channels 0..1) at tap (0, 0) keeps 2 weights, "
        "but 1-out-of-2 needs 1"
        "\n  - mask of 'c' must be bool, got torch.float32"
    )
    masks = {"a": torch.tensor([[True, True]]), "b": torch.ones(1, 1), "c": torch.ones(1, 2)}
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        MaskSet(masks, {"a": ONE_OF_TWO, "c": ONE_OF_TWO})


def test_apply_refuses_a_model_it_does_not_fit_and_changes_nothing() -> None:
    model = nn.Sequential(nn.Linear(2, 1), nn.Linear(4, 1))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    mask = torch.tensor([[True, False]])
    names = ["0.weight", "1.weight", "2.weight"]
    masks = MaskSet(dict.fromkeys(names, mask), dict.fromkeys(names, ONE_OF_TWO))
    message = (
        "2 problems:\n  - mask of '1.weight' must have the parameter's shape (1, 4), got (1, 2)"
        "\n  - masks must name a parameter of the model, got '2.weight'"
    )
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        masks.apply_(model)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_applied_masks_inside_the_block_only() -> None:
    layer = nn.Linear(2, 1)
    before = layer.weight.detach().clone()
    masks = MaskSet({"weight": torch.tensor([[True, False]])}, {"weight": ONE_OF_TWO})
    with masks.applied(layer):
        assert torch.equal(layer.weight, before * masks["weight"])
    assert torch.equal(layer.weight, before)


@settings(deadline=None, max_examples=60)
@given(st.lists(patterns_with_shapes(), max_size=3), st.integers(0, 2**31), st.booleans())
def test_masks_and_patterns_of_every_kind_come_back_from_a_file(
    layers: list[tuple[Pattern, tuple[int, int, int, int]]], seed: int, transposed: bool
) -> None:
    generator = torch.Generator().manual_seed(seed)
    patterns = {f"block.{i}.weight": pattern for i, (pattern, _) in enumerate(layers)}
    made = {
        name: topk_mask(torch.randn(shape, generator=generator), pattern)
        for (name, pattern), (_, shape) in zip(patterns.items(), layers, strict=True)
    }
    if transposed:  # the same values in another order of memory
        made = {
            name: mask.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0)
            for name, mask in made.items()
        }
    with TemporaryDirectory() as folder:
        path = Path(folder) / "new" / "masks.safetensors"
        MaskSet(made, patterns).save(path)
        loaded = MaskSet.load(path)
        assert list(path.parent.iterdir()) == [path]
    assert dict(loaded.patterns) == patterns and set(loaded) == set(made)
    assert all(torch.equal(loaded[name], mask) for name, mask in made.items())


def _saved(folder: Path) -> Path:
    path = folder / "masks.safetensors"
    MaskSet({"fc.weight": torch.tensor([[True, False]])}, {"fc.weight": ONE_OF_TWO}).save(path)
    return path


def test_saving_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _saved(tmp_path)
    write = Path.write_bytes

    def fail(self: Path, data: bytes) -> int:
        write(self, data[: len(data) // 2])
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="disk full"):
        MaskSet({}, {}).save(path)
    assert list(path.parent.iterdir()) == [path]
    assert MaskSet.load(path)["fc.weight"].tolist() == [[True, False]]


@pytest.mark.parametrize("content", [None, b"", b"not masks at all", "half", "no metadata"])
def test_refuses_files_that_hold_no_masks(tmp_path: Path, content: bytes | str | None) -> None:
    path = _saved(tmp_path)
    match content:
        case None:
            path.unlink()
        case "half":
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        case "no metadata":
            save_file(load_file(path), path)
        case bytes():
            path.write_bytes(content)
    with pytest.raises(PruneError, match=f"^masks '{re.escape(str(path))}' cannot be read: "):
        MaskSet.load(path)


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        ("[]", "cannot be read"),
        ("{", "cannot be read"),
        ('{"fc.weight": {}}', "masks.safetensors': needs a kind of .*, got None"),
        ("{}", "'fc.weight' needs a mask and a pattern, but has no pattern"),
    ],
)
def test_refuses_patterns_that_are_none(tmp_path: Path, patterns: str, message: str) -> None:
    path = _saved(tmp_path)
    save_file(load_file(path), path, metadata={"patterns": patterns})
    with pytest.raises(PruneError, match=message):
        MaskSet.load(path)


def test_refuses_a_file_whose_masks_break_their_patterns(tmp_path: Path) -> None:
    path, broken = tmp_path / "masks.safetensors", torch.tensor([[True, True]])
    MaskSet.unchecked({"fc.weight": broken}, {"fc.weight": ONE_OF_TWO}).save(path)
    message = (
        "mask of 'fc.weight': filter 0, group 0 (input channels 0..1) at tap (0, 0) keeps 2 "
        "weights, but 1-out-of-2 needs 1"
    )
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        MaskSet.load(path)
