import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import prune
from torch.nn.utils.parametrizations import weight_norm

from systolith.data import load_cifar10
from systolith.models import CifarResNet, LeNet5, ResNet8, load_weights, resnet20
from systolith.train import evaluate
from tests.support.real_data import real_archive, real_weights


def test_loads_what_was_saved(tmp_path: Path) -> None:
    saved, model = CifarResNet(1, seed=1).train(), CifarResNet(1, seed=2)
    saved(torch.rand(4, 3, 8, 8))  # moves the running statistics
    save_file(saved.state_dict(), tmp_path / "weights.safetensors")
    load_weights(model, tmp_path / "weights.safetensors")
    for name, value in saved.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name


def test_fixed_shortcuts_and_counters_need_not_be_in_the_file(tmp_path: Path) -> None:
    model = CifarResNet(1, seed=2)
    state = CifarResNet(1, seed=1).state_dict()
    path = tmp_path / "weights.safetensors"
    optional = ("shortcut.weight", "num_batches_tracked")
    save_file({name: value for name, value in state.items() if not name.endswith(optional)}, path)
    load_weights(model, path)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_the_input_scale_makes_up_for_other_pixels(tmp_path: Path) -> None:
    saved, model = LeNet5(seed=1), LeNet5(seed=2)
    save_file(saved.state_dict(), tmp_path / "weights.safetensors")
    load_weights(model, tmp_path / "weights.safetensors", input_scale=256.0)
    images = torch.randint(0, 256, (2, 1, 28, 28)) / 256
    assert torch.equal(model(images), saved(images * 256))


def test_reports_all_that_does_not_fit_and_changes_nothing(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    path = tmp_path / "weights.safetensors"
    given = {
        "0.weight": torch.ones(2, 3),
        "0.bias": torch.ones(3),
        "1.bias": torch.ones(1),
        "2.bias": torch.ones(1),
    }
    save_file(given, path)
    message = (
        f"weights '{path}' do not fit the model:\n  - '1.weight' is missing\n"
        "  - '2.bias' is in the file but not in the model\n"
        "  - '0.weight' must have shape (3, 2), got (2, 3)"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        load_weights(model, path)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("content", [None, b"", b"no safetensors, but long enough"])
def test_refuses_a_missing_or_damaged_file(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "weights.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=f"^weights '{re.escape(str(path))}' cannot be read: "):
        load_weights(LeNet5(), path)


@pytest.mark.slow
def test_published_weights_classify_as_published() -> None:
    archive = real_archive("cifar10")
    cases = [(ResNet8(), "resnet8", 255.0, False, 8721), (resnet20(), "resnet20", 1.0, True, 9173)]
    for model, name, input_scale, normalize, correct in cases:
        load_weights(model, real_weights(f"{name}_cifar10"), input_scale=input_scale)
        data = load_cifar10(archive, normalize=normalize)
        accuracy = evaluate(model, data.test_images, data.test_labels)
        assert abs(10_000 * accuracy - correct) <= 3, "machines add up in different orders"


def _model(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 3))


def _equal(model: nn.Module, state: dict[str, torch.Tensor]) -> bool:
    loaded = model.state_dict()
    return loaded.keys() == state.keys() and all(
        torch.equal(loaded[key], state[key]) for key in loaded
    )


@pytest.mark.parametrize("name", ["weights.pt", "weights.pth", "weights.bin", "weights"])
@pytest.mark.parametrize("key", [None, "state_dict", "model_state_dict", "model"])
def test_loads_what_torch_save_wrote(name: str, key: str | None, tmp_path: Path) -> None:
    state = _model(1).state_dict()
    optimizer = torch.optim.SGD(_model().parameters(), 0.1).state_dict()
    around = {"epoch": 3, "optimizer_state_dict": optimizer, "best": 0.5}
    torch.save(state if key is None else {**around, key: state}, tmp_path / name)
    model = _model(2)
    load_weights(model, tmp_path / name)
    assert _equal(model, state)


def test_loads_the_format_of_old_versions(tmp_path: Path) -> None:
    state = _model(1).state_dict()
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    model = _model(2)
    load_weights(model, tmp_path / "old.pth")
    assert _equal(model, state)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "model."])
def test_names_of_wrappers_are_taken_away(prefix: str, tmp_path: Path) -> None:
    state = _model(1).state_dict()
    path = tmp_path / "weights.pt"
    torch.save({f"{prefix}{name}": value for name, value in state.items()}, path)
    model = _model(2)
    load_weights(model, path)
    assert _equal(model, state)


