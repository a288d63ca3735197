"""Every pruning method through the command line, on digits: exact, drawn, lowered, resumable."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from systolith.cli import app
from systolith.cli.options import METHODS
from systolith.compress import trainer
from systolith.models import DigitsCNN
from systolith.network import Conv2d, KOutOfN, Linear, Pattern, load
from systolith.prune import MaskSet, prunable_layers
from systolith.report.pictures import KEPT, draw_mask, mask_image

HEAD = """
name = "tiny"
[model]
factory = "digits_cnn"
[data]
factory = "digits"
[train]
float_epochs = 2
prune_epochs = 1
quantize_epochs = 1
"""
RULES = 'rules = [{ layers = "conv[2-9]", k = 2, n = 8 }]\n'
STEPS = {
    "magnitude": f'schedule = "cubic"\n{RULES}',
    "obs": RULES,
    "sr-ste": RULES,
    "dpp": f"epochs = 2\nfinetune_epochs = 1\n{RULES}",
    "dpf": RULES,
    "admm": f"rho = 0.1\n{RULES}",
    "spp": 'rules = [{ layers = "conv2", k = 2, n = 8, shared_by = 32 }]\n',
    "particles": 'layers = "conv3"\nkernels = 0.5\nstride = 3\n'
    "particles = 4\ngenerations = 2\nimages = 40\n",
    "gdp": "keep = 0.6\nmultiple_of = 8\n",
    "taylor": "keep = 0.6\nmultiple_of = 4\n",
    "filters": 'keep = 0.6\nscore = "fpgm"\nratios = { "conv1" = 0.75 }\n',
    "lfe": "epochs = 3\nmembers = 240\nrounds = 2\nimages = 50\n[prune.budget]\nmacs = 0.5\n",
    "dpp-filters": "keep = 0.5\n",
    "djpq": "epochs = 3\ninformation = 0.05\nlearning_rate = 0.03\n",
}
FILTERS = ("gdp", "taylor", "filters", "lfe", "dpp-filters", "djpq")


def _run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def _write(tmp_path: Path, *steps: str) -> Path:
    path = tmp_path / "experiment.toml"
    path.write_text(HEAD + "".join(f"[[prune]]\n{step}" for step in steps))
    return path


def test_every_method_is_tried() -> None:
    assert set(STEPS) == set(METHODS)


@pytest.mark.parametrize("method", METHODS)
def test_prunes_exactly_lowers_and_draws(method: str, tmp_path: Path) -> None:
    path = _write(tmp_path, f'method = "{method}"\n{STEPS[method]}')
    code, shown, said = _run("lower", path, "-o", tmp_path / "out", "--json")
    assert code == 0, said
    report = json.loads(shown)
    assert [stage["name"] for stage in report["stages"]] == ["train", "prune", "quantize", "lower"]
    network = load(tmp_path / "out/network.json")
    layers = {la.name: la for la in network.layers if isinstance(la, Conv2d | Linear)}
    pictures = {picture.stem for picture in (tmp_path / "out/prune/pictures").glob("*.png")}
    masks = MaskSet.load(tmp_path / "out/prune/masks.safetensors")
    assert {"overview"} | {name.removesuffix(".weight") for name in masks} <= pictures
    moving = ("magnitude", "sr-ste", "dpp", "dpf", "admm", "spp", "dpp-filters")
    assert ("odds" in pictures) == (method in moving)
    if method in FILTERS:
        before = prunable_layers(DigitsCNN())
        assert sum(layer.weight.size for layer in layers.values()) < sum(
            layer.weight.numel() for layer in before.values()
        )
        assert "filters-0" in pictures and not masks
    else:
        assert masks
        for name, mask in masks.items():
            layer = layers[name.removesuffix(".weight")]
            assert layer.pattern == masks.patterns[name] and not layer.pattern.is_dense
            assert np.array_equal(layer.mask, mask.numpy())
            assert not layer.weight[~layer.mask].any()


@pytest.mark.parametrize("method", ["sr-ste", "dpp"])
def test_prunes_while_training_quantized(method: str, tmp_path: Path) -> None:
    path = _write(tmp_path, f'method = "{method}"\njoint = true\n{RULES}')
    code, _, said = _run("lower", path, "-o", tmp_path / "out")
    assert code == 0, said
    network = load(tmp_path / "out/network.json")
    for name in ("conv2", "conv3"):
        layer = network[name]
        assert isinstance(layer, Conv2d)
        assert layer.pattern == Pattern(select=KOutOfN(2, 8))
        assert layer.mask is not None and layer.mask.mean() == 0.25


@pytest.mark.parametrize(
    ("keys", "values"),
    [("weight_bits = 1", {-1, 1}), ("weight_bits = 2\nnarrow_range = true", {-1, 0, 1})],
)
def test_pruned_weights_may_be_binary_or_ternary(
    keys: str, values: set[int], tmp_path: Path
) -> None:
    path = _write(tmp_path, f'method = "sr-ste"\n{RULES}')
    path.write_text(path.read_text() + f"[quantize]\n{keys}\n")
    code, _, said = _run("lower", path, "-o", tmp_path / "out")
    assert code == 0, said
    for layer in load(tmp_path / "out/network.json").layers:
        if isinstance(layer, Conv2d | Linear):
            kept = layer.weight if layer.mask is None else layer.weight[layer.mask]
            assert set(np.unique(kept)) <= values


def test_learned_widths_reach_the_integers_unless_the_file_knows_better(tmp_path: Path) -> None:
    path = _write(
        tmp_path,
        'method = "djpq"\nepochs = 3\nbit_operations = 30.0\nlearning_rate = 0.03\n',
    )
    path.write_text(path.read_text() + "[quantize.layers]\nconv1 = { weight_bits = 7 }\n")
    code, _, said = _run("lower", path, "-o", tmp_path / "out")
    assert code == 0, said
    learned = json.loads((tmp_path / "out/prune/bits.json").read_text())
    network = load(tmp_path / "out/network.json")
    widths = {la.name: la.weight_bits for la in network.layers if isinstance(la, Conv2d | Linear)}
    assert widths.pop("conv1") == 7
    assert widths == {name: learned[name]["weight_bits"] for name in widths}
    assert min(widths.values()) < 8


def test_random_search_is_another_search(tmp_path: Path) -> None:
    masks = {}
    for search in ("filter", "random"):
        path = _write(
            tmp_path,
            f'method = "particles"\nsearch = "{search}"\nepochs = 0\nlayers = "conv3"\n'
            "kernels = 0.5\nparticles = 4\ngenerations = 3\nimages = 40\n",
        )
        assert _run("prune", path, "-o", tmp_path / search)[0] == 0
        masks[search] = MaskSet.load(tmp_path / search / "prune/masks.safetensors")
    (first,), (second,) = masks["filter"].values(), masks["random"].values()
    assert first.sum() == second.sum() and not first.equal(second)


def test_filters_leave_then_weights_are_masked(tmp_path: Path) -> None:
    path = _write(
        tmp_path,
        'method = "gdp"\nkeep = 0.6\nmultiple_of = 8\n',
        f'method = "sr-ste"\nepochs = 1\n{RULES}',
    )
    code, _, said = _run("lower", path, "-o", tmp_path / "out")
    assert code == 0, said
    network = load(tmp_path / "out/network.json")
    conv2, conv3 = network["conv2"], network["conv3"]
    assert isinstance(conv2, Conv2d) and isinstance(conv3, Conv2d)
    assert conv2.weight.shape[0] == conv3.weight.shape[1] and conv2.weight.shape[0] % 8 == 0
    assert conv2.weight.size + conv3.weight.size < 16 * 32 * 9 + 32 * 32 * 9
    assert conv3.pattern == Pattern(select=KOutOfN(2, 8))


@pytest.mark.parametrize("budget", ["cycles = 4096", "macs = 0.4", "parameters = 0.3"])
def test_budgets_are_met(budget: str, tmp_path: Path) -> None:
    path = _write(tmp_path, f'method = "magnitude"\n[prune.budget]\n{budget}\n')
    code, shown, said = _run("estimate", path, "-o", tmp_path / "out", "--json")
    assert code == 0, said
    _check_budget(budget, json.loads(shown))


def _check_budget(budget: str, report: dict[str, Any]) -> None:
    performance, rows = report["performance"], report["sparsity"]["layers"]
    kept, total = (sum(row[key] for row in rows) for key in ("kept", "total"))
    match budget.split(" = "):
        case "cycles", cycles:
            # The planner's own number, for the patterns that it chose.
            assert performance["cycles_per_frame"] <= int(cycles)
        case "macs", share:
            assert performance["macs_kept"] <= float(share) * performance["macs_dense"]
        case _, share:
            assert kept <= float(share) * total
    assert kept < total


LEARNED = 'method = "dpp"\nlearn_patterns = true\nepochs = 3\n'


@pytest.mark.parametrize("budget", ["cycles = 2048", "macs = 0.4", "parameters = 0.3"])
def test_budgets_are_met_by_patterns_that_are_learned(budget: str, tmp_path: Path) -> None:
    path = _write(tmp_path, f"{LEARNED}[prune.budget]\n{budget}\n")
    code, shown, said = _run("estimate", path, "-o", tmp_path / "out", "--json")
    assert code == 0, said
    _check_budget(budget, json.loads(shown))
    assert (tmp_path / "out/prune/pictures/odds.png").exists()


def test_patterns_are_learned_while_training_quantized(tmp_path: Path) -> None:
    step = f"{LEARNED}joint = true\ncandidates = [[4, 16], [2, 16], [1, 16]]\n"
    path = _write(tmp_path, f"{step}[prune.budget]\ncycles = 1500\n")
    code, shown, said = _run("estimate", path, "-o", tmp_path / "out", "--json")
    assert code == 0, said
    assert json.loads(shown)["performance"]["cycles_per_frame"] <= 1500
    layers = [la for la in load(tmp_path / "out/network.json").layers if isinstance(la, Conv2d)]
    patterns = {layer.name: layer.pattern for layer in layers}
    known = {Pattern(), *(Pattern(select=KOutOfN(k, 16)) for k in (4, 2, 1))}
    assert set(patterns.values()) <= known and patterns["conv2"] != Pattern()
    for layer in layers:
        if layer.mask is not None:
            assert not any(layer.pattern.violations(layer.mask))


class _Interruption(Exception):
    pass


@pytest.mark.parametrize("method", ["dpp", "gdp", "particles"])
def test_an_interrupted_run_goes_on_with_identical_results(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = STEPS[method].replace("epochs = 2\n", "")
    path = _write(tmp_path, f'method = "{method}"\nepochs = 3\n{step}')
    assert _run("prune", path, "-o", tmp_path / "straight")[0] == 0
    original = trainer.fit

    def interrupted(*arguments: object, **settings: object) -> None:
        report = settings["progress"]

        def stop_in_the_second(progress: object) -> None:
            report(progress)  # type: ignore[operator]
            if progress.epoch == 2:  # type: ignore[attr-defined]
                raise _Interruption

        original(*arguments, **{**settings, "progress": stop_in_the_second})  # type: ignore[arg-type]

    with monkeypatch.context() as patched, pytest.raises(_Interruption):
        patched.setattr(trainer, "fit", interrupted)
        _run("prune", path, "-o", tmp_path / "resumed")
    assert any((tmp_path / "resumed/checkpoints").iterdir())
    assert _run("prune", path, "-o", tmp_path / "resumed")[0] == 0
    assert not any((tmp_path / "resumed/checkpoints").iterdir())
    for file in (tmp_path / "straight/prune").iterdir():
        if file.is_file():
            assert file.read_bytes() == (tmp_path / "resumed/prune" / file.name).read_bytes()


def test_options_replace_what_the_file_says(tmp_path: Path) -> None:
    path = _write(tmp_path, f'method = "dpp"\n{RULES}')
    arguments = ("prune", path, "-o", tmp_path / "out", "--method", "magnitude", "--epochs", 0)
    code, _, said = _run(*arguments, "--rule", "conv2=1:4", "--rule", "conv3=2:4")
    assert code == 0, said
    masks = MaskSet.load(tmp_path / "out/prune/masks.safetensors")
    assert {name: str(pattern) for name, pattern in masks.patterns.items()} == {
        "conv2.weight": "1-out-of-4",
        "conv3.weight": "2-out-of-4",
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--rule", "conv2=2:8"), "they need --method"),
        (("--method", "dpp", "--rule", "conv2"), "--rule needs LAYERS=K:N"),
        (("--method", "dpp", "--rule", "conv2=9:8"), "k-out-of-n needs k <= n, got k=9, n=8"),
        (("--method", "dpp", "--rule", "conv2=2:3"), "needs in_channels divisible by 3"),
        (("--method", "dpp", "--rule", "convx=2:4"), "rule 'convx' must name a layer"),
        (("--method", "nothing"), "method must be one of"),
        (("--method", "gdp", "--keep", "0.01"), "but with min_filters="),
    ],
)
def test_wrong_options_are_refused_before_training(
    arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    path = _write(tmp_path)
    code, _, said = _run("prune", path, "-o", tmp_path / "out", *arguments)
    assert code == 2
    assert message in " ".join(said.split())
    assert not (tmp_path / "out/train").exists()


def test_holding_out_all_images_is_refused(tmp_path: Path) -> None:
    path = _write(tmp_path, 'method = "lfe"\nepochs = 12\nimages = 1198\nkeep = 0.5\n')
    code, _, said = _run("prune", path, "-o", tmp_path / "out")
    assert code == 2 and "holds out 1198 training images" in " ".join(said.split())


def test_the_picture_shows_the_mask(tmp_path: Path) -> None:
    mask = np.zeros((4, 8, 1, 1), dtype=bool)
    mask[:, [0, 4]] = True
    draw_mask("conv", mask, Pattern(select=KOutOfN(1, 4)), tmp_path / "conv.png")
    pixels = np.asarray(Image.open(tmp_path / "conv.png").convert("RGB")).astype(int)
    colour = np.array([int(KEPT[i : i + 2], 16) for i in (1, 3, 5)])
    blue = (abs(pixels - colour).sum(2) < 12).sum(0)
    # Two of eight columns, and the bars under them.
    coloured = np.flatnonzero(blue > 0.3 * blue.max())
    stretches = np.split(coloured, np.flatnonzero(np.diff(coloured) > 20) + 1)
    assert len(stretches) == 2
    assert 3.5 < (stretches[1][0] - stretches[0][0]) / len(stretches[0]) < 4.5


def test_lowered_order_keeps_groups_of_channels_together() -> None:
    mask = np.zeros((2, 4, 2, 1), dtype=bool)
    mask[1, 2, 1, 0] = True
    assert mask_image(mask).nonzero()[0].tolist() == [1]
    assert mask_image(mask).nonzero()[1].tolist() == [4 + 2]
