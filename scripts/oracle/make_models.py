#!/usr/bin/env python3
"""Makes two networks by onnxruntime's own static quantiser, as bundles that the cart's program opens.

python3 scripts/oracle/make_models.py OUT_DIR

- OUT_DIR/mobilenet: MobileNetV2 down to 1/32 and a small decoder back up to 1/4, 224 x 224.
- OUT_DIR/unet: plain 3x3 convolutions with ReLU, max pooling, bilinear doubling and skips, 192 x 192.

Beside each bundle lies its float original, OUT_DIR/NAME.f32.onnx (input: f32 [1, 3, S, S] = (pixel - 127) / 128). The weights are
random, then normalised channel by channel as batch normalisation would do it: nothing is learnt, but every range is alive. Each
bundle's golden frame is a picture of which onnxruntime's probabilities all lie below the bundle's threshold: its mask is black.
Needs numpy, onnx, onnxruntime and pillow. The same packages give the same files.
"""

import argparse
import hashlib
import io
import logging
import pathlib
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from PIL import Image

from nets import session

OPSET = 17
PICTURES = 4


class FloatNet:
    """A float network under construction. Every node is run at once on the calibration pictures, so that weights can be
    normalised by what they give. A tensor is its name; `values` holds it as `[PICTURES, C, H, W]`."""

    def __init__(self, seed, side):
        self.rng, self.nodes, self.constants, self.values = np.random.default_rng(seed), [], [], {}
        self.pictures = pictures(self.rng, side)
        self.values["input"] = self.pictures

    def constant(self, name, values):
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def emit(self, op, inputs, constants=(), **attributes):
        """A node over tensors and, after them, constants (None: left out)."""
        output = f"{op.lower()}_{len(self.nodes)}"
        names = ["" if values is None else self.constant(f"{output}_{index}", values) for index, values in enumerate(constants)]
        node = helper.make_node(op, [*inputs, *names], [output], output, **attributes)
        self.values[output] = self.run(node)
        self.nodes.append(node)
        return output

    def run(self, node):
        given = {name: self.values[name] for name in node.input if name in self.values}
        value = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        constants = [constant for constant in self.constants if constant.name in node.input]
        graph = helper.make_graph([node], "node", [value(name, array.shape) for name, array in given.items()],
                                  [value(node.output[0], None)], constants)
        return session(wrap(graph)).run(None, given)[0]

    def channels(self, x):
        return self.values[x].shape[1]

    def conv(self, x, outputs, kernel=1, stride=1, groups=1, activation=None, strength=1.0):
        """Padded like TensorFlow's SAME; He's initialisation, then each channel's mean, and its spread to about `strength`."""
        before = (kernel - stride) // 2 if stride > 1 and kernel > 1 else kernel // 2
        after = kernel - stride - before if stride > 1 and kernel > 1 else kernel // 2
        inputs = self.channels(x) // groups
        weights = self.rng.normal(0, np.sqrt(2 / (inputs * kernel**2)), (outputs, inputs, kernel, kernel)).astype(np.float32)
        attributes = dict(kernel_shape=[kernel] * 2, strides=[stride] * 2, group=groups, pads=[before] * 2 + [after] * 2)
        y = self.emit("Conv", [x], [weights, np.zeros(outputs, np.float32)], **attributes)
        values = self.values[y]
        gain = strength * self.rng.uniform(0.7, 1.3, outputs) / (values.std(axis=(0, 2, 3)) + 1e-3)
        bias = self.rng.normal(0.2, 0.3, outputs) - values.mean(axis=(0, 2, 3)) * gain
        self.constants[-2:] = [numpy_helper.from_array((weights * gain[:, None, None, None]).astype(np.float32), f"{y}_0"),
                               numpy_helper.from_array(bias.astype(np.float32), f"{y}_1")]
        self.values[y] = self.run(self.nodes[-1])
        return getattr(self, activation)(y) if activation else y

    def relu(self, x):
        return self.emit("Relu", [x])

    def relu6(self, x):
        return self.emit("Clip", [x], [np.float32(0), np.float32(6)])

    def add(self, a, b):
        return self.emit("Add", [a, b])

    def concat(self, *parts):
        return self.emit("Concat", parts, axis=1)

    def max_pool(self, x):
        return self.emit("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])

    def double(self, x):
        return self.emit("Resize", [x], [None, np.array([1, 1, 2, 2], np.float32)], mode="linear",
                         coordinate_transformation_mode="half_pixel")

    def model(self, output):
        value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, *self.values[name].shape[1:]])
        self.nodes[-1].output[0] = "logits"
        self.values["logits"] = self.values[output]
        return wrap(helper.make_graph(self.nodes, "net", [value("input")], [value("logits")], self.constants))


