"""What goes through a cluster's scan: bank reads, tagged map words, and the place in a stripe."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value, unsigned
from amaranth.lib import data

from golden.params import Build
from hdl.layouts import map_word


def bank_bits(build: Build) -> int:
    """Bits that name a bank; at least one, so that a single bank has a name too."""
    return max(1, (build.clusters - 1).bit_length())


def read_request(build: Build) -> data.StructLayout:
    """Layout of one bank read: valid, the bank, and the word within it."""
    return data.StructLayout(
        {"valid": 1, "bank": bank_bits(build), "address": range(build.map_words)}
    )


def scan_tag(build: Build) -> data.StructLayout:
    """Layout of what goes with a map word through the prefetch queue.

    base: weight address of the word's first pixel for the stripe's first output row, at kernel
    column 0. upper, lower: the word's row touches that output row. empty: no pixels, whatever the
    bank gave. column_end: last word of a scan column. retire: that column finishes an output
    column. rows2: the stripe has two output rows. item_end: last word of the scan. opens, closes:
    first and last tile of input channels. slots: first accumulator of the stripe.
    """
    return data.StructLayout(
        {
            "base": unsigned(13),
            "upper": 1,
            "lower": 1,
            "empty": 1,
            "column_end": 1,
            "retire": 1,
            "rows2": 1,
            "item_end": 1,
            "opens": 1,
            "closes": 1,
            "slots": range(build.acc_words),
        }
    )


def scan_entry(build: Build) -> data.StructLayout:
    """Layout of one entry of the prefetch queue."""
    return data.StructLayout({"word": map_word(build), "tag": scan_tag(build)})


class ScanColumn:
    """A scan column, counted from the stripe's first: stride_w x newest + phase.

    Phases that the kernel does not reach are passed over.

    Tap i of it is kernel column i x stride_w + phase, through which output column newest - i sees
    it, as far as there are such a kernel column and such an output.

    Parameters
    ----------
    m : gets the registers; those that do not change during a pass are right from the second cycle
        of a stable configuration on
    config, work : the pass, and the cluster's share of it (`hdl.layouts`)
    name : prefix of the registers' names
    """

    def __init__(self, m: Module, config: Any, work: Any, name: str):
        self.newest = Signal(13, name=f"{name}_newest")
        self.phase = Signal(2, name=f"{name}_phase")
        #: Output columns of the stripe.
        self.columns = Signal(12, name=f"{name}_columns")
        self._final = Signal(13, name=f"{name}_final")  # `newest` of the last column
        self._config = config
        m.d.sync += [
            self.columns.eq(work.end_col - work.first_col),
            self._final.eq(work.end_col - work.first_col + config.last_tap - 1),
        ]

    def start(self) -> list:
        """Go to the first column of a stripe."""
        return [self.newest.eq(0), self.phase.eq(0)]

    def step(self) -> list:
        """Go to the next column."""
        wrap = self.jumps() | (self.phase == self._config.stride_w - 1)
        return [
            self.phase.eq(Mux(wrap, 0, self.phase + 1)),
            self.newest.eq(self.newest + wrap),
        ]

    def jumps(self) -> Value:
        """Whether it is the last that an output sees, and the next one is not in use."""
        return (self.phase == self._config.kernel_w - 1) & (self._config.jump_columns != 1)

    def taps(self) -> Value:
        """Return how many taps the kernel has at this phase."""
        return self._config.taps.word_select(self.phase, 3)

    def retires(self) -> Value:
        """Whether the column is the last that an output column sees."""
        return (self.phase == self._config.last_phase) & (self.newest >= self._config.last_tap)

    def is_last(self) -> Value:
        """Whether the column is the stripe's last."""
        return (self.phase == self._config.last_phase) & (self.newest == self._final)
