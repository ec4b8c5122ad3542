"""Tests of sim/, file by file."""
