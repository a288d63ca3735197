"""The host's command and a whole board, which is simulated at the level of its pins."""

import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from systolith.cli import app
from systolith.cli.changes import build_changes
from systolith.compress import SRSTEPruning, Trainer, compress_model
from systolith.data import load_digits
from systolith.devices import DEVICES, Budget, find_board
from systolith.emit import BOARD_TOP, board_config, emit_board, input_stream
from systolith.frontend import IntegerModel, lower
from systolith.gateware import Technology
from systolith.gateware.board import AnswerStatus, RequestKind, server_resources
from systolith.host import BoardClient, BoardError, decode, encode, open_line
from systolith.models import DigitsCNN
from systolith.netlist import SimulatedBoard, compile_board
from systolith.network import (
    IntArray,
    IntegerNetwork,
    KOutOfN,
    Pattern,
    append_argmax,
    forward,
    save,
)
from systolith.plan import NetworkPlan, PlanError, plan_network
from systolith.prune import all_convolutions_but_first
from systolith.stages import open_run
from systolith.train import Recipe
from tests.support.networks import network_with_heads, small_network
from tests.support.slow import first_few

MULTIPLIERS, IMAGES, BAUD = 6, 20, 1_000_000
BOARD = find_board("ulx3s-25f")
RECIPE = Recipe(float_epochs=1, prune_epochs=1, quantize_epochs=1)


@dataclass(frozen=True, kw_only=True)
class Served:
    """A network, the board that computes it, and images with what the network makes of them."""

    plan: NetworkPlan
    board: SimulatedBoard
    folder: Path
    images: IntArray
    outputs: IntArray

    def request(self, number: int, sequence: int = 1) -> bytes:
        return encode(RequestKind.CLASSIFY, sequence, self.payload(number))

    def payload(self, number: int) -> bytes:
        transfers = input_stream(self.plan).to_transfers(self.images[number : number + 1])
        return transfers.astype(np.uint8).tobytes()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    data, model = load_digits(), DigitsCNN()
    patterns = all_convolutions_but_first(model, Pattern(select=KOutOfN(2, 8)))
    quantized = compress_model(
        model, Trainer(data=data, recipe=RECIPE), [SRSTEPruning(patterns=patterns)]
    )
    network = lower(quantized)
    images = IntegerModel(quantized).quantize_input(data.test_images[:IMAGES])
    folder = tmp_path_factory.mktemp("board")
    save(network, folder / "network.json")
    budget = BOARD.part.device.budget
    limits = budget.left(server_resources(network, budget.block)).limits
    plan = plan_network(network, budget=Budget(multipliers=MULTIPLIERS, **limits))
    config = board_config(plan, BOARD, clock_mhz=100, baud=BAUD)
    verilog = emit_board(plan, BOARD, clock_mhz=100, baud=BAUD, technology=Technology.GENERIC)
    board = compile_board(verilog, BOARD_TOP, divisor=config.divisor, workdir=folder, quick=True)
    outputs = forward(network, images)[network.outputs[0]]
    return Served(plan=plan, board=board, folder=folder, images=images, outputs=outputs)


@pytest.fixture
def port(served: Served) -> Iterator[str]:
    with served.board.running() as name:
        yield name


def _classify(served: Served, port: str, *arguments: str) -> tuple[int, str, str]:
    fixed = ["--port", port, "--board", "ulx3s-25f", "--multipliers", str(MULTIPLIERS)]
    result = CliRunner().invoke(
        app,
        ["classify", str(served.folder / "network.json"), *arguments, *fixed]
        + ["--timeout", "20", "--output", str(served.folder / "out"), "--json"],
    )
    return result.exit_code, result.stdout, result.stderr


def test_the_command_classifies_digits_as_the_network_does(served: Served, port: str) -> None:
    files = []
    for number, image in enumerate(served.images):
        files.append(str(served.folder / f"image{number}.npy"))
        np.save(files[-1], image)
    code, printed, _ = _classify(served, port, *files)
    rows = json.loads(printed)
    assert code == 0
    (name,) = served.plan.network.outputs
    assert [row["outputs"][name] for row in rows] == served.outputs.tolist()
    assert [row["classes"][name] for row in rows] == served.outputs.argmax(axis=1).tolist()
    assert {row["cycles"] for row in rows} == {served.plan.latency_cycles}


