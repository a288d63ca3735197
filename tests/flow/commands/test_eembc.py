"""EEMBC's runner for MLPerf Tiny and a board that is simulated pin by pin."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from systolith.cli import app
from systolith.devices import find_board, variants_of
from systolith.gateware.board import server_resources
from systolith.host import RUNNER_MODELS, Inference, RunnerDevice, open_line
from systolith.network import ActType, load
from systolith.plan import plan_network
from systolith.tflite import run_kernels
from tests.support.tflite_files import TfliteFile
from tests.support.tiny_runner import TinyRunner

BOARD, BAUD, CLASSES = "ulx3s-25f", 1_000_000, 3
SHAPE = (1, 4, 3, 2)
MAIN = "from systolith.cli import main; main()"


def _write_model(path: Path) -> Path:
    """Write a file of one convolution and one linear layer, with a softmax behind."""
    rng, file = np.random.default_rng(5), TfliteFile()
    file.inputs = [file.tensor("input", SHAPE, 1.0, -128)]
    kernel = rng.integers(-127, 128, (2, 3, 3, 2), dtype=np.int8)
    scales = rng.uniform(0.001, 0.004, 2).astype(np.float32)
    image = file.tensor("model/conv/Relu", SHAPE, 0.9, -128)
    weight = file.constant("model/conv/Conv2D", kernel, scale=scales)
    bias = file.constant("model/conv/bias", np.zeros(2, dtype=np.int32))
    file.operator(
        "CONV_2D", [0, weight, bias], [image], "Conv2DOptions", StrideH=1, StrideW=1,
        DilationHFactor=1, DilationWFactor=1, FusedActivationFunction=1,
    )  # fmt: skip
    flat = file.tensor("flat", (1, 24), 0.9, -128)
    file.operator("RESHAPE", [image, file.constant("shape", np.array([1, 24], np.int32))], [flat])
    values = rng.integers(-127, 128, (CLASSES, 24), dtype=np.int8)
    dense = file.tensor("model/dense/BiasAdd", (1, CLASSES), 0.1, 4)
    inputs = [flat, file.constant("model/dense/MatMul", values, scale=0.003)]
    file.operator("FULLY_CONNECTED", inputs, [dense], "FullyConnectedOptions")
    file.outputs = [file.tensor("probabilities", (1, CLASSES), 1 / 256, -128)]
    file.operator("SOFTMAX", [dense], file.outputs, "SoftmaxOptions", Beta=1.0)
    return file.write(path)


@contextmanager
def _running(folder: Path) -> Iterator[str]:
    """Run the command with a simulated board. Yields the runner's port."""
    command = [sys.executable, "-c", MAIN, "eembc", str(folder / "network.json")]
    options = ["--model", "ic01", "--board", BOARD, "--output", str(folder / "out")]
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("runner's port: "), line
        yield line.removeprefix("runner's port: ").strip()
    finally:
        process.terminate()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.slow
def test_the_runner_measures_a_simulated_board(tmp_path: Path) -> None:
    path = _write_model(tmp_path / "model.tflite")
    result = CliRunner().invoke(app, ["import", str(path), "-o", str(tmp_path)])
    assert result.exit_code == 0, result.output
    pixels = np.random.default_rng(6).integers(0, 256, (12, *SHAPE[1:]), dtype=np.uint8)
    (wanted,) = run_kernels(path, (pixels.astype(np.int64) - 128).astype(np.int8))
    inputs, labels = [image.tobytes() for image in pixels], [0, 1, 2] * 4
    with _running(tmp_path) as port, open_line(port, BAUD) as line:
        runner = TinyRunner(line)
        vendor, profile, model = runner.identify()
        assert (vendor, model) == ("systolith", "ic01") and profile.startswith("ULPMark for tinyML")
        rate = runner.measure(inputs)
        accuracy = runner.judge(inputs, labels)
    probabilities = (wanted.astype(np.float64) + 128) / 256
    assert np.abs(accuracy.scores - probabilities).max() < 0.03, "TFLite's softmax has 8 bits"
    assert (accuracy.scores.argmax(axis=1) == probabilities.argmax(axis=1)).all()
    assert accuracy.top1 == (probabilities.argmax(axis=1) == labels).mean()
    network, part = load(tmp_path / "network.json"), find_board(BOARD).part
    budget = part.device.budget
    plan = plan_network(network, budget=budget.left(server_resources(network, budget.block)))
    clock_hz = variants_of(part.device).clock_mhz * 1e6
    assert rate == pytest.approx(clock_hz / plan.latency_cycles, rel=1e-6)


