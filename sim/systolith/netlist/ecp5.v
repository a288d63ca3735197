// Models of the cells of a Lattice ECP5 that this project uses and Yosys has no model of. There is one
// clock. Clock enables and chip selects are tied to 1, resets to 0.

module MULT18X18D (
    input
        A0, A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13, A14, A15, A16, A17,
        B0, B1, B2, B3, B4, B5, B6, B7, B8, B9, B10, B11, B12, B13, B14, B15, B16, B17,
        C0, C1, C2, C3, C4, C5, C6, C7, C8, C9, C10, C11, C12, C13, C14, C15, C16, C17,
        SRIA0, SRIA1, SRIA2, SRIA3, SRIA4, SRIA5, SRIA6, SRIA7, SRIA8, SRIA9, SRIA10, SRIA11,
        SRIA12, SRIA13, SRIA14, SRIA15, SRIA16, SRIA17,
        SRIB0, SRIB1, SRIB2, SRIB3, SRIB4, SRIB5, SRIB6, SRIB7, SRIB8, SRIB9, SRIB10, SRIB11,
        SRIB12, SRIB13, SRIB14, SRIB15, SRIB16, SRIB17,
        SIGNEDA, SIGNEDB, SOURCEA, SOURCEB,
        CLK0, CLK1, CLK2, CLK3, CE0, CE1, CE2, CE3, RST0, RST1, RST2, RST3,
    output
        P0, P1, P2, P3, P4, P5, P6, P7, P8, P9, P10, P11, P12, P13, P14, P15, P16, P17, P18,
        P19, P20, P21, P22, P23, P24, P25, P26, P27, P28, P29, P30, P31, P32, P33, P34, P35
);
    parameter REG_INPUTA_CLK = "NONE", REG_INPUTA_CE = "CE0", REG_INPUTA_RST = "RST0";
    parameter REG_INPUTB_CLK = "NONE", REG_INPUTB_CE = "CE0", REG_INPUTB_RST = "RST0";
    parameter REG_INPUTC_CLK = "NONE", REG_INPUTC_CE = "CE0", REG_INPUTC_RST = "RST0";
    parameter REG_PIPELINE_CLK = "NONE", REG_PIPELINE_CE = "CE0", REG_PIPELINE_RST = "RST0";
    parameter REG_OUTPUT_CLK = "NONE", REG_OUTPUT_CE = "CE0", REG_OUTPUT_RST = "RST0";
    parameter CLK0_DIV = "ENABLED", CLK1_DIV = "ENABLED", CLK2_DIV = "ENABLED", CLK3_DIV = "ENABLED";
    parameter HIGHSPEED_CLK = "NONE", GSR = "ENABLED", CAS_MATCH_REG = "FALSE";
    parameter SOURCEB_MODE = "B_SHIFT", MULT_BYPASS = "DISABLED", RESETMODE = "SYNC";

    // A factor of 18 bits, and one above that is its sign or 0.
    wire [17:0] a_bits = {A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0};
    wire [17:0] b_bits = {B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0};
    wire signed [18:0] a_in = {SIGNEDA & A17, a_bits};
    wire signed [18:0] b_in = {SIGNEDB & B17, b_bits};

    reg signed [18:0] a_register = 0, b_register = 0;
    reg signed [37:0] pipeline_register = 0, output_register = 0;
    wire signed [18:0] a = REG_INPUTA_CLK == "NONE" ? a_in : a_register;
    wire signed [18:0] b = REG_INPUTB_CLK == "NONE" ? b_in : b_register;
    wire signed [37:0] product = a * b;
    wire signed [37:0] piped = REG_PIPELINE_CLK == "NONE" ? product : pipeline_register;
    always @(posedge CLK0) begin
        a_register <= a_in;
        b_register <= b_in;
        pipeline_register <= product;
        output_register <= piped;
    end
    wire [35:0] p = REG_OUTPUT_CLK == "NONE" ? piped[35:0] : output_register[35:0];
    assign {P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18, P17, P16, P15, P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0} = p;
endmodule