def test_a_prefix_of_the_models_own_stays(tmp_path: Path) -> None:
    class Wrapped(nn.Module):
        def __init__(self, seed: int) -> None:
            super().__init__()
            self.model = _model(seed)

    state, model = Wrapped(1).state_dict(), Wrapped(2)
    assert all(name.startswith("model.") for name in state)
    torch.save({f"module.{name}": value for name, value in state.items()}, tmp_path / "w.pt")
    load_weights(model, tmp_path / "w.pt")
    assert _equal(model, state)


class Bomb:
    """Its pickle would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


def test_no_code_from_a_file_is_run(tmp_path: Path) -> None:
    torch.save(
        {"state_dict": _model().state_dict(), "x": Bomb(tmp_path / "ran")}, tmp_path / "w.pt"
    )
    with pytest.raises(ValueError, match=r"holds Python objects besides tensors .*state_dict\(\)"):
        load_weights(_model(), tmp_path / "w.pt")
    assert not (tmp_path / "ran").exists()


def test_a_whole_model_or_a_script_is_refused_with_what_to_save(tmp_path: Path) -> None:
    torch.save(_model(), tmp_path / "model.pt")
    with pytest.raises(ValueError, match="Python objects besides tensors .*Sequential"):
        load_weights(_model(), tmp_path / "model.pt")
    torch.jit.trace(_model().eval(), torch.rand(1, 1, 3, 3)).save(str(tmp_path / "script.pt"))
    with pytest.raises(ValueError, match=r"TorchScript.*torch.save\(model.state_dict\(\)"):
        load_weights(_model(), tmp_path / "script.pt")


@pytest.mark.parametrize(
    ("content", "given"),
    [
        ({"epoch": 3, "params": {"a": torch.ones(1)}}, "other keys: 'epoch', 'params'"),
        ([torch.ones(1)], "a list"),
        ({}, "a dict"),
        (
            {"model": {"a": torch.ones(1)}, "state_dict": {"a": torch.ones(1)}},
            "several: 'state_dict', 'model'",
        ),
    ],
)
def test_a_file_without_one_state_dict_is_refused(
    content: object, given: str, tmp_path: Path
) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=f"must hold a state dict, .*it has {given}"):
        load_weights(_model(), tmp_path / "w.pt")


@pytest.mark.parametrize("start", [b"PK\x03\x04", b"\x80\x02"])
def test_a_truncated_checkpoint_is_refused(start: bytes, tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(start + b"and no more")
    with pytest.raises(ValueError, match="cannot be read: damaged, or not written by torch.save"):
        load_weights(_model(), tmp_path / "w.pt")


def test_a_folder_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read: Is a directory"):
        load_weights(_model(), tmp_path)


def test_values_that_no_network_can_have_are_named(tmp_path: Path) -> None:
    state = _model(1).state_dict()
    state["0.bias"][1] = torch.nan
    state["3.bias"] = torch.ones(3, dtype=torch.complex64)
    torch.save(state, tmp_path / "w.pt")
    message = "'0.bias' has values that are not finite\n  - '3.bias' must be a dense tensor of real"
    with pytest.raises(ValueError, match=message):
        load_weights(_model(), tmp_path / "w.pt")


def test_hooks_in_a_checkpoint_are_named_with_what_removes_them(tmp_path: Path) -> None:
    model = _model(1)
    prune.l1_unstructured(model[3], "weight", amount=0.5)
    weight_norm(model[0])
    torch.save(model.state_dict(), tmp_path / "w.pt")
    with pytest.raises(ValueError, match=r"prune\.remove before") as caught:
        load_weights(_model(), tmp_path / "w.pt")
    assert "'0.weight' is missing" in str(caught.value)
    assert "parametrize.remove_parametrizations" in str(caught.value)


def test_an_input_scale_needs_a_layer_to_scale(tmp_path: Path) -> None:
    model = nn.Sequential(nn.BatchNorm2d(1))
    torch.save(model.state_dict(), tmp_path / "w.pt")
    load_weights(model, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=r"no convolution or Linear to scale by input_scale = 255"):
        load_weights(model, tmp_path / "w.pt", input_scale=255.0)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_an_input_scale_must_be_positive(tmp_path: Path, scale: float) -> None:
    torch.save(_model(1).state_dict(), tmp_path / "w.pt")
    with pytest.raises(ValueError, match=r"input_scale must be a positive number, got"):
        load_weights(_model(), tmp_path / "w.pt", input_scale=scale)
