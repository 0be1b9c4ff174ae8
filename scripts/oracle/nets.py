"""Builds small quantised networks in ONNX's QOperator form, and asks onnxruntime what they give.

Needs numpy, onnx and onnxruntime.
"""

import json
import pathlib
import struct

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

MICROSOFT = "com.microsoft"


class Tensor:
    """A u8 tensor in a network under construction, `[1, C, H, W]`, and roughly how its values spread."""

    def __init__(self, name, shape, scale, zero_point, spread):
        self.name, self.shape, self.scale, self.zero_point = name, list(shape), np.float32(scale), int(zero_point)
        self.spread = spread  # root mean square of stored - zero point

    @property
    def channels(self):
        return self.shape[1]


class Net:
    """A network under construction; `rng` decides weights, scales and zero points."""

    def __init__(self, rng, height, width, channels=3, zero_point=None, scale=1 / 128):
        self.rng, self.nodes, self.constants = rng, [], []
        zero_point = self.zero_point(zero_point)
        spread = np.sqrt(255**2 / 12 + (127.5 - zero_point) ** 2)
        self.input = Tensor("input", [1, channels, height, width], scale, zero_point, spread)

    def zero_point(self, given=None):
        """One of the extremes half of the time."""
        return int(self.rng.choice([0, 255, 128, self.rng.integers(1, 255)])) if given is None else given

    def constant(self, values):
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def quantisation(self, tensor):
        return [self.constant(np.float32(tensor.scale)), self.constant(np.uint8(tensor.zero_point))]

    def named(self, tensor):
        return [tensor.name, *self.quantisation(tensor)]

    def emit(self, op, inputs, output, domain="", **attributes):
        self.nodes.append(helper.make_node(op, inputs, [output.name], f"{op}_{len(self.nodes)}", domain=domain, **attributes))
        return output

    def fresh(self, shape, scale, zero_point, spread):
        return Tensor(f"tensor_{len(self.nodes)}", shape, scale, zero_point, min(spread, 255))

    def conv(self, x, outputs, kernel=1, stride=1, pads=None, groups=1, dilation=1, auto_pad=None, per_tensor=False,
             bias=True, zero_point=None, relu=False, weights=None):
        rng = self.rng
        kh, kw = (kernel, kernel) if np.isscalar(kernel) else kernel
        sh, sw = (stride, stride) if np.isscalar(stride) else stride
        inputs = x.channels // groups
        if weights is None:
            weights = rng.integers(-127, 128, (outputs, inputs, kh, kw)).astype(np.int8)
        spread = x.spread * 73 * np.sqrt(inputs * kh * kw)
        w_scale = np.float32(rng.uniform(0.5, 1.5, () if per_tensor else outputs) * 60 / spread)
        y_scale = np.float32(x.scale * rng.uniform(0.7, 1.4))
        b = rng.normal(0, spread, outputs).astype(np.int32)
        reach = [(kh - 1) * dilation + 1, (kw - 1) * dilation + 1]
        attributes = dict(kernel_shape=[kh, kw], strides=[sh, sw], dilations=[dilation] * 2, group=groups)
        size = x.shape[2:]
        if auto_pad:
            attributes["auto_pad"] = auto_pad
            out = [-(-s // t) for s, t in zip(size, (sh, sw))]
        else:
            pads = [reach[0] // 2, reach[1] // 2] * 2 if pads is None else pads
            attributes["pads"] = pads
            out = [(s + pads[i] + pads[i + 2] - reach[i]) // (sh, sw)[i] + 1 for i, s in enumerate(size)]
        y = self.fresh([1, outputs, *out], y_scale, 0 if relu else self.zero_point(zero_point), 75)
        names = [*self.named(x), self.constant(weights), self.constant(w_scale),
                 self.constant(np.zeros(w_scale.shape, np.int8)), *self.quantisation(y)]
        if bias:
            names.append(self.constant(b))
        return self.emit("QLinearConv", names, y, **attributes)

    def add(self, a, b):
        y = self.combined(a, b, np.hypot(a.scale * a.spread, b.scale * b.spread) / 60)
        return self.emit("QLinearAdd", [*self.named(a), *self.named(b), *self.quantisation(y)], y, MICROSOFT)

    def multiply(self, a, b):
        y = self.combined(a, b, a.scale * a.spread * b.scale * b.spread / 60)
        return self.emit("QLinearMul", [*self.named(a), *self.named(b), *self.quantisation(y)], y, MICROSOFT)

    def combined(self, a, b, scale):
        shape = np.maximum(a.shape, b.shape).tolist()
        return self.fresh(shape, scale * self.rng.uniform(0.7, 1.4), self.zero_point(), 75)

    def concat(self, parts, same=False):
        shape = [1, sum(part.channels for part in parts), *parts[0].shape[2:]]
        if same:
            y = self.fresh(shape, parts[0].scale, parts[0].zero_point, 75)
        else:
            y = self.fresh(shape, max(part.scale for part in parts) * self.rng.uniform(0.7, 1.4), self.zero_point(), 75)
        names = self.quantisation(y)
        for part in parts:
            names += self.named(part)
        return self.emit("QLinearConcat", names, y, MICROSOFT, axis=1)

    def average(self, x):
        pixels = x.shape[2] * x.shape[3]
        y = self.fresh([1, x.channels, 1, 1], x.scale / np.sqrt(pixels) * self.rng.uniform(0.7, 3), self.zero_point(), 75)
        return self.emit("QLinearGlobalAveragePool", [*self.named(x), *self.quantisation(y)], y, MICROSOFT, channels_last=0)

    def sigmoid(self, x, scale=1 / 256, zero_point=0):
        y = self.fresh(x.shape, scale, zero_point, 130)
        return self.emit("QLinearSigmoid", [*self.named(x), *self.quantisation(y)], y, MICROSOFT)

    def eca(self, x, reach=3):
        """Channel attention: a 1-D convolution over the pooled channels, as a banded 1x1 convolution."""
        c = x.channels
        band = np.zeros((c, c, 1, 1), np.int8)
        for i in range(c):
            for j in range(max(0, i - reach // 2), min(c, i + reach // 2 + 1)):
                band[i, j] = self.rng.integers(-127, 128)
        gate = self.sigmoid(self.conv(self.average(x), c, weights=band, per_tensor=True))
        return self.multiply(x, gate)

    def channel(self, x, index):
        """One channel of a tensor as it is: a convolution whose factor is 1."""
        weights = np.zeros((1, x.channels, 1, 1), np.int8)
        weights[0, index] = 1
        y = self.fresh([1, 1, *x.shape[2:]], x.scale, x.zero_point, x.spread)
        names = [*self.named(x), self.constant(weights), self.constant(np.float32(1)), self.constant(np.int8(0))]
        return self.emit("QLinearConv", names + self.quantisation(y), y, kernel_shape=[1, 1])

    def max_pool(self, x, kernel=2, stride=2, pads=(0, 0, 0, 0), dilation=1):
        reach = (kernel - 1) * dilation + 1
        out = [(s + pads[i] + pads[i + 2] - reach) // stride + 1 for i, s in enumerate(x.shape[2:])]
        y = self.fresh([1, x.channels, *out], x.scale, x.zero_point, x.spread)
        return self.emit("MaxPool", [x.name], y, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=list(pads),
                         dilations=[dilation] * 2)

    def resize(self, x, scales, mode="linear", coordinates="half_pixel", nearest=None, by_size=False):
        out = [int(np.floor(s * t)) for s, t in zip(x.shape[2:], scales)]
        y = self.fresh([1, x.channels, *out], x.scale, x.zero_point, x.spread)
        names = [x.name, ""]
        if by_size:
            names += ["", self.constant(np.array([1, x.channels, *out], np.int64))]
        else:
            names += [self.constant(np.array([1, 1, *scales], np.float32))]
        attributes = {"nearest_mode": nearest} if nearest else {}
        return self.emit("Resize", names, y, mode=mode, coordinate_transformation_mode=coordinates, **attributes)

    def model(self, output):
        value = lambda tensor: helper.make_tensor_value_info(tensor.name, TensorProto.UINT8, tensor.shape)
        graph = helper.make_graph(self.nodes, "net", [value(self.input)], [value(output)], self.constants)
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid(MICROSOFT, 1)]
        model = helper.make_model(graph, opset_imports=opsets, producer_name="polyp-edge oracle")
        model.ir_version = 8
        return model.SerializeToString()


def all_pairs():
    """Every pair of stored values, as the two channels of a picture."""
    pairs = np.indices((256, 256)).astype(np.uint8)
    return pairs[None]


def pair_net(rng, op, height=256, width=256):
    """A network whose two input channels meet in `add` or `multiply`, with meanings of their own."""
    net = Net(rng, height, width, 2)
    parts = []
    for index in range(2):
        part = net.channel(net.input, index)
        part.scale, part.zero_point = np.float32(10 ** rng.uniform(-1.5, 0)), net.zero_point()
        parts.append(part)
    return net, getattr(net, op)(*parts)


def session(model):
    options = onnxruntime.SessionOptions()
    # On x86 without VNNI its products saturate otherwise.
    options.add_session_config_entry("session.x64quantprecision", "1")
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def exact_cpu():
    """Whether onnxruntime's u8 x s8 products are exact here: without VNNI its x86 kernels saturate at 16 bits."""
    try:
        flags = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        return True
    return "vmx" not in flags and "svm" not in flags and "avx2" not in flags or "avx512_vnni" in flags or "avx_vnni" in flags


class Cases:
    """Networks with an input and onnxruntime's output each, in one file: u64 length, JSON, bytes."""

    def __init__(self):
        self.cases, self.data = [], bytearray()

    def put(self, data):
        start = len(self.data)
        self.data += data
        return [start, len(data)]

    def add(self, name, net, output, least_values=8, pixels=None):
        """Whether the output varies enough to prove anything; if not, the case is not taken. Random pixels if none are given."""
        model = net.model(output)
        if pixels is None:
            pixels = net.rng.integers(0, 256, net.input.shape, dtype=np.uint8)
        result = session(model).run(None, {"input": pixels})[0]
        assert list(result.shape) == output.shape, (name, result.shape, output.shape)
        distinct = len(np.unique(result))
        if distinct < min(least_values, 1 + result.size // 8):
            return False
        last = lambda array: np.ascontiguousarray(array.transpose(0, 2, 3, 1)).tobytes()
        self.cases.append({"name": name, "model": self.put(model), "input": self.put(last(pixels)), "output": self.put(last(result))})
        return True

    def write(self, path):
        header = json.dumps({"onnxruntime": onnxruntime.__version__, "onnx": onnx.__version__, "cases": self.cases}).encode()
        pathlib.Path(path).write_bytes(struct.pack("<Q", len(header)) + header + bytes(self.data))
