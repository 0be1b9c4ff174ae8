#!/usr/bin/env python3
"""Makes tests/fixtures/engine/ops.cases: a small network for every op, at odd sizes, strides, paddings and zero points."""

import pathlib
import sys

import numpy as np
from onnx import numpy_helper

from nets import Cases, Net, pair_net

FIXTURES = pathlib.Path(__file__).resolve().parents[2] / "tests" / "fixtures" / "engine"


def convolutions(add):
    variants = {
        "1x1": dict(outputs=5),
        "1x1-stride-2": dict(outputs=8, stride=2, pads=[0] * 4),
        "1x1-wide": dict(outputs=33),
        "3x3": dict(outputs=7, kernel=3),
        "3x3-valid": dict(outputs=4, kernel=3, pads=[0] * 4),
        "3x3-stride-2-below-right": dict(outputs=6, kernel=3, stride=2, pads=[0, 0, 1, 1]),
        "3x3-same-upper": dict(outputs=6, kernel=3, stride=2, auto_pad="SAME_UPPER"),
        "3x3-same-lower": dict(outputs=6, kernel=3, stride=2, auto_pad="SAME_LOWER"),
        "3x3-stride-3x1": dict(outputs=5, kernel=3, stride=[3, 1], pads=[1, 0, 2, 1]),
        "3x3-dilated": dict(outputs=5, kernel=3, dilation=2),
        "3x3-no-bias-per-tensor": dict(outputs=9, kernel=3, bias=False, per_tensor=True),
        "5x5": dict(outputs=4, kernel=5),
        "5x5-stride-2": dict(outputs=4, kernel=5, stride=2, pads=[1, 1, 2, 2]),
        "7x7": dict(outputs=3, kernel=7),
        "1x7": dict(outputs=3, kernel=[1, 7]),
        "5x2": dict(outputs=3, kernel=[5, 2], pads=[2, 0, 2, 1]),
        "relu": dict(outputs=16, kernel=3, relu=True),
    }
    for name, variant in variants.items():
        add(f"conv-{name}", lambda net, v=variant: net.conv(net.input, **v), 9, 11)
    for zero_in in (0, 255):
        for zero_out in (0, 255):
            add(f"conv-zero-points-{zero_in}-{zero_out}",
                lambda net, z=zero_out: net.conv(net.input, 6, kernel=3, zero_point=z), 5, 7, zero_point=zero_in)
    add("conv-one-pixel", lambda net: net.conv(net.input, 17, kernel=3), 1, 1)
    add("conv-one-row", lambda net: net.conv(net.input, 5, kernel=3), 1, 13)
    add("conv-one-column", lambda net: net.conv(net.input, 5, kernel=5), 13, 1)
    add("conv-groups-2", lambda net: net.conv(net.input, 6, kernel=3, groups=2), 7, 6, channels=8)
    add("conv-groups-3", lambda net: net.conv(net.input, 9, groups=3), 7, 6, channels=15)
    add("conv-depth-multiplier-2", lambda net: net.conv(net.input, 10, kernel=3, groups=5), 7, 6, channels=5)
    for channels in (1, 5, 16, 19):
        for kernel in (3, 5):
            for stride in (1, 2):
                pads = {(3, 2): [0, 0, 1, 1], (5, 2): [1, 1, 2, 2]}.get((kernel, stride))
                add(f"depthwise-{kernel}x{kernel}-stride-{stride}-of-{channels}",
                    lambda net, k=kernel, s=stride, p=pads: net.conv(net.input, net.input.channels, k, s, p, net.input.channels),
                    9, 8, channels=channels)
    add("depthwise-dilated", lambda net: net.conv(net.input, 18, 3, groups=18, dilation=3), 9, 8, channels=18)


def elementwise(add):
    pair = lambda net, c=6: (net.conv(net.input, c), net.conv(net.input, c, kernel=3))
    pooled = lambda net, c=6: net.average(net.conv(net.input, c))
    for trial in range(4):
        add(f"add-{trial}", lambda net: net.add(*pair(net)), 9, 11)
        add(f"multiply-{trial}", lambda net: net.multiply(*pair(net)), 9, 11)
        add(f"average-{trial}", lambda net: net.average(net.conv(net.input, 21)), 5 + 7 * trial, 11, least_values=4)
        add(f"sigmoid-{trial}", lambda net, t=trial: net.sigmoid(
            net.conv(net.input, 6), *[(1 / 256, 0), (1 / 128, 180), (0.001, 128), (0.01, 3)][t]), 9, 11)
    add("add-channels", lambda net: net.add(net.conv(net.input, 6), pooled(net)), 9, 11)
    add("add-to-channels", lambda net: net.add(pooled(net), net.conv(net.input, 6)), 9, 11)
    add("gate", lambda net: net.multiply(net.conv(net.input, 6), pooled(net)), 9, 11)
    add("gate-swapped", lambda net: net.multiply(pooled(net), net.conv(net.input, 6)), 9, 11)
    add("add-one-value", lambda net: net.add(*pair(net, 1)), 1, 1)
    add("concat", lambda net: net.concat([*pair(net), net.conv(net.input, 3)]), 9, 11)
    add("concat-same-scale", lambda net: net.concat([*pair(net), net.input], same=True), 9, 11)


