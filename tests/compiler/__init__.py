"""Tests of compiler/, file by file."""
