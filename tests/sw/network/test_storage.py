import json
import random
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from systolith.network import (
    INPUT,
    ActType,
    Add,
    AvgPool2d,
    Conv2d,
    Flatten,
    Granularity,
    IntegerNetwork,
    KOutOfN,
    Linear,
    MaxPool2d,
    NetworkError,
    Pattern,
    PerNeuron,
    Requantize,
    Strided,
    Tensor,
    content_hash,
    forward,
    load,
    save,
)
from tests.support.strategies import generators, images, networks

UINT4 = ActType(bits=4, signed=False, zero_point=2)
REUSE = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
    max_examples=60,
)
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


def weights(shape: tuple[int, ...], pattern: Pattern) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    mask = pattern.best_mask(rng.random((*shape, 1, 1)[:4])).reshape(shape)
    return {
        "weight": rng.integers(-8, 8, shape) * mask,
        "mask": mask,
        "pattern": pattern,
        "bias": rng.integers(-999, 999, shape[0]),
        "requantize": Requantize(
            multiplier=rng.integers(1, 65536, shape[0]), shift=np.array([20]), clamp=(2, 15)
        ),
        "output": UINT4,
        "weight_bits": 5,
    }


def every_kind() -> IntegerNetwork:
    """Each kind of layer and of pattern."""
    kernels = Pattern(select=KOutOfN(1, 2, Granularity.KERNEL, 2), taps=Strided(2, (1, 1)))
    unit = Requantize(multiplier=np.array([1]), shift=np.array([2]))
    return IntegerNetwork(
        name="all",
        input=Tensor((2, 6, 6), UINT4),
        layers=(
            Conv2d(
                name="conv", input=INPUT, padding=(1, 1, 1, 1), **weights((4, 2, 3, 3), kernels)
            ),
            Conv2d(
                name="deep.0",
                input="conv",
                groups=4,
                stride=(1, 1),
                **weights((4, 1, 1, 1), Pattern()),
            ),
            Add(
                name="add",
                inputs=("conv", "deep.0"),
                multipliers=(3, 5),
                requantize=unit,
                output=UINT4,
            ),
            MaxPool2d(name="most", input="add", kernel_size=(2, 2), stride=(2, 2)),
            AvgPool2d(name="mean", input="most", requantize=unit, output=UINT4),
            Flatten(name="flat", input="mean"),
            Linear(name="fc", input="flat", **weights((6, 4), Pattern(select=PerNeuron(3, 2)))),
            Linear(name="fc2", input="fc", **weights((2, 6), Pattern(select=KOutOfN(2, 3)))),
        ),
        outputs=("fc2", "mean"),
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "net.json"


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


@pytest.fixture
def saved(path: Path) -> Path:
    save(every_kind(), path)
    return path


def refusal(path: Path) -> NetworkError:
    with pytest.raises(NetworkError) as error:
        load(path)
    assert all(problem and str(path.parent) in problem for problem in error.value.problems)
    return error.value


def equal(a: Any, b: Any) -> bool:
    """Compare contract objects field by field; they compare by identity themselves."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    if is_dataclass(a) and not isinstance(a, type):
        return all(equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    return bool(a == b)


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
