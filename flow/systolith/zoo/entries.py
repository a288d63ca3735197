"""The networks of the zoo: one entry each. Models are named, so that listing them is quick."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from importlib import import_module
from typing import Any

from systolith.foundation import UsageError

__all__ = ["ZOO", "Door", "ZooEntry", "find_entry"]

TINY = "Banbury et al.: MLPerf Tiny benchmark (2021)"


class Door(Enum):
    """The way by which a network becomes an integer network."""

    PYTORCH = "PyTorch"
    ONNX = "ONNX, quantized by ONNX Runtime"


@dataclass(frozen=True, slots=True, kw_only=True)
class ZooEntry:
    """A network of the zoo.

    Parameters
    ----------
    name : str
        Name on the command line.
    model : str
        Name in :mod:`systolith.models`. It is called with a seed.
    shape : tuple of int
        Shape of one input.
    task : str
        What the network is for.
    source : str
        Paper or repository of the structure.
    arguments : mapping
        Arguments of the model besides its seed.
    weight_bits : int
        Bits of the weights.
    door : Door
        Door that it goes through.
    targets : str
        What it learns to give, as ``data.targets`` of an experiment file; empty if training here
        has no loss for its outputs.
    classes : int
        Classes of images or pixels; 0 if its outputs are no classes.
    epochs : int
        Epochs of training on the bundled digits; 0: random weights.
    trained : str
        Name of the trained network of this structure among ``benchmarks/engine/networks``, if there
        is one.
    """

    name: str
    model: str
    shape: tuple[int, ...]
    task: str
    source: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    weight_bits: int = 8
    door: Door = Door.PYTORCH
    targets: str = "classes"
    classes: int = 0
    epochs: int = 0
    trained: str = ""

    def make_model(self, seed: int = 0) -> Any:
        """Make the untrained ``nn.Module``."""
        return getattr(import_module("systolith.models"), self.model)(seed=seed, **self.arguments)

    @property
    def trains_on(self) -> str:
        """Name of the bundled data set that it is trained on; empty if there is none."""
        return "digits" if self.epochs else ""

    @property
    def size(self) -> str:
        """Shape of the input in words, such as 3x32x32."""
        return "x".join(map(str, self.shape))


def _zoo(*entries: ZooEntry) -> Mapping[str, ZooEntry]:
    return {entry.name: entry for entry in entries}


ZOO = _zoo(
    ZooEntry(
        name="autoencoder",
        model="DenseAutoencoder",
        shape=(640,),
        targets="input",
        task="anomalies in machine sounds",
        source=TINY,
    ),
    ZooEntry(
        name="digits_cnn",
        model="DigitsCNN",
        shape=(1, 8, 8),
        classes=10,
        task="handwritten digits",
        source="systolith's demo",
        epochs=10,
    ),
    ZooEntry(
        name="ds_cnn",
        model="DSCNN",
        shape=(1, 49, 10),
        classes=12,
        task="keywords",
        source=TINY,
    ),
    ZooEntry(
        name="ecg",
        model="HeartbeatNet",
        shape=(1, 187),
        classes=5,
        task="heartbeats",
        source="Kachuee et al.: ECG heartbeat classification (2018)",
    ),
    ZooEntry(
        name="espcn",
        model="ESPCN",
        shape=(1, 12, 12),
        targets="values",
        task="super-resolution by 3",
        source="Shi et al.: ESPCN (2016)",
    ),
    ZooEntry(
        name="jet_mlp",
        model="JetMLP",
        shape=(16,),
        classes=5,
        task="jets of particles",
        source="Duarte et al.: hls4ml (2018)",
    ),
    ZooEntry(
        name="mobilenet_v1",
        model="MobileNetV1",
        shape=(3, 96, 96),
        classes=2,
        task="visual wake words",
        source=TINY,
    ),
    ZooEntry(
        name="mobilenet_v2",
        model="MobileNetV2",
        shape=(3, 64, 64),
        classes=10,
        task="images",
        source="Sandler et al.: MobileNetV2 (2018), width 0.35",
        weight_bits=4,
    ),
    ZooEntry(
        name="mobilenet_v3",
        model="SmallMobileNetV3",
        shape=(3, 64, 64),
        classes=10,
        task="images",
        source="Howard et al.: MobileNetV3 (2019), four of its blocks",
    ),
    ZooEntry(
        name="radioml",
        model="RadioVGG10",
        shape=(2, 256),
        classes=24,
        task="modulations of radio signals",
        source="O'Shea et al.: Over-the-air deep learning (2018); 256 samples in place of 1,024",
        arguments={"samples": 256},
    ),
    ZooEntry(
        name="resnet8",
        model="ResNet8",
        shape=(3, 32, 32),
        classes=10,
        task="images",
        source=TINY,
        trained="resnet8-dense",
    ),
    ZooEntry(
        name="squeezenet",
        model="SmallSqueezeNet",
        shape=(3, 32, 32),
        classes=10,
        task="images",
        source="Iandola et al.: SqueezeNet (2016), four fire modules",
    ),
    ZooEntry(
        name="unet",
        model="SmallUNet",
        shape=(3, 32, 32),
        targets="pixel-classes",
        classes=2,
        task="segmentation",
        source="Ronneberger et al.: U-Net (2015), two levels",
    ),
    ZooEntry(
        name="yolo",
        model="TinyYOLO",
        shape=(3, 64, 64),
        targets="",
        task="detection, two heads",
        source="Redmon, Farhadi: YOLOv3-tiny (2018), a quarter of its width or less",
        door=Door.ONNX,
    ),
)
"""The networks, by name."""


def find_entry(name: str) -> ZooEntry:
    """Find a network of the zoo by its name.

    Raises
    ------
    UsageError
        If there is none of this name.
    """
    if name not in ZOO:
        raise UsageError(f"the zoo has no network '{name}'; it has {', '.join(ZOO)}")
    return ZOO[name]
