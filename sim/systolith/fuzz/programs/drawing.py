"""Draw PyTorch programs in the style of real models."""

import re
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from systolith.fuzz.choices import Choices
from systolith.fuzz.programs import arithmetic, forms
from systolith.fuzz.programs.layers import (
    draw_convolution_call,
    draw_norm_call,
    draw_pad_call,
    draw_pool_call,
    draw_transposed_call,
)
from systolith.fuzz.programs.moves import JOINS, draw_move_call
from systolith.fuzz.programs.program import PRELUDE, Program, Statement

__all__ = ["draw_program"]

MOST_SEED = 9999
RARE_PERCENT = 7
"""Percentage of unsupported statements in half of all programs; the other half has none."""
TWO_OUTPUTS_PERCENT = 15
HOST = re.compile("softmax|sigmoid|argmax")
"""What is left to the host at an end."""
ATTEMPTS = 30
MOST_VALUES = 4000
OWNED = re.compile(r"<(\w+)=((?:[^<>]|<=)+)>")


def draw_program(choices: Choices, most_statements: int = 9) -> Program:
    """Draw a program that runs and whose outputs depend on its images."""
    for _ in range(ATTEMPTS):
        program = _Drawing(choices).program(choices.integer(2, most_statements))
        if program.runs():
            return program
    raise AssertionError(f"{ATTEMPTS} programs did not run")


