"""What makes which stage run again, and what does not."""

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from systolith.network import save
from systolith.report import Report
from systolith.stages import open_run
from systolith.stages.hardware import checks, verification
from systolith.stages.keys import program
from systolith.stages.workspace import Workspace
from tests.support.networks import small_network

MODEL = """
from torch import nn
from helpers_of_keys import activation

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3)
        self.relu1 = activation()
        self.conv2 = nn.Conv2d(8, 8, 3)
        self.relu2 = nn.ReLU()
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(32, 3)

    def forward(self, x):
        x = self.relu1(self.conv1(x))
        return self.fc(self.flatten(self.relu2(self.conv2(x))))
"""
HELPER = "from torch import nn\nactivation = nn.ReLU\n"
LOADER = """
from pathlib import Path
import numpy as np
import torch
from systolith.data import Dataset

def load():
    found = np.load(Path(__file__).parent / "pixels.npz")
    images, labels = torch.from_numpy(found["x"]), torch.from_numpy(found["y"])
    return Dataset(name="mine", train_images=images[:24], train_labels=labels[:24],
                   test_images=images[24:], test_labels=labels[24:])
"""
TEXT = """
name = "keys"
[model]
factory = "model_of_keys:Net"
weights = "w.safetensors"
[data]
factory = "loader_of_keys:load"
[train]
float_epochs = 1
prune_epochs = 1
quantize_epochs = 1
[[prune]]
method = "magnitude"
rules = [{ layers = "conv2", k = 2, n = 8 }]
[quantize]
act_bits = 8
[hardware]
multipliers = 12
[verify]
images = 2
[simulate]
images = 3
"""
SOFTWARE = ("train", "prune", "quantize", "lower")
HARDWARE = ("estimate", "generate", "verify", "simulate")
ALL = (*SOFTWARE, *HARDWARE)
MODULES = ("model_of_keys", "helpers_of_keys", "loader_of_keys")


