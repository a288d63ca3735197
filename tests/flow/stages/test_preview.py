"""The check before training refuses exactly what the whole path refuses, all of it at once."""

import warnings
from collections.abc import Sequence

import pytest
import torch

from systolith.compress import (
    DPPPruning,
    MagnitudePruning,
    Pruning,
    SPPPruning,
    SRSTEPruning,
    Trainer,
    check_model,
    prune_model,
    quantize_model,
)
from systolith.config import BuildSection, HardwareSection
from systolith.data import Dataset
from systolith.foundation import ProblemsError
from systolith.frontend import lower
from systolith.fuzz import SeededChoices
from systolith.fuzz.programs import Program, draw_program
from systolith.network import Granularity, KOutOfN, Pattern, PerNeuron
from systolith.plan import PlanError
from systolith.prune import prunable_layers
from systolith.quant import QuantConfig
from systolith.stages.hardware.engines import judge_untrained, plan_engines
from systolith.train import Recipe

BUILD = BuildSection()
UNTRAINED = Recipe(float_epochs=0, prune_epochs=0, quantize_epochs=0)


def _trainer(program: Program) -> Trainer:
    images = program.images()
    labels = torch.zeros(len(images), dtype=torch.int64)
    data = Dataset(
        name="drawn",
        train_images=images,
        train_labels=labels,
        test_images=images,
        test_labels=labels,
    )
    return Trainer(data=data, recipe=UNTRAINED)


def _draw_prunings(choices: SeededChoices, program: Program) -> Sequence[Pruning]:
    """Draw a method and rules. Some rules fit no layer."""
    layers = prunable_layers(program.model())
    if not layers or choices.chance(25):
        return ()
    rules = []
    for _ in range(choices.integer(1, 2)):
        name = choices.one_of([*layers])
        filters, channels = layers[name].weight.shape[:2]
        shared_by = choices.one_of([1, 1, 2 if filters % 2 == 0 else 1, 2])
        n = choices.one_of(
            [n for n in range(1, 5) if choices.chance(10) or channels % n == 0] or [3]
        )
        k = choices.integer(1, n)
        kind = choices.one_of(list(Granularity))
        select = KOutOfN(k, n, kind, shared_by)
        if choices.chance(15):
            select = PerNeuron(choices.integer(1, 12), shared_by)
        rules.append((".*" if choices.chance(10) else name, Pattern(select=select)))
    joint = choices.chance(30)
    return [
        choices.one_of(
            [
                MagnitudePruning(patterns=rules),
                SRSTEPruning(patterns=rules, joint=joint),
                DPPPruning(patterns=rules, joint=joint),
                SPPPruning(patterns=rules),
            ]
        )
    ]


def _refusals(
    program: Program, prunings: Sequence[Pruning], bits: QuantConfig, hardware: HardwareSection
) -> Sequence[str]:
    """Go the whole way, without epochs of training; return what the first refusing step says."""
    trainer = _trainer(program)
    try:
        pruned = prune_model(program.model(), trainer, prunings)
        network = lower(quantize_model(pruned, trainer, bits, prunings=prunings))
        plan_engines(network, hardware, BUILD)
    except ProblemsError as error:
        return error.problems
    return ()


def _foreseen(
    program: Program, prunings: Sequence[Pruning], bits: QuantConfig, hardware: HardwareSection
) -> list[str]:
    trainer = _trainer(program)
    check = check_model(program.model(), program.images(), prunings, bits, trainer=trainer)
    texts = [problem.text for problem in check.problems]
    if check.network is not None:
        changes = not check.patterns_known
        try:
            judge_untrained(check.network, hardware, BUILD, will_change=changes)
        except PlanError as error:
            texts += error.problems
    return texts


def _compare(seed: int) -> tuple[Sequence[str], list[str]]:
    choices = SeededChoices(f"check {seed}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = draw_program(choices)
        while len(program.input_shape) != 3:
            program = draw_program(choices)
        prunings = _draw_prunings(choices, program)
        bits = QuantConfig(input_signed=program.signed, **program.config)
        hardware = HardwareSection(multipliers=choices.integer(2, 40))
        refused = _refusals(program, prunings, bits, hardware)
        foreseen = _foreseen(program, prunings, bits, hardware)
    return refused, foreseen


@pytest.mark.parametrize("first", range(0, 40, 20))
def test_random_models_are_refused_if_and_only_if_the_whole_path_refuses_them(first: int) -> None:
    outcomes = set()
    for seed in range(first, first + 20):
        refused, foreseen = _compare(seed)
        assert bool(refused) == bool(foreseen), (seed, refused, foreseen)
        assert set(refused) <= set(foreseen), (seed, refused, foreseen)
        outcomes.add(bool(refused))
    assert outcomes == {True, False}
