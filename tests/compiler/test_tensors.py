"""Names and formats in words."""

from compiler.onnx_import import import_onnx
from compiler.tensors import describe
from golden.network import TensorFormat
from tests.compiler.networks import qlinear_conv


def test_a_format_in_words():
    assert describe(TensorFormat(16, True, 0.25, -3)) == "s16 of scale 0.25 and zero point -3"


def test_a_layer_without_a_name_takes_that_of_its_output():
    unnamed = qlinear_conv()
    unnamed.graph.node[1].name = ""
    assert import_onnx(unnamed).layers[0].name == "yq"
