"""Simulation: the native Verilator harness, and cocotb drivers, monitors and runner."""
