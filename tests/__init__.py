"""Tests of OpenHop: one folder for each room, and the rules of the house."""
