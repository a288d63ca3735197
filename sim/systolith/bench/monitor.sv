// Watches one stream: transfers, and the two rules about consecutive cycles.
module systolith_bench_monitor #(
  parameter int WIDTH = 8
) (
  input logic clk,
  input logic rst,
  input logic [WIDTH-1:0] payload,
  input logic valid,
  input logic ready,
  output logic transfer, // in this cycle
  output logic dropped, // valid fell before the transfer
  output logic changed // payload changed before the transfer
);
  logic waited /*verilator public_flat_rd*/; // valid was 1 without ready since reset
  logic eager /*verilator public_flat_rd*/; // ready was 1 without valid since reset
  logic [WIDTH-1:0] last /*verilator public_flat_rd*/; // payload of the last transfer
  logic held;
  logic [WIDTH-1:0] held_payload;

  assign transfer = !rst && valid && ready;
  assign dropped = !rst && held && !valid;
  assign changed = !rst && held && valid && payload != held_payload;

  always_ff @(posedge clk) begin
    held <= !rst && valid && !ready;
    held_payload <= payload;
    waited <= !rst && (waited || (valid && !ready));
    eager <= !rst && (eager || (ready && !valid));
    if (transfer) last <= payload;
  end
endmodule
