"""How long a cluster scans a stripe: the timing of `hdl.fetcher` and `hdl.walker`."""

from dataclasses import dataclass

import numpy as np

from golden.descriptor import ClusterWork, PassDescriptor
from golden.params import Build


@dataclass(frozen=True, kw_only=True)
class StripeScan:
    """The retire tokens of one stripe, each timed from the one before.

    Parameters
    ----------
    earliest : list of int
        Cycles from token k - 1 to token k if the shadow registers are free; for the first token,
        from the cycle in which the first word inside the map stands at the queue's head.
    idle_from : list of int
        The first cycle, on the same scale, in which token k could be seen waiting: nothing else
        is left in its column, and the steps before it are done.
    steps : int
        Lane cycles that one token takes: output rows of the stripe.
    visits : int
        Lane cycles of all pixels.
    """

    earliest: list[int]
    idle_from: list[int]
    steps: int
    visits: int


@dataclass(frozen=True, kw_only=True)
class StripeShape:
    """Rows of a stripe: input rows [low, high), and how many output rows it has."""

    low: int
    high: int
    top: int
    out_rows: int


def stripe_shape(d: PassDescriptor, stripe: int) -> StripeShape:
    """Rows that a stripe reads and makes."""
    top = 2 * stripe - d.pad_top
    out_rows = min(2, d.out_rows - 2 * stripe)
    return StripeShape(
        low=min(max(top, 0), d.in_rows),
        high=min(max(top + d.kernel_h + out_rows - 1, 0), d.in_rows),
        top=top,
        out_rows=out_rows,
    )


def left_columns(d: PassDescriptor, work: ClusterWork) -> int:
    """Scan columns left of the map."""
    return max(0, d.pad_left - work.first_col)


def scan_stripe(
    build: Build, d: PassDescriptor, work: ClusterWork, shape: StripeShape, counts: np.ndarray
) -> StripeScan:
    """Time one stripe of one cluster.

    Parameters
    ----------
    counts : ndarray of int, shape (H, W, col_words)
        Non-zero pixels of each map word.

    A word with p non-zero pixels of n visits each takes p n cycles; an empty word takes one, hidden
    behind the visits of the pixel before it. Two units (words with pixels, or tokens) with e empty
    words between them start (p - 1) n + max(n, 1 + e) cycles apart.
    """
    columns = work.end_col - work.first_col
    first_x = work.first_col - d.pad_left
    j = np.arange(columns + d.kernel_w - 1)
    x = first_x + j
    inside = (x >= 0) & (x < d.in_cols)
    retires = j >= d.kernel_w - 1
    kernel_cols = np.minimum(j, d.kernel_w - 1) - np.maximum(0, j - columns + 1) + 1

    rows = shape.high - shape.low
    r = np.arange(shape.low, shape.high) - shape.top
    touched = (r < d.kernel_h).astype(np.int64) + ((r > 0) & (shape.out_rows == 2))
    gap = d.col_words * (d.kernel_h + 1 - rows) % build.clusters

    # Words of the columns inside the map, in scan order, and their visits per pixel.
    seen = counts[shape.low : shape.high, x[inside], :].transpose(1, 0, 2)
    width = rows * d.col_words + gap
    words = np.zeros((seen.shape[0], width), np.int64)
    words[:, : rows * d.col_words] = seen.reshape(seen.shape[0], -1)
    visits = np.zeros_like(words)
    visits[:, : rows * d.col_words] = np.repeat(
        kernel_cols[inside, None] * touched, d.col_words, axis=1
    )
    # A column right of the map is an empty word, and a token if it retires an output column.
    right = int(np.count_nonzero((x >= d.in_cols) & retires))
    plain = np.zeros(np.count_nonzero((x >= d.in_cols) & ~retires), np.int64)
    pixels, visits = np.append(words, plain), np.append(visits, plain)

    token_words = np.flatnonzero(retires[inside]) * width + width - 1
    empty = pixels == 0
    empty[token_words] = False
    empties = np.concatenate([[0], np.cumsum(empty)])

    full = np.flatnonzero(pixels)
    key = np.concatenate(
        [2 * full, 2 * token_words + 1, 2 * pixels.size + 2 * np.arange(right) + 1]
    )
    order = np.argsort(key, kind="stable")
    token = np.concatenate([np.zeros(full.size, bool), np.ones(token_words.size + right, bool)])
    steps = np.where(token, shape.out_rows, 0)
    steps[: full.size] = visits[full]
    span = np.zeros_like(steps)
    span[: full.size] = (pixels[full] - 1) * visits[full]
    before = np.concatenate([empties[full], empties[token_words], np.full(right, empties[-1])])
    token, steps, span, before = token[order], steps[order], span[order], before[order]

    # Start of each unit, from the first word's arrival, with the tokens never held up.
    between = before[1:] - before[:-1]
    start = before[0] + np.concatenate(
        [[0], np.cumsum(span[:-1] + np.maximum(steps[:-1], 1 + between))]
    )
    at = np.flatnonzero(token)
    previous = np.maximum(at - 1, 0)
    done = start[previous] + span[previous]  # the last transfer before the token
    idle = np.maximum(done + steps[previous] + 1, done + 1 + before[at] - before[previous])
    if at[0] == 0:
        idle[0] = before[0]
    origin = np.concatenate([[0], start[at[:-1]]])
    return StripeScan(
        earliest=(start[at] - origin).tolist(),
        idle_from=(idle - origin).tolist(),
        steps=shape.out_rows,
        visits=int((pixels * visits).sum()),
    )
