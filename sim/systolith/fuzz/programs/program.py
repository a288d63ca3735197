"""A small PyTorch program as data: its modules and statements, its source, its model and images."""

import json
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any
from zlib import crc32

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from systolith.fuzz.target import explain_damage

__all__ = ["PRELUDE", "Program", "Statement", "randomize"]

IMAGES = 12
LEAST_SPREAD = 1e-2

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
"""First lines of ``model.py``, with which the file can be run."""
INDENT = " " * 8
OPTION = re.compile(r", \w+=(?:\([^()]*\)|[^,()]+)(?=[,)])")
"""A keyword argument of a constructor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement of ``forward``.

    Attributes
    ----------
    text : str
        Source with ``{0}``, ``{1}`` for the variables that it reads.
    reads : tuple of str
    target : str
        Variable that it assigns; empty if the value is dropped.
    covers : tuple of str
        Features of the statement, for the coverage table.
    """

    text: str
    reads: tuple[str, ...]
    target: str = ""
    covers: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """The statement in Python."""
        text = self.text.format(*self.reads)
        return f"{self.target} = {text}" if self.target else text

    def rename(self, old: str, new: str) -> "Statement":
        """Read the variable `new` instead of `old`."""
        return replace(self, reads=tuple(new if name == old else name for name in self.reads))


