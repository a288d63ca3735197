"""Verilog that simulators evaluate faster, with the same meaning."""

import pytest

from systolith.emit.rewriting import merge_registers, rewrite_modules, select_parts

COUNTER = r"""module counter (clk, rst, step, count);
  reg \$auto$verilog_backend.cc:2505:dump_module$1  = 0;
  reg [3:0] \$2 ;
  reg [3:0] count = 4'h0;
  always @(posedge clk)
    count <= \$2 ;
  always @* begin
    if (\$auto$verilog_backend.cc:2505:dump_module$1 ) begin end
    \$2  = count;
    if (step) begin
      \$2 [1:0] = \$1 [1:0];
    end
    if (rst) begin
      \$2  = 4'h0;
    end
  end
endmodule
"""
SELECT = r"""module select (data, number, part);
  input [31:0] data;
  input [1:0] number;
  output [7:0] part;
  wire [7:0] part;
  wire [5:0] \$1 ;
  assign \$1  = number * 4'h8;
  assign part = data >> \$1 ;
endmodule
"""


def test_a_register_is_assigned_where_its_next_value_is_computed() -> None:
    assert merge_registers(COUNTER) == (
        "module counter (clk, rst, step, count);\n"
        "  reg [3:0] count = 4'h0;\n"
        "  always @(posedge clk) begin\n"
        "    if (step) begin\n"
        "      count[1:0] <= \\$1 [1:0];\n"
        "    end\n"
        "    if (rst) begin\n"
        "      count <= 4'h0;\n"
        "    end\n"
        "  end\n"
        "endmodule\n"
    )


@pytest.mark.parametrize(
    "reader",
    [
        "  assign next = \\$2 ;\n",
        "  always @(posedge clk)\n    late <= \\$2 ;\n",
        "  part part_0 (\n    .i(\\$2 )\n  );\n",
    ],
)
def test_a_next_value_with_another_reader_stays(reader: str) -> None:
    text = COUNTER.replace("  always @*", f"{reader}  always @*")
    assert merge_registers(text) == text


def test_a_process_that_assigns_two_variables_stays() -> None:
    text = COUNTER.replace("    if (step)", "    other = step;\n    if (step)")
    assert merge_registers(text) == text


def test_a_default_that_is_not_the_register_stays() -> None:
    text = COUNTER.replace(r"\$2  = count;", r"\$2  = other;")
    assert "    count <= other;\n    if (step)" in merge_registers(text)


def test_a_part_is_selected_with_as_many_bits_as_the_word_needs() -> None:
    assert r"  assign part = data[\$1 [4:0] +: 8];" in select_parts(SELECT)
    assert r"  assign part = data[\$1 +: 8];" in select_parts(
        SELECT.replace(r"[5:0] \$1", r"[4:0] \$1")
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [("[31:0] data", "[30:0] data"), ("4'h8", "4'h9"), ("[1:0] number", "[2:0] number")],
)
def test_a_shift_beyond_the_word_stays(old: str, new: str) -> None:
    text = SELECT.replace(old, new)
    assert text != SELECT
    assert select_parts(text) == text


def test_names_of_one_module_mean_nothing_in_the_next() -> None:
    reader = "module reader (late);\n  assign late = \\$2 ;\nendmodule\n"
    assert rewrite_modules(COUNTER + reader) == merge_registers(COUNTER) + reader
