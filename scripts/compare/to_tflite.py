"""The TensorFlow Lite twin of a quantised network: s8 activations (stored - 128), the same weights, NHWC."""

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from graph import Graph

ACTIVATIONS = {None: schema.ActivationFunctionType.NONE, "Relu": schema.ActivationFunctionType.RELU,
               "Relu6": schema.ActivationFunctionType.RELU6}
# The first version of each operator that takes s8 (for RESIZE_BILINEAR, half-pixel centres); 2 for all others.
VERSIONS = {schema.BuiltinOperator.CONV_2D: 3, schema.BuiltinOperator.DEPTHWISE_CONV_2D: 3,
            schema.BuiltinOperator.RESIZE_BILINEAR: 3}


class Writer:
    def __init__(self, graph: Graph):
        self.graph, self.indices = graph, {}
        self.tensors, self.operators, self.buffers, self.codes = [], [], [schema.BufferT()], []

    def tensor(self, name, shape, dtype, scales=None, zero_points=None, axis=0, data=None):
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type = name.encode(), list(map(int, shape)), dtype
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            tensor.buffer = len(self.buffers)
            self.buffers.append(buffer)
        if scales is not None:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = [float(scale) for scale in np.ravel(scales)]
            tensor.quantization.zeroPoint = [int(zero_point) for zero_point in np.ravel(zero_points)]
            tensor.quantization.quantizedDimension = axis
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def activation(self, name, scale, zero_point):
        batch, channels, height, width = self.graph.tensors[name].shape
        return self.tensor(name, [batch, height, width, channels], schema.TensorType.INT8, scale, zero_point - 128)

    def index(self, name):
        if name not in self.indices:
            tensor = self.graph.tensors[name]
            self.indices[name] = self.activation(name, tensor.scale, tensor.zero_point)
        return self.indices[name]

    def operator(self, op, inputs, output, options=None, **values):
        """`options` names the options' type; `values` are its fields."""
        code = getattr(schema.BuiltinOperator, op)
        if code not in self.codes:
            self.codes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = self.codes.index(code), inputs, [output]
        if options:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(schema, f"{options}T")()
            for field, value in values.items():
                setattr(operator.builtinOptions, field, value)
        self.operators.append(operator)

    def placed(self, node):
        """The input's index and the padding's kind; with a PAD before where neither SAME nor VALID means these pads."""
        x, name = self.graph.tensors[node.inputs[0]], node.inputs[0]
        if not any(node.pads):
            return self.index(name), schema.Padding.VALID
        same = []
        for axis in range(2):
            side, stride = x.shape[2 + axis], node.strides[axis]
            total = max((-(-side // stride) - 1) * stride + node.kernel[axis] - side, 0)
            same.append((total // 2, total - total // 2))
        top, left, bottom, right = node.pads
        if same == [(top, bottom), (left, right)]:
            return self.index(name), schema.Padding.SAME
        if node.op == "MaxPool":
            raise ValueError(f"{node.name}: this padding of MaxPool is not converted")
        amounts = np.array([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32)
        constant = self.tensor(f"{node.name}.pads", amounts.shape, schema.TensorType.INT32, data=amounts)
        batch, channels, height, width = x.shape
        padded = self.tensor(f"{node.name}.padded", [batch, height + top + bottom, width + left + right, channels],
                             schema.TensorType.INT8, x.scale, x.zero_point - 128)
        self.operator("PAD", [self.index(name), constant], padded, "PadOptions")
        return padded, schema.Padding.VALID

    def conv(self, node):
        x = self.graph.tensors[node.inputs[0]]
        start, padding = self.placed(node)
        depthwise = node.depthwise(x.shape[1])
        if node.groups > 1 and (not depthwise or len(node.weights) != x.shape[1]):
            raise ValueError(f"{node.name}: this grouping is not converted")
        weights = node.weights.transpose((1, 2, 3, 0) if depthwise else (0, 2, 3, 1))
        zeros = np.zeros(len(node.bias), np.int64)
        kernel = self.tensor(f"{node.name}.weights", weights.shape, schema.TensorType.INT8, node.weight_scales, zeros,
                             3 if depthwise else 0, weights)
        scales = np.float64(x.scale) * node.weight_scales
        bias = self.tensor(f"{node.name}.bias", node.bias.shape, schema.TensorType.INT32, scales, zeros, 0,
                           np.round(node.bias / scales).astype(np.int32))
        values = dict(padding=padding, strideH=node.strides[0], strideW=node.strides[1],
                      fusedActivationFunction=ACTIVATIONS[node.activation])
        if depthwise:
            values["depthMultiplier"] = 1
        kind = ("DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions") if depthwise else ("CONV_2D", "Conv2DOptions")
        self.operator(kind[0], [start, kernel, bias], self.index(node.output), kind[1], **values)

    def concat(self, node):
        joined, parts = self.graph.tensors[node.output], []
        for name in node.inputs:
            part = self.graph.tensors[name]
            parts.append(self.index(name))
            if (part.scale, part.zero_point) != (joined.scale, joined.zero_point):
                parts[-1] = self.activation(name, joined.scale, joined.zero_point)
                self.operator("QUANTIZE", [self.index(name)], parts[-1], "QuantizeOptions")
        self.operator("CONCATENATION", parts, self.index(node.output), "ConcatenationOptions", axis=3)

    def sigmoid(self, node):
        """LOGISTIC gives 1/256 steps from 0; anything else is converted after it."""
        output = self.graph.tensors[node.output]
        usual = (float(output.scale), output.zero_point) == (1 / 256, 0)
        gate = self.index(node.output) if usual else self.activation(node.output, 1 / 256, 0)
        self.operator("LOGISTIC", [self.index(node.inputs[0])], gate)
        if not usual:
            self.operator("QUANTIZE", [gate], self.index(node.output), "QuantizeOptions")

    def node(self, node):
        inputs = lambda: [self.index(name) for name in node.inputs]
        match node.op:
            case "Conv":
                self.conv(node)
            case "Concat":
                self.concat(node)
            case "Sigmoid":
                self.sigmoid(node)
            case "Add" | "Mul":
                self.operator(node.op.upper(), inputs(), self.index(node.output), f"{node.op}Options")
            case "MaxPool":
                start, padding = self.placed(node)
                self.operator("MAX_POOL_2D", [start], self.index(node.output), "Pool2DOptions", padding=padding,
                              strideH=node.strides[0], strideW=node.strides[1], filterHeight=node.kernel[0],
                              filterWidth=node.kernel[1])
            case "GlobalAveragePool":
                axes = self.tensor(f"{node.name}.axes", [2], schema.TensorType.INT32, data=np.array([1, 2], np.int32))
                self.operator("MEAN", [*inputs(), axes], self.index(node.output), "ReducerOptions", keepDims=True)
            case "Resize":
                size = np.array(self.graph.tensors[node.output].shape[2:], np.int32)
                size = self.tensor(f"{node.name}.size", [2], schema.TensorType.INT32, data=size)
                self.operator("RESIZE_BILINEAR", [*inputs(), size], self.index(node.output), "ResizeBilinearOptions",
                              halfPixelCenters=True)

    def finish(self):
        part = schema.SubGraphT()
        part.tensors, part.operators, part.name = self.tensors, self.operators, b"main"
        part.inputs, part.outputs = [self.index(self.graph.input)], [self.index(self.graph.output)]
        model = schema.ModelT()
        model.version, model.subgraphs, model.buffers, model.operatorCodes = 3, [part], self.buffers, []
        for code in self.codes:
            entry = schema.OperatorCodeT()
            entry.builtinCode, entry.deprecatedBuiltinCode, entry.version = code, min(code, 127), VERSIONS.get(code, 2)
            model.operatorCodes.append(entry)
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def write(graph: Graph, path):
    """Changes the graph: its Concats get inputs of one scale."""
    graph.share_concat_scales()
    writer = Writer(graph)
    for node in graph.nodes:
        writer.node(node)
    with open(path, "wb") as file:
        file.write(writer.finish())
