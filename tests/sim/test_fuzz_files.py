"""Random TFLite files through the TFLite door; and a door that is broken on purpose."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from systolith.fuzz import FindingKind, SeededChoices, search
from systolith.fuzz.files import FileCase, FileTarget, draw_file, judge_file
from systolith.network import IntegerNetwork, Table
from systolith.tflite import ImportedTflite, import_tflite

SEED, DRAWS = 20271, 60


@pytest.fixture(scope="module")
def files() -> list[FileCase]:
    return [draw_file(SeededChoices(f"{SEED}/{number}")) for number in range(DRAWS)]


def test_equal_seeds_draw_equal_files_which_can_be_saved(
    files: list[FileCase], tmp_path: Path
) -> None:
    for number, case in enumerate(files[:5]):
        assert draw_file(SeededChoices(f"{SEED}/{number}")).key == case.key
        case.save(tmp_path)
        assert FileCase.load(tmp_path).key == case.key
    assert len({case.key for case in files}) == DRAWS


def test_random_files_are_equal_or_refused(files: list[FileCase]) -> None:
    verdicts = [judge_file(case) for case in files]
    assert [verdict.findings for verdict in verdicts if not verdict.passed] == []
    accepted = [
        kind
        for case, verdict in zip(files, verdicts, strict=True)
        if verdict.outcome == "accepted"
        for kind in case.covers
    ]
    assert set(accepted) >= {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD"}
    assert set(accepted) >= {"SPLIT", "SPLIT_V", "SLICE", "STRIDED_SLICE", "CONCATENATION"}
    assert set(accepted) >= {"MEAN", "REDUCE_MAX", "AVERAGE_POOL_2D", "MAX_POOL_2D", "DEQUANTIZE"}


def test_a_folder_without_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "case.json").write_text('{"covers": []}')
    with pytest.raises(ValueError, match="does not hold a TFLite file"):
        FileCase.load(tmp_path)


def _read_tables_wrongly(path: Path) -> ImportedTflite:
    """Import a file and shift all its tables by one place."""
    imported = import_tflite(path)
    network = imported.network
    layers = tuple(
        replace(layer, values=np.roll(layer.values, 1)) if isinstance(layer, Table) else layer
        for layer in network.layers
    )
    changed = IntegerNetwork(
        name=network.name, input=network.input, layers=layers, outputs=network.outputs
    )
    return replace(imported, network=changed)


def test_a_wrong_table_is_found_and_loses_other_operators(tmp_path: Path) -> None:
    target = FileTarget(read=_read_tables_wrongly)
    result = search(target, 40, SEED, tmp_path, jobs=1, most_failures=1, shrink_attempts=40)
    (failure,) = result.failures
    assert failure.verdict.kinds == {FindingKind.MISMATCH}
    kept = FileCase.load(failure.folder)
    imported = _read_tables_wrongly_of(kept, tmp_path)
    kinds = [type(layer) for layer in imported.network.layers]
    assert Table in kinds
    assert len(kinds) <= 2
    assert judge_file(kept).passed


def _read_tables_wrongly_of(case: FileCase, folder: Path) -> ImportedTflite:
    path = folder / "kept.tflite"
    path.write_bytes(case.content)
    return _read_tables_wrongly(path)
