"""Tests of golden/, file by file."""
