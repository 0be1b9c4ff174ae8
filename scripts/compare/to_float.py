"""The float twin of a quantised network: the same nodes on dequantised weights, ReLU and ReLU6 where the stored range says so."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from graph import Graph


def write(graph: Graph, path):
    nodes, constants = [], []

    def constant(name, values, dtype=np.float32):
        constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    for node in graph.nodes:
        inputs, attributes, output = list(node.inputs), {}, node.output
        if node.op == "Conv":
            weights = node.weights * node.weight_scales[:, None, None, None]
            inputs += [constant(f"{output}.weights", weights), constant(f"{output}.bias", node.bias)]
            attributes = dict(group=node.groups)
            output = f"{output}.conv" if node.activation else output
        if node.op in ("Conv", "MaxPool"):
            attributes |= dict(kernel_shape=node.kernel, strides=node.strides, pads=node.pads)
        if node.op == "Concat":
            attributes = dict(axis=1)
        if node.op == "Resize":
            inputs += ["", constant(f"{output}.scales", [1, 1, node.factor, node.factor])]
            attributes = dict(mode="linear", coordinate_transformation_mode="half_pixel")
        nodes.append(helper.make_node(node.op, inputs, [output], node.name, **attributes))
        if node.activation == "Relu":
            nodes.append(helper.make_node("Relu", [output], [node.output], f"{node.name}.relu"))
        elif node.activation == "Relu6":
            limits = [constant(f"{node.output}.low", 0), constant(f"{node.output}.high", 6)]
            nodes.append(helper.make_node("Clip", [output, *limits], [node.output], f"{node.name}.relu6"))
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, graph.tensors[name].shape)
    float_graph = helper.make_graph(nodes, "float", [value(graph.input)], [value(graph.output)], constants)
    model = helper.make_model(float_graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    onnx.save(model, path)
