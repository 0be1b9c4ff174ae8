#!/usr/bin/env python3
"""Makes tests/fixtures/engine/hostile.cases: networks that must be refused, each with part of the reason."""

import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from make_fixtures import FIXTURES
from nets import Cases, Net, MICROSOFT, session


def net(seed=0):
    return Net(np.random.default_rng(seed), 6, 5, 3, 127)


def spoilt(spoil, kernel=3):
    """A network of one convolution, after `spoil` was done to its message."""
    n = net()
    model = onnx.load_model_from_string(n.model(n.conv(n.input, 4, kernel=kernel)))
    spoil(model, model.graph, model.graph.node[0])
    return model.SerializeToString()


def attribute(name, value):
    def spoil(model, graph, node):
        for old in [a for a in node.attribute if a.name == name]:
            node.attribute.remove(old)
        node.attribute.append(helper.make_attribute(name, value))
    return spoil


def constant(node_input, array):
    def spoil(model, graph, node):
        for index, tensor in enumerate(graph.initializer):
            if tensor.name == node.input[node_input]:
                graph.initializer[index].CopyFrom(numpy_helper.from_array(np.asarray(array), tensor.name))
    return spoil


def dims(tensor, values):
    def spoil(model, graph, node):
        del graph.initializer[tensor].dims[:]
        graph.initializer[tensor].dims.extend(values)
    return spoil


def input_shape(*sides):
    def spoil(model, graph, node):
        graph.input[0].CopyFrom(helper.make_tensor_value_info("input", TensorProto.UINT8, sides))
    return spoil


def external(model, graph, node):
    tensor = graph.initializer[2]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.ClearField("raw_data")
    tensor.external_data.add(key="location", value="/etc/passwd")


def loop(model, graph, node):
    node.input[0] = graph.output[0].name


def subgraph(model, graph, node):
    node.attribute.append(helper.make_attribute("body", helper.make_graph([], "inner", [], [])))


def two_inputs(model, graph, node):
    graph.input.append(helper.make_tensor_value_info("more", TensorProto.UINT8, [1, 3, 6, 5]))


def rename(op, domain=""):
    def spoil(model, graph, node):
        node.op_type, node.domain = op, domain
    return spoil


def twice(model, graph, node):
    graph.node.append(node)


SPOILT = {
    "no-graph": (lambda m, g, n: m.ClearField("graph"), "no graph"),
    "no-nodes": (lambda m, g, n: g.ClearField("node"), "no nodes"),
    "no-input": (lambda m, g, n: g.ClearField("input"), "0 inputs"),
    "two-inputs": (two_inputs, "2 inputs"),
    "no-output": (lambda m, g, n: g.ClearField("output"), "0 outputs"),
    "output-from-nowhere": (lambda m, g, n: setattr(g.output[0], "name", "elsewhere"), "elsewhere"),
    "input-without-type": (lambda m, g, n: g.input[0].ClearField("type"), "no type"),
    "input-of-floats": (lambda m, g, n: setattr(g.input[0].type.tensor_type, "elem_type", 1), "not u8"),
    "input-of-any-size": (input_shape(1, 3, "H", "W"), "fixed"),
    "input-too-large": (input_shape(1, 3, 1 << 40, 1 << 40), "fixed"),
    "input-negative": (input_shape(1, 3, -1, 5), "fixed"),
    "input-of-rank-2": (input_shape(3, 5), "fixed"),
    "input-batch": (input_shape(2, 3, 6, 5), "fixed"),
    "constant-too-large": (dims(2, [1 << 40, 1 << 40]), "is not allowed"),
    "constant-negative": (dims(2, [-4, 3, 3, 3]), "is not allowed"),
    "constant-larger-than-its-bytes": (dims(2, [4, 3, 5, 5]), "does not hold"),
    "constant-in-another-file": (external, "another file"),
    "loop": (loop, "nothing before"),
    "made-twice": (twice, "second time"),
    "subgraph": (subgraph, "graph of its own"),
    "unknown-op": (rename("Frobnicate"), "Frobnicate"),
    "float-op": (rename("Softmax"), "Softmax"),
    "wrong-domain": (rename("QLinearConv", MICROSOFT), "domain"),
    "groups-do-not-divide": (attribute("group", 7), "7 groups"),
    "groups-zero": (attribute("group", 0), "group"),
    "groups-enormous": (attribute("group", 1 << 62), "group"),
    "stride-zero": (attribute("strides", [0, 1]), "stride"),
    "stride-negative": (attribute("strides", [-1, 1]), "strides"),
    "dilation-enormous": (attribute("dilations", [1 << 40, 1]), "dilations"),
    "padding-enormous": (attribute("pads", [1 << 40] * 4), "pads"),
    "padding-hides": (attribute("pads", [9] * 4), "padding"),
    "padding-of-two": (attribute("pads", [1, 1]), "pads"),
    "window-larger-than-input": (attribute("dilations", [100, 100]), "larger"),
    "kernel-shape-differs": (attribute("kernel_shape", [5, 5]), "kernel_shape"),
    "scale-zero": (constant(1, np.float32(0)), "scale"),
    "scale-nan": (constant(1, np.float32(np.nan)), "scale"),
    "scale-negative": (constant(6, np.float32(-1)), "scale"),
    "scale-of-two": (constant(1, np.float32([1, 2])), "2 values"),
    "weight-scales-too-few": (constant(4, np.float32([1, 2])), "weight scales"),
    "weight-scale-infinite": (constant(4, np.float32(np.inf)), "scale"),
    "weights-unsigned": (constant(3, np.zeros((4, 3, 3, 3), np.uint8)), "U8"),
    "weights-of-rank-1": (constant(3, np.zeros(4, np.int8)), "weights"),
    "weights-of-nothing": (constant(3, np.zeros((0, 3, 3, 3), np.int8)), "too large"),
    "weights-off-centre": (constant(5, np.full(4, 3, np.int8)), "zero point"),
    "zero-point-signed": (constant(2, np.int8(3)), "I8"),
    "bias-too-short": (constant(8, np.zeros(3, np.int32)), "fit"),
    "input-missing": (lambda m, g, n: n.ClearField("input"), "missing"),
}


def float_middle():
    """An int8 convolution, a float ReLU between casts, another convolution."""
    n = net()
    x = n.conv(n.input, 4, zero_point=128)
    real = n.fresh(x.shape, x.scale, 0, 75)
    n.emit("DequantizeLinear", n.named(x), real)
    relu = n.fresh(x.shape, x.scale, 0, 75)
    n.emit("Relu", [real.name], relu)
    y = n.fresh(x.shape, 2.0**-7, 3, 75)
    n.emit("QuantizeLinear", [relu.name, *n.quantisation(y)], y)
    return n, n.conv(y, 3, kernel=3)


def main():
    cases = Cases()
    for name, (spoil, message) in SPOILT.items():
        cases.cases.append({"name": name, "model": cases.put(spoilt(spoil)), "input": [0, 0], "output": [0, 0], "message": message})
    n, output = float_middle()
    assert cases.add("float-in-the-middle", n, output)
    cases.cases[-1]["message"] = "DequantizeLinear"
    cases.write(FIXTURES / "hostile.cases")
    print(f"{len(cases.cases)} cases, {len(cases.data)} bytes")


if __name__ == "__main__":
    sys.exit(main())
