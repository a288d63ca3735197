// Models of the other cells of a Lattice ECP5 that synthesis uses: LUTs and their multiplexers,
// carries, registers, memories made of LUTs, and a PLL.

module LUT4 (input A, B, C, D, output Z);
    parameter [15:0] INIT = 16'h0;
    assign Z = INIT[{D, C, B, A}];
endmodule

module PFUMX (input ALUT, BLUT, C0, output Z);
    assign Z = C0 ? ALUT : BLUT;
endmodule

module L6MUX21 (input D0, D1, SD, output Z);
    assign Z = SD ? D1 : D0;
endmodule

// Two bits of a sum. For each bit, a LUT of four inputs selects whether the carry propagates. If it
// does not, a LUT of the first two inputs is the carry, unless the carry chain is cut there.
module CCU2C (
    input CIN, A0, B0, C0, D0, A1, B1, C1, D1,
    output S0, S1, COUT
);
    parameter [15:0] INIT0 = 16'h0, INIT1 = 16'h0;
    parameter INJECT1_0 = "YES", INJECT1_1 = "YES";

    wire on0 = INIT0[{D0, C0, B0, A0}];
    wire on1 = INIT1[{D1, C1, B1, A1}];
    wire made0 = INJECT1_0 == "NO" && INIT0[{2'b00, B0, A0}];
    wire made1 = INJECT1_1 == "NO" && INIT1[{2'b00, B1, A1}];
    wire between = on0 ? CIN : made0;
    assign S0 = on0 ^ (INJECT1_0 == "NO" && CIN);
    assign S1 = on1 ^ (INJECT1_1 == "NO" && between);
    assign COUT = on1 ? between : made1;
endmodule

module TRELLIS_FF (input CLK, LSR, CE, DI, M, output reg Q);
    parameter GSR = "ENABLED", CEMUX = "1", CLKMUX = "CLK", LSRMUX = "LSR", LSRMODE = "LSR";
    parameter SRMODE = "LSR_OVER_CE", REGSET = "RESET";

    wire enable = CEMUX == "1" || (CEMUX == "INV" ? !CE : CEMUX != "0" && CE);
    wire reset = LSRMUX == "INV" ? !LSR : LSR;
    wire value = LSRMODE == "PRLD" ? M : REGSET == "SET";
    initial Q = REGSET == "SET";

    generate
        if (SRMODE == "ASYNC" && CLKMUX == "INV") begin
            always @(negedge CLK, posedge reset) if (reset) Q <= value; else if (enable) Q <= DI;
        end else if (SRMODE == "ASYNC") begin
            always @(posedge CLK, posedge reset) if (reset) Q <= value; else if (enable) Q <= DI;
        end else if (CLKMUX == "INV") begin
            always @(negedge CLK) if (reset) Q <= value; else if (enable) Q <= DI;
        end else begin
            always @(posedge CLK) if (reset) Q <= value; else if (enable) Q <= DI;
        end
    endgenerate
endmodule

module TRELLIS_DPR16X4 (
    input [3:0] DI, WAD, RAD,
    input WRE, WCK,
    output [3:0] DO
);
    parameter WCKMUX = "WCK", WREMUX = "WRE";
    parameter [63:0] INITVAL = 64'h0;

    reg [3:0] words [0:15];
    integer n;
    initial for (n = 0; n < 16; n = n + 1) words[n] = INITVAL[4 * n +: 4];
    wire enable = WREMUX == "1" || (WREMUX == "INV" ? !WRE : WREMUX != "0" && WRE);
    generate
        if (WCKMUX == "INV") begin
            always @(negedge WCK) if (enable) words[WAD] <= DI;
        end else begin
            always @(posedge WCK) if (enable) words[WAD] <= DI;
        end
    endgenerate
    assign DO = words[RAD];
endmodule

// The simulation drives the clock of the design in place of the board's clock.
module EHXPLLL (
    input CLKI, CLKFB, RST, STDBY, PHASESEL0, PHASESEL1, PHASEDIR, PHASESTEP, PHASELOADREG,
        PLLWAKESYNC, ENCLKOP, ENCLKOS, ENCLKOS2, ENCLKOS3,
    output CLKOP, CLKOS, CLKOS2, CLKOS3, LOCK, INTLOCK, REFCLK, CLKINTFB
);
    parameter CLKI_DIV = 1, CLKFB_DIV = 1, CLKOP_DIV = 8, CLKOS_DIV = 8, CLKOS2_DIV = 8;
    parameter CLKOS3_DIV = 8, CLKOP_CPHASE = 0, CLKOP_FPHASE = 0, CLKOP_ENABLE = "ENABLED";
    parameter CLKOS_ENABLE = "DISABLED", CLKOS2_ENABLE = "DISABLED", CLKOS3_ENABLE = "DISABLED";
    parameter OUTDIVIDER_MUXA = "DIVA", OUTDIVIDER_MUXB = "DIVB", OUTDIVIDER_MUXC = "DIVC";
    parameter OUTDIVIDER_MUXD = "DIVD", FEEDBK_PATH = "CLKOP", INTFB_WAKE = "DISABLED";
    parameter PLLRST_ENA = "DISABLED", STDBY_ENABLE = "DISABLED", DPHASE_SOURCE = "DISABLED";
    assign CLKOP = CLKI;
    assign LOCK = 1'b1;
endmodule
