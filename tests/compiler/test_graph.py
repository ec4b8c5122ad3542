"""Reading ONNX files and graphs: what is complete, and what is refused."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from compiler.errors import CompileError
from compiler.graph import Graph, attributes, label, load_model
from tests.compiler.networks import INPUT, OUTPUT, Builder, model, qlinear_conv


def test_a_file_and_its_model_are_the_same(tmp_path):
    path = tmp_path / "net.onnx"
    onnx.save(qlinear_conv(), path)
    assert load_model(path) == load_model(str(path)) == load_model(qlinear_conv())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file or directory$"),
        (b"", "holds no network"),
        (b"no protobuf at all", "is not a complete ONNX file; export it or fetch it again$"),
    ],
)
def test_a_file_without_a_network_is_refused(tmp_path, content, message):
    path = tmp_path / "net.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CompileError, match=rf"net\.onnx: {message}"):
        load_model(path)


def test_a_truncated_file_is_refused(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(qlinear_conv().SerializeToString()[:-200])
    with pytest.raises(CompileError, match="is not a complete ONNX file"):
        load_model(path)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(CompileError, match=r"cannot be read: Is a directory$"):
        load_model(tmp_path)


def test_weights_in_a_lost_file_are_refused(tmp_path):
    path = tmp_path / "net.onnx"
    onnx.save(
        qlinear_conv(), path, save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(CompileError, match="is not a complete ONNX file"):
        load_model(path)


def test_a_model_in_memory_without_its_weights_is_refused(tmp_path):
    path = tmp_path / "net.onnx"
    onnx.save(
        qlinear_conv(), path, save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    with pytest.raises(CompileError, match=r"small: is not valid ONNX \(Data of Tens"):
        Graph(onnx.load(path, load_external_data=False))


def test_constants_come_from_initialisers_and_constant_nodes():
    net = Builder((2, 5, 5)).conv(3, (3, 3)).model()
    (weights,) = [item for item in net.graph.initializer if item.name == "w0"]
    net.graph.initializer.remove(weights)
    net.graph.node.insert(0, helper.make_node("Constant", [], ["w0"], value=weights))
    graph = Graph(net)
    np.testing.assert_array_equal(graph.constants["w0"], numpy_helper.to_array(weights))
    assert [node.op_type for node in graph.nodes] == ["Conv"]


def test_an_initialiser_that_is_listed_as_input_is_none():
    net = Builder((2, 5, 5)).conv(3, (3, 3)).model()
    net.graph.input.append(helper.make_tensor_value_info("w0", TensorProto.FLOAT, (3, 2, 3, 3)))
    assert Graph(net).input == INPUT


@pytest.mark.parametrize("batch", [1, "N", None])
def test_the_batch_is_left_out_of_the_shape(batch):
    assert Graph(Builder((2, 5, 6)).relu().model(batch)).input_shape == (2, 5, 6)


def test_nodes_that_no_output_needs_are_idle():
    net = Builder((2, 5, 5)).relu().model()
    net.graph.node.append(helper.make_node("Abs", [INPUT], ["nowhere"], "lost"))
    graph = Graph(net)
    assert [node.op_type for node in graph.nodes] == ["Relu"]
    assert [node.name for node in graph.idle] == ["lost"]


def test_names_and_attributes():
    node = helper.make_node("Conv", ["a", "b"], ["c"], auto_pad="VALID", strides=[1, 2])
    assert attributes(node) == {"auto_pad": "VALID", "strides": [1, 2]}
    assert label(node) == "c (Conv)"
    node.name = "first"
    assert label(node) == "first (Conv)"


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (("N", 2, "H", "W"), "input 'x': has the shape N x 2 x H x W; fix it to N x C x H x W"),
        ((1, 2, 5), "input 'x': has the shape 1 x 2 x 5"),
        ((4, 2, 5, 5), "input 'x': has a batch of 4; export it with batch 1 or dynamic"),
        ((), "input 'x': has the shape of a scalar"),
        (None, r"small: is not valid ONNX \(Field 'shape' of 'type' is required but missing"),
    ],
)
def test_an_input_of_no_fixed_shape_is_refused(shape, message):
    net = model([helper.make_node("Relu", [INPUT], [OUTPUT])], [], shape)
    with pytest.raises(CompileError, match=message):
        Graph(net)


def test_an_integer_input_is_refused():
    net = Builder((2, 5, 5)).relu().model()
    net.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    with pytest.raises(CompileError, match="input 'x': is UINT8; let it be float, with a Quant"):
        Graph(net)


def test_several_inputs_are_refused():
    net = Builder((2, 5, 5)).relu().model()
    net.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, (1, 2)))
    with pytest.raises(CompileError, match=r"small: has 2 inputs \(x, more\); OpenHop takes netwo"):
        Graph(net)


def test_a_network_without_an_input_is_refused():
    net = Builder((2, 5, 5)).relu().model()
    net.graph.initializer.append(numpy_helper.from_array(np.zeros((1, 2, 5, 5), np.float32), INPUT))
    with pytest.raises(CompileError, match=r"small: has 0 inputs \(none\)"):
        Graph(net)


def test_an_output_that_no_node_gives_is_refused():
    net = Builder((2, 5, 5)).relu().model()
    net.graph.output[0].name = "z"
    with pytest.raises(CompileError, match="output 'z': no node gives it; export it again"):
        Graph(net)


def test_a_missing_initialiser_is_refused():
    net = Builder((2, 5, 5)).conv(3, (3, 3)).model()
    del net.graph.initializer[0]
    with pytest.raises(
        CompileError, match=r"conv0 \(Conv\): its input 'w0' is neither an initialiser nor an ear"
    ):
        Graph(net)


def test_damaged_names_are_refused():
    damaged = qlinear_conv().SerializeToString().replace(b"make_yq", b"make_\xff\xfe")
    with pytest.raises(CompileError, match="model: has damaged names; export it or fetch it again"):
        Graph(onnx.ModelProto.FromString(damaged))


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (3, r"small: is not valid ONNX \(TensorProto \(tensor name: w0\)"),
        (217, "initialiser 'w0': its values are damaged or missing; export it again"),
    ],
)
def test_a_damaged_initialiser_is_refused(size, message):
    net = Builder((2, 5, 5)).conv(3, (3, 3)).model()
    net.graph.initializer[0].raw_data = bytes(size)  # 3 x 2 x 3 x 3 floats have 216
    with pytest.raises(CompileError, match=message):
        Graph(net)


def test_invalid_onnx_is_refused_in_one_line():
    net = Builder((2, 5, 5)).conv(3, (3, 3)).model()
    del net.graph.node[0].input[1:]
    with pytest.raises(CompileError, match="small: is not valid ONNX") as caught:
        Graph(net)
    assert "\n" not in str(caught.value)
