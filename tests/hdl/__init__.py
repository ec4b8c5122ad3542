"""Tests of hdl/, file by file."""
