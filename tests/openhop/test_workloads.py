"""Tables as chains: each layer's zeros come from the layers before, as many as were asked for."""

from pathlib import Path

import numpy as np
import pytest

from compiler.plan import plan_network
from golden.network import Network
from golden.params import preset
from openhop import library
from openhop.frames import clustering
from openhop.layer_table import COLUMNS, TableError, TableLayer, read_table
from openhop.workloads import chosen, is_chain, links, part, single, with_zeros

HEADER = ",".join(COLUMNS)
CHAIN = (
    "a,20,18,3,8,3,3,1,1,1,1,1,1,0,0.984",
    "b,20,18,8,12,3,3,1,1,1,1,1,1,1,0.523",
    "c,10,9,12,12,1,3,1,1,0,1,0,1,0,0.303",
    "d,10,9,12,16,3,3,1,1,1,1,1,1,1,0.15",
)


@pytest.fixture
def rows(tmp_path) -> list[TableLayer]:
    path: Path = tmp_path / "chain.csv"
    path.write_text("\n".join([HEADER, *CHAIN]))
    return read_table(path)


def test_a_chain_is_known_by_its_shapes(rows):
    assert is_chain(rows)
    assert not is_chain(rows[:1])
    assert not is_chain([rows[0], *rows[2:]])
    names = ("vgg16", "vgg19", "fashion", "squeezenet", "alexnet", "resnet50")
    chains = {name for name in names if is_chain(read_table(library.table_path(name)))}
    assert chains == {"vgg16", "vgg19", "fashion"}


@pytest.mark.parametrize("frame", ["random", "clustered"])
@pytest.mark.parametrize("zeros", [None, 0.696])
@pytest.mark.parametrize("build", ["tiny", "tiny8", "up5k", "nullhop"])
def test_every_input_has_its_zeros(rows, build, zeros, frame):
    rows = with_zeros(rows, zeros)
    chain = list(links(rows, preset(build), frame))
    for row, link in zip(rows, chain, strict=True):
        assert link.x.shape == row.in_shape
        assert np.mean(link.x == 0) == pytest.approx(1 - row.density, abs=0.01)
        assert link.zeros == 1 - row.density
        assert link.y.max() > link.layer.out_format.ints.max // 2
    assert np.mean(chain[-1].y == 0) == pytest.approx(1 - rows[-1].density, abs=0.01)


@pytest.mark.parametrize("build", ["tiny", "tiny8", "tiny_l1", "nullhop"])
def test_the_chain_is_a_network_that_the_build_runs(rows, build):
    """Golden computes it anew from the first map on, and gets the same maps."""
    chain = list(links(rows, preset(build), "random"))
    known = part(chain, "chain")
    plan_network(known, preset(build))
    plain = Network("chain", known.input_shape, known.input_format, known.layers)
    maps = plain.run(chain[0].x)
    for link, x, y in zip(chain, maps[:-1], maps[1:], strict=True):
        assert np.array_equal(link.x, x)
        assert np.array_equal(link.y, y)
    assert known.run(chain[0].x)[2] is chain[1].y
    other = np.zeros_like(chain[0].x)
    assert np.array_equal(known.run(other)[-1], plain.run(other)[-1])


def test_operands_are_as_wide_as_the_build(rows):
    (first, *_) = links(rows, preset("nullhop"), "random")
    assert first.x.max() > 30000
    assert np.abs(first.layer.weights.astype(int)).max() > 30000
    assert first.y.max() > 16000


def test_chains_are_the_same_in_every_run(rows):
    one, two = (list(links(rows, preset("tiny"), "clustered")) for _ in range(2))
    for a, b in zip(one, two, strict=True):
        assert np.array_equal(a.layer.bias, b.layer.bias)
        assert np.array_equal(a.y, b.y)


def test_a_clustered_chain_stays_clustered(rows):
    rows = with_zeros(rows, 0.5)
    loose, near = (
        [clustering(link.x == 0) or 0 for link in links(rows, preset("tiny"), frame)]
        for frame in ("random", "clustered")
    )
    assert near[0] > 0.8
    assert sum(near) > sum(loose) + 1


def test_a_clustered_layer_by_itself(rows):
    maps = [single(rows[2], frame)[1] for frame in ("random", "clustered")]
    assert maps[0].dtype == maps[1].dtype
    assert [round(np.mean(x != 0), 1) for x in maps] == [0.3, 0.3]
    assert (clustering(maps[1] == 0) or 0) > (clustering(maps[0] == 0) or 0) + 0.5


def test_layers_are_chosen_by_name(rows):
    assert chosen(rows, []) == {"a", "b", "c", "d"}
    assert chosen(rows, ["c", "a"]) == {"a", "c"}
    with pytest.raises(TableError, match="layer 'e' is unknown: choose of a, b, c, d"):
        chosen(rows, ["a", "e"])


@pytest.mark.bench
@pytest.mark.parametrize("frame", ["random", "clustered"])
@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
@pytest.mark.parametrize("zeros", [None, 0.696])
def test_every_input_of_vgg_has_its_zeros(name, frame, zeros):
    rows = with_zeros(read_table(library.table_path(name)), zeros)
    for row, link in zip(rows, links(rows, preset("nullhop"), frame), strict=True):
        assert np.mean(link.x == 0) == pytest.approx(1 - row.density, abs=0.01)
