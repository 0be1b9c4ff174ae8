"""The ncnn twin of a quantised network, .param and .bin, int8 as ncnn has it.

ncnn's int8 is symmetric and lives inside convolutions: each takes f32 (or s8 straight from a convolution before it, as its own
tool ncnn2int8 arranges), and all other layers run in float.
"""

import struct

import numpy as np

from graph import Graph

INT8_TAG = 0x000D4B38


class Writer:
    def __init__(self, graph: Graph):
        self.graph, self.lines, self.data, self.blobs = graph, [], bytearray(), 0
        # ncnn wants a Split where a blob is read more than once: a queue of names for each tensor.
        self.names = {}

    def layer(self, kind, name, inputs, outputs, parameters=""):
        self.blobs += len(outputs)
        self.lines.append(f"{kind} {name} {len(inputs)} {len(outputs)} {' '.join([*inputs, *outputs])} {parameters}".rstrip())

    def provide(self, tensor, blob):
        readers = sum(node.inputs.count(tensor) for node in self.graph.nodes)
        if readers > 1:
            self.names[tensor] = [f"{blob}_split{index}" for index in range(readers)]
            self.layer("Split", f"{blob}_split", [blob], list(self.names[tensor]))
        else:
            self.names[tensor] = [blob]

    def scale(self, tensor):
        """ncnn's: stored = value x scale."""
        return 127 / max(abs(limit) for limit in self.graph.tensors[tensor].range())

    def floats(self, *values):
        for value in values:
            self.data += np.ravel(np.asarray(value, np.float32)).tobytes()

    def conv(self, node, inputs, blob):
        channels = self.graph.tensors[node.inputs[0]].shape[1]
        depthwise = node.depthwise(channels)
        if node.groups > 1 and not depthwise:
            raise ValueError(f"{node.name}: this grouping is not converted")
        consumers = self.graph.consumers(node.output)
        stays_int8 = bool(consumers) and all(consumer.op == "Conv" for consumer in consumers)
        top, left, bottom, right = node.pads
        parameters = {0: len(node.weights), 1: node.kernel[1], 11: node.kernel[0], 3: node.strides[1], 13: node.strides[0],
                      4: left, 14: top, 15: right, 16: bottom, 5: 1, 6: node.weights.size, 8: 101 if stays_int8 else 1}
        if depthwise:
            parameters[7] = node.groups
        if node.activation:
            parameters[9] = {"Relu": 1, "Relu6": 3}[node.activation]
        if node.activation == "Relu6":
            parameters[-23310] = "2,0.0,6.0"
        text = " ".join(f"{key}={value}" for key, value in parameters.items())
        self.layer("ConvolutionDepthWise" if depthwise else "Convolution", node.output, inputs, [blob], text)
        self.data += struct.pack("<I", INT8_TAG) + node.weights.tobytes() + bytes(-node.weights.size % 4)
        self.floats(node.bias, 1 / node.weight_scales, self.scale(node.inputs[0]))
        if stays_int8:
            self.floats(self.scale(node.output))

    def node(self, node):
        inputs, blob = [self.names[name].pop(0) for name in node.inputs], node.output
        layer = lambda kind, parameters="": self.layer(kind, node.output, inputs, [blob], parameters)
        match node.op:
            case "Conv":
                self.conv(node, inputs, blob)
            case "Add":
                layer("BinaryOp", "0=0")
            case "Mul":
                layer("BinaryOp", "0=2")
            case "Concat":
                layer("Concat", "0=0")
            case "Sigmoid":
                layer("Sigmoid")
            case "MaxPool":
                if any(node.pads):
                    raise ValueError(f"{node.name}: this padding of MaxPool is not converted")
                kernel, strides = node.kernel, node.strides
                layer("Pooling", f"0=0 1={kernel[1]} 11={kernel[0]} 2={strides[1]} 12={strides[0]} 5=1")
            case "Resize":
                layer("Interp", f"0=2 1={node.factor}.0 2={node.factor}.0")
            case "GlobalAveragePool":
                self.layer("Pooling", f"{blob}_pool", inputs, [f"{blob}_pool"], "0=1 4=1")
                self.layer("Reshape", blob, [f"{blob}_pool"], [blob], "0=1 1=1 2=-1")
        self.provide(node.output, blob)

    def write(self, path):
        batch, channels, height, width = self.graph.tensors[self.graph.input].shape
        self.layer("Input", "input", [], ["input"], f"0={width} 1={height} 2={channels}")
        self.provide(self.graph.input, "input")
        for node in self.graph.nodes:
            self.node(node)
        header = f"7767517\n{len(self.lines)} {self.blobs}\n"
        path.with_suffix(".param").write_text(header + "\n".join(self.lines) + "\n")
        path.with_suffix(".bin").write_bytes(self.data)


def write(graph: Graph, path):
    """Writes `path` with the endings .param and .bin."""
    Writer(graph).write(path)
