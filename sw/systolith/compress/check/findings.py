"""What a check of a model finds: problems by step, and what each layer can become."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from systolith.foundation import ProblemCollector, ProblemsError
from systolith.network import IntegerNetwork, NetworkError, Shape
from systolith.prune import ChannelGroup, PruneError
from systolith.quant import QuantizedModel, UnsupportedModelError
from systolith.train import TrainingError

__all__ = ["CheckStep", "LayerCheck", "ModelCheck", "ModelProblem"]


class CheckStep(Enum):
    """The step that refuses."""

    MODEL = "model and data"
    TRAIN = "training"
    PRUNE = "pruning"
    QUANTIZE = "quantization"
    LOWER = "lowering"
    ENGINES = "engines"


_ERRORS: Mapping[CheckStep, type[ProblemsError]] = {
    CheckStep.MODEL: NetworkError,
    CheckStep.TRAIN: TrainingError,
    CheckStep.PRUNE: PruneError,
    CheckStep.QUANTIZE: UnsupportedModelError,
    CheckStep.LOWER: NetworkError,
}
"""What the steps themselves raise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelProblem:
    """One reason to refuse a model, or a warning.

    Attributes
    ----------
    step : CheckStep
        The step that would refuse.
    text : str
        What, the requirement, and what was given: the message of that step.
    layer : str
        Name of the layer in the model; empty if it concerns the whole model.
    remedy : str
        What to write instead; empty if there is no general advice.
    """

    step: CheckStep
    text: str
    layer: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.text}; {self.remedy}" if self.remedy else self.text

    def to_json(self) -> dict[str, str]:
        """Return plain values."""
        return {
            "step": self.step.value,
            "layer": self.layer,
            "text": self.text,
            "remedy": self.remedy,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCheck:
    """What one layer can become.

    Attributes
    ----------
    name : str
        In the model.
    kind : str
        Conv2d, Linear, addition, ...
    weights : Shape
        Shape of the weights; empty without weights.
    macs : int
        Multiplications with weights for one image.
    group_sizes : tuple of int
        Each n for which k-out-of-n patterns fit, for every k.
    removable : int
        Filters that can be removed.
    tied : tuple of str
        Other layers that lose the same filters.
    kept_reason : str
        Why filters have to stay; empty if all can leave.
    integer_name : str
        Name of the layer in the integer network; empty if there is no integer form.
    integer_form : str
        Weights and output of the integer layer, such as ``"int8 -> uint8 16x8x8"``.
    """

    name: str
    kind: str
    weights: Shape = ()
    macs: int = 0
    group_sizes: tuple[int, ...] = ()
    removable: int = 0
    tied: tuple[str, ...] = ()
    kept_reason: str = ""
    integer_name: str = ""
    integer_form: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCheck:
    """What training, pruning, quantization and lowering will refuse, and what they accept.

    Attributes
    ----------
    problems : tuple of ModelProblem
        Reasons to refuse; empty if everything is accepted.
    warnings : tuple of ModelProblem
        What may still turn out not to fit, and schedules that cannot finish.
    notes : tuple of str
        Parts of the model that are left out, and steps that could not be checked.
    layers : tuple of LayerCheck
        In the order in which the model calls them.
    groups : tuple of ChannelGroup
        Filters that can only be removed together.
    quantized : QuantizedModel or None
        The untrained quantized model; None if it was refused.
    network : IntegerNetwork or None
        Its integer form, with the patterns of the pruning methods if they are known.
    patterns_known : bool
        Whether `network` has the shapes and patterns of the trained network. It has not if filters
        will be removed, or patterns chosen for a budget.
    """

    problems: tuple[ModelProblem, ...] = ()
    warnings: tuple[ModelProblem, ...] = ()
    notes: tuple[str, ...] = ()
    layers: tuple[LayerCheck, ...] = ()
    groups: tuple[ChannelGroup, ...] = ()
    quantized: QuantizedModel | None = None
    network: IntegerNetwork | None = None
    patterns_known: bool = True

    @property
    def accepted(self) -> bool:
        """Whether nothing is refused."""
        return not self.problems

    def errors(self) -> Iterator[ProblemsError]:
        """Yield the errors that the steps would raise, one per step."""
        for step, error in _ERRORS.items():
            if texts := [str(problem) for problem in self.problems if problem.step is step]:
                yield error(texts)

    def raise_if_any(self) -> None:
        """Raise all problems in one error.

        Raises
        ------
        TrainingError, PruneError, UnsupportedModelError, NetworkError
            If one step refuses.
        UsageError
            If several do.
        """
        collector = ProblemCollector()
        collector.errors += self.errors()
        collector.raise_if_any()

    def to_json(self) -> dict[str, Any]:
        """Return the findings as plain values, without the networks."""
        return {
            "accepted": self.accepted,
            "problems": [problem.to_json() for problem in self.problems],
            "warnings": [problem.to_json() for problem in self.warnings],
            "notes": list(self.notes),
            "layers": [asdict(layer) for layer in self.layers],
        }
