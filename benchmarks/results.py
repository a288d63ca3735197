"""Result files: what was measured, by which command, on which machine."""

import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

__all__ = ["machine", "write_result"]


def write_result(path: Path, command: str, content: Mapping[str, Any]) -> None:
    """Write a result file with the command and the machine that made it."""
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_suffix(".part")
    found = {"command": command, "machine": machine(), **content}
    temporary.write_text(json.dumps(found, indent=2) + "\n")
    temporary.replace(path)
    print(f"wrote {path}", flush=True)


def machine() -> str:
    """Name the processor, if the system tells, and PyTorch's version and threads."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    processor = f"{len(models)} x {models[0]}" if models else platform.machine()
    return f"{processor}, torch {torch.__version__}, {torch.get_num_threads()} thread(s)"
