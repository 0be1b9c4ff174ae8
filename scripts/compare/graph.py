"""Reads a quantised ONNX file (QOperator form, u8 activations) into a plain list of nodes, for the converters beside it."""

import dataclasses

import numpy as np
import onnx
from onnx import helper, numpy_helper

PASSING = ("MaxPool", "Resize")


@dataclasses.dataclass
class Tensor:
    """A u8 tensor `[1, C, H, W]`: value = scale x (stored - zero point)."""

    name: str
    shape: list
    scale: np.float32
    zero_point: int

    def range(self):
        return [float(self.scale) * (stored - self.zero_point) for stored in (0, 255)]


@dataclasses.dataclass
class Node:
    """`op` is one of Conv, Add, Mul, Concat, GlobalAveragePool, Sigmoid, MaxPool, Resize; inputs and output are tensor names."""

    op: str
    name: str
    inputs: list
    output: str
    kernel: list = None
    strides: list = None
    pads: list = None  # top, left, bottom, right
    groups: int = 1
    weights: np.ndarray = None  # s8 [M, C / groups, kH, kW]
    weight_scales: np.ndarray = None  # f32 [M]
    bias: np.ndarray = None  # f64 [M], real units
    activation: str = None  # Relu, Relu6
    factor: int = 1  # of Resize

    def depthwise(self, channels):
        return self.groups > 1 and self.groups == channels


class Graph:
    def __init__(self, path):
        model = onnx.load(path)
        self.constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        self.tensors, self.nodes = {}, []
        value = model.graph.input[0]
        self.input, self.output = value.name, model.graph.output[0].name
        shape = [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        self.tensors[self.input] = Tensor(self.input, shape, None, None)
        for node in model.graph.node:
            self.read(node)

    def constant(self, node, index):
        return self.constants[node.input[index]] if index < len(node.input) and node.input[index] else None

    def quantisation(self, node, index):
        return np.float32(self.constant(node, index).reshape(())), int(self.constant(node, index + 1).reshape(()))

    def read(self, node):
        attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        op = node.op_type.removeprefix("QLinear")
        operands = {"Conv": ([0], 6), "Add": ([0, 3], 6), "Mul": ([0, 3], 6), "GlobalAveragePool": ([0], 3),
                    "Sigmoid": ([0], 3), "MaxPool": ([0], None), "Resize": ([0], None), "Concat": (range(2, len(node.input), 3), 0)}
        if op not in operands:
            raise ValueError(f"{node.name}: {node.op_type} is not converted")
        positions, output = operands[op]
        result = Node(op, node.name, [node.input[position] for position in positions], node.output[0])
        first = self.tensors[result.inputs[0]]
        if first.scale is None:
            first.scale, first.zero_point = self.quantisation(node, 1)
        scale, zero_point = (first.scale, first.zero_point) if output is None else self.quantisation(node, output)
        shapes = [self.tensors[name].shape for name in result.inputs]
        shape = [max(sides) for sides in zip(*shapes)]
        if op in ("Conv", "MaxPool"):
            if attributes.get("auto_pad", b"NOTSET") != b"NOTSET" or set(attributes.get("dilations", [1])) != {1}:
                raise ValueError(f"{node.name}: auto_pad and dilations are not converted")
            result.kernel = list(attributes["kernel_shape"])
            result.strides = list(attributes.get("strides", [1, 1]))
            result.pads = list(attributes.get("pads", [0] * 4))
            result.groups = attributes.get("group", 1)
            for axis in range(2):
                padded = shape[2 + axis] + result.pads[axis] + result.pads[axis + 2]
                shape[2 + axis] = (padded - result.kernel[axis]) // result.strides[axis] + 1
        if op == "Conv":
            result.weights = self.constant(node, 3)
            shape[1] = len(result.weights)
            result.weight_scales = np.broadcast_to(self.constant(node, 4).reshape(-1), shape[1:2]).astype(np.float32)
            bias = self.constant(node, 8)
            bias = np.zeros(shape[1]) if bias is None else bias
            result.bias = bias * (np.float64(first.scale) * result.weight_scales)
            if zero_point == 0:
                result.activation = "Relu6" if abs(float(scale) * 255 - 6) < 0.01 else "Relu"
        elif op == "Concat":
            shape[1] = sum(each[1] for each in shapes)
        elif op == "GlobalAveragePool":
            shape[2:] = [1, 1]
        elif op == "Resize":
            scales = self.constant(node, 2)
            result.factor = int(scales[2])
            if list(scales) != [1, 1, result.factor, result.factor] or attributes.get("mode") != b"linear" \
                    or attributes.get("coordinate_transformation_mode", b"half_pixel") != b"half_pixel":
                raise ValueError(f"{node.name}: only bilinear half_pixel resizing by whole factors is converted")
            shape[2:] = [side * result.factor for side in shape[2:]]
        self.tensors[result.output] = Tensor(result.output, shape, scale, zero_point)
        self.nodes.append(result)

    def consumers(self, name):
        return [node for node in self.nodes if name in node.inputs]

    def producer(self, name):
        return next((node for node in self.nodes if node.output == name), None)

    def share_concat_scales(self):
        """Gives what a Concat joins the Concat's own scale, as LiteRT's quantiser does: its Concat copies bytes."""
        settled = set()
        for concat in [node for node in self.nodes if node.op == "Concat"]:
            joined = self.tensors[concat.output]
            for name in concat.inputs:
                chain = [name]
                while (producer := self.producer(chain[-1])) and producer.op in PASSING:
                    chain += producer.inputs
                # Whatever else passes the same stored values on must change as well.
                family, grown = set(chain), True
                while grown:
                    more = {node.output for node in self.nodes if node.op in PASSING and node.inputs[0] in family}
                    grown, family = not more <= family, family | more
                fixed = producer is None or producer.op in ("Sigmoid", "Concat")
                if fixed or family & settled:
                    continue
                for member in family:
                    self.tensors[member].scale, self.tensors[member].zero_point = joined.scale, joined.zero_point
                settled |= family