def windows(add):
    for name, variant in {
        "2x2": dict(), "3x3-padded": dict(kernel=3, pads=(1, 1, 1, 1)), "3x3-below-right": dict(kernel=3, pads=(0, 0, 1, 1)),
        "2x2-stride-1": dict(stride=1), "5x5-stride-1": dict(kernel=5, stride=1, pads=(2, 2, 2, 2)),
        "dilated": dict(kernel=3, stride=1, dilation=2, pads=(1, 1, 1, 1)),
    }.items():
        add(f"max-pool-{name}", lambda net, v=variant: net.max_pool(net.input, **v), 9, 11)
    for scale in (2, 4, 8, 16, 0.5):
        for coordinates in ("half_pixel", "asymmetric"):
            add(f"resize-linear-{scale}-{coordinates}",
                lambda net, s=scale, c=coordinates: net.resize(net.input, (s, s), coordinates=c), 4, 6)
    add("resize-linear-by-size", lambda net: net.resize(net.input, (4, 2), by_size=True), 3, 5)
    add("resize-linear-one-pixel", lambda net: net.resize(net.input, (4, 4)), 1, 1, channels=24)
    # Between convolutions onnxruntime works in NHWC, and rounds weights to 1024ths.
    between = lambda net, **v: net.conv(net.resize(net.conv(net.input, 6), **v), 5)
    for coordinates in ("half_pixel", "asymmetric", "align_corners"):
        add(f"resize-linear-3x1.5-{coordinates}", lambda net, c=coordinates: between(net, scales=(3, 1.5), coordinates=c), 5, 7)
        for nearest in ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil"):
            add(f"resize-nearest-{coordinates}-{nearest}",
                lambda net, c=coordinates, n=nearest: net.resize(net.input, (3, 2.5), "nearest", c, n), 4, 5)
    add("resize-nearest-2", lambda net: net.resize(net.input, (2, 2), "nearest", "asymmetric", "floor"), 4, 5)


def networks(add):
    add("network", lambda net: network(net), 32, 48)


def network(net, width=8, depth=2):
    """An encoder of inverted residuals, and a decoder that joins its levels at a quarter of the size."""
    x = net.conv(net.input, width, 3, 2, [0, 0, 1, 1], relu=True)
    levels = []
    for level in range(1, depth + 2):
        outputs = width * (level + 1)
        for block in range(2):
            stride = 2 if block == 0 else 1
            kernel = 3 if level % 2 else 5
            even = all(side % stride == 0 for side in x.shape[2:])
            pads = None if stride == 1 or not even else {3: [0, 0, 1, 1], 5: [1, 1, 2, 2]}[kernel]
            y = net.conv(x, 4 * x.channels, relu=True)
            y = net.conv(y, y.channels, kernel, stride, pads, y.channels, relu=True)
            y = net.conv(y, outputs)
            x = net.add(y, x) if block else y
        levels.append(x)
    size = levels[0].shape[2:]
    parts = []
    for level in levels:
        part = net.conv(level, width, 3, relu=True)
        if part.shape[2:] != size:
            part = net.resize(part, [s / t for s, t in zip(size, part.shape[2:])])
        parts.append(part)
    return net.conv(net.conv(net.eca(net.concat(parts)), 2 * width, 3, relu=True), 1)


def near_ties(op, seed):
    """A sum or product of two channels, and the 64 pairs of stored values whose results lie closest to a half."""
    net, output = pair_net(np.random.default_rng(seed), op, 8, 8)
    scales, zero_points = [], []
    constants = {c.name: numpy_helper.to_array(c) for c in net.constants}
    for scale, zero_point in ((1, 2), (4, 5), (6, 7)):
        scales.append(float(constants[net.nodes[-1].input[scale]]))
        zero_points.append(int(constants[net.nodes[-1].input[zero_point]]))
    a, b = np.indices((256, 256)).reshape(2, -1)
    a_value, b_value = scales[0] * (a - zero_points[0]), scales[1] * (b - zero_points[1])
    steps = (a_value + b_value if op == "add" else a_value * b_value) / scales[2] + zero_points[2]
    distance = np.where((steps > 0) & (steps < 255), np.abs(steps - np.floor(steps) - 0.5), 1)
    pairs = np.argsort(distance, kind="stable")[:64]
    return net, output, np.stack([a[pairs], b[pairs]]).astype(np.uint8).reshape(1, 2, 8, 8)


def main():
    cases = Cases()

    def add(name, build, height, width, channels=3, zero_point=None, least_values=8):
        for attempt in range(100):
            net = Net(np.random.default_rng([len(cases.cases), attempt]), height, width, channels, zero_point)
            if cases.add(name, net, build(net), least_values):
                return
        raise RuntimeError(f"{name}: the output does not vary")

    for group in (convolutions, elementwise, windows, networks):
        group(add)
    for op in ("add", "multiply"):
        for seed in range(12):
            net, output, pixels = near_ties(op, seed)
            cases.add(f"{op}-near-ties-{seed}", net, output, 3, pixels)
    FIXTURES.mkdir(parents=True, exist_ok=True)
    cases.write(FIXTURES / "ops.cases")
    print(f"{len(cases.cases)} cases, {len(cases.data)} bytes")


if __name__ == "__main__":
    sys.exit(main())
