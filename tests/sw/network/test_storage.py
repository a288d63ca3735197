import random
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from enum import Enum
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given

from systolith.network import (
    INPUT,
    Conv2d,
    IntegerNetwork,
    Linear,
    NetworkError,
    Pattern,
    Tensor,
    content_hash,
    forward,
    load,
    save,
)
from tests.support.drawn_networks import images, networks
from tests.support.stored import REUSE, UINT4, equal, every_kind, refusal, weights
from tests.support.strategies import generators


def test_offsets_are_stored_and_count_in_the_hash(path: Path) -> None:
    plain = every_kind()
    first = plain.layers[0]
    assert isinstance(first, Conv2d)
    spec = replace(first.requantize, offset=np.array([1, -(1 << 40), 3, 1 << 60]))
    changed = replace(plain, layers=(replace(first, requantize=spec), *plain.layers[1:]))
    save(changed, path)
    found = load(path)
    assert content_hash(found) == content_hash(changed) != content_hash(plain)
    layer = found.layers[0]
    assert isinstance(layer, Conv2d) and layer.requantize.offset is not None
    assert layer.requantize.offset.tolist() == [1, -(1 << 40), 3, 1 << 60]


def test_slopes_are_stored_and_count_in_the_hash(path: Path) -> None:
    plain = every_kind()
    first = plain.layers[0]
    assert isinstance(first, Conv2d)
    spec = replace(first.requantize, negative=np.array([1, -2, 3, 0]))
    changed = replace(plain, layers=(replace(first, requantize=spec), *plain.layers[1:]))
    save(changed, path)
    found = load(path)
    assert content_hash(found) == content_hash(changed) != content_hash(plain)
    layer = found.layers[0]
    assert isinstance(layer, Conv2d) and layer.requantize.negative is not None
    assert layer.requantize.negative.tolist() == [1, -2, 3, 0]


def test_files_without_offsets_are_those_of_before_there_were_any(path: Path) -> None:
    network = every_kind()
    save(network, path)
    assert '"offset"' not in path.read_text() and '"negative"' not in path.read_text()
    assert content_hash(network).startswith("d02fa666474bf4bb")


@REUSE
@given(network=networks(), rng=generators())
@example(network=every_kind(), rng=np.random.default_rng(0))
def test_round_trip(network: IntegerNetwork, rng: np.random.Generator, path: Path) -> None:
    save(network, path)
    again = load(path)
    assert equal(again, network)
    assert content_hash(again) == content_hash(network)
    x = images(network.input, rng)
    assert equal(tuple(forward(again, x).values()), tuple(forward(network, x).values()))
    assert sorted(file.name for file in path.parent.iterdir()) == ["net.json", "net.safetensors"]


def changed(value: Any) -> Iterator[Any]:
    """The same object with one value changed somewhere, in every way that the types allow."""
    if isinstance(value, bool) or value is None:
        yield not value
    elif isinstance(value, Enum):
        yield next(other for other in type(value) if other is not value)
    elif isinstance(value, int):
        yield from (value + 1, value - 1)
    elif isinstance(value, str):
        yield value + "_"
    elif isinstance(value, np.ndarray):
        for place in (0, -1):
            array = value.copy()
            array.flat[place] = not array.flat[place] if array.dtype == bool else array.flat[0] ^ 1
            yield array
    elif isinstance(value, tuple):
        for number, item in enumerate(value):
            for other in changed(item):
                yield (*value[:number], other, *value[number + 1 :])
        for first, second in pairwise(range(len(value))):
            yield (*value[:first], value[second], value[first], *value[second + 1 :])
    else:
        for field in fields(value):
            if field.init:
                for other in changed(getattr(value, field.name)):
                    try:
                        yield replace(value, **{field.name: other})
                    except NetworkError:
                        continue  # the contract refuses this change


def test_hash_notices_any_single_change() -> None:
    network = every_kind()
    variants = [network, *changed(network)]
    hashes = {content_hash(variant) for variant in variants}
    distinct = [
        variant
        for number, variant in enumerate(variants)
        if not any(equal(variant, other) for other in variants[:number])
    ]
    assert len(variants) > 80
    assert len(hashes) == len(distinct)
    assert content_hash(every_kind()) == content_hash(network)


