import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from systolith.data import load_cifar10
from systolith.models import CifarResNet, LeNet5, ResNet8, load_weights, resnet20
from systolith.train import evaluate
from tests.sw.data.real import real_archive, real_weights


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
        f"weights '{path}' do not fit the model: '1.weight' is missing; "
        "'2.bias' is in the file but not in the model; "
        "'0.weight' must have shape (3, 2), got (2, 3)"
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
