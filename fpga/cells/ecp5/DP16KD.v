// The block RAM of the ECP5, 18 kbit, in the modes in which Yosys uses it for the memories here.
//
// Written after Lattice's "ECP5 and ECP5-5G Memory Usage Guide" (FPGA-TN-02204, formerly TN1264) and
// "ECP5 and ECP5-5G Family Data Sheet" (FPGA-DS-02012); names, and the order of bits where a word
// lies on both ports, are those of the cell that Yosys instantiates.
//
// Port A writes, and reads in its own write mode; port B reads. Both have one clock. A word of 36
// bits lies on both ports, the lower half on A: then A only writes, or B only reads. What B reads
// while A writes the same bits is undefined. This model gives the complement of the old bits, so
// that a design which depends on them fails.
//
// Whatever else the cell can do stops the simulation: a parameter when the model is built, a pin
// in the cycle in which it is used.

module DP16KD (
  input
    DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5, DIA4,
    DIA3, DIA2, DIA1, DIA0,
  input
    ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0,
  input
    CEA, OCEA, CLKA, WEA, RSTA, CSA2, CSA1, CSA0,
  output
    DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5, DOA4,
    DOA3, DOA2, DOA1, DOA0,
  input
    DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5, DIB4,
    DIB3, DIB2, DIB1, DIB0,
  input
    ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0,
  input
    CEB, OCEB, CLKB, WEB, RSTB, CSB2, CSB1, CSB0,
  output
    DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5, DOB4,
    DOB3, DOB2, DOB1, DOB0
);
  parameter DATA_WIDTH_A = 18;
  parameter DATA_WIDTH_B = 18;
  parameter REGMODE_A = "NOREG";
  parameter REGMODE_B = "NOREG";
  parameter RESETMODE = "SYNC";  // how RSTA and RSTB act, which must stay low
  parameter ASYNC_RESET_RELEASE = "SYNC";  // likewise
  parameter CSDECODE_A = "0b000";
  parameter CSDECODE_B = "0b000";
  parameter WRITEMODE_A = "NORMAL";
  parameter WRITEMODE_B = "NORMAL";  // port B never writes
  parameter CLKAMUX = "CLKA";
  parameter CLKBMUX = "CLKB";
  parameter GSR = "ENABLED";
  parameter [319:0] INITVAL_00 = 320'h0;
  parameter [319:0] INITVAL_01 = 320'h0;
  parameter [319:0] INITVAL_02 = 320'h0;
  parameter [319:0] INITVAL_03 = 320'h0;
  parameter [319:0] INITVAL_04 = 320'h0;
  parameter [319:0] INITVAL_05 = 320'h0;
  parameter [319:0] INITVAL_06 = 320'h0;
  parameter [319:0] INITVAL_07 = 320'h0;
  parameter [319:0] INITVAL_08 = 320'h0;
  parameter [319:0] INITVAL_09 = 320'h0;
  parameter [319:0] INITVAL_0A = 320'h0;
  parameter [319:0] INITVAL_0B = 320'h0;
  parameter [319:0] INITVAL_0C = 320'h0;
  parameter [319:0] INITVAL_0D = 320'h0;
  parameter [319:0] INITVAL_0E = 320'h0;
  parameter [319:0] INITVAL_0F = 320'h0;
  parameter [319:0] INITVAL_10 = 320'h0;
  parameter [319:0] INITVAL_11 = 320'h0;
  parameter [319:0] INITVAL_12 = 320'h0;
  parameter [319:0] INITVAL_13 = 320'h0;
  parameter [319:0] INITVAL_14 = 320'h0;
  parameter [319:0] INITVAL_15 = 320'h0;
  parameter [319:0] INITVAL_16 = 320'h0;
  parameter [319:0] INITVAL_17 = 320'h0;
  parameter [319:0] INITVAL_18 = 320'h0;
  parameter [319:0] INITVAL_19 = 320'h0;
  parameter [319:0] INITVAL_1A = 320'h0;
  parameter [319:0] INITVAL_1B = 320'h0;
  parameter [319:0] INITVAL_1C = 320'h0;
  parameter [319:0] INITVAL_1D = 320'h0;
  parameter [319:0] INITVAL_1E = 320'h0;
  parameter [319:0] INITVAL_1F = 320'h0;
  parameter [319:0] INITVAL_20 = 320'h0;
  parameter [319:0] INITVAL_21 = 320'h0;
  parameter [319:0] INITVAL_22 = 320'h0;
  parameter [319:0] INITVAL_23 = 320'h0;
  parameter [319:0] INITVAL_24 = 320'h0;
  parameter [319:0] INITVAL_25 = 320'h0;
  parameter [319:0] INITVAL_26 = 320'h0;
  parameter [319:0] INITVAL_27 = 320'h0;
  parameter [319:0] INITVAL_28 = 320'h0;
  parameter [319:0] INITVAL_29 = 320'h0;
  parameter [319:0] INITVAL_2A = 320'h0;
  parameter [319:0] INITVAL_2B = 320'h0;
  parameter [319:0] INITVAL_2C = 320'h0;
  parameter [319:0] INITVAL_2D = 320'h0;
  parameter [319:0] INITVAL_2E = 320'h0;
  parameter [319:0] INITVAL_2F = 320'h0;
  parameter [319:0] INITVAL_30 = 320'h0;
  parameter [319:0] INITVAL_31 = 320'h0;
  parameter [319:0] INITVAL_32 = 320'h0;
  parameter [319:0] INITVAL_33 = 320'h0;
  parameter [319:0] INITVAL_34 = 320'h0;
  parameter [319:0] INITVAL_35 = 320'h0;
  parameter [319:0] INITVAL_36 = 320'h0;
  parameter [319:0] INITVAL_37 = 320'h0;
  parameter [319:0] INITVAL_38 = 320'h0;
  parameter [319:0] INITVAL_39 = 320'h0;
  parameter [319:0] INITVAL_3A = 320'h0;
  parameter [319:0] INITVAL_3B = 320'h0;
  parameter [319:0] INITVAL_3C = 320'h0;
  parameter [319:0] INITVAL_3D = 320'h0;
  parameter [319:0] INITVAL_3E = 320'h0;
  parameter [319:0] INITVAL_3F = 320'h0;

  generate
    if (!known(DATA_WIDTH_A)) $fatal(1, "DP16KD: DATA_WIDTH_A is %0d", DATA_WIDTH_A);
    if (!known(DATA_WIDTH_B)) $fatal(1, "DP16KD: DATA_WIDTH_B is %0d", DATA_WIDTH_B);
    if (DATA_WIDTH_B == 36 && DATA_WIDTH_A != 36)
      $fatal(1, "DP16KD: DATA_WIDTH_B is 36 and DATA_WIDTH_A %0d", DATA_WIDTH_A);
    if (REGMODE_A != "NOREG") $fatal(1, "DP16KD: REGMODE_A is %s", REGMODE_A);
    if (REGMODE_B != "NOREG") $fatal(1, "DP16KD: REGMODE_B is %s", REGMODE_B);
    if (CSDECODE_A != "0b000") $fatal(1, "DP16KD: CSDECODE_A is %s", CSDECODE_A);
    if (CSDECODE_B != "0b000") $fatal(1, "DP16KD: CSDECODE_B is %s", CSDECODE_B);
    if (WRITEMODE_A != "NORMAL" && WRITEMODE_A != "WRITETHROUGH" && WRITEMODE_A != "READBEFOREWRITE")
      $fatal(1, "DP16KD: WRITEMODE_A is %s", WRITEMODE_A);
    if (CLKAMUX != "CLKA") $fatal(1, "DP16KD: CLKAMUX is %s", CLKAMUX);
    if (CLKBMUX != "CLKB") $fatal(1, "DP16KD: CLKBMUX is %s", CLKBMUX);
    if (GSR != "DISABLED") $fatal(1, "DP16KD: GSR is %s", GSR);
  endgenerate

  function known(input integer width);
    known = width == 1 || width == 2 || width == 4 || width == 9 || width == 18 || width == 36;
  endfunction

  // A row is the widest word; narrower ones are parts of it. Words of 1, 2 and 4 bits leave the
  // ninth bit of every byte unused.
  function [5:0] place(input [13:0] address, input integer width);
    case (width)
      36: place = 0;
      18: place = 18 * address[4];
      9: place = 9 * address[4:3];
      4: place = 9 * address[4:3] + 4 * address[2];
      2: place = 9 * address[4:3] + 2 * address[2:1];
      default: place = 9 * address[4:3] + address[2:0];
    endcase
  endfunction

  // Bits of a word; of the bytes that the lowest address bits enable, if it is to be written.
  function [35:0] bits(input integer width, input [3:0] bytes);
    case (width)
      36: bits = {{9{bytes[3]}}, {9{bytes[2]}}, {9{bytes[1]}}, {9{bytes[0]}}};
      18: bits = {18'h0, {9{bytes[1]}}, {9{bytes[0]}}};
      default: bits = (36'h1 << width) - 1;
    endcase
  endfunction

  wire [13:0] a_address = {
    ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0
  };
  wire [13:0] b_address = {
    ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0
  };
  wire [17:0] a_data = {
    DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5, DIA4,
    DIA3, DIA2, DIA1, DIA0
  };
  wire [17:0] b_data = {
    DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5, DIB4,
    DIB3, DIB2, DIB1, DIB0
  };

  wire [8:0] a_row = a_address[13:5];
  wire [8:0] b_row = b_address[13:5];
  wire [5:0] a_place = place(a_address, DATA_WIDTH_A);
  wire [5:0] b_place = place(b_address, DATA_WIDTH_B);
  wire [35:0] written = CEA && WEA ? bits(DATA_WIDTH_A, a_address[3:0]) << a_place : 36'h0;
  wire [35:0] entered = {DATA_WIDTH_A == 36 ? b_data : 18'h0, a_data} << a_place;

  reg [35:0] rows[0:511];
  wire [35:0] a_old = rows[a_row];
  wire [35:0] a_new = a_old & ~written | entered & written;
  wire [35:0] clash = a_row == b_row ? written : 36'h0;

  reg [35:0] a_out = 0;
  reg [35:0] b_out = 0;
  always @(posedge CLKA) begin
    if (WEB) $fatal(1, "DP16KD: WEB: port B writes");
    if (RSTA) $fatal(1, "DP16KD: RSTA: port A is reset");
    if (RSTB) $fatal(1, "DP16KD: RSTB: port B is reset");
    if (CSA2 || CSA1 || CSA0) $fatal(1, "DP16KD: CSA: port A is not selected");
    if (CSB2 || CSB1 || CSB0) $fatal(1, "DP16KD: CSB: port B is not selected");
    if (CEB && !CLKB) $fatal(1, "DP16KD: CLKB is not CLKA");
    if (CEA) begin
      if (WEA) rows[a_row] <= a_new;
      if (!WEA || WRITEMODE_A == "READBEFOREWRITE")
        a_out <= a_old >> a_place & bits(DATA_WIDTH_A, 4'hf);
      else if (WRITEMODE_A == "WRITETHROUGH")
        a_out <= a_new >> a_place & bits(DATA_WIDTH_A, 4'hf);
    end
    if (CEB) b_out <= (rows[b_row] ^ clash) >> b_place & bits(DATA_WIDTH_B, 4'hf);
  end

  assign {
    DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5, DOA4,
    DOA3, DOA2, DOA1, DOA0
  } = DATA_WIDTH_B == 36 ? b_out[17:0] : a_out[17:0];
  assign {
    DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5, DOB4,
    DOB3, DOB2, DOB1, DOB0
  } = DATA_WIDTH_B == 36 ? b_out[35:18] : b_out[17:0];

  // A parameter has 16 half rows, the lowest first, in 20 bits each.
  localparam [20479:0] INITVAL = {
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
  integer i;
  initial
    for (i = 0; i < 512; i = i + 1)
      rows[i] = {INITVAL[40*i+20+:18], INITVAL[40*i+:18]};
endmodule
