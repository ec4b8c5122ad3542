"""Calibrated biases: the share of zeros that was asked for, from the layer's own sums."""

from dataclasses import replace

import numpy as np
import pytest

from golden.calibrate import calibrate
from golden.network import Conv, TensorFormat
from golden.requant import Shift

INT16 = TensorFormat(16, signed=True, scale=1.0)
UINT8 = TensorFormat(8, signed=False, scale=1.0)


def random_layer(form: TensorFormat, *, pool: bool = False) -> tuple[Conv, np.ndarray]:
    rng = np.random.default_rng(5)
    layer = Conv(
        name="layer",
        weights=rng.integers(-120, 120, (10, 6, 3, 3), np.int16, endpoint=True),
        bias=rng.integers(-1000, 1000, 10),
        in_format=form,
        out_format=form,
        requant=Shift(3),
        pads=(1, 1, 1, 1),
        relu=True,
        pool=pool,
    )
    x = rng.integers(0, form.ints.max, (16, 18, 6), endpoint=True)
    x[rng.random(x.shape) < 0.5] = 0
    return layer, x.astype(form.ints.dtype)


@pytest.mark.parametrize("pool", [False, True])
@pytest.mark.parametrize("form", [INT16, UINT8], ids=["int16", "uint8"])
@pytest.mark.parametrize("zeros", [0, 0.016, 0.5, 0.885, 1])
def test_the_output_has_the_zeros(form, pool, zeros):
    layer, x = random_layer(form, pool=pool)
    done, y = calibrate(layer, x, zeros)
    assert np.mean(y == 0) == pytest.approx(zeros, abs=1 / y.size)
    run = done.run(x)
    assert np.array_equal(run, y)
    assert run.dtype == y.dtype


@pytest.mark.parametrize("form", [INT16, UINT8], ids=["int16", "uint8"])
def test_the_outputs_use_their_range_and_do_not_saturate(form):
    layer, x = random_layer(form)
    done, y = calibrate(layer, x, 0.4)
    wide = replace(
        done, in_format=INT16, out_format=TensorFormat(16, signed=True, scale=2.0)
    ).accumulate(x)
    assert isinstance(done.requant, Shift)
    assert (wide.max() >> done.requant.shift) == y.max()
    assert form.ints.max // 2 < y.max() <= form.ints.max


def test_only_bias_and_requantiser_change():
    layer, x = random_layer(INT16)
    done, _ = calibrate(layer, x, 0.3)
    assert replace(done, bias=layer.bias, requant=layer.requant).__dict__ == layer.__dict__


def test_channels_differ_and_none_is_dead():
    layer, x = random_layer(INT16)
    _, y = calibrate(layer, x, 0.5)
    shares = np.mean(y == 0, axis=(0, 1))
    assert shares.std() > 0.05
    assert 0.05 < shares.min() < shares.max() < 0.95


@pytest.mark.parametrize(("zeros", "nearest"), [(0.3, 0), (0.7, 1)])
def test_equal_sums_go_together_to_the_nearer_side(zeros, nearest):
    layer, x = random_layer(INT16)
    layer = replace(layer, bias=np.zeros_like(layer.bias))
    done, y = calibrate(layer, np.zeros_like(x), zeros)
    assert np.mean(y == 0) == nearest
    assert np.array_equal(done.run(np.zeros_like(x)), y)


def test_where_all_pixels_are_zero_the_bias_tells_channels_apart():
    layer, x = random_layer(INT16)
    _, y = calibrate(layer, np.zeros_like(x), 0.5)
    assert np.mean(y == 0) == 0.5