class _Drawing:
    """A program while it is drawn; each statement is executed once it is written."""

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        self.rare = RARE_PERCENT if choices.chance(50) else 0
        size = choices.integer(4, 10)
        self.shape: tuple[int, ...] = (choices.integer(1, 4), size, choices.integer(4, 10))
        if choices.chance(12):
            self.shape = (choices.integer(3, 20),)
        self.own = nn.Module().eval()
        scope: dict[str, Any] = {"__name__": "fuzzed"}
        exec(PRELUDE, scope)
        self.scope = {**scope, "prune": prune, "self": self.own}
        self.variables: dict[str, Tensor] = {"x": torch.rand(2, *self.shape)}
        self.modules: dict[str, str] = {}
        self.statements: list[Statement] = []
        self.current = "x"

    def program(self, statements: int) -> Program:
        choices = self.choices
        for _ in range(statements):
            self._draw_statement()
        if choices.chance(70):
            self._classify()
        return Program(
            modules=self.modules,
            statements=tuple(self.statements),
            result=self.current,
            beside=self._draw_beside(),
            setup=tuple(self._draw_setup()),
            signature="x, mask=None" if choices.chance(self.rare) else "x",
            input_shape=self.shape,
            signed=choices.chance(25),
            stale=choices.chance(25),
            seed=choices.integer(0, MOST_SEED),
            config=self._draw_config(),
        )

    def _draw_beside(self) -> str:
        """Draw a second output, or none: a value that is neither an image nor left to the host."""
        host = {one.target for one in self.statements if HOST.search(one.text)}
        others = sorted(self.variables.keys() - host - {"x", self.current})
        if not others or self.choices.chance(100 - TWO_OUTPUTS_PERCENT):
            return ""
        return self.choices.one_of(others)

    @property
    def image(self) -> Tensor:
        """Value of the current variable."""
        return self.variables[self.current]

    def _draw_statement(self) -> None:
        choices = self.choices
        if choices.chance(self.rare):
            self._say(choices.one_of(forms.RARE_STATEMENTS))
            return
        if self.image.ndim == 2:
            self._draw_vector_statement()
            return
        match choices.integer(0, 28):
            case 0 | 1 | 2 | 3 | 4 | 5:
                self._draw_layer()
            case 6 | 7 | 8:
                if self.statements or choices.chance(20):
                    self._activate()
            case 9 | 10:
                self._draw_residual()
            case 11 | 12:
                self._draw_branch()
            case 13 | 14:
                self._draw_addition()
            case 15 | 16:
                text, covers = draw_pool_call(choices, self.image, self.rare)
                self._say(text, covers=covers)
            case 17:
                text, covers = draw_pad_call(choices, self.rare)
                if self._say(text, covers=covers):
                    kernel = choices.integer(3, 4) if not choices.chance(self.rare) else None
                    self._draw_layer(kernel=kernel)
            case 20 | 21 | 22:
                text, covers = draw_move_call(choices, self.image)
                self._say(text, covers=covers)
            case 23 | 24:
                self._draw_join()
            case 25 | 26:
                self._draw_product()
            case 27:
                self._say(choices.one_of(arithmetic.CONSTANTS))
            case 28:
                self._draw_transposed()
            case 18:
                self._say(choices.one_of(forms.NOTHINGS))
            case _:
                self._draw_composite()

    def _draw_layer(self, *, same_size: bool = False, kernel: int | None = None) -> bool:
        """Draw a convolution, perhaps with a batch norm and an activation."""
        choices = self.choices
        text, covers = draw_convolution_call(
            choices, self.image, self.rare, same_size=same_size, kernel=kernel
        )
        name = next((n for n in self.modules if n.startswith("conv")), None)
        if name and choices.chance(self.rare):
            text, covers = f"self.{name}({{0}})", ("module called twice",)
        if not self._say(text, covers=covers):
            return False
        if choices.chance(35):
            text, covers = draw_norm_call(choices, self.image, self.rare)
            self._say(text, covers=covers)
        if choices.chance(55):
            self._activate()
        return True

    def _draw_transposed(self) -> None:
        """Draw a transposed convolution, perhaps with a batch norm and an activation."""
        text, covers = draw_transposed_call(self.choices, self.image, self.rare)
        if not self._say(text, covers=covers):
            return
        if self.choices.chance(35):
            text, covers = draw_norm_call(self.choices, self.image, self.rare)
            self._say(text, covers=covers)
        if self.choices.chance(55):
            self._activate()

    def _draw_product(self) -> None:
        """Multiply by a tensor of the same shape, or by a gate that is repeated."""
        gate, start = self._new_name(), self.current
        axes = self.choices.one_of(list(arithmetic.GATES))
        form = self.choices.one_of(arithmetic.GATES[axes])
        if self.choices.chance(30) and start != "x":
            names = [
                name for name in self.variables if self.variables[name].shape == self.image.shape
            ]
            gate = self.choices.one_of(names)
        elif not self._say(form, target=gate, follow=False, covers=(axes,)):
            return
        if self.choices.chance(25):
            self._say(self.choices.one_of(arithmetic.BARE_PRODUCTS), gate, bare=True)
        else:
            self._say(self.choices.one_of(arithmetic.PRODUCTS), gate)

    def _activate(self) -> None:
        choices = self.choices
        if choices.chance(22):
            self._say(choices.one_of(forms.BARE_ACTIVATIONS), bare=True)
        elif choices.chance(12):
            self._say(choices.one_of(forms.FUNCTIONS))
        else:
            self._say(self._form(forms.ACTIVATIONS, forms.RARE_ACTIVATIONS))

    def _draw_residual(self) -> None:
        """Keep a tensor, draw a layer, and add both."""
        kept = self._new_name()
        alias = self._form(forms.ALIASES, forms.RARE_ALIASES)
        if self._say(alias, target=kept, follow=False) and self._draw_layer(same_size=True):
            self._add(kept)

    def _draw_branch(self) -> None:
        """Draw two layers of one tensor, and add them."""
        start, branch = self.current, self._new_name()
        text, covers = draw_convolution_call(self.choices, self.image, self.rare, same_size=True)
        if self._say(text, target=branch, covers=covers):
            if self.choices.chance(50):
                self._activate()
            branch, self.current = self.current, start
            if self._draw_layer(same_size=True):
                self._add(branch)

    def _draw_addition(self) -> None:
        """Add any tensor of the same shape."""
        shape = self.image.shape
        names = [name for name, value in self.variables.items() if value.shape == shape]
        self._add(self.choices.one_of(names))

    def _draw_join(self) -> None:
        """Join channels with those of any image of the same size, or with a layer's result."""
        size, kept = self.image.shape[2:], self._new_name()
        if self.choices.chance(40) and self._say("{0}", target=kept, follow=False):
            self._draw_layer(same_size=True)
            if self.choices.chance(50):
                self._activate()
        names = [name for name, value in self.variables.items() if value.shape[2:] == size]
        if self.image.ndim == 4 and self.image.shape[2:] == size:
            self._say(self.choices.one_of(JOINS), self.choices.one_of(names))

    def _add(self, other: str) -> None:
        if self.choices.chance(25):
            self._say(
                self._form(arithmetic.BARE_ADDITIONS, arithmetic.RARE_BARE_ADDITIONS),
                other,
                bare=True,
            )
        else:
            self._say(self._form(arithmetic.ADDITIONS, arithmetic.RARE_ADDITIONS), other)

    def _draw_composite(self) -> None:
        """Draw modules that contain modules."""
        choices, channels = self.choices, self.image.shape[1]
        if not choices.chance(self.rare):
            kind = choices.one_of(list(forms.COMPOSITES))
            sizes = {"channels": str(channels), "filters": str(choices.integer(1, 6))}
            text = forms.COMPOSITES[kind]
            for size, value in sizes.items():
                text = text.replace(f"[{size}]", value)
            self._say(text, covers=(kind,))
            return
        count = choices.integer(1, 2)
        layers = ", ".join([f"nn.Conv2d({channels}, {channels}, 3, padding=1)"] * count)
        loop = "for layer in <stack=nn.ModuleList([" + layers + "])>:\n    {0} = layer({0})"
        self._say(loop, bare=True, covers=("ModuleList in a loop",))

    def _draw_vector_statement(self) -> None:
        choices = self.choices
        match choices.integer(0, 10):
            case 10:
                self._say_image()
            case 0 | 1 | 2 | 3 | 4:
                self._say_linear()
            case 5 | 6 | 7:
                self._activate()
            case 8:
                self._say(choices.one_of(forms.NOTHINGS_OF_VECTORS))
            case _:
                self._draw_addition()

    def _say_linear(self) -> None:
        choices, features = self.choices, self.image.shape[1]
        bias = ", bias=False" if choices.chance(25) else ""
        text = f"<fc=nn.Linear({features}, {choices.integer(2, 10)}{bias})>({{0}})"
        if self._say(text, covers=("Linear" + bias,)) and choices.chance(self.rare):
            norm = f"<norm=nn.BatchNorm1d({self.image.shape[1]})>({{0}})"
            self._say(norm, covers=("BatchNorm1d",))

    def _say_image(self) -> None:
        """Make an image of a vector, as decoders do."""
        choices = self.choices
        channels, height, width = (choices.integer(1, most) for most in (3, 4, 4))
        linear = f"<fc=nn.Linear({self.image.shape[1]}, {channels * height * width})>({{0}})"
        spellings = (
            f"{{0}}.view(-1, {channels}, {height}, {width})",
            f"{{0}}.unflatten(1, ({channels}, {height}, {width}))",
        )
        if self._say(linear, covers=("Linear",)):
            self._say(choices.one_of(spellings), covers=("image of a vector",))

    def _classify(self) -> None:
        choices = self.choices
        if self.image.ndim == 4:
            if choices.chance(45):
                self._say(self._form(forms.GLOBAL_POOLS, forms.RARE_GLOBAL_POOLS))
            if self.image.ndim == 4:
                self._say(self._form(forms.FLATTENINGS, forms.RARE_FLATTENINGS))
        if self.image.ndim == 2:
            self._say_linear()
            if choices.chance(30):
                self._activate()
                self._say_linear()
        if choices.chance(self.rare):
            self._say(choices.one_of(forms.ENDS))

    def _draw_setup(self) -> list[str]:
        """Rarely draw a line such as a hook."""
        choices = self.choices
        names = [name for name in self.modules if name.startswith(("conv", "fc"))]
        if not names or not choices.chance(14 if self.rare else 4):
            return []
        return [choices.one_of(forms.SETUPS).format(name=choices.one_of(names))]

    def _draw_config(self) -> dict[str, Any]:
        choices = self.choices
        if choices.chance(40):
            return {}
        return {
            "weight_bits": choices.integer(1, 8),
            "act_bits": choices.integer(2, 8),
            "input_bits": choices.integer(2, 8),
            "output_bits": choices.integer(2, 16),
            "narrow_range": choices.chance(30),
            "power_of_two": choices.chance(30),
        }

    def _form(self, usual: tuple[str, ...], rare: tuple[str, ...]) -> str:
        return self.choices.one_of(rare if self.choices.chance(2 * self.rare) else usual)

    def _new_name(self) -> str:
        return self.choices.one_of([name for name in "yzuvw" if name not in self.variables] or "y")

    def _say(
        self,
        form: str,
        *others: str,
        target: str = "",
        bare: bool = False,
        follow: bool = True,
        covers: tuple[str, ...] | None = None,
    ) -> bool:
        """Add a statement that reads the current variable, unless it raises an exception."""
        fresh: dict[str, str] = {}
        text = form.replace("{channels}", str(self.image.shape[1]))
        text = OWNED.sub(lambda form: self._name_module(form, fresh), text)
        target = "" if bare else target or self._draw_target()
        shown = covers if covers is not None else (OWNED.sub(lambda f: f[2], form),)
        shown = tuple(f"{feature} as a statement" for feature in shown) if bare else shown
        statement = Statement(text=text, reads=(self.current, *others), target=target, covers=shown)
        if not self._try(statement, fresh):
            return False
        self.statements.append(statement)
        self.modules |= fresh
        if target and follow:
            self.current = target
        return True

    def _draw_target(self) -> str:
        return self._new_name() if self.choices.chance(15) else self.current

    def _name_module(self, form: re.Match[str], fresh: dict[str, str]) -> str:
        """Name the module of a form; an existing activation may be used again."""
        kind, constructor = form[1], form[2].replace("{{", "{").replace("}}", "}")
        for name, text in self.modules.items():
            if text == constructor and kind in ("relu", "drop", "same") and self.choices.chance(60):
                return f"self.{name}"
        count = sum(name.startswith(kind) for name in self.modules) + len(fresh)
        name = f"{kind}{count + 1}" if count else kind
        fresh[name] = constructor
        return f"self.{name}"

    def _try(self, statement: Statement, fresh: dict[str, str]) -> bool:
        variables = dict(self.variables)
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                for name, text in fresh.items():
                    self.own.add_module(name, eval(text, self.scope).eval())
                exec(statement.line, self.scope, variables)
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError):
            return False
        variables.pop("layer", None)
        value = variables[statement.target or self.current]
        if not isinstance(value, Tensor) or value.ndim not in (2, 4):
            return False
        if not 0 < value.numel() <= MOST_VALUES:
            return False
        if not value.is_floating_point() or len(value) != 2:
            return False
        self.variables = variables
        return True
