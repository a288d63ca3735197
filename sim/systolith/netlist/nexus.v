// Model of the multiplier of Lattice CrossLink-NX, which Yosys has no model of. There is one clock;
// its enables are tied to 1, resets to 0.

module MULT18X18 (
    input [17:0] A, B,
    input SIGNEDA, SIGNEDB, CLK, CEA, RSTA, CEB, RSTB, CEOUT, RSTOUT,
    output [35:0] Z
);
    parameter REGINPUTA = "REGISTER", REGINPUTB = "REGISTER", REGOUTPUT = "REGISTER";
    parameter RESETMODE = "SYNC";
    // The highest bit of a factor is its sign, or 0.
    wire signed [18:0] a_in = {SIGNEDA & A[17], A}, b_in = {SIGNEDB & B[17], B};
    reg signed [18:0] a_register = 0, b_register = 0;
    reg signed [37:0] out_register = 0;
    wire signed [18:0] a = REGINPUTA == "REGISTER" ? a_register : a_in;
    wire signed [18:0] b = REGINPUTB == "REGISTER" ? b_register : b_in;
    wire signed [37:0] product = a * b;
    always @(posedge CLK) begin
        a_register <= a_in;
        b_register <= b_in;
        out_register <= product;
    end
    wire signed [37:0] result = REGOUTPUT == "REGISTER" ? out_register : product;
    assign Z = result[35:0];
endmodule
