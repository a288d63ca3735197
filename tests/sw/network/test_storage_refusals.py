"""Descriptions and tensors that are no network: refused with a reason, never a crash."""

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from systolith.network import (
    NetworkError,
    content_hash,
    load,
    save,
)
from tests.support.stored import REUSE, equal, every_kind, refusal
from tests.support.strategies import generators

JUNK: list[Any] = [
    None,
    True,
    1,
    -1,
    2**70,
    1.5,
    "x",
    "",
    [],
    [[[]]],
    {},
    {"kind": "Dense"},
    [None, {}],
]


def rewrite(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    description = json.loads(path.read_text())
    edit(description)
    path.write_text(json.dumps(description))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda d: d.update(format="other"), r"net\.json: not a systolith-network file$"),
        (lambda d: d.update(version=2), r"net\.json: needs format version 1, got 2$"),
        (lambda d: d.update(version=True), r"net\.json: needs format version 1, got True$"),
        (lambda d: d.pop("version"), r"net\.json: needs format version 1, got None$"),
        (lambda d: d.pop("hash"), r"net\.json: damaged, or saved incompletely: .* to None$"),
        (lambda d: d.update(name="b"), r"net\.json: damaged, or saved incompletely: net\.json and"),
        (lambda d: d.pop("name"), r"net\.json: needs the field 'name', which is missing$"),
        (lambda d: d.update(more=1), r"net\.json: has an unknown field 'more'$"),
        (lambda d: d.update(layers=3), r"net\.json: layers must be a list, got 3$"),
        (lambda d: d.update(outputs="fc"), r"net\.json: outputs must be a list, got 'fc'$"),
        (lambda d: d.update(input=None), r"net\.json: input: must have a shape and a type, got No"),
        (lambda d: d["input"].update(shape=["2"]), r"input: shape must be integers, got \['2'\]$"),
        (lambda d: d["input"]["type"].update(bits=99), r"input: unsigned activations need 1\.\.16"),
        (
            lambda d: d["layers"][0].update(kind="Conv3d"),
            r"layer 'conv': needs a kind of Conv2d, .*, got 'Conv3d'$",
        ),
        (
            lambda d: d["layers"].insert(1, [1]),
            r"layer number 1: needs a kind of Conv2d, Linear, .* Flatten, got None$",
        ),
        (
            lambda d: d["layers"][0].pop("stride"),
            r"layer 'conv': needs the field 'stride', which is missing$",
        ),
        (
            lambda d: d["layers"][0].update(dilatation=1),
            r"layer 'conv': has an unknown field 'dilatation'$",
        ),
        (
            lambda d: d["layers"][0]["weight"].update(tensor="x"),
            r"layer 'conv': weight: tensor 'x' is not in the safetensors file$",
        ),
        (
            lambda d: d["layers"][0]["weight"].update(tensor=["x"]),
            r"layer 'conv': weight: tensor \['x'\] is not in the safetensors file$",
        ),
        (
            lambda d: d["layers"][0]["output"].update(bits=0),
            r"layer 'conv': output: unsigned activations need 1\.\.16 bits, got 0$",
        ),
        (
            lambda d: d["layers"][0]["requantize"]["rounding"].update(value="up"),
            r"layer 'conv': requantize: rounding: 'up' is no value of 'Rounding'$",
        ),
        (
            lambda d: d["layers"][0]["pattern"]["select"].update(kind="Magic"),
            r"layer 'conv': pattern: select: needs a kind of Conv2d, .*, got 'Magic'$",
        ),
        (
            lambda d: d["layers"][0].update(stride=[1, 1.0]),
            r"layer 'conv': stride must be 2 integers, got \(1, 1\.0\)$",
        ),
        (lambda d: d["layers"][0].update(name="a b"), r"layer 'a b': name must consist of letters"),
        (lambda d: d["layers"].pop(), r"tensors that no layer uses: 'fc2\.bias', 'fc2\.mask', 'f"),
        (lambda d: d["layers"][1].update(input="x"), r"layer 'deep\.0': reads 'x', which is not"),
    ],
)
def test_says_what_is_wrong_with_a_description(
    saved: Path, edit: Callable[[dict[str, Any]], object], message: str
) -> None:
    rewrite(saved, edit)
    with pytest.raises(NetworkError, match=message) as error:
        load(saved)
    assert str(saved) in str(error.value)


def test_reports_all_problems_of_all_layers(saved: Path) -> None:
    def edit(description: dict[str, Any]) -> None:
        conv, deep, _, most, *_ = description["layers"]
        conv["output"]["bits"] = 0
        conv["weight"]["tensor"] = "x"
        conv["requantize"]["clamp"] = [5, 4]
        deep.update(stride=[0, 0], weight_bits="8")
        most["kind"] = "MinPool2d"
        description["input"]["shape"] = [0]

    rewrite(saved, edit)
    starts = [
        "damaged, or saved incompletely",
        "layer 'conv': weight: tensor 'x'",
        "layer 'conv': requantize clamp must be",
        "layer 'conv': output: unsigned",
        "layer 'deep.0': weight_bits must be an integer",
        "layer 'deep.0': stride must be at least 1",
        "layer 'most': needs a kind",
        "input: shape must be",
    ]
    found = refusal(saved).problems
    assert len(found) == len(starts)
    for problem, start in zip(found, starts, strict=True):
        assert problem.startswith(f"{saved}: {start}")


