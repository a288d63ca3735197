"""Random PyTorch programs through the PyTorch door; and doors that are broken on purpose."""

import operator
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, fx, nn

from systolith.fuzz import FindingKind, SeededChoices, search
from systolith.fuzz.programs import (
    Program,
    ProgramTarget,
    Statement,
    draw_program,
    judge_program,
)
from systolith.fuzz.programs.rounding import effect_of_rounding
from systolith.fuzz.programs.target import HOST_END
from systolith.quant import QuantConfig, QuantizedModel, prepare

SEED, DRAWS, CASES = 20262, 60, 24

Door = Callable[[nn.Module, Tensor, QuantConfig], QuantizedModel]


@pytest.fixture(scope="module")
def programs() -> list[Program]:
    return [draw_program(SeededChoices(f"{SEED}/{number}")) for number in range(DRAWS)]


def test_equal_seeds_draw_equal_programs(programs: list[Program]) -> None:
    again = [draw_program(SeededChoices(f"{SEED}/{number}")) for number in range(10)]
    assert [program.key for program in again] == [program.key for program in programs[:10]]
    assert len({program.key for program in programs}) == DRAWS


def test_a_saved_program_is_the_same_program(programs: list[Program], tmp_path: Path) -> None:
    for program in programs[:10]:
        program.save(tmp_path)
        assert Program.load(tmp_path).key == program.key
        assert "class Net(nn.Module)" in (tmp_path / "model.py").read_text()


def test_a_folder_that_holds_no_program_is_refused(tmp_path: Path) -> None:
    (tmp_path / "case.json").write_text('{"statements": []}')
    with pytest.raises(ValueError, match="does not hold a PyTorch program"):
        Program.load(tmp_path)


def test_programs_are_written_in_many_ways(programs: list[Program]) -> None:
    text = "\n".join(program.source.split("class Net")[1] for program in programs)
    ways = (".relu_()", "inplace=True", "add_(", " += ", "nn.Sequential", "Block(", "F.pad(")
    ways += (" *= ", ".mul", "ConvTranspose2d", ".mean((2, 3)", ".view(1, -1, 1, 1)")
    ways += ("flatten(", "groups=", "stride=", "BatchNorm2d", "self.training", "pool2d(")
    assert [way for way in ways if way not in text] == []


def test_a_smaller_program_keeps_the_weights_of_what_is_left() -> None:
    program = Program(
        modules={"conv": "nn.Conv2d(1, 2, 1)", "relu": "nn.ReLU()", "fc": "nn.Conv2d(2, 1, 1)"},
        statements=(
            Statement(text="self.conv({0})", reads=("x",), target="y"),
            Statement(text="self.relu({0})", reads=("y",), target="z"),
            Statement(text="self.fc({0})", reads=("z",), target="x"),
        ),
        input_shape=(1, 2, 2),
    )
    smaller = [each for each in program.simpler() if "relu" not in each.modules]
    (kept,) = [each for each in smaller if len(each.statements) == 2 and "fc" in each.modules]
    assert [statement.line for statement in kept.statements] == [
        "y = self.conv(x)",
        "x = self.fc(y)",
    ]
    state, other = program.model().state_dict(), kept.model().state_dict()
    assert all(torch.equal(state[name], value) for name, value in other.items())
    images = kept.images()
    assert kept.model()(images).shape == (len(images), 1, 2, 2)


@pytest.mark.filterwarnings("ignore")
def test_random_programs_are_equal_or_refused(programs: list[Program]) -> None:
    verdicts = {number: judge_program(program) for number, program in enumerate(programs[:CASES])}
    assert {n: each.findings for n, each in verdicts.items() if not each.passed} == {}
    accepted = [number for number, each in verdicts.items() if each.outcome == "accepted"]
    assert len(accepted) > CASES / 3, "a door that refuses most is hardly tested"


class _Difference(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x + 1.0) - 1.0


def _effect(images: Tensor, bits: int) -> float:
    (effect,) = effect_of_rounding(_Difference(), images, bits)
    return effect


