"""How long a cluster scans a stripe: the timing of `hdl.fetcher` and `hdl.walker`."""

from dataclasses import dataclass

import numpy as np

from golden.descriptor import ClusterWork, PassDescriptor
from golden.params import Build


@dataclass(frozen=True, kw_only=True)
class StripeScan:
    """The retire tokens of one stripe, each timed from the one before.

    Columns left of the map come first, a word each, and then, when the cluster owns the bank, those
    inside.

    Parameters
    ----------
    left_words, left_tokens : int
        Words, and tokens, of columns left of the map; of all columns where none of the stripe is
        inside.
    left_gap : int
        Words left of the map after their last token.
    lead : int
        Empty words before the first word inside the map that has pixels or a token.
    earliest : list of int
        Cycles from token k - 1 to token k if the shadow registers are free; for the first token
        left of the map, and the first one inside, from the cycle in which the first word there
        stands at the queue's head.
    idle_from : list of int
        The first cycle, on the same scale, in which token k could be seen waiting: nothing else
        is left in its column, and the steps before it are done.
    steps : int
        Lane cycles that one token takes: output rows of the stripe.
    visits : int
        Lane cycles of all pixels.
    operations : int
        Operations of a lane that uses every pixel; of a depthwise pass, of all lanes together.
    """

    left_words: int
    left_tokens: int
    left_gap: int
    lead: int
    earliest: list[int]
    idle_from: list[int]
    steps: int
    visits: int
    operations: int


@dataclass(frozen=True, kw_only=True)
class StripeShape:
    """Rows of a stripe: input rows [low, high), and how many output rows it has."""

    low: int
    high: int
    top: int
    out_rows: int


def scan_geometry(d: PassDescriptor) -> tuple[int, ...]:
    """What passes must have in common, beside the rows they are given, to share their scans."""
    shape = d.kernel_h, d.kernel_w, d.pad_top, d.pad_left, d.out_rows
    return *shape, d.first_word, d.slice_words, d.depthwise


def stripe_shape(d: PassDescriptor, stripe: int) -> StripeShape:
    """Rows that a stripe reads and makes."""
    top = 2 * stripe * d.stride_h - d.pad_top
    out_rows = min(2, d.out_rows - 2 * stripe)
    return StripeShape(
        low=min(max(top, 0), d.in_rows),
        high=min(max(top + d.kernel_h + (out_rows - 1) * d.stride_h, 0), d.in_rows),
        top=top,
        out_rows=out_rows,
    )


