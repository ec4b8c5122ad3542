// The core behind input registers, with the fields of its streams on pins of their own.
//
// The registers are for speed: no logic then depends on a pin, so that the model evaluates
// everything once per clock cycle. What the harness applies is seen in the next cycle.

module harness (
    input clk,
    input rst,
    input clear,
    input control_valid,
    input [63:0] control_word,
    output control_ready,
    input map_valid,
    input [63:0] map_data,
    input [3:0] map_bytes,
    input map_last,
    output map_ready,
    output out_valid,
    output [63:0] out_data,
    output [3:0] out_bytes,
    output out_last,
    output [3:0] out_context,
    output [23:0] out_length,
    input out_ready,
    output busy,
    output done,
    output [3:0] fault,
    output [11:0] fault_row,
    output [11:0] fault_col,
    output [47:0] c_cycles,
    output [47:0] c_compute,
    output [47:0] c_useful,
    output [47:0] c_busy,
    output [47:0] c_decode,
    output [47:0] c_weights,
    output [47:0] c_drain,
    output [47:0] c_imbalance,
    output [47:0] c_bus
);
  reg rst_now = 0, clear_now = 0, control_valid_now = 0, map_valid_now = 0, out_ready_now = 0;
  reg [63:0] control_now;
  reg [68:0] map_now;

  always @(posedge clk) begin
    rst_now <= rst;
    clear_now <= clear;
    control_valid_now <= control_valid;
    control_now <= control_word;
    map_valid_now <= map_valid;
    map_now <= {map_last, map_bytes, map_data};
    out_ready_now <= out_ready;
  end

  `CORE core (
      .clk(clk),
      .rst(rst_now),
      .clear(clear_now),
      .i_control__payload(control_now),
      .i_control__valid(control_valid_now),
      .i_control__ready(control_ready),
      .i_map__payload(map_now),
      .i_map__valid(map_valid_now),
      .i_map__ready(map_ready),
      .o_map__payload({out_length, out_context, out_last, out_bytes, out_data}),
      .o_map__valid(out_valid),
      .o_map__ready(out_ready_now),
      .busy(busy),
      .done(done),
      .fault(fault),
      .fault_row(fault_row),
      .fault_col(fault_col),
      .c_cycles(c_cycles),
      .c_compute(c_compute),
      .c_useful(c_useful),
      .c_busy(c_busy),
      .c_decode(c_decode),
      .c_weights(c_weights),
      .c_drain(c_drain),
      .c_imbalance(c_imbalance),
      .c_bus(c_bus)
  );
endmodule