def test_hash_notices_the_shape_of_weights() -> None:
    hashes = set()
    for kernel in [(1, 4), (4, 1), (2, 2)]:
        conv = Conv2d(name="conv", input=INPUT, **weights((1, 1, *kernel), Pattern()))
        conv = replace(conv, mask=None, weight=np.arange(4).reshape(1, 1, *kernel))
        hashes.add(content_hash(IntegerNetwork(input=Tensor((1, 4, 4), UINT4), layers=(conv,))))
    assert len(hashes) == 3


def test_hash_does_not_depend_on_the_types_given() -> None:
    network = every_kind()
    narrow = replace(network["fc2"], weight=network["fc2"].weight.astype(np.int8))  # type: ignore
    again = replace(network, layers=[*network.layers[:-1], narrow])  # type: ignore
    assert content_hash(again) == content_hash(network)


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_any_flipped_bit_is_noticed(saved: Path, suffix: str) -> None:
    file = saved.with_suffix(suffix)
    content = file.read_bytes()
    rng = random.Random(0)
    for place in {0, 1, len(content) - 1, *rng.sample(range(len(content)), 400)}:
        damaged = bytearray(content)
        damaged[place] ^= 1 << rng.randrange(8)
        file.write_bytes(damaged)
        refusal(saved)


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_truncated_files_are_refused(saved: Path, suffix: str) -> None:
    file = saved.with_suffix(suffix)
    content = file.read_bytes()
    for size in {0, 1, 8, 9, *range(10, len(content) - 2, 97), len(content) - 2}:
        file.write_bytes(content[:size])
        refusal(saved)
    file.write_bytes(content + b"x")
    refusal(saved)


def test_missing_files_are_all_named(path: Path) -> None:
    assert refusal(path).problems == (
        f"{path}: no such file",
        f"{path.with_suffix('.safetensors')}: no such file",
    )
    path.mkdir()
    refusal(path)


def test_only_json_paths(tmp_path: Path) -> None:
    for name in ("net", "net.safetensors"):
        for use in (lambda path: save(every_kind(), path), load):
            with pytest.raises(NetworkError, match=r"the path of a network must end in \.json$"):
                use(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("step", range(4))
def test_an_interrupted_save_leaves_the_old_network_or_a_clear_error(
    saved: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    before = content_hash(load(saved))
    steps = iter(range(4))

    def failing(original: Callable[..., Any]) -> Callable[..., Any]:
        def fail(*arguments: Any) -> Any:
            if next(steps) == step:
                raise KeyboardInterrupt
            return original(*arguments)

        return fail

    network = every_kind()
    fc2 = network.layers[-1]
    assert isinstance(fc2, Linear)
    other = replace(network, layers=(*network.layers[:-1], replace(fc2, bias=fc2.bias + 1)))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", failing(Path.write_bytes))
        patch.setattr(Path, "replace", failing(Path.replace))
        with pytest.raises(KeyboardInterrupt):
            save(other, saved)
    if step < 3:
        assert content_hash(load(saved)) == before
    else:
        assert "damaged, or saved incompletely" in str(refusal(saved))
    assert len(list(saved.parent.iterdir())) == 2, "nothing is left over"
    save(other, saved)
    assert content_hash(load(saved)) == content_hash(other)


def test_a_missing_folder_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        save(every_kind(), tmp_path / "nowhere" / "net.json")


def test_unreadable_files_are_refused(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(path: Path) -> bytes:
        raise PermissionError("no")

    monkeypatch.setattr(Path, "read_bytes", deny)
    assert "cannot be read (no)" in str(refusal(saved))


def test_a_folder_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "net.json").mkdir()
    with pytest.raises(NetworkError) as caught:
        load(tmp_path / "net.json")
    first, second = caught.value.problems
    assert first.endswith("net.json: is a folder, but a file is needed")
    assert second.endswith("net.safetensors: no such file")
