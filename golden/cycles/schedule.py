"""What a team scans in a pass, in order: the schedule of `hdl.fetcher`."""

from collections.abc import Iterator
from dataclasses import dataclass

from golden.cycles.scan import StripeShape, stripe_shape
from golden.descriptor import ClusterWork, PassDescriptor


@dataclass(frozen=True, kw_only=True)
class Scan:
    """A stripe and a tile of input channels.

    Parameters
    ----------
    stripe, tile : int
    shape : StripeShape
        The stripe's rows.
    load : int
        The load of weights that it needs, counted from the pass's first.
    floor : int
        The lowest input row that is needed until the scan has finished.
    freed : int
        Loads that the team has finished with after it; 0 if it frees none.
    closes : bool
        Whether the tile is the last, and the sums leave.
    """

    stripe: int
    tile: int
    shape: StripeShape
    load: int
    floor: int
    freed: int
    closes: bool


def scans(d: PassDescriptor, work: ClusterWork) -> Iterator[Scan]:
    """Yield the scans of a team: regions of stripes, in each of them all stripes tile by tile."""
    stripes = list(range(work.first_stripe, d.stripes, work.stripe_step))
    shapes = [stripe_shape(d, stripe) for stripe in stripes]
    for n, first in enumerate(range(0, len(stripes), d.region)):
        region = range(first, min(first + d.region, len(stripes)))
        final = region[-1] == len(stripes) - 1
        for tile in range(d.tiles):
            load = tile if d.resident else n * d.tiles + tile
            final_tile = tile == d.tiles - 1
            for i in region:
                frees = i == region[-1] and (final or not d.resident)
                yield Scan(
                    stripe=stripes[i],
                    tile=tile,
                    shape=shapes[i],
                    load=load,
                    floor=shapes[i if final_tile else first].low,
                    freed=load + 1 if frees else 0,
                    closes=final_tile and not d.stays,
                )
