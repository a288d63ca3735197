"""Rewrite Verilog that Yosys wrote, so that a simulator evaluates less in each cycle."""

import re
from collections import Counter

__all__ = ["merge_registers", "rewrite_modules", "select_parts"]

NAME = r"(?:\\\S+ |[A-Za-z_]\w*)"
TOKEN = re.compile(NAME)
MODULE = re.compile(r"(?m)^(?=module )")
REGISTER = re.compile(rf"  always @\(posedge clk\)\n    ({NAME}) *<= ({NAME}) *;\n")
PROCESS = re.compile(r"  always @\* begin\n(.*?)\n  end\n", re.DOTALL)
ASSIGNMENT = re.compile(rf"( +)({NAME})( *\[[^\]]*\])? *= (.*)")
INITIAL = re.compile(r"(?m)^  reg (\\\$auto\$verilog_backend\S+) .*\n")
VECTOR = re.compile(
    rf"(?m)^  (?:input|output|wire|reg)(?: signed)? \[(\d+):0\] ({NAME}) *(?:=.*)?;$"
)
PRODUCT = re.compile(
    rf"(?m)^  assign ({NAME}) *= ({NAME}) *(?:\[(\d+):(\d+)\] )?\* \d+'h([0-9a-f]+);$"
)
SHIFT = re.compile(rf"(?m)^  assign ({NAME}) *= ({NAME}) *>> ({NAME}) *;$")


def rewrite_modules(verilog: str) -> str:
    """Apply :func:`merge_registers` and :func:`select_parts` to each module of a text."""
    return "".join(select_parts(merge_registers(part)) for part in MODULE.split(verilog))


def merge_registers(module: str) -> str:
    r"""Assign to registers where their next values are computed.

    Yosys writes a variable for the next value of each register, and two processes::

        always @(posedge clk)
          count <= \$1 ;
        always @* begin
          \$1 = count;
          if (step) \$1 = next;
        end

    becomes ``always @(posedge clk) begin if (step) count <= next; end``. A register whose next
    value has another reader stays as it is.

    Parameters
    ----------
    module : str
        Verilog-2005 of one module, as Yosys writes it.
    """
    uses = Counter(_bare(token) for token in TOKEN.findall(module))
    registers: dict[str, list[str]] = {}
    for register, source in REGISTER.findall(module):
        registers.setdefault(_bare(source), []).append(register)
    merged = set[str]()

    def merge(process: re.Match[str]) -> str:
        _, *lines = process[1].split("\n")  # the first line tells Icarus to run it at the start
        assigned = [match for match in map(ASSIGNMENT.fullmatch, lines) if match]
        targets = {_bare(match[2]) for match in assigned}
        target = targets.pop() if len(targets) == 1 else ""
        # The other uses are the declaration and the clocked assignment.
        if len(registers.get(target, ())) != 1 or uses[target] != len(assigned) + 2:
            return process[0]
        (register,) = registers[target]
        merged.add(target)
        keeps = re.sub(" ", "", lines[0]) == f"{target}={_bare(register)};"
        body = [_assign(line, register) for line in (lines[1:] if keeps else lines)]
        return "\n".join(["  always @(posedge clk) begin", *body, "  end", ""])

    module = PROCESS.sub(merge, module)
    module = REGISTER.sub(lambda match: "" if _bare(match[2]) in merged else match[0], module)
    module = re.sub(
        rf"(?m)^  reg (?:\[\d+:0\] )?({NAME});\n",
        lambda match: "" if _bare(match[1]) in merged else match[0],
        module,
    )
    return INITIAL.sub(lambda match: match[0] if module.count(match[1]) > 1 else "", module)


def _assign(line: str, register: str) -> str:
    """Make a blocking assignment of a process a clocked one; other lines stay."""
    match = ASSIGNMENT.fullmatch(line)
    return f"{match[1]}{register}{match[3] or ''} <= {match[4]}" if match else line


def select_parts(module: str) -> str:
    """Select a part of a word where Yosys shifts the whole word.

    If only the lowest 8 bits of ``data >> index * 8`` are used, and no index exceeds the word,
    ``data[place +: 8]`` takes its place. Simulators shift all bits of a word, and a shift of 512
    bits takes more than 100 instructions.

    Parameters
    ----------
    module : str
        Verilog-2005 of one module, as Yosys writes it.
    """
    width = {_bare(name): int(last) + 1 for last, name in VECTOR.findall(module)}
    greatest: dict[str, int] = {}
    for name, factor, high, low, scale in PRODUCT.findall(module):
        bits = int(high) - int(low) + 1 if high else width.get(_bare(factor), 1)
        greatest[_bare(name)] = (2**bits - 1) * int(scale, 16)

    def select(shift: re.Match[str]) -> str:
        part, word, place = (_bare(name) for name in shift.groups())
        bits, size = width.get(part, 1), width.get(word, 1)
        if place not in greatest or greatest[place] + bits > size:
            return shift[0]
        # A linter wants exactly as many bits as the places of the word need.
        needed = (size - 1).bit_length()
        if width.get(place, 1) < needed:
            return shift[0]
        places = f"{shift[3]}[{needed - 1}:0]" if width[place] > needed else place
        return f"  assign {shift[1]} = {shift[2]}[{places} +: {bits}];"

    return SHIFT.sub(select, module)


def _bare(name: str) -> str:
    """Return a name without the blank that ends an escaped one."""
    return name.rstrip(" ")
