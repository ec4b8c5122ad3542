"""FPGA flow: out-of-context synthesis, place and route, and recorded results."""
