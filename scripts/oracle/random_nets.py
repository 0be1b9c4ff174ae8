#!/usr/bin/env python3
"""Makes a file of random networks with onnxruntime's outputs: python3 random_nets.py [--seed N] [--count N] FILE"""

import argparse
import sys

import numpy as np

from make_fixtures import network
from nets import Cases, Net, all_pairs, pair_net


def random_conv(net, x):
    rng = net.rng
    kernel = [int(rng.integers(1, 6)), int(rng.integers(1, 6))]
    dilation = int(rng.choice([1, 1, 1, 2]))
    reach = [(k - 1) * dilation + 1 for k in kernel]
    before = [int(rng.integers(0, r)) for r in reach]
    after = [int(rng.integers(0, r)) for r in reach]
    # Enough padding that the window fits at all.
    if any(side + b + a < r for side, b, a, r in zip(x.shape[2:], before, after, reach)):
        before = after = [r // 2 for r in reach]
    stride = [int(rng.integers(1, 4)), int(rng.integers(1, 4))]
    divisors = [d for d in range(1, x.channels + 1) if x.channels % d == 0]
    groups = int(rng.choice([1, x.channels, rng.choice(divisors)]))
    outputs = groups * int(rng.integers(1, 1 + max(1, 40 // groups)))
    if rng.random() < 0.6 and groups == x.channels:
        outputs = groups
    return net.conv(x, outputs, kernel, stride, [*before, *after], groups, dilation, per_tensor=rng.random() < 0.2,
                    bias=rng.random() < 0.9, relu=rng.random() < 0.3)


def step(net, x):
    rng = net.rng
    choice = rng.choice(["conv", "conv", "depthwise", "add", "gate", "concat", "pool", "linear", "nearest", "eca", "sigmoid"])
    c = x.channels
    small = max(x.shape[2:]) <= 24
    if choice == "depthwise":
        k = int(rng.choice([3, 5]))
        return net.conv(x, c, k, int(rng.integers(1, 3)), None, c, relu=rng.random() < 0.5)
    if choice == "add":
        return net.add(net.conv(x, c), x)
    if choice == "gate":
        return net.multiply(x, net.sigmoid(net.average(x)))
    if choice == "concat":
        return net.concat([x, net.conv(x, int(rng.integers(1, 9))), x][: int(rng.integers(2, 4))])
    if choice == "pool" and min(x.shape[2:]) >= 3:
        return net.max_pool(x, int(rng.integers(2, 4)), int(rng.integers(1, 3)), rng.integers(0, 2, 4).tolist())
    if choice == "linear" and small:
        return net.conv(net.resize(net.conv(x, c), [int(rng.choice([2, 4]))] * 2), c)
    if choice == "nearest" and small:
        return net.resize(x, (2, 3), "nearest", "asymmetric", "floor")
    if choice == "eca":
        return net.eca(x)
    if choice == "sigmoid":
        return net.sigmoid(x, 1 / 200, 20)
    return random_conv(net, x)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("file")
    arguments = parser.parse_args()
    cases = Cases()
    attempt = 0
    while len(cases.cases) < arguments.count:
        attempt += 1
        rng = np.random.default_rng([arguments.seed, attempt])
        if len(cases.cases) % 10 == 9:
            net = Net(rng, *(16 * rng.integers(1, 5, 2)).tolist())
            output = network(net, int(rng.integers(3, 12)))
        else:
            net = Net(rng, int(rng.integers(1, 20)), int(rng.integers(1, 20)), int(rng.integers(1, 24)))
            output = random_conv(net, net.input)
            for _ in range(int(rng.integers(0, 5))):
                output = step(net, output)
        cases.add(f"random-{arguments.seed}-{attempt}", net, output, least_values=3)
    for trial in range(arguments.count // 10):
        for op in ("add", "multiply"):
            rng = np.random.default_rng([arguments.seed, trial, 1])
            cases.add(f"{op}-all-pairs-{arguments.seed}-{trial}", *pair_net(rng, op), pixels=all_pairs())
    cases.write(arguments.file)


if __name__ == "__main__":
    sys.exit(main())
