"""Tests of openhop/, file by file."""
