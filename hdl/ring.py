"""Walks through the ring of input rows in the map banks."""

from typing import Any

from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib import data

from golden.params import Build


class RingWalk:
    """Steps from an input row's place in the ring to that of a later one.

    What does not change during a pass is registered here: it is right from the second cycle of a
    stable configuration on.

    Parameters
    ----------
    m : gets the registers
    build, config : the build, and the pass (`hdl.layouts.PASS_CONFIG`)
    name : prefix of the registers' names
    """

    def __init__(self, m: Module, build: Build, config: Any, name: str):
        address = range(build.map_words)
        self._row_words, self._jump_words = config.row_pitch, config.jump_words
        self._jump_rows = config.jump_rows
        # From these slots on, a step wraps around, by so many slots and words.
        self._last = Signal(12, name=f"{name}_last")
        self._last_jump = Signal(12, name=f"{name}_last_jump")
        self._back = Signal(12, name=f"{name}_back")
        self._jump_back = Signal(12, name=f"{name}_jump_back")
        self._words_back = Signal(address, name=f"{name}_words_back")
        self._jump_words_back = Signal(address, name=f"{name}_jump_words_back")
        m.d.sync += [
            self._last.eq(config.ring_rows - 1),
            self._last_jump.eq(config.ring_rows - config.jump_rows),
            self._back.eq(1 - config.ring_rows),
            self._jump_back.eq(config.jump_rows - config.ring_rows),
            self._words_back.eq(config.row_pitch - config.ring_words),
            self._jump_words_back.eq(config.jump_words - config.ring_words),
        ]

    @staticmethod
    def place(build: Build) -> data.StructLayout:
        """Layout of a row's place: its slot, and the bank words before it."""
        return data.StructLayout({"slot": 12, "base": range(build.map_words)})

    def step(self, place: Any) -> list:
        """Go to the next row."""
        wraps = place.slot == self._last
        return [
            place.slot.eq(Mux(wraps, 0, place.slot + 1)),
            place.base.eq(place.base + Mux(wraps, self._words_back, self._row_words)),
        ]

    def step_or_jump(self, place: Any, jumps: Signal) -> list:
        """Go to the next row, or over those between which the stride steps."""
        row_wraps, jump_wraps = place.slot == self._last, place.slot >= self._last_jump

        def choose(row: Value, row_back: Value, jump: Value, jump_back: Value) -> Value:
            return Mux(jumps, Mux(jump_wraps, jump_back, jump), Mux(row_wraps, row_back, row))

        rows = choose(Const(1, 12), self._back, self._jump_rows, self._jump_back)
        words = choose(self._row_words, self._words_back, self._jump_words, self._jump_words_back)
        return [place.slot.eq(place.slot + rows), place.base.eq(place.base + words)]