@dataclass(frozen=True, kw_only=True, eq=False)
class Program:
    """A model as a user writes it, with images and a quantization.

    Attributes
    ----------
    modules : mapping of str to str
        Constructor by attribute name.
    setup : tuple of str
        Last lines of ``__init__``: hooks, pruning, parametrizations.
    statements : tuple of Statement
    result : str
        Variable that ``forward`` returns.
    beside : str
        Another one that it returns, too, in a tuple; empty if there is none.
    signature : str
        Parameters of ``forward``.
    input_shape : tuple of int
        (C, H, W) or (features,).
    signed : bool
        Whether images have negative values.
    stale : bool
        Whether to load the state of another instance before the first call.
    seed : int
        Seed of weights and images.
    config : mapping of str to object
        Arguments of :class:`systolith.quant.QuantConfig` for the second run.
    """

    modules: Mapping[str, str]
    statements: tuple[Statement, ...]
    input_shape: tuple[int, ...]
    result: str = "x"
    beside: str = ""
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
        statements = [line for statement in self.statements for line in statement.line.splitlines()]
        returned = f"return {self.result}" + (f", {self.beside}" if self.beside else "")
        forward = "\n".join(f"{INDENT}{line}" for line in [*statements, returned])
        return (
            f"{PRELUDE}class Net(nn.Module):\n"
            f"    def __init__(self, seed):\n{INDENT}super().__init__()\n{body}\n\n"
            f"    def forward(self, {self.signature}):\n{forward}\n"
        )

    @property
    def key(self) -> str:
        """Hash of the whole content of the program."""
        return sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def save(self, folder: Path) -> None:
        """Write ``case.json``, and ``model.py`` for people."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "case.json").write_text(json.dumps(asdict(self), indent=1) + "\n")
        (folder / "model.py").write_text(HEADER + self.source)

    @classmethod
    def load(cls, folder: Path) -> "Program":
        """Read a program that :meth:`save` wrote.

        Raises
        ------
        ValueError
            If a file is missing or damaged.
        """
        with explain_damage(folder, "a PyTorch program"):
            settings = json.loads((folder / "case.json").read_text())
            statements = [
                Statement(
                    text=statement["text"],
                    reads=tuple(statement["reads"]),
                    target=statement["target"],
                    covers=tuple(statement["covers"]),
                )
                for statement in settings.pop("statements")
            ]
            shape, setup = tuple(settings.pop("input_shape")), tuple(settings.pop("setup"))
            return cls(statements=tuple(statements), input_shape=shape, setup=setup, **settings)

    def model(self) -> nn.Module:
        """Execute the source and make an instance, in evaluation mode.

        Weights depend on the seed and their names only, so that a program without one of its
        statements keeps the other weights.
        """
        scope: dict[str, Any] = {"__name__": "fuzzed", "randomize": randomize}
        exec(compile(self.source, "<program>", "exec"), scope)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            model: nn.Module = scope["Net"](self.seed).eval()
            if self.stale:
                model.load_state_dict(scope["Net"](self.seed + 1).state_dict())
        return model

    def images(self) -> Tensor:
        """Draw images, float32 of shape (N, *input_shape)."""
        generator = torch.Generator().manual_seed(self.seed)
        images = torch.rand(IMAGES, *self.input_shape, generator=generator)
        return 2 * images - 1 if self.signed else images

    def runs(self) -> bool:
        """Whether outputs are finite, repeatable floats that differ between images."""
        images = self.images()
        try:
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                first, again = (tree_leaves(self.model()(images.clone())) for _ in range(2))
                return all(
                    _is_output(one, other, len(images))
                    for one, other in zip(first, again, strict=True)
                )
        except Exception:  # any exception means that no user has such a program
            return False

    def contents(self) -> Iterator[str]:
        """List the features of the program."""
        for statement in self.statements:
            yield from statement.covers
        for line in self.setup:
            yield re.sub(r"self\.\w+", "module", line)
        if self.stale:
            yield "state loaded after construction"
        if self.beside:
            yield "two outputs"

    def simpler(self) -> Iterator["Program"]:
        """List programs with fewer parts, the smallest first; some do not run."""
        for count in range(len(self.statements)):
            names = [self.statements[count - 1].target or "x"] if count else ["x"]
            yield self._remove_unused(
                replace(self, statements=self.statements[:count], result=names[0], beside="")
            )
        for place in range(len(self.statements)):
            yield self._remove_unused(self._without(place))
        for place in range(len(self.setup)):
            setup = (*self.setup[:place], *self.setup[place + 1 :])
            yield replace(self, setup=setup)
        if self.beside:
            yield replace(self, beside="")
            yield replace(self, result=self.beside, beside="")
        if self.stale:
            yield replace(self, stale=False)
        if self.config:
            yield replace(self, config={})
        if self.signed:
            yield replace(self, signed=False)
        if self.signature != "x":
            yield replace(self, signature="x")
        for name, text in self.modules.items():
            for option in OPTION.finditer(text):
                shorter = text[: option.start()] + text[option.end() :]
                yield replace(self, modules={**self.modules, name: shorter})

    def _without(self, place: int) -> "Program":
        """Remove a statement; statements that read its result read its input instead."""
        gone = self.statements[place]
        rest = list(self.statements[place + 1 :])
        result = self.result
        if gone.target and gone.reads and gone.target != gone.reads[0]:
            for index, statement in enumerate(rest):
                rest[index] = statement.rename(gone.target, gone.reads[0])
                if statement.target == gone.target:
                    break
            else:
                result = gone.reads[0] if result == gone.target else result
        return replace(self, statements=(*self.statements[:place], *rest), result=result)

    def _remove_unused(self, program: "Program") -> "Program":
        """Remove modules and setup lines that nothing uses."""
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


def randomize(model: nn.Module, seed: int) -> None:
    """Draw weights, biases and statistics of batch norms."""
    with torch.no_grad():
        for name, module in model.named_modules():
            generator = torch.Generator().manual_seed(crc32(f"{seed}/{name}".encode()))
            _randomize(module, generator)


def _randomize(module: nn.Module, generator: torch.Generator) -> None:
    def normal(tensor: Tensor, scale: float = 1.0) -> None:
        tensor.copy_(scale * torch.randn(tensor.shape, generator=generator))

    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        normal(module.weight, (2 / module.weight[0].numel()) ** 0.5)
        if module.bias is not None:
            normal(module.bias, 0.3)
    elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        if module.affine:
            normal(module.bias, 0.5)
            normal(module.weight)
        if module.running_mean is not None and module.running_var is not None:
            normal(module.running_mean, 0.5)
            spread = torch.rand(module.num_features, generator=generator)
            module.running_var.copy_(4.0 ** (2 * spread - 1))


def _is_output(first: object, again: object, images: int) -> bool:
    """Whether a result is finite, repeatable and not the same for all images."""
    return (
        isinstance(first, Tensor)
        and isinstance(again, Tensor)
        and first.is_floating_point()
        and len(first) == images
        and first.numel() > 0
        and bool(torch.isfinite(first).all())
        and torch.equal(first, again)
        and float(first.std(0).max()) > LEAST_SPREAD * float(first.abs().max())
    )
