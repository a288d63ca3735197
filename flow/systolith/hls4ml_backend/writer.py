"""What is written before there is hardware."""

import json
from typing import Any

import yaml
from hls4ml.writer.writers import Writer

from systolith.hls4ml_backend.names import CONFIG, NETWORK, TENSORS
from systolith.network import save

__all__ = ["SystolithWriter"]

MODELS = ("KerasModel", "PytorchModel", "OnnxModel")
"""What a configuration holds that is no text."""


class SystolithWriter(Writer):
    """Writes the integer network, the scales of its tensors and the configuration."""

    def write_hls(self, model: Any) -> None:
        """Write the network, ``meaning.json``, ``tensors.json`` and the YAML file."""
        # Not above: hls4ml imports this whenever it is imported, and the stages take seconds.
        from systolith.emit import MEANING
        from systolith.hls4ml_backend.meanings import meaning_of
        from systolith.stages.workspace import write_text

        model.folder.mkdir(parents=True, exist_ok=True)
        save(model.mapped.network, model.folder / NETWORK)
        meaning = meaning_of(model.mapped).to_json(model.mapped.network)
        write_text(model.folder / MEANING, json.dumps(meaning, indent=1) + "\n")
        write_text(model.folder / TENSORS, json.dumps(_tensors(model), indent=1) + "\n")
        plain = {key: value for key, value in model.config.config.items() if key not in MODELS}
        write_text(model.folder / CONFIG, yaml.safe_dump(_plain(plain), sort_keys=False))


def _tensors(model: Any) -> dict[str, Any]:
    """Say how integers of the network become numbers of the model."""
    mapped = model.mapped
    return {
        "input": {"type": str(mapped.input), "fraction": mapped.input.fraction},
        "outputs": [
            {"name": name, "layer": output.layer, "fraction": output.fraction}
            for name, output in zip(model.outputs, mapped.outputs, strict=True)
        ],
        "layers": mapped.origins,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        kept = ((key, item) for key, item in value.items() if key not in MODELS)
        return {str(key): _plain(item) for key, item in kept}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, int | float | str | None) else str(value)
