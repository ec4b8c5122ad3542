"""Tests of fpga/, file by file."""
