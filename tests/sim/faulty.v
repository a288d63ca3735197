// One elastic register that adds one to every 8-bit lane, and can break each rule of a stream.
module stage #(parameter WIDTH = 16) (
  input clk, input rst, input [3:0] fault,
  input [WIDTH-1:0] i_payload, input i_valid, output i_ready,
  output [WIDTH-1:0] o_payload, output o_valid, input o_ready
);
  localparam WRONG = 1, DROP = 2, CHANGE = 3, WAIT = 4, MISSING = 5, EXTRA = 6, HANG = 7, STALE = 8;
  reg full = 0, glitch = 0, again = 0, stale = 0;
  reg [WIDTH-1:0] data;
  reg [15:0] taken = 0, given = 0;
  wire leave = o_valid && o_ready && !(fault == EXTRA && given == 47 && !again);
  wire take = i_valid && i_ready;
  assign i_ready = !(fault == HANG && taken >= 7) && (!full || leave);
  assign o_valid = full && !(fault == DROP && glitch) && !(fault == WAIT && !o_ready);
  assign o_payload = data ^ (fault == CHANGE && glitch) ^ ((fault == WRONG && given == 7) << 8);
  integer lane;
  always @(posedge clk) begin
    glitch <= o_valid && !o_ready;
    if (o_valid && o_ready) begin
      given <= given + 1;
      if (given == 47) again <= 1;
    end
    if (leave) full <= 0;
    if (take) begin
      full <= !(fault == MISSING && taken == 7);
      for (lane = 0; lane < WIDTH / 8; lane = lane + 1)
        data[8 * lane +: 8] <= i_payload[8 * lane +: 8] + 8'd1;
      taken <= taken + 1;
    end
    if (fault == STALE) stale <= 1;
    if (rst && !stale) begin
      full <= 0; taken <= 0; given <= 0; glitch <= 0; again <= 0;
    end
  end
endmodule

// Two stages. The first byte of the first image names the fault: 0xe0 + fault in the first stage,
// 0xf0 + fault in the second.
module faulty(
  input clk, input rst,
  input [15:0] i__payload, input i__valid, output i__ready,
  output [15:0] o__payload, output o__valid, input o__ready
);
  reg started = 0;
  reg [7:0] code = 0;
  always @(posedge clk)
    if (rst) begin
      started <= 0;
      code <= 0;
    end else if (i__valid && i__ready && !started) begin
      started <= 1;
      if (i__payload[7:0] >= 8'he0) code <= i__payload[7:0];
    end
  wire [3:0] fault_1 = code[7:4] == 4'he ? code[3:0] : 0;
  wire [3:0] fault_2 = code[7:4] == 4'hf ? code[3:0] : 0;
  wire [15:0] conv1__payload;
  wire conv1__valid, conv1__ready;
  stage first(clk, rst, fault_1, i__payload, i__valid, i__ready,
              conv1__payload, conv1__valid, conv1__ready);
  stage second(clk, rst, fault_2, conv1__payload, conv1__valid, conv1__ready,
               o__payload, o__valid, o__ready);
endmodule
