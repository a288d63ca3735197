"""From an experiment file to models, data sets, recipes and bit widths."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from systolith.config import DataSection, Experiment, ModelSection, TrainSection
from systolith.data import (
    COLOURS,
    Augment,
    Cutout,
    Dataset,
    MixingAugment,
    MixUp,
    TargetKind,
    combine_augments,
    crop_and_flip,
    load_arrays,
    load_cifar10,
    load_digits,
    load_fashion_mnist,
    load_image_folder,
    load_mnist,
    shift_images,
)
from systolith.foundation import UsageError
from systolith.models import (
    DSCNN,
    CifarVGG,
    DigitsCNN,
    JetMLP,
    LeNet5,
    LeNet300_100,
    MobileNetV1,
    MobileNetV2,
    ResNet8,
    SmallSqueezeNet,
    TinyResNet,
    load_weights,
    resnet20,
    resnet56,
    resnet110,
)
from systolith.quant import LayerBits, PostTraining, QuantConfig, WeightRounding
from systolith.stages.keys import call_seeded, find_callable
from systolith.train import (
    Algorithm,
    CrossEntropy,
    DenseTeacher,
    Normalized,
    Precision,
    Recipe,
    Teacher,
    TrainingObjective,
)

__all__ = [
    "AUGMENTS",
    "INPUT_SHAPES",
    "MODELS",
    "check_factory",
    "is_bundled_data",
    "make_bits",
    "make_data",
    "make_model",
    "make_post_training",
    "make_recipe",
    "make_teacher",
]

MODELS: Mapping[str, Callable[[int], nn.Module]] = {
    "digits_cnn": lambda seed: DigitsCNN(seed=seed),
    "ds_cnn": lambda seed: DSCNN(seed=seed),
    "jet_mlp": lambda seed: JetMLP(seed=seed),
    "lenet300_100": lambda seed: LeNet300_100(seed=seed),
    "lenet5": lambda seed: LeNet5(seed=seed),
    "mobilenet_v1": lambda seed: MobileNetV1(seed=seed),
    "mobilenet_v2": lambda seed: MobileNetV2(seed=seed),
    "resnet8": lambda seed: ResNet8(seed=seed),
    "resnet20": lambda seed: resnet20(seed=seed),
    "resnet56": lambda seed: resnet56(seed=seed),
    "resnet110": lambda seed: resnet110(seed=seed),
    "squeezenet": lambda seed: SmallSqueezeNet(seed=seed),
    "tiny_resnet": lambda seed: TinyResNet(seed=seed),
    "vgg": lambda seed: CifarVGG(seed=seed),
}
INPUT_SHAPES: Mapping[str, tuple[int, int, int]] = {
    "digits_cnn": (1, 8, 8),
    "ds_cnn": (1, 49, 10),
    "jet_mlp": (16, 1, 1),
    "lenet300_100": (1, 28, 28),
    "lenet5": (1, 28, 28),
    "mobilenet_v1": (3, 96, 96),
    "mobilenet_v2": (3, 64, 64),
    "resnet8": (3, 32, 32),
    "resnet20": (3, 32, 32),
    "resnet56": (3, 32, 32),
    "resnet110": (3, 32, 32),
    "squeezenet": (3, 32, 32),
    "tiny_resnet": (1, 8, 8),
    "vgg": (3, 32, 32),
}
"""Shape (C, H, W) of the images of each of :data:`MODELS`."""
BUNDLED: Mapping[str, Callable[[int], Dataset]] = {"digits": load_digits}
ARRAYS = "arrays"
"""Name of the data set whose targets may be of any kind."""
FROM_FILES: Mapping[str, Callable[[Path, bool, int], Dataset]] = {
    ARRAYS: lambda path, normalize, seed: load_arrays(path, normalize=normalize),
    "cifar10": lambda path, normalize, seed: load_cifar10(path, normalize=normalize),
    "fashion_mnist": lambda path, normalize, seed: load_fashion_mnist(path, normalize=normalize),
    "images": lambda path, normalize, seed: load_image_folder(path, seed=seed),
    "mnist": lambda path, normalize, seed: load_mnist(path, normalize=normalize),
}
AUGMENTS: Mapping[str, Augment | MixingAugment] = {
    "shift": shift_images,
    "crop-flip": crop_and_flip,
    "cutout": Cutout(),
    "mixup": MixUp(),
}
"""By name; "none" is no augmentation."""
OBJECTIVES: Mapping[str, Callable[[], TrainingObjective]] = {
    "squared-error": nn.MSELoss,
    "absolute-error": nn.L1Loss,
    "huber": nn.HuberLoss,
}
"""Losses of values, by name."""

TEACHER = "train.teacher"


def make_model(section: ModelSection, seed: int, folder: Path, name: str = "model") -> nn.Module:
    """Make an untrained model, or load the weights that the section names into it.

    Parameters
    ----------
    section : ModelSection
        Its factory is the name of an example network, or ``module:callable``, which is called
        without arguments.
    seed : int
        Seed of the initial weights.
    folder : Path
        Folder in which modules and weights are searched.
    name : str
        Name of the section in messages.

    Raises
    ------
    UsageError
        If the factory is unknown or makes something else, or if the weights do not fit the model.
    """
    factory = section.factory
    if factory in MODELS:
        model = MODELS[factory](seed)
    else:
        made = find_callable(factory, f"{name}.factory", MODELS, folder)
        model = call_seeded(made, seed, f"{name}.factory '{factory}'", folder)
    if not isinstance(model, nn.Module):
        raise UsageError(
            f"{name}.factory '{factory}' must make an nn.Module, got {type(model).__name__}"
        )
    if section.weights is not None:
        try:
            load_weights(model, folder / section.weights, input_scale=section.input_scale)
        except ValueError as error:
            raise UsageError(f"{name}.{error}") from error
    return model


def is_bundled_data(factory: str) -> bool:
    """Whether systolith provides this data set."""
    return factory in BUNDLED or factory in FROM_FILES


def check_factory(factory: str, section: str, folder: Path) -> None:
    """Raise UsageError unless a factory is known or can be imported."""
    known = MODELS if section == "model" else {**BUNDLED, **FROM_FILES}
    if factory not in known:
        find_callable(factory, f"{section}.factory", known, folder)


def make_data(section: DataSection, seed: int, folder: Path) -> Dataset:
    """Load a data set, as :func:`make_model`; the seed decides which images are held out.

    Any data set becomes that of an autoencoder if the section says so.
    """
    data = _load_data(section, seed, folder)
    kind = data.target if section.targets is None else TargetKind(section.targets)
    if kind is data.target:
        return data
    if kind is TargetKind.INPUT:
        return data.to_reconstruct()
    raise UsageError(
        f"data.targets = '{kind.value}', but targets of data set '{data.name}' are of kind "
        f"'{data.target.value}'; a data set of your own says what they are by Dataset.target"
    )


def _load_data(section: DataSection, seed: int, folder: Path) -> Dataset:
    factory = section.factory
    try:
        if factory in BUNDLED:
            return BUNDLED[factory](seed)
        if factory in FROM_FILES:
            if section.path is None:
                raise UsageError(f"data.factory '{factory}' needs data.path, its file or folder")
            if factory == ARRAYS and section.targets is not None:
                kind = TargetKind(section.targets)
                return load_arrays(folder / section.path, normalize=section.normalize, target=kind)
            return FROM_FILES[factory](folder / section.path, section.normalize, seed)
    except UsageError:
        raise
    except (OSError, ValueError) as error:
        raise UsageError(f"data.path: {error}") from error
    made = find_callable(factory, "data.factory", {**BUNDLED, **FROM_FILES}, folder)
    data = call_seeded(made, seed, f"data.factory '{factory}'", folder)
    if not isinstance(data, Dataset):
        raise UsageError(
            f"data.factory '{factory}' must make a systolith.data.Dataset, "
            f"got {type(data).__name__}"
        )
    return data


def make_recipe(experiment: Experiment) -> Recipe:
    """Translate [train] without the teacher, the augmentation of [data], and the seed."""
    section = experiment.train
    return Recipe(
        float_epochs=section.float_epochs,
        prune_epochs=section.prune_epochs,
        quantize_epochs=section.quantize_epochs,
        learning_rate=section.learning_rate,
        batch_size=section.batch_size,
        weight_decay=section.weight_decay,
        algorithm=Algorithm(section.algorithm),
        precision=Precision(section.precision),
        augment=combine_augments([AUGMENTS[n] for n in experiment.data.augment if n in AUGMENTS]),
        warmup=section.warmup,
        clip_norm=section.clip_norm,
        objective=_make_objective(section),
        ema=section.ema,
        seed=experiment.seed,
        device=section.device,
    )


def _make_objective(section: TrainSection) -> TrainingObjective | None:
    """Return the loss; None for the default of the targets, without label smoothing."""
    if section.label_smoothing or section.objective == "cross-entropy":
        return CrossEntropy(label_smoothing=section.label_smoothing)
    return None if section.objective is None else OBJECTIVES[section.objective]()


def make_post_training(experiment: Experiment) -> PostTraining:
    """Translate rounding and bias correction of [quantize]; both depend on quantize_epochs."""
    section, untrained = experiment.quantize, experiment.train.quantize_epochs == 0
    rounding = section.rounding or ("reconstructed" if untrained else "nearest")
    correction = section.bias_correction
    return PostTraining(
        rounding=WeightRounding(rounding),
        bias_correction=untrained if correction is None else correction,
    )


def make_teacher(
    experiment: Experiment, data: Dataset, folder: Path
) -> Teacher | DenseTeacher | None:
    """Translate [train.teacher].

    Raises
    ------
    UsageError
        As :func:`make_model`; if a known network has no trained weights; or if the teacher's images
        are normalized by colours that nobody knows.
    """
    section = experiment.train.teacher
    if section is None:
        return None
    settings: dict[str, Any] = {
        "weight": section.weight,
        "temperature": section.temperature,
        "cache": None if section.cache is None else folder / section.cache,
    }
    if section.is_dense:
        return DenseTeacher(**settings)
    if section.factory in MODELS and section.weights is None:
        raise UsageError(
            f"{TEACHER}.factory '{section.factory}' needs {TEACHER}.weights: a teacher is trained"
        )
    model = make_model(section, experiment.seed, folder, TEACHER)
    given = data.mean is not None
    if section.normalize in (None, given):
        return Teacher(model, **settings)
    if data.mean is not None and data.deviation is not None:
        undone = [
            -mean / deviation for mean, deviation in zip(data.mean, data.deviation, strict=True)
        ]
        inverse = tuple(1 / deviation for deviation in data.deviation)
        return Teacher(Normalized(model, tuple(undone), inverse), **settings)
    colours = COLOURS.get(experiment.data.factory)
    if colours is None:
        raise UsageError(
            f"{TEACHER}.normalize = true needs data.normalize = true, or one of the data sets "
            f"{', '.join(COLOURS)}, got '{experiment.data.factory}'"
        )
    return Teacher(Normalized(model, colours.mean, colours.deviation), **settings)


def make_bits(experiment: Experiment, *images: Tensor) -> QuantConfig:
    """Translate [quantize].

    Parameters
    ----------
    experiment : Experiment
    *images : Tensor
        Inputs of the network. Unless [quantize] says whether they are signed, they are if any pixel
        is negative.
    """
    section = experiment.quantize
    signed = section.input_signed
    if signed is None:
        signed = any(bool((part < 0).any()) for part in images)
    layers = {
        name: LayerBits(
            weight_bits=bits.weight_bits, act_bits=bits.act_bits, narrow_range=bits.narrow_range
        )
        for name, bits in section.layers.items()
    }
    return QuantConfig(
        weight_bits=section.weight_bits,
        act_bits=section.act_bits,
        narrow_range=section.narrow_range,
        layers=layers,
        input_signed=signed,
    )
