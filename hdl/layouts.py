"""Layouts of the streams and of the configuration that several blocks share."""

from amaranth.hdl import signed, unsigned
from amaranth.lib import data

from golden.descriptor import CLUSTER_WORD, PASS_WORDS, SIGNED_FIELDS
from golden.params import Build


def fields_layout(fields: tuple[tuple[str, int], ...]) -> data.StructLayout:
    """Layout of one descriptor word from its field table."""
    return data.StructLayout(
        {name: signed(bits) if name in SIGNED_FIELDS else unsigned(bits) for name, bits in fields}
    )


#: All fields of one pass, as every block sees them while the pass runs.
PASS_CONFIG = fields_layout(tuple(field for word in PASS_WORDS for field in word))

#: Bits that count the loads of a pass; all ones stands for all of them.
LOAD_BITS = PASS_CONFIG["loads"].width

#: The share of one cluster.
CLUSTER_CONFIG = fields_layout(CLUSTER_WORD)

#: One bus word of an input map. `bytes` of `data` are valid, from the least significant;
#: `last` ends a segment (one row of one block, or one column range of it).
MAP_BEAT = data.StructLayout({"data": unsigned(64), "bytes": unsigned(4), "last": unsigned(1)})

#: One bus word of an output map. `context` is 2 x team + row within the stripe and names the
#: segment that the word belongs to; `length` is that segment's bytes, valid with `last`.
OUT_BEAT = data.StructLayout(
    {
        "data": unsigned(64),
        "bytes": unsigned(4),
        "last": unsigned(1),
        "context": unsigned(4),
        "length": unsigned(24),
    }
)


def map_word(build: Build) -> data.StructLayout:
    """Layout of one word of the map banks: the pixels of `word_pixels` adjacent channels.

    `mask` bit i says that pixel i differs from the zero point; `values` are raw.
    """
    return map_pixels(build, build.word_pixels)


def map_piece(build: Build) -> data.StructLayout:
    """Layout of what the intake makes of a map word in one step; as `map_word`."""
    return map_pixels(build, build.step_pixels)


def piece_number(build: Build) -> range:
    """Shape of the number of a piece within its map word."""
    return range(max(2, build.word_pixels // build.step_pixels))


def map_pixels(build: Build, count: int) -> data.StructLayout:
    """Layout of so many pixels of adjacent channels; as `map_word`."""
    return data.StructLayout(
        {"mask": unsigned(count), "values": data.ArrayLayout(unsigned(build.act_bits), count)}
    )


def drain_chunk(build: Build) -> data.StructLayout:
    """Layout of what leaves the array in one cycle: `drain` accumulators of adjacent channels.

    `real` masks off channels that the pass does not have; `packet_end` ends a sparsity-map group,
    `segment_end` (with `packet_end`) the segment that `context` names.
    """
    return data.StructLayout(
        {
            "sums": data.ArrayLayout(signed(build.acc_bits), build.drain),
            "real": unsigned(build.drain),
            "context": unsigned(4),
            "packet_end": unsigned(1),
            "segment_end": unsigned(1),
        }
    )


def value_chunk(build: Build) -> data.StructLayout:
    """Layout of requantised values on their way to the encoder; as `drain_chunk`."""
    return data.StructLayout(
        {
            "values": data.ArrayLayout(unsigned(build.act_bits), build.drain),
            "real": unsigned(build.drain),
            "context": unsigned(4),
            "packet_end": unsigned(1),
            "segment_end": unsigned(1),
        }
    )