def scan_stripe(
    build: Build,
    d: PassDescriptor,
    work: ClusterWork,
    shape: StripeShape,
    counts: np.ndarray,
    tile: int = 0,
) -> StripeScan:
    """Time one scan of one cluster.

    Parameters
    ----------
    counts : ndarray of int, shape (H, W, col_words)
        Non-zero pixels of each map word.
    tile : int
        The tile of input channels that is scanned.

    A word with p non-zero pixels of n visits each takes p n cycles; an empty word takes one, hidden
    behind the visits of the pixel before it. Two units (words with pixels, or tokens) with e empty
    words between them start (p - 1) n + max(n, 1 + e) cycles apart.
    """
    columns = work.end_col - work.first_col
    first_x = work.first_col * d.stride_w - d.pad_left
    j = np.arange((columns - 1) * d.stride_w + d.kernel_w)
    j = j[j % d.stride_w < d.kernel_w]  # columns between which a stride steps are passed over
    x = first_x + j
    inside = (x >= 0) & (x < d.in_cols)
    # Output column newest - i sees scan column j through tap i, kernel column i stride_w + phase.
    newest, phase = np.divmod(j, d.stride_w)
    taps = (d.kernel_w - 1 - phase) // d.stride_w + 1
    retires = (newest >= d.last_tap) & (phase == d.last_phase)
    kernel_cols = np.minimum(newest, taps - 1) - np.maximum(0, newest - columns + 1) + 1
    steps = shape.out_rows

    outside = shape.low == shape.high or not inside.any()
    left_words = j.size if outside else int(np.count_nonzero(x < 0))
    left = np.flatnonzero(retires[:left_words])
    apart = np.diff(left, prepend=0)
    left_earliest = np.maximum(apart, steps)
    left_idle = np.maximum(apart, steps + 1)
    left_earliest[:1] = left_idle[:1] = left[:1]
    before_map = {
        "left_words": left_words,
        "left_tokens": left.size,
        "left_gap": left_words - 1 - int(left[-1]) if left.size else 0,
        "steps": steps,
    }
    if outside:
        return StripeScan(
            **before_map,
            lead=0,
            earliest=left_earliest.tolist(),
            idle_from=left_idle.tolist(),
            visits=0,
            operations=0,
        )

    r = np.arange(shape.low, shape.high) - shape.top
    touched = (r < d.kernel_h).astype(np.int64) + ((r >= d.stride_h) & (shape.out_rows == 2))
    tile_words = d.tile_words
    if tile == d.tiles - 1:
        tile_words = d.slice_words - tile * d.tile_words
    first_word = d.first_word + work.slice * d.slice_words + tile * d.tile_words

    # Empty words take the place, up to the next word's bank, of other tiles' words after each row,
    # of rows passed over, and after the last one of rows outside the map and columns passed over.
    n = build.clusters
    skip = d.col_words - tile_words
    gap = d.col_words * (d.scan_rows - (shape.high - shape.low))
    fill = np.where(r + 1 == d.kernel_h, skip + d.row_skip, skip) % n
    fill = np.tile(fill[touched > 0], (int(np.count_nonzero(inside)), 1))
    jumps = (phase[inside] == d.kernel_w - 1) & (d.jump_columns > 1)
    fill[:, -1] = (skip + gap + d.column_skip * jumps) % n
    kept = np.arange(tile_words + n) < tile_words + fill[:, :, None]

    def in_order(value: np.ndarray) -> np.ndarray:
        """Values of the rows' words, (columns, rows, words), in scan order, with the fill."""
        filled = np.zeros(kept.shape, np.int64)
        filled[:, :, :tile_words] = value
        return filled[kept]

    seen = counts[shape.low : shape.high, x[inside], first_word : first_word + tile_words]
    words = in_order(seen.transpose(1, 0, 2)[:, touched > 0])
    visits = in_order(kernel_cols[inside, None, None] * touched[touched > 0, None])
    column_ends = kept.sum(axis=(1, 2)).cumsum() - 1
    # A column right of the map is one empty word.
    right = retires[x >= d.in_cols]
    pixels, visits = (np.append(a, np.zeros(right.size, np.int64)) for a in (words, visits))
    operations = int((pixels * visits).sum())
    if d.depthwise:  # all pixels of a word at once
        pixels = np.minimum(pixels, 1)

    # The word with which a column retires waits for its token.
    token_words = np.append(column_ends[retires[inside]], words.size + np.flatnonzero(right))
    empty = pixels == 0
    empty[token_words] = False
    empties = np.concatenate([[0], np.cumsum(empty)])

    full = np.flatnonzero(pixels)
    order = np.argsort(np.concatenate([2 * full, 2 * token_words + 1]), kind="stable")
    token = np.repeat([False, True], [full.size, token_words.size])[order]
    word = np.concatenate([full, token_words])[order]
    unit_steps = np.where(token, steps, visits[word])
    span = np.where(token, 0, (pixels[word] - 1) * visits[word])
    before = empties[word]

    # Start of each unit, from the first word's arrival, with the tokens never held up.
    between = before[1:] - before[:-1]
    start = before[0] + np.concatenate(
        [[0], np.cumsum(span[:-1] + np.maximum(unit_steps[:-1], 1 + between))]
    )
    at = np.flatnonzero(token)
    previous = np.maximum(at - 1, 0)
    done = start[previous] + span[previous]  # the last transfer before the token
    idle = np.maximum(done + unit_steps[previous] + 1, done + 1 + before[at] - before[previous])
    if at[0] == 0:
        idle[0] = before[0]
    origin = np.concatenate([[0], start[at[:-1]]])
    return StripeScan(
        **before_map,
        lead=int(before[0]),
        earliest=[*left_earliest.tolist(), *(start[at] - origin).tolist()],
        idle_from=[*left_idle.tolist(), *(idle - origin).tolist()],
        visits=int((pixels * visits).sum()),
        operations=operations,
    )
