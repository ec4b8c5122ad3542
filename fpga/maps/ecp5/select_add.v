// Two bits per carry cell, whose LUTs select and add at once. A cell passes its carry on where the
// LUT gives 1, else the value of the LUT for C = D = 0, which is A: both numbers' bit there.
module openhop_select_add #(
  parameter WIDTH = 1
) (
  input [WIDTH-1:0] addend,
  input select,
  input [WIDTH-1:0] off,
  input [WIDTH-1:0] on,
  output [WIDTH-1:0] total
);
  localparam PAIRS = (WIDTH + 1) / 2;
  // A xor (C ? B : D), bit A + 2 B + 4 C + 8 D of it.
  localparam [15:0] SELECT_ADD = 16'h656a;

  wire [2*PAIRS-1:0] a = addend, b = on, d = off, s;
  wire [PAIRS:0] carry;
  assign carry[0] = 1'b0;
  assign total = s[WIDTH-1:0];

  genvar i;
  generate
    for (i = 0; i < PAIRS; i = i + 1) begin : pair
      CCU2C #(
        .INIT0(SELECT_ADD), .INIT1(SELECT_ADD), .INJECT1_0("NO"), .INJECT1_1("NO")
      ) cell_of_two (
        .CIN(carry[i]), .COUT(carry[i+1]),
        .A0(a[2*i]), .B0(b[2*i]), .C0(select), .D0(d[2*i]), .S0(s[2*i]),
        .A1(a[2*i+1]), .B1(b[2*i+1]), .C1(select), .D1(d[2*i+1]), .S1(s[2*i+1])
      );
    end
  endgenerate
endmodule
