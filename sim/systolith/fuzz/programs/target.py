"""Fuzz the reader of PyTorch models: draw, judge and shrink programs."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from systolith.frontend import IntegerModel, lower
from systolith.fuzz.choices import Choices
from systolith.fuzz.programs.drawing import draw_program
from systolith.fuzz.programs.program import Program
from systolith.fuzz.programs.rounding import effect_of_rounding
from systolith.fuzz.shrink import remove_parts
from systolith.fuzz.target import FindingKind, Verdict, suppress_warnings
from systolith.network import IntegerNetwork, NetworkError, trace
from systolith.quant import QuantConfig, QuantizedModel, QuantTable, prepare

__all__ = ["PrepareFunction", "ProgramTarget", "judge_program"]

PrepareFunction = Callable[[nn.Module, Tensor, QuantConfig], QuantizedModel]
"""Quantizes a model with images and bit widths, like :func:`systolith.quant.prepare`."""

WIDE_BITS = 16
"""Bit width of all tensors in the first run, so that rounding hides no error."""
TABLE_BITS = 8
"""The most bits that a table reads."""
TOLERANCE, TABLE_TOLERANCE = 0.02, 0.2
"""Least tolerance of an error relative to the range of an output: ten times what 16 bits usually
make, and what 8 bits make in programs with tables, whose quantizers also clip the largest values.
"""
HOST_END = re.compile(
    r"((F|torch)\.(softmax|log_softmax|sigmoid|argmax)|self\.(softmax|sigmoid)\d*)"
    r"\(\{0\}(, *(dim=)?-?\d)?\)"
    r"|\{0\}\.(softmax|log_softmax|sigmoid|argmax)\(((dim=)?-?\d)?\)"
)
"""A softmax, sigmoid or argmax that is the whole statement."""
NOT_RUN = "the program itself does not run"


@dataclass(frozen=True, slots=True)
class ProgramTarget:
    """Fuzz the way from a PyTorch model to the golden arithmetic.

    Attributes
    ----------
    door : callable
        Quantizes a model. A function with a fault tests that fuzzing finds it.
    """

    door: PrepareFunction = prepare

    settings: dict[str, int] = field(default_factory=dict)

    def require(self) -> None:
        """Do nothing: no tools are needed."""

    def draw(self, choices: Choices) -> Program:
        """Draw a program."""
        with suppress_warnings():
            return draw_program(choices)

    def judge(self, case: Program, workdir: Path) -> Verdict:
        """Quantize and compare; see :func:`judge_program`."""
        with suppress_warnings():
            return judge_program(case, self.door)

    def shrink(
        self,
        case: Program,
        verdict: Verdict,
        made: Sequence[int],
        judge: Callable[[Program], Verdict],
        attempts: int,
    ) -> tuple[Program, Verdict]:
        """Remove statements."""
        return remove_parts(case, verdict, judge, attempts=attempts)

    def load(self, folder: Path) -> Program:
        """Read a saved program."""
        return Program.load(folder)

    def contents(self, case: Program) -> Iterator[str]:
        """List the features of a program."""
        yield from case.contents()


def judge_program(program: Program, door: PrepareFunction = prepare) -> Verdict:
    """Quantize the model of a program, lower it and run it.

    With 16 bits, or 8 if there are tables, the real values of the integers must be as close to the
    outputs of the model as :func:`effect_of_rounding` says. With these bits and with the program's
    own, the golden arithmetic must equal the PyTorch model in integer mode, in every layer.

    Parameters
    ----------
    program : Program
    door : callable
        Quantizes the model.
    """
    if not program.runs():
        return Verdict(refusals=(NOT_RUN,))
    try:
        return Verdict(findings=tuple(_findings(program, door)))
    except NetworkError as error:
        return Verdict(refusals=tuple(error.problems))
    except Exception as error:  # any exception of a random case is a finding
        return Verdict(findings=((FindingKind.ERROR, f"{type(error).__name__}: {error}"),))


def _findings(program: Program, door: PrepareFunction) -> Iterator[tuple[FindingKind, str]]:
    images = program.images()
    logits = _logits(program)
    with torch.no_grad():
        wanted = tree_leaves(logits.model()(images.clone()))
    model = program.model()
    wide = door(model, images.clone(), _wide(program.signed))
    tables = any(isinstance(layer, QuantTable) for _, layer in wide.named_layers())
    if tables:
        wide = door(program.model(), images.clone(), _wide(program.signed, TABLE_BITS))
    network = lower(wide)
    least = TABLE_TOLERANCE if tables else TOLERANCE
    effects = effect_of_rounding(logits.model(), images, TABLE_BITS if tables else WIDE_BITS)
    outputs = zip(_real(wide, network, images), wanted, effects, strict=True)
    for output, (got, exact, effect) in enumerate(outputs):
        yield from _float_findings(output, got, exact, max(least, effect))
    yield from _integer_findings(wide, network, images)
    config = QuantConfig(input_signed=program.signed, **program.config)
    narrow = door(program.model(), images.clone(), config)
    yield from _integer_findings(narrow, lower(narrow), images)
    yield from _unchanged(model, program)


def _logits(program: Program) -> Program:
    """Remove a final softmax, sigmoid or argmax, which systolith may leave to the host."""
    last = program.statements[-1] if program.statements else None
    if last is not None and HOST_END.fullmatch(last.text):
        return replace(program, statements=program.statements[:-1], result=last.reads[0])
    return program


def _wide(signed: bool, bits: int = WIDE_BITS) -> QuantConfig:
    """Return a configuration with these bits, which may be more than users can request."""
    config = QuantConfig(input_signed=signed)
    for item in fields(config):
        if item.name in ("weight_bits", "act_bits", "input_bits", "output_bits"):
            object.__setattr__(config, item.name, bits)
    return config


def _real(model: QuantizedModel, network: IntegerNetwork, images: Tensor) -> list[Tensor]:
    """Return the real values of what the model returns."""
    golden = trace(network, IntegerModel(model).quantize_input(images))
    values = {
        name: torch.from_numpy(golden[name] * float(model.quantizer(name).step.detach()))
        for name in network.outputs
    }
    return list(tree_leaves(model.returned.arrange(values)))


def _float_findings(
    output: int, got: Tensor, wanted: Tensor, tolerance: float
) -> Iterator[tuple[FindingKind, str]]:
    if got.shape != wanted.shape:
        yield (
            FindingKind.MISMATCH,
            f"output {output}: the model gives {tuple(wanted.shape)}, not {tuple(got.shape)}",
        )
        return
    off = float((got - wanted).abs().max() / wanted.abs().max())
    if not off <= tolerance:
        yield (
            FindingKind.MISMATCH,
            f"output {output} of the first run is off by {off:.3f} of the range of the model's",
        )


def _integer_findings(
    model: QuantizedModel, network: IntegerNetwork, images: Tensor
) -> Iterator[tuple[FindingKind, str]]:
    reference = IntegerModel(model)
    integers = reference.quantize_input(images)
    golden = trace(network, integers)
    for name, values in reference.trace(integers).items():
        if name in golden and not np.array_equal(golden[name], values):
            wrong = int((golden[name] != values).sum())
            where = f"layer '{name}': {wrong} of {values.size} values"
            yield (
                FindingKind.MISMATCH,
                f"{where} of PyTorch in integer mode and golden arithmetic differ",
            )
            return


def _unchanged(model: nn.Module, program: Program) -> Iterator[tuple[FindingKind, str]]:
    """Check that quantization left the user's model unchanged."""
    state, other = model.state_dict(), program.model().state_dict()
    changed = [
        name
        for name, value in other.items()
        if name not in state or not torch.equal(state[name], value)
    ]
    if changed or len(state) != len(other):
        yield FindingKind.MISMATCH, f"preparing changed the user's model: {', '.join(changed)}"
