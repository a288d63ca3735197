// The chain of systolith.bench.stalls.Pause: one xorshift32 step per cycle. driver.cpp has the same.
module systolith_bench_stall(
  input logic clk,
  input logic rst,
  input logic [32:0] begin_threshold,  // probability times 2**32
  input logic [32:0] end_threshold,
  input logic [31:0] seed,             // not zero
  output logic paused
);
  logic [31:0] state;

  function automatic logic [31:0] xorshift(input logic [31:0] value);
    value = value ^ (value << 13);
    value = value ^ (value >> 17);
    return value ^ (value << 5);
  endfunction

  wire [31:0] drawn = xorshift(state);

  always_ff @(posedge clk)
    if (rst) begin
      state <= seed;
      paused <= 1'b0;
    end else begin
      state <= drawn;
      paused <= paused ? {1'b0, drawn} >= end_threshold : {1'b0, drawn} < begin_threshold;
    end
endmodule
