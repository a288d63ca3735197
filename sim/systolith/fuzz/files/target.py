"""Fuzz the importer of TFLite files: draw, judge and shrink files."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from systolith.fuzz.choices import Choices
from systolith.fuzz.files.case import FileCase
from systolith.fuzz.files.drawing import draw_file
from systolith.fuzz.shrink import remove_parts
from systolith.fuzz.target import FindingKind, Verdict, suppress_warnings
from systolith.network import NetworkError, forward
from systolith.tflite import (
    ImportedTflite,
    KernelDisagreementError,
    TfliteError,
    import_tflite,
    run_kernels,
)

__all__ = ["FileTarget", "ReadFile", "judge_file"]

ReadFile = Callable[[Path], ImportedTflite]
"""Imports a file, like :func:`systolith.tflite.import_tflite`."""

NOT_RUN = "the reference kernels do not run it"


@dataclass(frozen=True, slots=True)
class FileTarget:
    """Fuzz the way from a TFLite file to the golden arithmetic.

    Attributes
    ----------
    read : callable
        Imports a file. A function with a fault tests that fuzzing finds it.
    """

    read: ReadFile = import_tflite

    settings: dict[str, int] = field(default_factory=dict)

    def require(self) -> None:
        """Do nothing: no tools are needed."""

    def draw(self, choices: Choices) -> FileCase:
        """Draw a file."""
        return draw_file(choices)

    def judge(self, case: FileCase, workdir: Path) -> Verdict:
        """Import and compare; see :func:`judge_file`."""
        with suppress_warnings():
            return judge_file(case, self.read)

    def shrink(
        self,
        case: FileCase,
        verdict: Verdict,
        made: Sequence[int],
        judge: Callable[[FileCase], Verdict],
        attempts: int,
    ) -> tuple[FileCase, Verdict]:
        """Remove operators."""
        return remove_parts(case, verdict, judge, attempts=attempts)

    def load(self, folder: Path) -> FileCase:
        """Read a saved file."""
        return FileCase.load(folder)

    def contents(self, case: FileCase) -> Iterator[str]:
        """List the operators of a file."""
        yield from case.covers


def judge_file(case: FileCase, read: ReadFile = import_tflite) -> Verdict:
    """Import a file and run it: every output must be equal to the reference kernels'.

    Parameters
    ----------
    case : FileCase
    read : callable
        Imports a file.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(case.content)
        try:
            run_kernels(path, case.images[:1])
        except (TfliteError, RuntimeError, ValueError):
            return Verdict(refusals=(NOT_RUN,))
        try:
            return Verdict(findings=tuple(_findings(path, case, read)))
        except NetworkError as error:
            return Verdict(refusals=tuple(error.problems))
        except KernelDisagreementError as error:
            return Verdict(findings=((FindingKind.MISMATCH, str(error)),))
        except Exception as error:  # any exception of a random case is a finding
            return Verdict(findings=((FindingKind.ERROR, f"{type(error).__name__}: {error}"),))


def _findings(path: Path, case: FileCase, read: ReadFile) -> Iterator[tuple[FindingKind, str]]:
    imported = read(path)
    found = forward(imported.network, imported.arrange_input(case.images))
    for name, values in imported.arrange_outputs(found).items():
        (wanted,) = run_kernels(path, case.images, (imported.output_tensors[name],))
        if values.shape != wanted.shape:
            yield (
                FindingKind.MISMATCH,
                f"'{name}' has shape {values.shape}, the file's tensor {wanted.shape}",
            )
        elif not np.array_equal(values, wanted):
            differing = int((values != wanted).sum())
            yield FindingKind.MISMATCH, f"'{name}': {differing} of {values.size} values differ"
