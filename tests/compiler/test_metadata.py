"""Metadata of a model: preprocessing of pictures and names of classes."""

import json

import pytest

from compiler.errors import CompileError
from compiler.metadata import read_labels, read_preprocessing

GREY, COLOUR = (28, 20, 1), (28, 20, 3)


@pytest.mark.parametrize(
    ("shape", "given"),
    [
        (GREY, {}),
        (GREY, {"mode": "L", "size": [28, 20], "scale": 255}),
        (COLOUR, {"mode": "RGB", "scale": [58.4, 57.1, 57.4], "mean": [123.7, 116, 103.5]}),
        (COLOUR, {"mean": -1.5}),
        ((1, 1, 20), {"scale": 0.5}),
    ],
)
def test_preprocessing_is_read(shape, given):
    assert read_preprocessing({"openhop.input": json.dumps(given)}, shape) == given


def test_a_model_may_say_nothing():
    assert read_preprocessing({}, GREY) == {}
    assert read_labels({"other": "x"}) == ()


def test_labels_are_read():
    assert read_labels({"openhop.labels": '["cat", "dog"]'}) == ("cat", "dog")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[1]", "is not an object of mode, size, scale and mean; write it as compiler/metadata"),
        ('{"colour": "L"}', "is not an object of mode, size, scale and mean"),
        ('{"mode": "RGB"}', 'has the mode RGB, but the network takes 28x20x1; write "L"'),
        ('{"size": [20, 28]}', r"has the size \[20, 28\], but the network takes 28x20x1; write"),
        ('{"scale": 0}', "has the scale 0; give a number, or one per channel; scale above 0"),
        ('{"scale": [1, 2]}', r"has the scale \[1, 2\]; give a number"),
        ('{"mean": "x"}', "has the mean x; give a number"),
        ('{"mean": true}', "has the mean True; give a number"),
        ('{"scale": null}', "has the scale None; give a number"),
    ],
)
def test_wrong_preprocessing_is_refused(text, message):
    with pytest.raises(CompileError, match=rf"^metadata openhop\.input: {message}"):
        read_preprocessing({"openhop.input": text}, GREY)


@pytest.mark.parametrize("text", ['{"a": 1}', '"cat"', "[1, 2]"])
def test_wrong_labels_are_refused(text):
    with pytest.raises(CompileError, match=r"^metadata openhop\.labels: is not a list of names"):
        read_labels({"openhop.labels": text})