def test_missing_and_surplus_tensors_are_named(saved: Path) -> None:
    arrays = saved.with_suffix(".safetensors")
    tensors = load_tensors(arrays.read_bytes())
    arrays.write_bytes(save_tensors({k: v for k, v in tensors.items() if k != "fc.bias"}))
    assert "layer 'fc': bias: tensor 'fc.bias' is not in the" in str(refusal(saved))
    arrays.write_bytes(save_tensors({**tensors, "spare": np.zeros(1)}))
    assert "tensors that no layer uses: 'spare'" in str(refusal(saved))
    for dtype in (np.float32, np.bool_, np.complex64, np.float16):
        arrays.write_bytes(save_tensors({**tensors, "fc.bias": np.zeros(6, dtype=dtype)}))
        assert "layer 'fc': bias must be integers, got" in str(refusal(saved))


@pytest.mark.parametrize("dtype", ["BF16", "F8_E4M3", "F4", "XX"])
def test_foreign_tensor_types_are_refused(saved: Path, dtype: str) -> None:
    header = json.dumps({"x": {"dtype": dtype, "shape": [2], "data_offsets": [0, 4]}}).encode()
    content = len(header).to_bytes(8, "little") + header + bytes(4)
    saved.with_suffix(".safetensors").write_bytes(content)
    assert "damaged: not safetensors" in str(refusal(saved))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b'"x"',
        b"1",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"1" * 9999,
    ],
)
def test_what_is_no_description_is_refused(saved: Path, content: bytes) -> None:
    saved.write_bytes(content)
    refusal(saved)


@pytest.mark.parametrize("depth", [10, 50, 300, 500, 900, 5000, 50_000])
@pytest.mark.parametrize(("start", "end"), [("[", "]"), ('{"kind": "Pattern", "select": ', "}")])
def test_deep_nesting_is_refused(saved: Path, depth: int, start: str, end: str) -> None:
    text = saved.read_text()
    for edit in (
        lambda d: d["layers"][0].update(pattern="@"),
        lambda d: d["layers"][0].update(name="@"),
        lambda d: d.update(outputs=["@"]),
        lambda d: d.update(hash="@"),
    ):
        saved.write_text(text)
        rewrite(saved, edit)
        saved.write_text(saved.read_text().replace('"@"', start * depth + "1" + end * depth))
        refusal(saved)


Place = tuple[Any, Any]


def places(value: Any) -> Iterator[Place]:
    """Every container and key inside a JSON value."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from places(value[key])


SOUND = every_kind()


@settings(REUSE, max_examples=300)
@given(data=st.data())
def test_mutated_descriptions_are_refused_and_never_crash(data: st.DataObject, path: Path) -> None:
    if not path.exists():
        save(SOUND, path)
        path.with_suffix(".orig").write_bytes(path.read_bytes())
    description = json.loads(path.with_suffix(".orig").read_text())
    sound = json.dumps(description)
    for _ in range(data.draw(st.integers(1, 3))):
        container, key = data.draw(st.sampled_from(list(places(description))))
        action = data.draw(st.sampled_from(["junk", "delete", "swap", "wrap", "rename", "nudge"]))
        other, there = data.draw(st.sampled_from(list(places(description))))
        if action == "junk":
            container[key] = deepcopy(data.draw(st.sampled_from(JUNK)))
        elif action == "delete":
            del container[key]
        elif action == "swap":
            container[key] = json.loads(json.dumps(other[there]))
        elif action == "wrap":
            container[key] = [container[key]]
        elif action == "rename" and isinstance(container, dict):
            container[f"{key}x"] = container.pop(key)
        elif isinstance(container[key], int):
            container[key] += data.draw(st.sampled_from([-1, 1, 100, 0.5]))
        if not list(places(description)):
            break
    path.write_text(json.dumps(description))
    if json.dumps(description) == sound:
        assert content_hash(load(path)) == content_hash(SOUND)
    else:
        refusal(path)


@REUSE
@given(junk=st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["kind", "tensor", "enum", "value", "name", "x"]), inner, max_size=3
    ),
    max_leaves=8,
), rng=generators())  # fmt: skip
def test_junk_anywhere_never_crashes(junk: Any, rng: np.random.Generator, path: Path) -> None:
    if not path.exists():
        save(SOUND, path)
        path.with_suffix(".orig").write_bytes(path.read_bytes())
    description = json.loads(path.with_suffix(".orig").read_text())
    everywhere = list(places(description))
    container, key = everywhere[rng.integers(len(everywhere))]
    if equal(container[key], junk):
        return
    container[key] = junk
    path.write_text(json.dumps(description))
    refusal(path)
