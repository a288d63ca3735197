"""Experiment files: what one TOML says, checked as a whole."""

from systolith.config.errors import ConfigError
from systolith.config.experiment import (
    ArraySection,
    BitsSection,
    DataSection,
    Experiment,
    HardwareSection,
    ModelSection,
    PruneSection,
    QuantizeSection,
    SimulateSection,
    TrainSection,
    VerifySection,
    load_experiment,
)

__all__ = [
    "ArraySection",
    "BitsSection",
    "ConfigError",
    "DataSection",
    "Experiment",
    "HardwareSection",
    "ModelSection",
    "PruneSection",
    "QuantizeSection",
    "SimulateSection",
    "TrainSection",
    "VerifySection",
    "load_experiment",
]
