"""What goes through a cluster's scan: bank reads, tagged map words, and the place in a stripe."""

from amaranth.hdl import Mux, Signal, unsigned
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
    """

    def __init__(self, name: str):
        self.newest = Signal(13, name=f"{name}_newest")
        self.phase = Signal(2, name=f"{name}_phase")

    def start(self):
        """Go to the first column of a stripe."""
        return [self.newest.eq(0), self.phase.eq(0)]

    def step(self, config):
        """Go to the next column."""
        wrap = self.jumps(config) | (self.phase == config.stride_w - 1)
        return [
            self.phase.eq(Mux(wrap, 0, self.phase + 1)),
            self.newest.eq(self.newest + wrap),
        ]

    def jumps(self, config):
        """Whether it is the last that an output sees, and the next one is not in use."""
        return (self.phase == config.kernel_w - 1) & (config.jump_columns != 1)

    def taps(self, config):
        """Return how many taps the kernel has at this phase."""
        return config.taps.word_select(self.phase, 3)

    def retires(self, config):
        """Whether the column is the last that an output column sees."""
        return (self.phase == config.last_phase) & (self.newest >= config.last_tap)

    def last(self, config, work):
        """Whether the column is the stripe's last."""
        columns = work.end_col - work.first_col
        return (self.phase == config.last_phase) & (self.newest + 1 == columns + config.last_tap)
