"""How long the intake takes to load a map: the timing of `hdl.intake`.

The map stream never stalls. Then nothing but the lengths of the sparsity maps and map words
matters, and every segment is by itself, since it starts with an empty buffer.
"""

from collections.abc import Sequence

import numpy as np

from golden.descriptor import PassDescriptor
from golden.params import Build, ceil_div
from golden.segment import GROUP, SM_BYTES

#: Per row: the cycle that finds the row within the limit.
ROW_CYCLES = 1
#: Per segment: one cycle takes its first bus word, one finds it complete.
SEGMENT_CYCLES = 2


def row_cycles(
    build: Build,
    descriptor: PassDescriptor,
    counts: np.ndarray,
    ranges: Sequence[Sequence[tuple[int, int]]] | None = None,
) -> np.ndarray:
    """Cycles from one row to the next, for every row of a map.

    Parameters
    ----------
    build, descriptor :
        The build, and the pass that loads the map.
    counts : ndarray of int, shape (H, W, ceil(in_channels / step_pixels))
        Non-zero pixels of each map word, of a wide one (`Build.step_pixels`) for each sparsity map;
        without meaning if the map is dense.
    ranges : sequence of sequence of (int, int), optional
        For each block of the map the column ranges into which its rows are cut; one segment per
        row and block if absent.

    Returns
    -------
    ndarray of int64, shape (H,)
        If the intake sees in cycle t that row y is within `row_limit`, and has loaded the rows
        before, then `rows_done` is y + 1 from cycle t + row_cycles[y] on, and in that cycle the
        intake looks at the limit for row y + 1. For row 0, the earliest t is the cycle after
        `start`.
    """
    d = descriptor
    steps, starts, ends = [], [], []
    first_step = first_count = 0
    for b, channels in enumerate(d.in_blocks):
        block_counts = ceil_div(channels, build.step_pixels)
        block = counts[:, :, first_count : first_count + block_counts]
        sizes = step_bytes(build, block, channels, dense=d.dense)
        H, W, column_steps = sizes.shape
        row_starts = first_step + column_steps * W * np.arange(H)[:, None]
        bounds = np.array([(0, W)] if ranges is None else ranges[b])
        starts.append(row_starts + column_steps * bounds[:, 0])
        ends.append(row_starts + column_steps * bounds[:, 1])
        steps.append(sizes.ravel())
        first_step += sizes.size
        first_count += block_counts
    start, end = np.hstack(starts), np.hstack(ends)
    cycles = decode_cycles(build, np.concatenate(steps), start.ravel(), end.ravel())
    return ROW_CYCLES + (SEGMENT_CYCLES + cycles.reshape(start.shape)).sum(axis=1)


def step_bytes(build: Build, counts: np.ndarray, channels: int, *, dense: bool) -> np.ndarray:
    """Bytes that each step of the intake uses up.

    Parameters
    ----------
    counts : ndarray of int, shape (H, W, pieces)
        Non-zero pixels of one block, `Build.step_pixels` channels each.
    channels : int
        Channels of the block.
    dense : bool
        Whether all values are in the stream, and no sparsity maps.

    Returns
    -------
    ndarray of int32, shape (H, W, steps of a column)
    """
    H, W, pieces = counts.shape
    if dense:
        first_pixel = build.step_pixels * np.arange(pieces)
        pixels = np.minimum(channels - first_pixel, build.step_pixels)
        return np.tile(np.int32(pixels * build.act_bytes), (H, W, 1))
    # A sparsity map before each group's first piece.
    firsts = np.arange(0, pieces, GROUP // build.step_pixels)
    is_map = np.insert(np.zeros(pieces, bool), firsts, True)
    sizes = np.full((H, W, is_map.size), SM_BYTES, np.int32)
    sizes[:, :, ~is_map] = counts * build.act_bytes
    return sizes


def decode_cycles(
    build: Build, sizes: np.ndarray, start: np.ndarray, end: np.ndarray
) -> np.ndarray:
    """Cycles in which the segments' steps are made or waited for.

    Parameters
    ----------
    sizes : ndarray of int, shape (steps,)
        Bytes of each step.
    start, end : ndarray of int, shape (segments,)
        Each segment's steps are start to end - 1, at least one.

    Returns
    -------
    ndarray of int64, shape (segments,)
        From the cycle after the one that takes the first bus word to the last step, inclusive.
    """
    room = build.intake_bytes - build.bus_bytes
    total = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
    cycles = np.zeros(start.size, np.int64)

    # All segments side by side, one cycle after the other.
    which, step, stop = np.arange(start.size), start, end
    to_come = total[end] - total[start]
    fill = np.minimum(to_come, build.bus_bytes)
    to_come = to_come - fill
    now = 0
    while which.size:
        now += 1
        size = sizes[step]
        made = fill >= size
        taken = np.where(fill <= room, np.minimum(to_come, build.bus_bytes), 0)
        fill = fill - np.where(made, size, 0) + taken
        to_come = to_come - taken
        step = step + made
        running = step < stop
        if not running.all():
            cycles[which[~running]] = now
            which, step, stop = which[running], step[running], stop[running]
            fill, to_come = fill[running], to_come[running]
    return cycles
