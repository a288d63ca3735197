"""Take a PyTorch program through the door, and compare what comes out with the program."""

from collections.abc import Callable, Iterator
from dataclasses import fields, replace

import numpy as np
import torch
from torch import Tensor, nn

from systolith.frontend import IntegerModel, lower
from systolith.fuzz.programs.program import Program
from systolith.fuzz.programs.running import images_of, model_of, runs
from systolith.fuzz.verdict import Kind, Verdict
from systolith.network import IntegerNetwork, NetworkError, trace
from systolith.quant import QuantConfig, QuantizedModel, prepare

__all__ = ["Door", "judge_program"]

Door = Callable[[nn.Module, Tensor, QuantConfig], QuantizedModel]
"""Quantizes a model with these images and widths."""

WIDE_BITS = 16
"""Of everything in the first run, so that rounding hides nothing: the contract allows them."""
TOLERANCE = 0.02
"""Of the range of the outputs: ten times what 16 bits are off by."""


NOT_RUN = "the program itself does not run"


def judge_program(program: Program, door: Door = prepare) -> Verdict:
    """Quantize a program's module, lower it and run it.

    With 16 bits the integers must stand for what the program computes. With the widths of its
    configuration, as well as with these, the golden arithmetic must give the values of the PyTorch
    model in integer mode, in every layer.

    Parameters
    ----------
    program : Program
    door : callable
        Quantizes; another one than :func:`systolith.quant.prepare` shows that faults are found.
    """
    if not runs(program):
        return Verdict(refusals=(NOT_RUN,))
    try:
        return Verdict(findings=tuple(_findings(program, door)))
    except NetworkError as error:
        return Verdict(refusals=tuple(error.problems))
    except Exception as error:  # whatever a random case brings to light is a finding
        return Verdict(findings=((Kind.ERROR, f"{type(error).__name__}: {error}"),))


def _findings(program: Program, door: Door) -> Iterator[tuple[Kind, str]]:
    images = images_of(program)
    logits = _logits(program)
    with torch.no_grad():
        wanted = model_of(logits)(images.clone())
    model = model_of(program)
    wide = door(model, images.clone(), _wide(program.signed))
    network = lower(wide)
    got = _real(wide, network, images)
    yield from _float_findings(got, wanted)
    yield from _integer_findings(wide, network, images)
    config = QuantConfig(input_signed=program.signed, **program.config)
    narrow = door(model_of(program), images.clone(), config)
    yield from _integer_findings(narrow, lower(narrow), images)
    yield from _unchanged(model, program)


def _logits(program: Program) -> Program:
    """Leave out a softmax at the end, as a door may: it does not change the predicted class."""
    if program.statements and "softmax" in (last := program.statements[-1]).line.lower():
        return replace(program, statements=program.statements[:-1], result=last.reads[0])
    return program


def _wide(signed: bool) -> QuantConfig:
    """Beyond what a user may ask for, whose limit is what training and files allow."""
    config = QuantConfig(input_signed=signed)
    for each in fields(config):
        if each.name in ("weight_bits", "act_bits", "input_bits", "output_bits"):
            object.__setattr__(config, each.name, WIDE_BITS)
    return config


def _real(model: QuantizedModel, network: IntegerNetwork, images: Tensor) -> Tensor:
    """What the integers that leave the network stand for."""
    integers = IntegerModel(model).quantize_input(images)
    (name,) = network.outputs
    step = float(model.quantizer(name).step.detach())
    return torch.from_numpy(trace(network, integers)[name] * step)


def _float_findings(got: Tensor, wanted: Tensor) -> Iterator[tuple[Kind, str]]:
    if got.shape != wanted.shape:
        yield (
            Kind.MISMATCH,
            f"the model gives {tuple(wanted.shape)}, the network {tuple(got.shape)}",
        )
        return
    off = float((got - wanted).abs().max() / wanted.abs().max())
    if not off <= TOLERANCE:
        yield (
            Kind.MISMATCH,
            f"{WIDE_BITS}-bit outputs are off by {off:.3f} of the range of the model's",
        )


def _integer_findings(
    model: QuantizedModel, network: IntegerNetwork, images: Tensor
) -> Iterator[tuple[Kind, str]]:
    reference = IntegerModel(model)
    integers = reference.quantize_input(images)
    golden = trace(network, integers)
    for name, values in reference.trace(integers).items():
        if name in golden and not np.array_equal(golden[name], values):
            wrong = int((golden[name] != values).sum())
            where = f"layer '{name}': {wrong} of {values.size} values"
            yield Kind.MISMATCH, f"{where} of PyTorch in integer mode and golden arithmetic differ"
            return


def _unchanged(model: nn.Module, program: Program) -> Iterator[tuple[Kind, str]]:
    """The user's model is left as it is."""
    state, other = model.state_dict(), model_of(program).state_dict()
    changed = [
        name
        for name, value in other.items()
        if name not in state or not torch.equal(state[name], value)
    ]
    if changed or len(state) != len(other):
        yield Kind.MISMATCH, f"preparing changed the user's model: {', '.join(changed)}"
