"""Names of the backend and of what it writes."""

__all__ = ["CONFIG", "CSIMULATION", "NAME", "NETWORK", "REPORT", "RTL", "SIMULATOR", "TENSORS"]

NAME = "Systolith"
"""Of the backend, in any case of letters."""
NETWORK = "network.json"
TENSORS = "tensors.json"
"""Fractions and names of the model's tensors."""
CONFIG = "hls4ml_config.yml"
RTL = "rtl"
SIMULATOR = "simulator"
CSIMULATION = "csimulation"
REPORT = "report.json"
