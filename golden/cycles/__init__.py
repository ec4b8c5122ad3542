"""The cycle model: how long the hardware takes, to the cycle, without simulating it."""