def _device(**options: int) -> tuple[RunnerDevice, list[bytes]]:
    given: list[bytes] = []

    def infer(content: bytes) -> Inference:
        given.append(content)
        return Inference(results=[0.25, 0.75], cycles=5000)

    device = RunnerDevice(infer, input_bytes=4, model="kws01", clock_mhz=50, **options)
    return device, given


def test_commands_are_answered_one_by_one() -> None:
    device, given = _device()
    assert device.greet().endswith(b"m-init-done\r\nm-ready\r\n")
    assert device.feed(b"na") == b""
    assert device.feed(b"me%timestamp%") == (
        b"m-name-dut-[systolith]\r\nm-ready\r\nm-lap-us-0\r\nm-ready\r\n"
    )
    assert device.feed(b"db load 4%db 0aFf%db 1002%") == (
        b"m-[Expecting 4 bytes]\r\nm-ready\r\nm-ready\r\nm-load-done\r\nm-ready\r\n"
    )
    assert device.feed(b"db print%") == b"m-buffer-0a-ff-10-02\r\nm-ready\r\n"
    lines = device.feed(b"infer 3 2%").decode().split("\r\n")
    assert lines == [
        *("m-warmup-start-2", "m-warmup-done", "m-infer-start-3", "m-lap-us-200", "m-lap-us-500"),
        *("m-infer-done", "m-results-[0.250,0.750]", "m-ready", ""),
    ]
    assert given == [b"\x0a\xff\x10\x02"] * 5
    assert device.feed(b"results%") == b"m-results-[0.250,0.750]\r\nm-ready\r\n"


def test_inferences_that_do_not_run_have_the_cycles_of_the_others() -> None:
    device, given = _device(most_runs=1)
    device.feed(b"db load 4%db 00000000%")
    lines = device.feed(b"infer 1000 0%").decode().split("\r\n")
    assert [line for line in lines if "lap" in line] == ["m-lap-us-0", "m-lap-us-100000"]
    assert len(given) == 1


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("hello", "e-[Unknown command: hello]"),
        ("db", "e-[Command 'db' requires a subcommand]"),
        ("db load", "e-[Command 'db load' requires the # of bytes]"),
        ("db load 5", "e-[An input has 4 bytes]"),
        ("db 0g", "e-[Invalid hex digits]"),
        ("db 0", "e-[Invalid hex digits]"),
        ("infer 0", "e-[infer requires iterations above 0, and warmups from 0]"),
        ("infer 1 0", "e-[Input db has 0 bytes, expected 4]"),
        ("results", "e-[No inference yet]"),
        ("x" * 81, "e-[Command longer than 80 characters]"),
    ],
)
def test_wrong_commands_are_named_and_the_line_stays_ready(command: str, said: str) -> None:
    device, given = _device()
    assert device.feed(f"{command}%".encode()) == f"{said}\r\nm-ready\r\n".encode()
    assert given == []


def test_the_autoencoder_reads_floats_and_gives_its_error() -> None:
    model, act = RUNNER_MODELS["ad01"], ActType(bits=8, signed=True, zero_point=3)
    content = np.array([0.25, -0.25, 1.0, 99.0], dtype="<f4").tobytes()
    assert model.read(content, act, 0.5).tolist() == [4, 2, 5, 127]
    (error,) = model.results(np.array([0.25, 0.75, 1.0, 97.0]), content)
    assert error == pytest.approx((1 + 4) / 4)
