"""Compilation happens once, whole, and by one process at a time."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from systolith.bench.compile_cache import compile_once, content_key


def _compile(folder: Path) -> None:
    (folder / "program").write_text("good")
    (folder / "object.o").write_text("not kept")


def test_result_is_cached(tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "key"
    assert compile_once(folder, _compile, ("program",))
    assert not compile_once(folder, pytest.fail, ("program",))
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "program"]


@pytest.mark.parametrize("damage", ["truncate", "remove", "manifest", "empty"])
def test_damaged_result_is_compiled_again(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "key"
    compile_once(folder, _compile, ("program",))
    match damage:
        case "truncate":
            (folder / "program").write_text("go")
        case "remove":
            (folder / "program").unlink()
        case "manifest":
            (folder / "manifest.json").write_text("{")
        case "empty":
            (folder / "program").unlink()
            (folder / "manifest.json").unlink()
    assert compile_once(folder, _compile, ("program",))
    assert (folder / "program").read_text() == "good"
    assert not compile_once(folder, pytest.fail, ("program",))


def test_failed_compilation_leaves_nothing(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "program").write_text("half")
        raise RuntimeError("compiler")

    with pytest.raises(RuntimeError, match="^compiler$"):
        compile_once(tmp_path / "key", fail, ("program",))
    assert [path.name for path in tmp_path.iterdir()] == [".key.lock"]
    assert compile_once(tmp_path / "key", _compile, ("program",))


def test_remains_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    killed = tmp_path / ".kind-key.ab1_yz9x"
    (killed / "work").mkdir(parents=True)
    others = tmp_path / ".kind-key.b.ab1_yz9x"
    others.mkdir()

    def make(folder: Path) -> None:
        (folder / "a").write_text("result")

    assert compile_once(tmp_path / "kind-key", make, ("a",))
    assert not killed.exists() and others.exists()


def test_racing_processes_compile_once(tmp_path: Path) -> None:
    compiled, together = list[int](), threading.Barrier(4)

    def make(folder: Path) -> None:
        compiled.append(1)
        time.sleep(0.2)
        _compile(folder)

    def race(_: int) -> bool:
        together.wait()
        return compile_once(tmp_path / "key", make, ("program",))

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(race, range(4))) == [False, False, False, True]
    assert len(compiled) == 1


def test_key_depends_on_every_part_and_its_bounds(tmp_path: Path) -> None:
    file = tmp_path / "source.v"
    file.write_text("ab")
    keys = [content_key(parts) for parts in (["ab", "c"], ["a", "bc"], ["abc"], [file, "d"])]
    assert len(set(keys)) == len(keys)
    assert content_key([file, "c"]) == keys[0]