@pytest.mark.slow
@pytest.mark.parametrize("classes", [False, True])
def test_a_board_with_another_device_and_other_lights_answers_as_well(
    classes: bool, tmp_path: Path
) -> None:
    network, tang = small_network(), find_board("tangnano9k")
    save(network, tmp_path / "network.json")
    network = append_argmax(network) if classes else network
    budget = tang.part.device.budget
    plan = plan_network(network, budget=budget.left(server_resources(network, budget.block)))
    verilog = emit_board(
        plan, tang, clock_mhz=tang.clock_mhz, baud=BAUD, technology=Technology.GENERIC
    )
    assert "output [5:0] led" in verilog
    divisor = board_config(plan, tang, clock_mhz=tang.clock_mhz, baud=BAUD).divisor
    board = compile_board(verilog, BOARD_TOP, divisor=divisor, workdir=tmp_path, quick=True)
    low, high = network.input.type.low, network.input.type.high
    images = np.random.default_rng(3).integers(low, high + 1, (3, *network.input.shape))
    files = [str(tmp_path / f"image{number}.npy") for number in range(len(images))]
    for file, image in zip(files, images, strict=True):
        np.save(file, image)
    with board.running() as port:
        result = CliRunner().invoke(
            app,
            ["classify", str(tmp_path / "network.json"), *files, "--board", "tangnano9k"]
            + ["--port", port, "--timeout", "20", "--output", str(tmp_path / "out"), "--json"]
            + (["--class-on-chip"] if classes else ["--top", "2"]),
        )
    rows, ((name, values),) = json.loads(result.stdout), forward(network, images).items()
    assert [row["outputs"][name] for row in rows] == values.tolist()
    wanted = values[:, :1] if classes else np.argsort(-values, axis=1, kind="stable")[:, :2]
    tops = [[guess["category"] for guess in row["top"][name]] for row in rows]
    assert tops == wanted.tolist()
    assert [row["classes"][name] for row in rows] == wanted[:, 0].tolist()
    assert {row["cycles"] for row in rows} == {plan.latency_cycles}


def test_a_board_answers_with_several_vectors_and_feature_maps(tmp_path: Path) -> None:
    network, board = network_with_heads(), find_board("ulx3s-25f")
    save(network, tmp_path / "network.json")
    budget = board.part.device.budget
    limits = budget.left(server_resources(network, budget.block)).limits
    plan = plan_network(network, budget=Budget(multipliers=8, **limits))
    verilog = emit_board(plan, board, clock_mhz=100, baud=BAUD, technology=Technology.GENERIC)
    divisor = board_config(plan, board, clock_mhz=100, baud=BAUD).divisor
    built = compile_board(verilog, BOARD_TOP, divisor=divisor, workdir=tmp_path, quick=True)
    images = np.random.default_rng(3).integers(-128, 128, (3, *network.input.shape))
    files = [str(tmp_path / f"image{number}.npy") for number in range(len(images))]
    for file, image in zip(files, images, strict=True):
        np.save(file, image)
    command = ["classify", str(tmp_path / "network.json"), *files, "--board", "ulx3s-25f"]
    command += ["--multipliers", "8", "--timeout", "20", "--output", str(tmp_path / "out")]
    with built.running() as port:
        result = CliRunner().invoke(app, [*command, "--port", port, "--json"])
        shown = CliRunner().invoke(app, [*command, "--port", port])
    assert result.exit_code == shown.exit_code == 0, result.stderr
    rows, values = json.loads(result.stdout), forward(network, images)
    for name, wanted in values.items():
        assert [row["outputs"][name] for row in rows] == wanted.tolist()
    for row, age, kind in zip(rows, values["age"], values["kind"], strict=True):
        assert row["classes"] == {"age": age.argmax(), "kind": kind.argmax()}
        assert list(row["top"]) == ["age", "kind"]
    assert {row["cycles"] for row in rows} == {plan.latency_cycles}
    assert f"kind: {values['kind'][0].argmax()}" in shown.stdout


def test_answers_that_are_too_long_are_refused() -> None:
    network = network_with_heads()
    image = replace(network.input, shape=(1, 300, 300))
    layers = [layer for layer in network.layers if layer.name in ("body", "boxes")]
    large = IntegerNetwork(name="large", input=image, layers=tuple(layers))
    with pytest.raises(PlanError) as error:
        board_config(plan_network(large, multipliers=8), BOARD, clock_mhz=100, baud=BAUD)
    assert list(error.value.problems) == ["an image must have at most 65535 bytes, it has 90000"]
    small = replace(large, input=replace(image, shape=(1, 200, 200)))
    with pytest.raises(PlanError) as error:
        board_config(plan_network(small, multipliers=8), BOARD, clock_mhz=100, baud=BAUD)
    wanted = "an answer must have at most 65535 bytes, the outputs make 120004"
    assert list(error.value.problems) == [wanted]


