"""The Verilog around a design that gives a bench the same port names whatever the design.

Names of the design are written as escaped identifiers, which may be any text without blanks.
"""

from collections.abc import Sequence

from systolith.build import Design, StreamPort

__all__ = ["TOP", "cocotb_wrapper", "native_wrapper", "streams"]

TOP = "systolith_bench"

READ = "/*verilator public_flat_rd*/"
WRITE = "/*verilator public_flat_rw*/"


def streams(design: Design) -> tuple[StreamPort, ...]:
    """All streams of a design in the order of the data flow: input, probes, output."""
    return (design.input, *design.probes, design.output)


def native_wrapper(design: Design) -> str:
    """Write the top module of the native bench: one instance, and nothing else."""
    return f"""\
module {TOP}(
  input wire clk,
  input wire rst,
  input wire [{design.input.width - 1}:0] in_payload,
  input wire in_valid,
  output wire in_ready,
  output wire [{design.output.width - 1}:0] out_payload,
  output wire out_valid,
  input wire out_ready
);
{_instance(design)}
endmodule
"""


def cocotb_wrapper(design: Design) -> str:
    """Write the top module of the cocotb bench: stalls, and a monitor on each stream.

    Python needs to wake only when `strobe` changes: after a cycle with a transfer or a broken rule,
    or with `idle_limit` cycles since the last transfer. `status` then tells about that cycle; from
    the most significant bit: idle, then one bit per stream (the output's first) of each of dropped,
    changed, transfer, valid and ready, then its number in 48 bits. The payload is in the monitor.
    While nothing is offered, the input carries the inverse of the next payload, so that a design
    which reads it without valid is seen.
    """
    ports = streams(design)
    count = len(ports)
    return f"""\
module {TOP}(
  input logic clk {WRITE},
  input logic rst {WRITE},
  input logic [{design.input.width - 1}:0] next_payload {WRITE},
  input logic next_valid {WRITE},
  input logic withhold {WRITE},
  input logic [31:0] idle_limit {WRITE},
  input logic [32:0] gap_begin {WRITE},
  input logic [32:0] gap_end {WRITE},
  input logic [31:0] gap_seed {WRITE},
  input logic [32:0] stall_begin {WRITE},
  input logic [32:0] stall_end {WRITE},
  input logic [31:0] stall_seed {WRITE},
  output logic strobe {READ},
  output logic [{5 * count + 48}:0] status {READ}
);
  logic gap, stall, pending;
  systolith_bench_stall producer(clk, rst, gap_begin, gap_end, gap_seed, gap);
  systolith_bench_stall consumer(clk, rst, stall_begin, stall_end, stall_seed, stall);

  wire in_valid = !rst && next_valid && (pending || !gap);
  wire in_ready;
  wire [{design.input.width - 1}:0] in_payload = in_valid ? next_payload : ~next_payload;
  wire [{design.output.width - 1}:0] out_payload;
  wire out_valid;
  wire out_ready = !rst && !withhold && !stall;
{_instance(design)}

  wire [{count - 1}:0] dropped, changed, transfer;
{_monitors(ports)}

  logic [47:0] cycle;
  logic [31:0] idle;
  wire idle_hit = !rst && idle >= idle_limit;
  always_ff @(posedge clk) begin
    pending <= in_valid && !in_ready;
    cycle <= rst ? 48'd0 : cycle + 48'd1;
    idle <= rst || |transfer || idle_hit ? 32'd0 : idle + 32'd1;
    if (|transfer || |dropped || |changed || idle_hit) begin
      strobe <= !strobe;
      status <= {{idle_hit, dropped, changed, transfer,
                 {_concat(ports, "valid")},
                 {_concat(ports, "ready")}, cycle}};
    end
  end
endmodule
"""


def _net(ports: Sequence[StreamPort], index: int, role: str) -> str:
    """Where a signal of a stream is seen: at the instance's pins, or inside the design."""
    if index == 0:
        return f"in_{role}"
    if index == len(ports) - 1:
        return f"out_{role}"
    return f"dut.\\{ports[index].signal}__{role} "


def _concat(ports: Sequence[StreamPort], role: str) -> str:
    return ", ".join(_net(ports, index, role) for index in reversed(range(len(ports))))


def _monitors(ports: Sequence[StreamPort]) -> str:
    """One instance per stream, named ``monitor_0`` (the input) and so on."""
    lines = []
    for index, port in enumerate(ports):
        nets = [_net(ports, index, role) for role in ("payload", "valid", "ready")]
        flags = [f"{flag}[{index}]" for flag in ("transfer", "dropped", "changed")]
        pins = ", ".join(["clk", "rst", *nets, *flags])
        lines.append(f"  systolith_bench_monitor #({port.width}) monitor_{index}({pins});")
    return "\n".join(lines)


def _instance(design: Design) -> str:
    pins = [".clk(clk)", ".rst(rst)"]
    for port, name in ((design.input, "in"), (design.output, "out")):
        for role in ("payload", "valid", "ready"):
            pins.append(f".\\{port.signal}__{role} ({name}_{role})")
    return f"  \\{design.top} dut(\n    " + ",\n    ".join(pins) + "\n  );"
