"""The sections of an experiment file about the model, the images and training."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from systolith.config.section import Count, Positive, Section, Share

__all__ = ["AugmentName", "DataSection", "ModelSection", "TeacherSection", "TrainSection"]

Epochs = Annotated[int, Field(ge=0)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
AugmentName = Literal["none", "shift", "crop-flip", "cutout", "mixup"]
DENSE = "dense"


class ModelSection(Section):
    """The model.

    `factory` is the name of an example network, or your own ``module:callable``, which is called
    without arguments and returns an ``nn.Module``.
    """

    factory: str
    weights: str | None = None
    """State dict to start from, relative to the experiment file: safetensors, .pt or .pth."""
    input_scale: Positive = 1.0
    """Scale of the images that the weights were trained on: 255 for pixels 0..255."""


class DataSection(Section):
    """The images: the name of a data set, or ``module:callable`` that returns a Dataset."""

    factory: str
    path: str | None = None
    """File or folder of a data set that is not bundled, relative to the experiment file."""
    normalize: bool = False
    """Whether to subtract the mean colour and divide by the deviation, if the data set has them."""
    targets: Literal["classes", "pixel-classes", "values", "input"] | None = None
    """What the network learns to give: see :class:`systolith.data.TargetKind`; None: what the data
    set says, which is classes for those with names."""
    augment: Annotated[tuple[AugmentName, ...], Field(strict=False)] = ("none",)
    """Random changes of training images, one after the other; a single name is a list of one."""

    @field_validator("augment", mode="before")
    @classmethod
    def _list_names(cls, given: Any) -> Any:
        return [given] if isinstance(given, str) else given


class TeacherSection(ModelSection):
    """A trained network whose outputs are learned besides the labels.

    `factory` and `weights` are those of a model; "dense" is the network itself after its float
    training, which teaches pruning and quantization.
    """

    normalize: bool | None = None
    """Whether it was trained on normalized images; None: as `normalize` of the data."""
    weight: Share = 0.9
    """Share of the teacher in the loss."""
    temperature: Positive = 4.0
    cache: str | None = None
    """Folder that keeps the teacher's outputs for later runs; None keeps them in memory."""

    @property
    def is_dense(self) -> bool:
        """Whether the network itself is the teacher."""
        return self.factory == DENSE

    @model_validator(mode="after")
    def _check_dense(self) -> "TeacherSection":
        own = {
            "weights": self.weights is not None,
            "input_scale": self.input_scale != 1,
            "normalize": self.normalize is not None,
        }
        if self.is_dense and (given := [name for name, is_given in own.items() if is_given]):
            raise ValueError(
                f"the teacher 'dense' is the network itself, without {', '.join(given)} of its own"
            )
        return self


class TrainSection(Section):
    """Epochs and hyperparameters of training.

    `threads` is fixed, so that results depend on the machine as little as possible. One thread is
    fastest for small networks; raise it for large ones.
    """

    float_epochs: Epochs = 30
    prune_epochs: Epochs = 20
    quantize_epochs: Epochs = 10
    batch_size: Count = 64
    learning_rate: Positive = 3e-3
    warmup: BelowOne = 0.0
    """Share of the steps of each phase in which the learning rate rises from zero."""
    weight_decay: Annotated[float, Field(ge=0)] = 1e-3
    clip_norm: Positive | None = None
    """Largest norm of the gradient of all weights together."""
    algorithm: Literal["adamw", "sgd"] = "adamw"
    precision: Literal["float32", "bfloat16"] = "float32"
    device: Literal["auto", "cpu", "cuda", "mps"] = "cpu"
    """Where models are trained and pruned; "auto" is the first GPU if there is one."""
    threads: Count = 1
    objective: Literal["cross-entropy", "squared-error", "absolute-error", "huber"] | None = None
    """The loss; None: cross entropy of classes, squared error of values and of the input."""
    label_smoothing: BelowOne = 0.0
    """Share of each label that is spread over all classes."""
    ema: BelowOne | None = None
    """Decay of a moving average of the weights, with which each phase ends."""
    teacher: TeacherSection | None = None
    """A name alone, such as "dense", is a section with this factory."""

    @model_validator(mode="after")
    def _check_smoothing(self) -> "TrainSection":
        if self.label_smoothing and self.objective not in (None, "cross-entropy"):
            raise ValueError(
                f"label_smoothing is of cross entropy, but the objective is '{self.objective}'"
            )
        return self

    @field_validator("teacher", mode="before")
    @classmethod
    def _name_factory(cls, given: Any) -> Any:
        return {"factory": given} if isinstance(given, str) else given