// Memory of 2048 bytes of 9 bits. Words of 1, 2 and 4 bits leave the ninth bit of each byte unused.
// With 36 bits, port A writes and port B reads, each with the data pins of both.
module DP16KD (
    input
        ADA0, ADA1, ADA2, ADA3, ADA4, ADA5, ADA6, ADA7, ADA8, ADA9, ADA10, ADA11, ADA12, ADA13,
        ADB0, ADB1, ADB2, ADB3, ADB4, ADB5, ADB6, ADB7, ADB8, ADB9, ADB10, ADB11, ADB12, ADB13,
        DIA0, DIA1, DIA2, DIA3, DIA4, DIA5, DIA6, DIA7, DIA8, DIA9, DIA10, DIA11, DIA12, DIA13,
        DIA14, DIA15, DIA16, DIA17,
        DIB0, DIB1, DIB2, DIB3, DIB4, DIB5, DIB6, DIB7, DIB8, DIB9, DIB10, DIB11, DIB12, DIB13,
        DIB14, DIB15, DIB16, DIB17,
        CSA0, CSA1, CSA2, CSB0, CSB1, CSB2, CLKA, CLKB, CEA, CEB, OCEA, OCEB, WEA, WEB, RSTA, RSTB,
    output
        DOA0, DOA1, DOA2, DOA3, DOA4, DOA5, DOA6, DOA7, DOA8, DOA9, DOA10, DOA11, DOA12, DOA13,
        DOA14, DOA15, DOA16, DOA17,
        DOB0, DOB1, DOB2, DOB3, DOB4, DOB5, DOB6, DOB7, DOB8, DOB9, DOB10, DOB11, DOB12, DOB13,
        DOB14, DOB15, DOB16, DOB17
);
    parameter DATA_WIDTH_A = 18, DATA_WIDTH_B = 18;
    parameter REGMODE_A = "NOREG", REGMODE_B = "NOREG";
    parameter WRITEMODE_A = "NORMAL", WRITEMODE_B = "NORMAL";
    parameter RESETMODE = "SYNC", ASYNC_RESET_RELEASE = "SYNC", GSR = "ENABLED";
    parameter CSDECODE_A = "0b000", CSDECODE_B = "0b000", CLKAMUX = "CLKA", CLKBMUX = "CLKB";
    parameter INITVAL_00 = 320'h0, INITVAL_01 = 320'h0, INITVAL_02 = 320'h0, INITVAL_03 = 320'h0;
    parameter INITVAL_04 = 320'h0, INITVAL_05 = 320'h0, INITVAL_06 = 320'h0, INITVAL_07 = 320'h0;
    parameter INITVAL_08 = 320'h0, INITVAL_09 = 320'h0, INITVAL_0A = 320'h0, INITVAL_0B = 320'h0;
    parameter INITVAL_0C = 320'h0, INITVAL_0D = 320'h0, INITVAL_0E = 320'h0, INITVAL_0F = 320'h0;
    parameter INITVAL_10 = 320'h0, INITVAL_11 = 320'h0, INITVAL_12 = 320'h0, INITVAL_13 = 320'h0;
    parameter INITVAL_14 = 320'h0, INITVAL_15 = 320'h0, INITVAL_16 = 320'h0, INITVAL_17 = 320'h0;
    parameter INITVAL_18 = 320'h0, INITVAL_19 = 320'h0, INITVAL_1A = 320'h0, INITVAL_1B = 320'h0;
    parameter INITVAL_1C = 320'h0, INITVAL_1D = 320'h0, INITVAL_1E = 320'h0, INITVAL_1F = 320'h0;
    parameter INITVAL_20 = 320'h0, INITVAL_21 = 320'h0, INITVAL_22 = 320'h0, INITVAL_23 = 320'h0;
    parameter INITVAL_24 = 320'h0, INITVAL_25 = 320'h0, INITVAL_26 = 320'h0, INITVAL_27 = 320'h0;
    parameter INITVAL_28 = 320'h0, INITVAL_29 = 320'h0, INITVAL_2A = 320'h0, INITVAL_2B = 320'h0;
    parameter INITVAL_2C = 320'h0, INITVAL_2D = 320'h0, INITVAL_2E = 320'h0, INITVAL_2F = 320'h0;
    parameter INITVAL_30 = 320'h0, INITVAL_31 = 320'h0, INITVAL_32 = 320'h0, INITVAL_33 = 320'h0;
    parameter INITVAL_34 = 320'h0, INITVAL_35 = 320'h0, INITVAL_36 = 320'h0, INITVAL_37 = 320'h0;
    parameter INITVAL_38 = 320'h0, INITVAL_39 = 320'h0, INITVAL_3A = 320'h0, INITVAL_3B = 320'h0;
    parameter INITVAL_3C = 320'h0, INITVAL_3D = 320'h0, INITVAL_3E = 320'h0, INITVAL_3F = 320'h0;
    localparam [20479:0] INITIAL = {
        INITVAL_3F, INITVAL_3E, INITVAL_3D, INITVAL_3C, INITVAL_3B, INITVAL_3A, INITVAL_39,
        INITVAL_38, INITVAL_37, INITVAL_36, INITVAL_35, INITVAL_34, INITVAL_33, INITVAL_32,
        INITVAL_31, INITVAL_30, INITVAL_2F, INITVAL_2E, INITVAL_2D, INITVAL_2C, INITVAL_2B,
        INITVAL_2A, INITVAL_29, INITVAL_28, INITVAL_27, INITVAL_26, INITVAL_25, INITVAL_24,
        INITVAL_23, INITVAL_22, INITVAL_21, INITVAL_20, INITVAL_1F, INITVAL_1E, INITVAL_1D,
        INITVAL_1C, INITVAL_1B, INITVAL_1A, INITVAL_19, INITVAL_18, INITVAL_17, INITVAL_16,
        INITVAL_15, INITVAL_14, INITVAL_13, INITVAL_12, INITVAL_11, INITVAL_10, INITVAL_0F,
        INITVAL_0E, INITVAL_0D, INITVAL_0C, INITVAL_0B, INITVAL_0A, INITVAL_09, INITVAL_08,
        INITVAL_07, INITVAL_06, INITVAL_05, INITVAL_04, INITVAL_03, INITVAL_02, INITVAL_01,
        INITVAL_00
    };

    reg [8:0] bytes [0:2047];
    integer n;
    initial for (n = 0; n < 2048; n = n + 1)
        bytes[n] = INITIAL[(n / 32) * 320 + ((n % 32) / 2) * 20 + (n % 2) * 9 +: 9];

    wire [13:0] ada = {ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0};
    wire [13:0] adb = {ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0};
    wire [35:0] di = {{DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5, DIB4, DIB3, DIB2, DIB1, DIB0},
        {DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5, DIA4, DIA3, DIA2, DIA1, DIA0}};
    wire [10:0] write_byte = ada[13:3];
    wire [10:0] read_byte = adb[13:3];

    reg [35:0] read = 0, read_register = 0;
    always @(posedge CLKA) begin
        if (WEA) begin
            if (DATA_WIDTH_A == 1) bytes[write_byte][{1'b0, ada[2:0]}] <= di[0];
            if (DATA_WIDTH_A == 2) bytes[write_byte][{1'b0, ada[2:1], 1'b0} +: 2] <= di[1:0];
            if (DATA_WIDTH_A == 4) bytes[write_byte][{1'b0, ada[2], 2'b00} +: 4] <= di[3:0];
            if (DATA_WIDTH_A == 9) bytes[write_byte] <= di[8:0];
            if (DATA_WIDTH_A == 18 && ada[0]) bytes[{write_byte[10:1], 1'b0}] <= di[8:0];
            if (DATA_WIDTH_A == 18 && ada[1]) bytes[{write_byte[10:1], 1'b1}] <= di[17:9];
            if (DATA_WIDTH_A == 36 && ada[0]) bytes[{write_byte[10:2], 2'b00}] <= di[8:0];
            if (DATA_WIDTH_A == 36 && ada[1]) bytes[{write_byte[10:2], 2'b01}] <= di[17:9];
            if (DATA_WIDTH_A == 36 && ada[2]) bytes[{write_byte[10:2], 2'b10}] <= di[26:18];
            if (DATA_WIDTH_A == 36 && ada[3]) bytes[{write_byte[10:2], 2'b11}] <= di[35:27];
        end
    end
    wire [8:0] byte_read = bytes[read_byte];
    always @(posedge CLKB) begin
        if (DATA_WIDTH_B == 1) read <= {35'd0, byte_read[{1'b0, adb[2:0]}]};
        if (DATA_WIDTH_B == 2) read <= {34'd0, byte_read[{1'b0, adb[2:1], 1'b0} +: 2]};
        if (DATA_WIDTH_B == 4) read <= {32'd0, byte_read[{1'b0, adb[2], 2'b00} +: 4]};
        if (DATA_WIDTH_B == 9) read <= {27'd0, bytes[read_byte]};
        if (DATA_WIDTH_B == 18)
            read <= {18'd0, bytes[{read_byte[10:1], 1'b1}], bytes[{read_byte[10:1], 1'b0}]};
        if (DATA_WIDTH_B == 36)
            read <= {bytes[{read_byte[10:2], 2'b11}], bytes[{read_byte[10:2], 2'b10}],
                     bytes[{read_byte[10:2], 2'b01}], bytes[{read_byte[10:2], 2'b00}]};
        read_register <= read;
    end
    wire [35:0] out = REGMODE_B == "OUTREG" ? read_register : read;
    wire wide = DATA_WIDTH_B == 36;
    assign {DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5, DOA4, DOA3, DOA2, DOA1, DOA0} =
        wide ? out[17:0] : 18'd0;
    assign {DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5, DOB4, DOB3, DOB2, DOB1, DOB0} =
        wide ? out[35:18] : out[17:0];
endmodule
