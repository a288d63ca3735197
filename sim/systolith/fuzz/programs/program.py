"""A small PyTorch program as data: modules, statements, and how to print it as a class."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

__all__ = ["Program", "Statement", "load_program"]

PRELUDE = '''\
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune


class OwnConv2d(nn.Conv2d):
    """A subclass that changes nothing."""


class Block(nn.Module):
    """A residual block as torchvision writes it."""

    def __init__(self, channels, filters, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, filters, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(filters)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(filters)
        self.downsample = None
        if stride != 1 or channels != filters:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, filters, 1, stride, bias=False), nn.BatchNorm2d(filters)
            )

    def forward(self, x):
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


'''
HEADER = "from systolith.fuzz.programs import randomize\n\n"
"""Of the file to be read, which can be run, too."""
INDENT = " " * 8
OPTION = re.compile(r", \w+=(?:\([^()]*\)|[^,()]+)(?=[,)])")
"""One keyword argument of a constructor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement of ``forward``.

    Attributes
    ----------
    text : str
        With ``{0}``, ``{1}`` for the variables read.
    reads : tuple of str
    target : str
        Variable that is assigned; empty for a statement whose value is dropped.
    covers : tuple of str
        What the statement contains, for the table of what was covered.
    """

    text: str
    reads: tuple[str, ...]
    target: str = ""
    covers: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """As Python writes it."""
        text = self.text.format(*self.reads)
        return f"{self.target} = {text}" if self.target else text

    def renamed(self, old: str, new: str) -> "Statement":
        """Read another variable instead of one."""
        return replace(self, reads=tuple(new if name == old else name for name in self.reads))


@dataclass(frozen=True, kw_only=True, eq=False)
class Program:
    """A module of the user's, its images and how it is quantized.

    Attributes
    ----------
    modules : mapping of str to str
        Constructor by attribute name.
    setup : tuple of str
        Lines of ``__init__`` after the modules: hooks, pruning, parametrizations.
    statements : tuple of Statement
    result : str
        Variable returned.
    signature : str
        Parameters of ``forward``.
    input_shape : tuple of int
        (C, H, W) or (features,).
    signed : bool
        Whether images have values below zero.
    stale : bool
        Load the state of another instance after construction, without running the model.
    seed : int
        Of weights and images.
    config : mapping of str to object
        Of :class:`systolith.quant.QuantConfig`, for the second run.
    """

    modules: Mapping[str, str]
    statements: tuple[Statement, ...]
    input_shape: tuple[int, ...]
    result: str = "x"
    setup: tuple[str, ...] = ()
    signature: str = "x"
    signed: bool = False
    stale: bool = False
    seed: int = 0
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """The program as a readable PyTorch class."""
        lines = [f"self.{name} = {text}" for name, text in self.modules.items()]
        lines += ["randomize(self, seed)", *self.setup]
        body = "\n".join(f"{INDENT}{line}" for line in lines)
        statements = [line for each in self.statements for line in each.line.splitlines()]
        forward = "\n".join(f"{INDENT}{line}" for line in [*statements, f"return {self.result}"])
        return (
            f"{PRELUDE}class Net(nn.Module):\n"
            f"    def __init__(self, seed):\n{INDENT}super().__init__()\n{body}\n\n"
            f"    def forward(self, {self.signature}):\n{forward}\n"
        )

    @property
    def key(self) -> str:
        """Hash of all that the program is."""
        return sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def save(self, folder: Path) -> None:
        """Write ``case.json`` and, to be read, ``model.py``."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "case.json").write_text(json.dumps(asdict(self), indent=1) + "\n")
        (folder / "model.py").write_text(HEADER + self.source)

    def contents(self) -> Iterator[str]:
        """List what the program contains."""
        for statement in self.statements:
            yield from statement.covers
        for line in self.setup:
            yield re.sub(r"self\.\w+", "module", line)
        if self.stale:
            yield "state loaded after construction"

    def simpler(self) -> Iterator["Program"]:
        """List programs with a little less, those with much less first; some do not run."""
        for count in range(len(self.statements)):
            names = [self.statements[count - 1].target or "x"] if count else ["x"]
            yield self._used(replace(self, statements=self.statements[:count], result=names[0]))
        for place in range(len(self.statements)):
            yield self._used(self._without(place))
        for place in range(len(self.setup)):
            setup = (*self.setup[:place], *self.setup[place + 1 :])
            yield replace(self, setup=setup)
        if self.stale:
            yield replace(self, stale=False)
        if self.config:
            yield replace(self, config={})
        if self.signed:
            yield replace(self, signed=False)
        if self.signature != "x":
            yield replace(self, signature="x")
        for name, text in self.modules.items():
            for found in OPTION.finditer(text):
                shorter = text[: found.start()] + text[found.end() :]
                yield replace(self, modules={**self.modules, name: shorter})

    def _without(self, place: int) -> "Program":
        """Leave a statement out; who reads its result reads what it read."""
        gone = self.statements[place]
        rest = list(self.statements[place + 1 :])
        result = self.result
        if gone.target and gone.reads and gone.target != gone.reads[0]:
            for index, each in enumerate(rest):
                rest[index] = each.renamed(gone.target, gone.reads[0])
                if each.target == gone.target:
                    break
            else:
                result = gone.reads[0] if result == gone.target else result
        return replace(self, statements=(*self.statements[:place], *rest), result=result)

    def _used(self, program: "Program") -> "Program":
        """Without the modules and setup lines that nothing uses."""
        text = "\n".join(statement.line for statement in program.statements)
        used = {name for name in program.modules if re.search(rf"self\.{name}\b", text)}
        return replace(
            program,
            modules={name: text for name, text in program.modules.items() if name in used},
            setup=tuple(
                line
                for line in program.setup
                if all(name in used for name in re.findall(r"self\.(\w+)", line))
            ),
        )


def load_program(folder: Path) -> Program:
    """Read what :meth:`Program.save` wrote.

    Raises
    ------
    ValueError
        If it is missing or damaged.
    """
    try:
        settings = json.loads((folder / "case.json").read_text())
        statements = [
            Statement(
                text=each["text"],
                reads=tuple(each["reads"]),
                target=each["target"],
                covers=tuple(each["covers"]),
            )
            for each in settings.pop("statements")
        ]
        shape, setup = tuple(settings.pop("input_shape")), tuple(settings.pop("setup"))
        return Program(statements=tuple(statements), input_shape=shape, setup=setup, **settings)
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        raise ValueError(f"{folder} does not hold a PyTorch program: {error}") from error
