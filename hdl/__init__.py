"""The hardware: Amaranth components, the accelerator top and its Verilog."""
