"""Outputs replaced by their classes."""

from dataclasses import replace

import numpy as np
import pytest

from systolith.network import (
    ActType,
    Flatten,
    IntegerNetwork,
    MaxPool2d,
    NetworkError,
    Tensor,
    append_argmax,
    content_hash,
    forward,
    gives_class,
)

ACT = ActType(bits=3, signed=True)


def _pool(name: str, source: str = "input") -> MaxPool2d:
    return MaxPool2d(name=name, input=source, kernel_size=(1, 1), stride=(1, 1))


def _two_heads() -> IntegerNetwork:
    layers = (_pool("a"), _pool("b"), _pool("b_class", "b"))
    return IntegerNetwork(
        input=Tensor((5, 2, 3), ACT), layers=layers, outputs=("b_class", "b", "a")
    )


def test_classes_are_those_of_torch() -> None:
    torch = pytest.importorskip("torch")
    network = _two_heads()
    images = np.random.default_rng(3).integers(ACT.low, ACT.high + 1, (20, 5, 2, 3))
    both = forward(append_argmax(network), images)
    wanted = torch.argmax(torch.from_numpy(images), dim=1, keepdim=True).numpy()
    assert tuple(both) == ("b_class_class", "b_class_", "a_class")
    assert all(np.array_equal(values, wanted) for values in both.values())


def test_only_chosen_outputs_become_classes() -> None:
    network = append_argmax(_two_heads(), ["a"])
    assert network.outputs == ("b_class", "b", "a_class")
    assert [gives_class(network, name) for name in network.outputs] == [False, False, True]
    assert content_hash(network) != content_hash(_two_heads())


def test_outputs_without_a_class_are_named_together() -> None:
    layers = (_pool("a"), _pool("b"), Flatten(name="flat", input="b"))
    network = IntegerNetwork(input=Tensor((5, 2, 3), ACT), layers=layers, outputs=("a", "flat"))
    with pytest.raises(NetworkError) as error:
        append_argmax(append_argmax(network, ["a"]), ["a_class", "flat", "b"])
    first, second, third = error.value.problems
    assert first == "output 'a_class' is a class already"
    assert second == (
        "output 'flat' is a flattened image of 2 x 3 pixels and has no class; leave the "
        "flattening out for the class of each pixel"
    )
    assert third == "a class needs one of the outputs a_class, flat, got 'b'"
    one = replace(network, input=Tensor((5, 1, 1), ACT))
    assert append_argmax(one, ["flat"]).outputs == ("a", "flat_class")
