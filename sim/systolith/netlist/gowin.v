// Models of the multipliers of Gowin GW1N and GW2A, which Yosys has no model of. There is one clock;
// its enable is tied to 1, resets to 0.

module MULT9X9 (
    input [8:0] A, B, SIA, SIB,
    input ASIGN, BSIGN, ASEL, BSEL, CE, CLK, RESET,
    output [17:0] DOUT,
    output [8:0] SOA, SOB
);
    parameter AREG = 1'b0, BREG = 1'b0, PIPE_REG = 1'b0, OUT_REG = 1'b0;
    parameter ASIGN_REG = 1'b0, BSIGN_REG = 1'b0, SOA_REG = 1'b0, MULT_RESET_MODE = "SYNC";
    multiplier #(9, AREG, BREG, PIPE_REG, OUT_REG) of_bits(CLK, {ASIGN & A[8], A}, {BSIGN & B[8], B}, DOUT);
endmodule

module MULT18X18 (
    input [17:0] A, B, SIA, SIB,
    input ASIGN, BSIGN, ASEL, BSEL, CE, CLK, RESET,
    output [35:0] DOUT,
    output [17:0] SOA, SOB
);
    parameter AREG = 1'b0, BREG = 1'b0, PIPE_REG = 1'b0, OUT_REG = 1'b0;
    parameter ASIGN_REG = 1'b0, BSIGN_REG = 1'b0, SOA_REG = 1'b0, MULT_RESET_MODE = "SYNC";
    multiplier #(18, AREG, BREG, PIPE_REG, OUT_REG) of_bits(CLK, {ASIGN & A[17], A}, {BSIGN & B[17], B}, DOUT);
endmodule

// The highest bit of a factor is its sign, or 0.
module multiplier #(
    parameter BITS = 9, A_REG = 0, B_REG = 0, PIPE_REG = 0, OUT_REG = 0
) (
    input clk,
    input signed [BITS:0] a_in, b_in,
    output [2*BITS-1:0] o
);
    reg signed [BITS:0] a_register = 0, b_register = 0;
    reg signed [2*BITS+1:0] pipe_register = 0, out_register = 0;
    wire signed [BITS:0] a = A_REG ? a_register : a_in;
    wire signed [BITS:0] b = B_REG ? b_register : b_in;
    wire signed [2*BITS+1:0] product = a * b;
    wire signed [2*BITS+1:0] piped = PIPE_REG ? pipe_register : product;
    always @(posedge clk) begin
        a_register <= a_in;
        b_register <= b_in;
        pipe_register <= product;
        out_register <= piped;
    end
    wire signed [2*BITS+1:0] result = OUT_REG ? out_register : piped;
    assign o = result[2*BITS-1:0];
endmodule
