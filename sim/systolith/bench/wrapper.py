"""Verilog around a design, with port names that do not depend on the design.

Names of the design become escaped identifiers, which may be any text without blanks.
"""

from collections.abc import Sequence

from systolith.emit import Design, StreamPort

__all__ = ["TOP", "cocotb_wrapper", "native_outputs", "native_wrapper", "streams"]

TOP = "systolith_bench"

READ = "/*verilator public_flat_rd*/"
WRITE = "/*verilator public_flat_rw*/"

RESET = """\
  reg reset = 1'b1;
  always @(posedge clk) reset <= rst;"""
"""Reset of everything in a top module, one cycle after the input.

Nearly all logic of a design depends on its reset. If that were an input of the top module,
Verilator would compile this logic twice, and evaluate it at every change of any input as well.
"""


def streams(design: Design) -> tuple[StreamPort, ...]:
    """List the streams of a design in the order of the data flow: input, probes, outputs."""
    return (design.input, *design.probes, *design.outputs)


def native_wrapper(design: Design) -> str:
    """Format the top module of the native bench: one instance of the design."""
    outputs = "".join(
        f"""\
  output wire [{port.width - 1}:0] out_{number}_payload,
  output wire out_{number}_valid,
  input wire out_{number}_ready,
"""
        for number, port in enumerate(design.outputs)
    )
    return f"""\
module {TOP}(
  input wire clk,
  input wire rst,
{outputs}\
  input wire [{design.input.width - 1}:0] in_payload,
  input wire in_valid,
  output wire in_ready
);
{RESET}
{_instance(design)}
endmodule
"""


def native_outputs(design: Design) -> str:
    """Format the header with the numbers and names of the outputs for ``driver.cpp``."""
    several = len(design.outputs) > 1
    names = [f"output {port.signal}" if several else "output" for port in design.outputs]
    listed = " ".join(f'output({number}, "{name}")' for number, name in enumerate(names))
    return f"#define FOR_EACH_OUTPUT(output) {listed}\n"


def cocotb_wrapper(design: Design) -> str:
    """Format the top module of the cocotb bench: stalls, and a monitor on each stream.

    Python wakes only when `strobe` changes: after a cycle with a transfer or a broken rule, and
    `idle_limit` cycles after the last transfer. `status` then describes that cycle, from the most
    significant bit: idle; dropped, changed, transfer, valid and ready with one bit per stream each,
    the last output first; the number of the cycle in 48 bits. Monitors hold the payloads. While the
    producer offers nothing, the input carries the inverse of the next payload, to catch a design
    that reads the payload without valid.
    """
    ports, outputs = streams(design), len(design.outputs)
    count = len(ports)
    return f"""\
module {TOP}(
  input logic clk {WRITE},
  input logic rst {WRITE},
  input logic [{design.input.width - 1}:0] next_payload {WRITE},
  input logic next_valid {WRITE},
  input logic [{outputs - 1}:0] withhold {WRITE},
  input logic [31:0] idle_limit {WRITE},
  input logic [32:0] gap_begin {WRITE},
  input logic [32:0] gap_end {WRITE},
  input logic [31:0] gap_seed {WRITE},
  input logic [32:0] stall_begin {WRITE},
  input logic [32:0] stall_end {WRITE},
  input logic [{32 * outputs - 1}:0] stall_seed {WRITE},
  output logic strobe {READ},
  output logic [{5 * count + 48}:0] status {READ}
);
{RESET}
  logic gap, pending;
  systolith_bench_stall producer(clk, reset, gap_begin, gap_end, gap_seed, gap);

  wire in_valid = !reset && next_valid && (pending || !gap);
  wire in_ready;
  wire [{design.input.width - 1}:0] in_payload = in_valid ? next_payload : ~next_payload;
{_consumers(design.outputs)}
{_instance(design)}

  wire [{count - 1}:0] dropped, changed, transfer;
{_monitors(design)}

  logic [47:0] cycle;
  logic [31:0] idle;
  wire idle_hit = !reset && idle >= idle_limit;
  always_ff @(posedge clk) begin
    pending <= in_valid && !in_ready;
    cycle <= reset ? 48'd0 : cycle + 48'd1;
    idle <= reset || |transfer || idle_hit ? 32'd0 : idle + 32'd1;
    if (|transfer || |dropped || |changed || idle_hit) begin
      strobe <= !strobe;
      status <= {{idle_hit, dropped, changed, transfer,
                 {_concat(design, "valid")},
                 {_concat(design, "ready")}, cycle}};
    end
  end
endmodule
"""


def _consumers(outputs: Sequence[StreamPort]) -> str:
    """Format the nets and the consumer of each output."""
    return "\n".join(
        f"""\
  wire [{port.width - 1}:0] out_{number}_payload;
  wire out_{number}_valid;
  logic stall_{number};
  systolith_bench_stall consumer_{number}(
    clk, reset, stall_begin, stall_end, stall_seed[{32 * number} +: 32], stall_{number}
  );
  wire out_{number}_ready = !reset && !withhold[{number}] && !stall_{number};"""
        for number, port in enumerate(outputs)
    )


def _nets(design: Design, role: str) -> list[str]:
    """Name a signal of each stream: at a pin of the instance, or inside the design."""
    probes = [f"dut.\\{probe.signal}__{role} " for probe in design.probes]
    outputs = [f"out_{number}_{role}" for number in range(len(design.outputs))]
    return [f"in_{role}", *probes, *outputs]


def _concat(design: Design, role: str) -> str:
    return ", ".join(reversed(_nets(design, role)))


def _monitors(design: Design) -> str:
    """Format one monitor per stream: ``monitor_0`` for the input, and so on."""
    lines = []
    roles = [_nets(design, role) for role in ("payload", "valid", "ready")]
    for index, (port, *nets) in enumerate(zip(streams(design), *roles, strict=True)):
        flags = [f"{flag}[{index}]" for flag in ("transfer", "dropped", "changed")]
        pins = ", ".join(["clk", "reset", *nets, *flags])
        lines.append(f"  systolith_bench_monitor #({port.width}) monitor_{index}({pins});")
    return "\n".join(lines)


def _instance(design: Design) -> str:
    pins = [".clk(clk)", ".rst(reset)", *([".load(10'd0)"] if design.load_size else [])]
    outputs = [(port, f"out_{number}") for number, port in enumerate(design.outputs)]
    for port, name in ((design.input, "in"), *outputs):
        for role in ("payload", "valid", "ready"):
            pins.append(f".\\{port.signal}__{role} ({name}_{role})")
    return f"  \\{design.top} dut(\n    " + ",\n    ".join(pins) + "\n  );"
