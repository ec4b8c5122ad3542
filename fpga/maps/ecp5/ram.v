// A memory of more words than a block RAM of nine bits holds, as slices of one block RAM each: no
// multiplexer stands behind them, when their words come late already.
module openhop_ram #(
  parameter WIDTH = 1,
  parameter DEPTH = 2,
  parameter ADDRESS = 1
) (
  input clk,
  input w_en,
  input [ADDRESS-1:0] w_addr,
  input [WIDTH-1:0] w_data,
  input [ADDRESS-1:0] r_addr,
  output [WIDTH-1:0] r_data
);
  // A block RAM holds 16,384 bits in words of 4, 2 or 1.
  localparam BITS = DEPTH <= 2048 ? WIDTH : DEPTH <= 4096 ? 4 : DEPTH <= 8192 ? 2 : 1;
  localparam SLICES = (WIDTH + BITS - 1) / BITS;

  genvar i;
  generate
    for (i = 0; i < SLICES; i = i + 1) begin : slice
      localparam LOW = i * BITS;
      localparam OWN = WIDTH - LOW < BITS ? WIDTH - LOW : BITS;
      openhop_ram_slice #(.WIDTH(OWN), .DEPTH(DEPTH), .ADDRESS(ADDRESS)) ram (
        .clk(clk),
        .w_en(w_en),
        .w_addr(w_addr),
        .w_data(w_data[LOW +: OWN]),
        .r_addr(r_addr),
        .r_data(r_data[LOW +: OWN])
      );
    end
  endgenerate
endmodule

module openhop_ram_slice #(
  parameter WIDTH = 1,
  parameter DEPTH = 2,
  parameter ADDRESS = 1
) (
  input clk,
  input w_en,
  input [ADDRESS-1:0] w_addr,
  input [WIDTH-1:0] w_data,
  input [ADDRESS-1:0] r_addr,
  output reg [WIDTH-1:0] r_data
);
  (* no_rw_check *)
  reg [WIDTH-1:0] words [0:DEPTH-1];
  always @(posedge clk) begin
    if (w_en) words[w_addr] <= w_data;
    r_data <= words[r_addr];
  end
endmodule
