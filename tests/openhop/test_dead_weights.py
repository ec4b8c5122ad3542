"""Work left by dead weights: counts against loops, and what clusters in lockstep can skip."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from golden.conv import useful_ops
from golden.network import Network, TensorFormat
from openhop.dead_weights import as_given, by_pattern, main, measure, tap_visits
from tests.golden.test_adder import adder_layer
from tests.openhop.networks import adder_classifier

ROOT = Path(__file__).parents[2]


def layer_and_map(**changes):
    rng = np.random.default_rng(4)
    layer = adder_layer(
        weights=rng.integers(-60, 60, (9, 3, 3, 2)),
        bias=np.zeros(9, np.int64),
        **{"stride": (2, 1), "pads": (1, 0, 1, 1), **changes},
    )
    x = rng.integers(0, 256, (9, 8, 3), np.uint8)
    x[rng.random(x.shape) < 0.6] = 0
    return layer, x


@pytest.mark.parametrize("pool", [False, True])
def test_visits_of_a_tap_are_the_pixels_that_its_outputs_see(pool):
    layer, x = layer_and_map(pool=pool)
    counts = tap_visits(layer, x)
    rows, cols, _ = layer.conv_shape(x.shape)
    if pool:
        rows, cols = rows // 2 * 2, cols // 2 * 2
    padded = np.pad(x, ((1, 1), (0, 1), (0, 0)))
    for c, ky, kx in np.ndindex(counts.shape):
        seen = padded[ky : ky + 2 * rows : 2, kx : kx + cols, c][:rows]
        assert counts[c, ky, kx] == np.count_nonzero(seen)
    nonzero = x != 0
    assert counts.sum() == useful_ops(nonzero, layer.kernel, layer.stride, layer.pads, (rows, cols))


def test_work_of_a_layer():
    layer, x = layer_and_map()
    form = layer.in_format
    network = Network("one", x.shape, form, (layer,))
    (work,) = measure(network, [network.run(x), network.run(x)])
    visits = 2 * tap_visits(layer, x)
    assert work.useful == 9 * visits.sum()
    assert work.live == (visits * (layer.weights > 0)).sum()
    # A lane by itself skips all of its own; two of them what is dead in both.
    assert work.given[1] == work.ordered[1] == work.live / work.useful
    pairs = [layer.weights[at : at + 2] > 0 for at in (0, 2, 4, 6, 8)]
    left = sum((visits * pair.any(axis=0)).sum() for pair in pairs)
    assert work.given[2] == left / (5 * visits.sum())
    assert work.ordered[2] < work.given[2]
    assert work.live / work.useful <= work.apart <= 1


def test_alike_filters_share_a_cluster():
    live = np.zeros((4, 1, 2, 2), bool)
    live[[0, 2], 0, 0] = True
    live[[1, 3], 0, 1] = True
    clusters = by_pattern(live, np.ones((1, 2, 2), np.int64), 2)
    assert [cluster.any(axis=0).sum() for cluster in clusters] == [2, 2]
    assert [cluster.any(axis=0).sum() for cluster in as_given(live, live, 2)] == [4, 4]


def test_of_a_signed_map_only_zero_weights_are_dead():
    layer, x = layer_and_map(in_format=TensorFormat(8, signed=True, scale=1.0))
    x = x.astype(np.int8)
    (work,) = measure(Network("one", x.shape, layer.in_format, (layer,)), [[x]])
    assert work.live == (tap_visits(layer, x) * (layer.weights != 0)).sum()


def test_command(pictures, tmp_path, capsys):
    model, out = tmp_path / "sums.onnx", tmp_path / "work.json"
    onnx.save(adder_classifier(), model)
    main([str(model), "--images", *map(str, pictures), "--json", str(out)])
    assert "16 ord." in capsys.readouterr().out
    content = json.loads(out.read_text())
    assert [layer["name"] for layer in content["layers"]] == ["make_t1", "make_t3"]
    for layer in content["layers"]:
        assert layer["dense_ops"] >= layer["useful_ops"] > layer["live_ops"] > 0


def test_the_record_is_what_the_model_gives(tmp_path):
    out = tmp_path / "work.json"
    main(["digits-adder", "--json", str(out)])
    record = ROOT / "docs" / "figures" / "dead_weights_digits.json"
    assert json.loads(record.read_text()) == json.loads(out.read_text())
