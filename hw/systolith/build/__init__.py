"""From engines to files: emitted Verilog, its description, and what one needs to use it."""

from systolith.build.board import BOARD_TOP, board_config, emit_board
from systolith.build.design import Design, StreamPort, load_design
from systolith.build.emit import (
    TOP,
    design_files,
    emit_verilog,
    input_stream,
    output_streams,
    write_design,
)
from systolith.build.load import load_bytes
from systolith.build.meaning import MEANING, MEANING_FILES, Meaning, read_meaning
from systolith.build.shell import Bus, emit_shell, shell_config, write_shell
from systolith.build.verilog import to_verilog

__all__ = [
    "BOARD_TOP",
    "MEANING",
    "MEANING_FILES",
    "TOP",
    "Bus",
    "Design",
    "Meaning",
    "StreamPort",
    "board_config",
    "design_files",
    "emit_board",
    "emit_shell",
    "emit_verilog",
    "input_stream",
    "load_bytes",
    "load_design",
    "output_streams",
    "read_meaning",
    "shell_config",
    "to_verilog",
    "write_design",
    "write_shell",
]
