"""What the command line loads before it has something to do, and the names it knows without."""

import json
import os
import subprocess
import sys
from typing import get_args

import pytest
from typer.main import get_command

from systolith.build import Router
from systolith.cli import app, options
from systolith.cli.commands.fuzz_runs import DOORS
from systolith.cli.errors.failures import BAD_INPUT, FAILED_CHECK, find_loaded
from systolith.cli.options import merge_synonyms
from systolith.config import MOST_JOBS, Interface, PruneSection, SamplerName
from systolith.devices import BOARDS, DEVICES, ToolSource
from systolith.exchange import Format
from systolith.foundation import UsageError
from systolith.fuzz import MOST_LAYERS
from systolith.host import RUNNER_MODELS

HEAVY = {
    *("amaranth", "cocotb", "hypothesis", "matplotlib", "numba", "numpy", "onnx", "optuna"),
    *("ortools", "pandas", "plotly", "qonnx", "scipy", "sklearn", "torch"),
}
PROBE = """
import json, sys
sys.argv = ["systolith", *json.loads(sys.argv[1])]
from systolith.cli import main
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
    print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})), file=sys.stderr)
"""
COMMANDS = sorted(getattr(get_command(app), "commands", {}))


def _loaded(*arguments: str) -> set[str]:
    """Load whatever a command needs, in a process of its own; gives the packages.

    Its parent is a shell, in whose language ``--show-completion`` answers.
    """
    command = ["bash", "-c", '"$@"; exit $?', "bash"]
    command += [sys.executable, "-c", PROBE, json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("--show-completion",)])
def test_nothing_heavy_is_loaded_to_answer_a_question(arguments: tuple[str, ...]) -> None:
    assert not _loaded(*arguments) & HEAVY


def test_help_of_every_command_loads_nothing_heavy() -> None:
    assert {"run", "tune", "fuzz", "import", "doctor"} <= set(COMMANDS)
    together = "\n".join(
        f"    try: app([{name!r}, '--help'])\n    except SystemExit as stop: assert not stop.code"
        for name in COMMANDS
    )
    code = f"import sys\nfrom systolith.cli import app\nif True:\n{together}\n"
    code += "print(*{name.split('.')[0] for name in sys.modules}, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.count("Usage: ") == len(COMMANDS)
    assert not set(done.stderr.split()) & HEAVY


def test_names_are_those_of_the_tables() -> None:
    assert tuple(DEVICES) == options.DEVICES
    assert tuple(BOARDS) == options.BOARDS
    methods = [
        method
        for section in get_args(get_args(PruneSection)[0])
        for method in get_args(section.model_fields["method"].annotation)
    ]
    assert methods == list(options.METHODS)
    for names, values in (
        (options.FormatName, Format),
        (options.InterfaceName, Interface),
        (options.RouterName, Router),
        (options.SamplerLabel, SamplerName),
        (options.ToolsName, ToolSource),
    ):
        assert list(get_args(names)) == [each.value for each in values]
    assert list(get_args(options.DoorName)) == list(DOORS)
    assert list(get_args(options.RunnerModelName)) == list(RUNNER_MODELS)
    assert options.MOST_LAYERS == MOST_LAYERS
    assert options.MOST_JOBS == MOST_JOBS


@pytest.mark.parametrize("name", [*BAD_INPUT, *FAILED_CHECK])
def test_every_foreseen_error_exists(name: str) -> None:
    package, _, attribute = name.partition(":")
    __import__(package)
    (found,) = find_loaded([name])
    assert issubclass(found, Exception) and found.__name__ == attribute


def test_an_option_has_one_name_in_all_commands() -> None:
    commands = getattr(get_command(app), "commands", {})
    shown = {
        name: {
            option
            for parameter in command.params
            if not getattr(parameter, "hidden", False)
            for option in parameter.opts
        }
        for name, command in commands.items()
    }
    for command in ("estimate", "generate", "verify", "simulate", "build"):
        assert {"--clock-mhz", "--device", "--multipliers", "--output"} <= shown[command], command
    assert not {"--freq"} & set().union(*shown.values())
    assert "--keep" in shown["prune"] and "--keep" not in shown["flash"]


def test_earlier_names_of_options_are_taken_unless_they_contradict() -> None:
    assert merge_synonyms("--clock-mhz", None, "--freq", 50.0) == 50.0
    assert merge_synonyms("--clock-mhz", 50.0, "--freq", None) == 50.0
    with pytest.raises(UsageError, match="--freq is an earlier name of --clock-mhz"):
        merge_synonyms("--clock-mhz", 50.0, "--freq", 60.0)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("estimate --device ecp5-1", "ecp5-12f"),
        ("build --board tang", "tangnano9k"),
        ("prune --method tay", "taylor"),
        ("generate --interface wish", "wishbone"),
        ("tune search --sampler nsga3", "nsga3"),
        ("dia", ""),
        ("doc", "doctor"),
    ],
)
def test_a_shell_completes_names(words: str, expected: str) -> None:
    whole = f"systolith {words}"
    number = len(whole.split()) - 1
    variables = {"_SYSTOLITH_COMPLETE": "complete_bash", "COMP_WORDS": whole}
    done = subprocess.run(
        [sys.executable, "-c", "from systolith.cli import app; app(prog_name='systolith')"],
        env={**os.environ, **variables, "COMP_CWORD": str(number)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ([expected] if expected else []), done.stderr