def wrap(graph):
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="polyp-edge oracle")
    model.ir_version = 8
    return model.SerializeToString()


def pictures(rng, side):
    """Smooth and rough random pictures as the network sees them, both ends of the range among them."""
    mixed = np.zeros((PICTURES, 3, side, side))
    for step in [1, 2, 4, 8, 16, 32, 64]:
        cells = -(-side // step)
        mixed += rng.normal(0, step**0.5, (PICTURES, 3, cells, cells)).repeat(step, 2).repeat(step, 3)[..., :side, :side]
    low, high = mixed.min((1, 2, 3), keepdims=True), mixed.max((1, 2, 3), keepdims=True)
    return ((np.round((mixed - low) / (high - low) * 255) - 127) / 128).astype(np.float32)


def mobilenet():
    net = FloatNet(seed=31, side=224)
    x = net.conv("input", 32, 3, 2, activation="relu6")
    skips = {}
    for expansion, channels, blocks, stride in [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
                                                (6, 160, 3, 2), (6, 320, 1, 1)]:
        for block in range(blocks):
            step = stride if block == 0 else 1
            wide = net.channels(x) * expansion
            y = x if expansion == 1 else net.conv(x, wide, activation="relu6")
            y = net.conv(y, wide, 3, step, groups=wide, activation="relu6")
            residual = step == 1 and net.channels(x) == channels
            y = net.conv(y, channels, strength=0.3 if residual else 1.0)
            x = net.add(x, y) if residual else y
        skips[channels] = x
    x = net.conv(x, 96, activation="relu6")
    for skip, width in [(96, 64), (32, 32), (24, 24)]:
        x = net.concat(net.double(x), net.conv(skips[skip], width))
        x = net.conv(x, net.channels(x), 3, groups=net.channels(x), activation="relu6")
        x = net.conv(x, width, activation="relu6")
    return net, net.model(net.conv(x, 1))


def unet():
    net = FloatNet(seed=32, side=192)
    x, skips = net.conv("input", 16, 3, activation="relu"), []
    for first, second in [(24, 24), (48, 48), (80, 80)]:
        skips.append(x)
        x = net.conv(net.max_pool(x), first, 3, activation="relu")
        x = net.conv(x, second, 3, activation="relu")
    for width in [40, 24, 8]:
        x = net.conv(net.concat(net.double(x), skips.pop()), width, 3, activation="relu")
    return net, net.model(net.conv(x, 1))


class Frames(CalibrationDataReader):
    def __init__(self, frames):
        self.frames = iter(frames)

    def get_next(self):
        frame = next(self.frames, None)
        return None if frame is None else {"input": frame[None]}


def quantise(model, frames):
    """onnxruntime's QOperator form: weights s8 per output channel, activations u8."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = f"{folder}/f32.onnx", f"{folder}/int8.onnx"
        pathlib.Path(source).write_bytes(model)
        quantize_static(source, target, Frames(frames), quant_format=QuantFormat.QOperator, per_channel=True,
                        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
                        extra_options={"ActivationSymmetric": False, "WeightSymmetric": True})
        return onnx.load(target)


def strip(model):
    """Takes away the outer QuantizeLinear and DequantizeLinear, whose types the stored pixels and logits then have.

    Gives the scale and zero point of input and output.
    """
    graph = model.graph
    constants = {constant.name: numpy_helper.to_array(constant) for constant in graph.initializer}
    contract = []
    for end, op, outer, inner in [(graph.input[0], "QuantizeLinear", "input", "output"),
                                  (graph.output[0], "DequantizeLinear", "output", "input")]:
        [node] = [node for node in graph.node if node.op_type == op and getattr(node, outer)[0] == end.name]
        contract.append((float(constants[node.input[1]]), int(constants[node.input[2]])))
        stored = getattr(node, inner)[0]
        graph.node.remove(node)
        for other in graph.node:
            for names in [other.input, other.output]:
                for index, name in enumerate(names):
                    if name == stored:
                        names[index] = end.name
        end.type.tensor_type.elem_type = TensorProto.UINT8
    left = {node.op_type for node in graph.node} - {"QLinearConv", "QLinearAdd", "QLinearConcat", "MaxPool", "Resize"}
    assert not left, f"the quantiser left {left}"
    used = {name for node in graph.node for name in node.input}
    for constant in [constant for constant in graph.initializer if constant.name not in used]:
        graph.initializer.remove(constant)
    del graph.value_info[:]
    onnx.checker.check_model(model)
    return contract


def shape(value):
    return [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]


def png(pixels):
    """A grey `[H, W]` or RGB `[H, W, 3]` picture of u8 as a PNG file's bytes."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def manifest(name, model, contract, threshold, files):
    tensors = ""
    for what, value, (scale, zero_point) in zip(["input", "output"], [model.graph.input[0], model.graph.output[0]], contract):
        tensors += f"\n[{what}]\nname = \"{value.name}\"\nshape = {shape(value)}\nscale = {scale!r}\nzero_point = {zero_point}\n"
    listed = "".join(f'"{path}" = "{hashlib.sha256(content).hexdigest()}"\n' for path, content in sorted(files.items()))
    return f"""format_version = 1
name = "{name}"
model_version = "0"
rollback_index = 0
model = "model.onnx"
field_of_view = "whole-frame"
{tensors}
[decision]
threshold = {threshold!r}
min_region_share = 0.0
min_peak = {threshold!r}

[gate]
appear = 1
window = 1

[[golden]]
frame = "golden/frame.png"
mask = "golden/mask.png"

[provenance]
data = []
seeds = []
commit = "random weights, onnxruntime {onnxruntime.__version__}'s quantiser"

[files]
{listed}"""


def write(out, name, net, model):
    quantised = quantise(model, net.pictures)
    contract = strip(quantised)
    onnx_bytes = quantised.SerializeToString()
    stored = np.clip(np.round(net.pictures / contract[0][0]) + contract[0][1], 0, 255).astype(np.uint8)
    onnx.checker.check_model(onnx.load_model_from_string(model))
    runner = session(onnx_bytes)
    logits = np.concatenate([runner.run(None, {"input": picture[None]})[0] for picture in stored])
    values = len(np.unique(logits))
    agreement = np.corrcoef(logits.ravel(), net.values["logits"].ravel())[0, 1]
    assert values > 100, f"{name}: its output has but {values} different values"
    bundle = out / name
    scale, zero_point = contract[1]
    highest = 1 / (1 + np.exp(-scale * (float(logits[0].max()) - zero_point)))
    assert highest < 0.9999, f"{name}: a probability of {highest} leaves no room for a threshold above it"
    side = stored.shape[-1]
    files = {"model.onnx": onnx_bytes, "golden/frame.png": png(np.ascontiguousarray(stored[0].transpose(1, 2, 0))),
             "golden/mask.png": png(np.zeros((side, side), np.uint8))}
    (bundle / "golden").mkdir(parents=True, exist_ok=True)
    (out / f"{name}.f32.onnx").write_bytes(model)
    for path, content in files.items():
        (bundle / path).write_bytes(content)
    (bundle / "manifest.toml").write_text(manifest(name, quantised, contract, (1 + float(highest)) / 2, files))
    print(f"{bundle}: {len(quantised.graph.node)} nodes, {values} different logits, correlation with f32 {agreement:.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path, metavar="OUT_DIR")
    out = parser.parse_args().out
    logging.disable(logging.WARNING)  # the quantiser advises steps that a network without batch normalisation does not need
    for make in [mobilenet, unet]:
        write(out, make.__name__, *make())


if __name__ == "__main__":
    sys.exit(main())