@pytest.mark.parametrize("packets", first_few((10, 25, 100), 1))
def test_damaged_packets_are_never_answered_wrongly(
    packets: int, served: Served, port: str
) -> None:
    """After each, the next image is classified as if nothing had been."""
    rng = random.Random(11)
    with open_line(port, BAUD) as line:
        board = BoardClient(line, timeout=20)
        for number in range(packets):
            good, other = served.request(number % IMAGES, 7), served.request(3, 8)
            line.write(_damaged(rng, good, other))
            end, received = time.monotonic() + 0.05, b""
            while time.monotonic() < end:
                received += line.read(4096)
            answer, _ = decode(received)
            assert answer is None or answer.status is not AnswerStatus.OK, number
            found = board.classify(served.payload(number % IMAGES))
            assert found.outputs[0].tolist() == served.outputs[number % IMAGES].tolist()
            assert found.classes == (int(served.outputs[number % IMAGES].argmax()),)


def _damaged(rng: random.Random, packet: bytes, other: bytes) -> bytes:
    """Flip bits, break off, lose or repeat bytes, or mix two packets."""
    place = rng.randrange(1, len(packet) - 1)
    match rng.randrange(5):
        case 0:
            changed = bytearray(packet)
            for _ in range(rng.randint(1, 8)):
                changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
            return bytes(changed) if changed != packet else packet[:-1]
        case 1:
            return packet[:place]
        case 2:
            return packet[:place] + packet[place + 1 :]
        case 3:
            return packet[:place] + packet[place - 1 :]
        case _:
            return packet[:place] + other[:place] + packet[place:] + other[place:]


def test_another_network_is_refused(served: Served, port: str, tmp_path: Path) -> None:
    other = small_network()
    save(other, tmp_path / "other.json")
    np.save(tmp_path / "image.npy", np.zeros(other.input.shape, dtype=np.int64))
    arguments = ["classify", str(tmp_path / "other.json"), str(tmp_path / "image.npy")]
    result = CliRunner().invoke(
        app,
        [*arguments, "--port", port, "--board", "ulx3s-25f", "--timeout", "20"]
        + ["--output", str(tmp_path / "out")],
    )
    assert result.exit_code == 1
    assert "the board computes network" in result.stderr


def test_a_board_that_is_silent_or_not_there_is_told(served: Served, tmp_path: Path) -> None:
    np.save(tmp_path / "image.npy", served.images[0])
    code, _, errors = _classify(served, "/dev/no-such-port", str(tmp_path / "image.npy"))
    assert code == 1
    assert "cannot open /dev/no-such-port" in errors

    class Silent:
        def read(self, size: int = 1) -> bytes:
            time.sleep(0.01)
            return b""

        def write(self, data: bytes, /) -> int:
            return len(data)

        def reset_input_buffer(self) -> None:
            pass

    with pytest.raises(BoardError, match="^gave up after 4 attempts: no answer within 0.05 s$"):
        BoardClient(Silent(), timeout=0.05).identify()


def test_images_that_do_not_fit_are_all_named(served: Served, tmp_path: Path) -> None:
    np.save(tmp_path / "small.npy", np.zeros((1, 2, 2), dtype=np.int64))
    np.save(tmp_path / "float.npy", np.zeros((1, 8, 8)))
    files = [str(tmp_path / name) for name in ("small.npy", "float.npy", "missing.npy")]
    code, _, errors = _classify(served, "/dev/null", *files)
    assert code == 2
    assert all(name in errors for name in ("small.npy", "float.npy", "missing.npy"))


def test_a_plan_for_a_board_leaves_room_for_what_serves_it(tmp_path: Path) -> None:
    network = small_network()
    save(network, tmp_path / "network.json")
    budgets = []
    for changes in ({"board": "ulx3s-12f"}, {"device": "ecp5-12f"}):
        session = open_run(
            tmp_path / "network.json", tmp_path / "out", changes=build_changes(**changes)
        )
        budgets.append(session.plan.budget)
        assert not list(session.plan.budget.exceeded(session.plan.resources))
    board, device = budgets
    assert device == DEVICES["ecp5-12f"].budget
    assert board == device.left(server_resources(network, device.block))
    assert device.luts is not None and board.luts is not None
    assert device.luts - board.luts > 900
    assert device.block_rams is not None and board.block_rams == device.block_rams - 1