def _pixels(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {"x": rng.random((32, 1, 6, 6), dtype=np.float32), "y": np.arange(32) % 3}


def _weights(seed: int) -> dict[str, torch.Tensor]:
    shapes = {"conv1": (8, 1, 3, 3), "conv2": (8, 8, 3, 3), "fc": (3, 32)}
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for name, shape in shapes.items():
        found[f"{name}.weight"] = torch.randn(shape, generator=generator) / 4
        found[f"{name}.bias"] = torch.zeros(shape[0])
    return found


class Place:
    """An experiment in a folder, with a model, a helper, a loader, weights and pixels."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "model_of_keys.py").write_text(MODEL)
        (folder / "helpers_of_keys.py").write_text(HELPER)
        (folder / "loader_of_keys.py").write_text(LOADER)
        (folder / "keys.toml").write_text(TEXT)
        save_file(_weights(0), folder / "w.safetensors")
        np.savez(folder / "pixels.npz", **_pixels(0))

    def replace(self, file: str, old: str, new: str) -> None:
        path = self.folder / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def run(self, goal: str | None = None, **options: Any) -> Report:
        return open_run(self.folder / "keys.toml", self.folder / "out", **options).run(goal)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """All stages but those that simulate are real; these count as equal, whatever is done."""

    def proof(*arguments: Any) -> dict[str, Any]:
        checks = [{"name": "whole network", "hardware": True, "passed": True, "findings": []}]
        return {"checks": [{**check, "what": ""} for check in checks], "mismatches": 0}

    def bulk(*arguments: Any) -> dict[str, Any]:
        return {**proof(), "accuracy": 1.0, "images": 3}

    for name in ("verify_network", "verify_layers", "simulate_images"):
        monkeypatch.setattr(verification, name, lambda *arguments, **options: None)
    monkeypatch.setattr(checks, "summarize_verification", proof)
    monkeypatch.setattr(checks, "summarize_bulk_simulation", bulk)
    yield Place(tmp_path)
    for name in MODULES:
        sys.modules.pop(name, None)


def _ran(report: Report) -> tuple[str, ...]:
    return tuple(stage.name for stage in report.stages if not stage.cached)


def _why(report: Report, stage: str) -> list[str]:
    (reasons,) = [ran.reasons for ran in report.stages if ran.name == stage]
    return list(reasons)


def _other_activation(place: Place) -> None:
    place.replace("helpers_of_keys.py", "nn.ReLU", "nn.ReLU6")


def _other_model(place: Place) -> None:
    place.replace("model_of_keys.py", "self.relu2 = nn.ReLU()", "self.relu2 = nn.ReLU6()")


def _half_the_data(place: Place) -> None:
    place.replace("loader_of_keys.py", "images[:24]", "images[:12]")
    place.replace("loader_of_keys.py", "labels[:24]", "labels[:12]")


def _other_weights(place: Place) -> None:
    save_file(_weights(1), place.folder / "w.safetensors")


def _other_pixels(place: Place) -> None:
    np.savez(place.folder / "pixels.npz", **_pixels(1))


CHANGES: dict[str, tuple[Callable[[Place], None], Sequence[str], str]] = {
    "model": (_other_model, SOFTWARE, "source changed: model_of_keys.py"),
    "helper": (_other_activation, SOFTWARE, "source changed: helpers_of_keys.py"),
    "loader": (_half_the_data, SOFTWARE, "data changed: train_images, train_labels"),
    "weights": (_other_weights, SOFTWARE, "weights changed: w.safetensors"),
    "pixels": (_other_pixels, SOFTWARE, "data changed: train_images, test_images"),
}


def test_what_training_reads_runs_all_of_it_again(place: Place) -> None:
    assert _ran(place.run()) == ALL
    assert _ran(place.run()) == ()
    for what, (change, stages, reason) in CHANGES.items():
        change(place)
        report = place.run()
        assert _ran(report)[: len(stages)] == stages, what
        assert any(why.startswith(reason) for why in _why(report, "train")), _why(report, "train")
    assert _ran(place.run()) == ()


def test_a_setting_runs_again_what_reads_it(place: Place) -> None:
    cases: list[tuple[str, str, set[str], set[str], str]] = [
        # old text, new text, stages that must run, those that may if results differ, reason
        ("multipliers = 12", "multipliers = 20", {"estimate", "generate", "simulate"},
         {"verify"}, "hardware.multipliers changed: 12 -> 20"),
        ("k = 2", "k = 4", {"prune"}, {"quantize", "lower", *HARDWARE}, ""),
        ("act_bits = 8", "act_bits = 6", {"quantize", "lower"}, {*HARDWARE},
         "quantize.act_bits changed: 8 -> 6"),
        ("quantize_epochs = 1", "quantize_epochs = 2", {"quantize"}, {"lower", *HARDWARE},
         "train.quantize_epochs changed: 1 -> 2"),
        ("[verify]\nimages = 2", "[verify]\nimages = 1", {"verify"}, set(),
         "images changed: images"),
        ("[simulate]\nimages = 3", "[simulate]\nimages = 2", {"simulate"}, set(),
         "images changed: images, labels"),
        ('name = "keys"', 'name = "keys"\nseed = 1', {"train", "prune", "quantize", "verify"},
         {*ALL}, "seed changed: 0 -> 1"),
        ('method = "magnitude"', 'epochs = 2\nmethod = "magnitude"', {"prune"},
         {"quantize", "lower", *HARDWARE}, "prune[0].epochs changed: none -> 2"),
    ]  # fmt: skip
    place.run()
    for old, new, must, may, reason in cases:
        place.replace("keys.toml", old, new)
        report = place.run()
        ran = set(_ran(report))
        assert must <= ran <= must | may, (new, ran)
        if reason:
            reasons = [why for stage in report.stages for why in stage.reasons]
            assert reason in reasons, (new, reasons)


def test_a_comment_in_the_loader_changes_nothing(place: Place) -> None:
    place.run("train")
    place.replace("loader_of_keys.py", "def load", "# the same pixels\ndef load")
    assert _ran(place.run("train")) == ()


def test_a_file_that_the_model_reads_by_itself_counts(place: Place) -> None:
    place.replace("keys.toml", 'weights = "w.safetensors"\n', "")
    place.replace("keys.toml", "float_epochs = 1", "float_epochs = 0")
    place.replace("model_of_keys.py", "        self.fc = nn.Linear(32, 3)\n", """\
        self.fc = nn.Linear(32, 3)
        import pathlib, torch
        folder = pathlib.Path(__file__).parent
        self.fc.weight.data[:] = torch.load(folder / "fc.pt", weights_only=True)
""")  # fmt: skip
    torch.save(torch.ones(3, 32), place.folder / "fc.pt")
    place.run("train")
    assert _ran(place.run("train")) == ()
    torch.save(torch.zeros(3, 32), place.folder / "fc.pt")
    report = place.run("train")
    assert _ran(report) == ("train",)
    assert _why(report, "train") == ["weights changed: initial weights"]


@pytest.mark.parametrize(
    ("file", "stages"),
    [
        ("watch/stream_job.py", {"verify", "simulate", "netlist"}),
        ("watch/stream_bench.py", {"verify", "simulate", "netlist"}),
        ("bench/driver.cpp", {"verify", "simulate", "netlist"}),
        ("netlist/board.cpp", {"netlist"}),
        ("host/client.py", {"netlist"}),
        ("report/engines.py", {"estimate"}),
        ("report/tables.py", set()),
        ("compress/pipeline.py", {"prune", "quantize"}),
        ("models/resnet8.py", {*SOFTWARE, "verify", "simulate", "netlist"}),
        ("build/timing.py", {"build"}),
        ("plan/area/logic.json", set(program.PROGRAMS) - set(SOFTWARE)),
    ],
)
def test_a_source_file_is_in_the_keys_of_the_stages_that_run_it(
    file: str, stages: set[str]
) -> None:
    assert {
        name for name in program.PROGRAMS if file in program.digest_program(name)["program"]
    } == stages


def test_a_changed_checker_verifies_again_and_trains_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.run()
    digest_file = program.digest_file

    def other(path: Path) -> str:
        return digest_file(path) + ("*" if path.parts[-2:] == ("watch", "stream_job.py") else "")

    monkeypatch.setattr(program, "digest_file", other)
    program._digest_programs.cache_clear()
    report = place.run()
    program._digest_programs.cache_clear()
    assert _ran(report) == ("verify", "simulate")
    assert _why(report, "verify") == ["systolith changed: watch/stream_job.py"]


def test_another_version_of_a_library_counts(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.run("train")
    version = program.version
    monkeypatch.setattr(program, "version", lambda name: "0" if name == "torch" else version(name))
    program._version.cache_clear()
    program._digest_programs.cache_clear()
    report = place.run("train")
    program._version.cache_clear()
    program._digest_programs.cache_clear()
    (reason,) = _why(report, "train")
    assert reason.startswith("torch changed: ") and reason.endswith(" -> 0")


def test_a_damaged_output_is_made_again(place: Place) -> None:
    place.run("generate")
    (place.folder / "out/rtl/systolith_top.v").unlink()
    report = place.run("generate")
    assert _ran(report) == ("generate",)
    assert _why(report, "generate") == ["its output is missing: rtl/systolith_top.v"]


class Tracer:
    """Notes which files of systolith run while a stage does its work, in all threads."""

    def __init__(self) -> None:
        self.files: dict[str, set[str]] = {}

    def traced(self, name: str, run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        files = self.files.setdefault(name, set())

        def heard(frame: FrameType, event: str, argument: Any) -> None:
            if event == "call" and "/systolith/" in frame.f_code.co_filename:
                files.add(frame.f_code.co_filename.rpartition("/systolith/")[2])

        threading.setprofile(heard)
        sys.setprofile(heard)
        try:
            return run()
        finally:
            sys.setprofile(None)
            threading.setprofile(None)  # type: ignore[arg-type]


ROOM = (
    "stages/workspace.py",
    "stages/keys/inputs.py",
    "stages/stage.py",
    "foundation/journal.py",
    "stages/session.py",
)
"""What stands around the work of a stage, whatever it finds."""


def _traced_run(monkeypatch: pytest.MonkeyPatch, run: Callable[[], object]) -> dict[str, set[str]]:
    tracer, stage = Tracer(), Workspace.stage

    def wrapped(self: Workspace, name: str, inputs: Any, files: Any, work: Any, *more: Any) -> Any:
        return stage(self, name, inputs, files, lambda: tracer.traced(name, work), *more)

    monkeypatch.setattr(Workspace, "stage", wrapped)
    for module in {name for modules in program.PROGRAMS.values() for name in modules}:
        import_module(f"systolith.{module}")  # importing is no work of a stage
    run()
    return tracer.files


def _check_closed(files: dict[str, set[str]]) -> None:
    for name, ran in files.items():
        known = program.digest_program(name.partition(" ")[0])["program"]
        assert ran - {*known, *ROOM} == set(), f"stage {name} runs what is not in its key"


def test_all_that_training_runs_is_in_its_keys(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = _traced_run(monkeypatch, lambda: place.run("generate"))
    assert {*files} >= {*SOFTWARE, "estimate", "generate"}
    assert "prune/pruner.py" in files["prune"]
    _check_closed(files)


@pytest.mark.slow
def test_all_that_simulation_runs_is_in_its_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(small_network(), tmp_path / "small.json")
    changes = {"verify": {"images": 2}, "simulate": {"images": 2}}
    session = open_run(tmp_path / "small.json", tmp_path / "out", changes=changes)
    files = _traced_run(monkeypatch, session.run)
    assert {*files} == {*HARDWARE}
    _check_closed(files)
    for module in ("watch/stream_job.py", "watch/stream_job.py"):
        assert module in program.digest_program("verify")["program"]
