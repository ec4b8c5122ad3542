// The multiplier of the ECP5, 18 by 18 bits: as Yosys uses it, without registers, and as
// `fpga/maps` does, with one for the product.
//
// Written after Lattice's "ECP5 and ECP5-5G sysDSP Usage Guide" (FPGA-TN-02205, formerly TN1267).
//
// SIGNEDA and SIGNEDB say which operands are in two's complement; the product has room for either.
// There are no other clocks here, nor the pins to chain multipliers: a netlist that uses those does
// not find them. A parameter that asks for more stops when the model is built, a pin when it is used.

module MULT18X18D (
  input
    A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0,
  input
    B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0,
  input
    C17, C16, C15, C14, C13, C12, C11, C10, C9, C8, C7, C6, C5, C4, C3, C2, C1, C0,
  input
    SIGNEDA, SIGNEDB, SOURCEA, SOURCEB, CLK0, CE0, RST0,
  output
    P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18,
    P17, P16, P15, P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0
);
  parameter REG_INPUTA_CLK = "NONE";
  parameter REG_INPUTB_CLK = "NONE";
  parameter REG_INPUTC_CLK = "NONE";
  parameter REG_PIPELINE_CLK = "NONE";
  parameter REG_OUTPUT_CLK = "NONE";
  parameter CAS_MATCH_REG = "FALSE";
  parameter MULT_BYPASS = "DISABLED";

  generate
    if (REG_INPUTA_CLK != "NONE") $fatal(1, "MULT18X18D: REG_INPUTA_CLK is %s", REG_INPUTA_CLK);
    if (REG_INPUTB_CLK != "NONE") $fatal(1, "MULT18X18D: REG_INPUTB_CLK is %s", REG_INPUTB_CLK);
    if (REG_INPUTC_CLK != "NONE") $fatal(1, "MULT18X18D: REG_INPUTC_CLK is %s", REG_INPUTC_CLK);
    if (REG_PIPELINE_CLK != "NONE")
      $fatal(1, "MULT18X18D: REG_PIPELINE_CLK is %s", REG_PIPELINE_CLK);
    if (REG_OUTPUT_CLK != "NONE" && REG_OUTPUT_CLK != "CLK0")
      $fatal(1, "MULT18X18D: REG_OUTPUT_CLK is %s", REG_OUTPUT_CLK);
    if (CAS_MATCH_REG != "FALSE") $fatal(1, "MULT18X18D: CAS_MATCH_REG is %s", CAS_MATCH_REG);
    if (MULT_BYPASS != "DISABLED") $fatal(1, "MULT18X18D: MULT_BYPASS is %s", MULT_BYPASS);
  endgenerate

  wire [17:0] a = {
    A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0
  };
  wire [17:0] b = {
    B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0
  };

  // One bit more makes an operand of either kind a signed one.
  wire signed [18:0] a_value = {SIGNEDA && a[17], a};
  wire signed [18:0] b_value = {SIGNEDB && b[17], b};
  wire signed [37:0] product = a_value * b_value;
  reg [35:0] taken;

  assign {
    P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18,
    P17, P16, P15, P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0
  } = REG_OUTPUT_CLK == "NONE" ? product[35:0] : taken;

  always @(posedge CLK0) begin
    taken <= product[35:0];
    if (REG_OUTPUT_CLK != "NONE") begin
      if (!CE0) $fatal(1, "MULT18X18D: CE0: the product's register is held");
      if (RST0) $fatal(1, "MULT18X18D: RST0: the product's register is reset");
    end
  end

  always @* begin
    if (SOURCEA) $fatal(1, "MULT18X18D: SOURCEA: the first operand comes from a chain");
    if (SOURCEB) $fatal(1, "MULT18X18D: SOURCEB: the second operand comes from a chain");
  end
endmodule