def test_rounding_has_more_effect_on_small_differences_of_large_values() -> None:
    images = torch.linspace(-1, 1, 24).reshape(2, 3, 2, 2)
    large, small = images, images * 0.01
    effects = [_effect(each, 8) for each in (large, small)]
    assert 1 / 255 < effects[0] < 0.1 < 20 * effects[0] < effects[1]
    assert effects[0] == _effect(large, 8), "the noise has one seed"
    assert 100 * _effect(large, 16) < effects[0]


def _dead_code_removed(model: nn.Module, images: Tensor, config: QuantConfig) -> QuantizedModel:
    """Take statements whose value nobody uses for dead code, those in place as well."""
    traced = fx.symbolic_trace(model)
    traced.graph.eliminate_dead_code(
        is_impure_node=lambda node: node.op in ("placeholder", "output")
    )
    traced.recompile()
    return prepare(traced, images, config)


def _hooks_dropped(model: nn.Module, images: Tensor, config: QuantConfig) -> QuantizedModel:
    for module in model.modules():
        module._forward_hooks.clear()
        module._forward_pre_hooks.clear()
    return prepare(model, images, config)


def _ceil_mode_ignored(model: nn.Module, images: Tensor, config: QuantConfig) -> QuantizedModel:
    for module in model.modules():
        if isinstance(module, nn.MaxPool2d | nn.AvgPool2d):
            module.ceil_mode = False
    return prepare(model, images, config)


def _sums_doubled(model: nn.Module, images: Tensor, config: QuantConfig) -> QuantizedModel:
    """Take one operand of an addition for both."""
    traced = fx.symbolic_trace(model)
    for node in traced.graph.nodes:
        if node.target in (operator.add, torch.add) and len(node.all_input_nodes) == 2:
            node.args = (node.all_input_nodes[0], node.all_input_nodes[0])
    traced.recompile()
    return prepare(traced, images, config)


def _odd_biases(model: nn.Module, images: Tensor, config: QuantConfig) -> QuantizedModel:
    """Lose a twentieth of the last bias's range: far less than 8 bits would show."""
    quantized = prepare(model, images, config)
    for layer in quantized.layers.values():
        if isinstance(bias := getattr(layer, "bias", None), Tensor):
            bias.data[-1] += 0.15
    return quantized


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("door", "first"),
    [
        (_dead_code_removed, 41),
        (_sums_doubled, 4),
        (_odd_biases, 3),
        (_hooks_dropped, 24),
        (_ceil_mode_ignored, 59),
    ],
)
def test_a_broken_door_is_found_and_its_program_shrunk_kept_and_replayed(
    door: Door, first: int, tmp_path: Path
) -> None:
    target = ProgramTarget(door)
    result = search(target, 300, SEED, tmp_path, first=first, shrink_attempts=25, seconds=60)
    (failure,) = result.failures
    assert failure.verdict.kinds == {FindingKind.MISMATCH} and result.ended["wrong"] == 1
    drawn = draw_program(SeededChoices(f"{SEED}/{failure.number}"))
    kept = Program.load(failure.folder)
    assert len(kept.statements) <= len(drawn.statements)
    assert judge_program(kept, door) == failure.verdict
    assert judge_program(drawn).passed, "the door itself is as it must be"


def test_an_exception_is_a_finding() -> None:
    def broken(model: nn.Module, images: Tensor, config: QuantConfig) -> QuantizedModel:
        raise IndexError("no such thing")

    verdict = judge_program(draw_program(SeededChoices("0/0")), broken)
    assert verdict.findings == ((FindingKind.ERROR, "IndexError: no such thing"),)


@pytest.mark.parametrize(
    ("line", "whole"),
    [
        ("torch.sigmoid({0})", True),
        ("F.softmax({0}, dim=1)", True),
        ("F.log_softmax({0}, dim=1)", True),
        ("{0}.softmax(-1)", True),
        ("self.softmax2({0})", True),
        ("{0} * torch.sigmoid({0})", False),
        ("F.hardsigmoid({0})", False),
        ("torch.sigmoid({0}) + 1", False),
        ("{0}.mul(torch.sigmoid({0}))", False),
    ],
)
def test_only_a_whole_sigmoid_is_left_to_the_host(line: str, whole: bool) -> None:
    assert (HOST_END.fullmatch(line) is not None) == whole
