"""The public Python API."""

import pytest

import openhop
from golden.params import BuildError, preset
from openhop.library import sample_pictures
from openhop.running import Report

PICTURE = sample_pictures("fashion")[0]


def test_everything_that_is_named_is_there():
    assert all(callable(getattr(openhop, name)) for name in openhop.__all__)
    assert not hasattr(openhop, "walk")


def test_models_and_presets_by_name_or_by_object():
    by_name = openhop.cycles("fashion", [PICTURE], preset="nullhop")
    by_object = openhop.cycles(openhop.load("fashion"), [str(PICTURE)], preset=preset("nullhop"))
    assert isinstance(by_name, Report)
    assert by_name.json() == by_object.json()
    assert by_name.engine == "golden"


def test_unknown_preset():
    with pytest.raises(BuildError, match="preset 'huge' is unknown"):
        openhop.run("fashion", [PICTURE], preset="huge")


def test_presets_are_builds():
    builds = openhop.presets()
    assert builds["nullhop"].lanes == 128
    assert builds["tiny"].replace(name="mine", clusters=1).lanes == 4


def test_tables():
    layers = openhop.table_cycles("fashion")
    assert [layer.name for layer in layers][:2] == ["conv0", "conv1"]
    assert all(layer.sums.cycles > 0 for layer in layers)
