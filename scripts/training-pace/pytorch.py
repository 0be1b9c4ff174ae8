"""Times training steps of the student's network in PyTorch: EfficientNet-Lite's encoder and the full-scale decoder, as
polyp-host builds them from the same configuration. Prints one JSON object with the seconds of each step.

    pytorch.py --config FILE [--steps N] [--batch N] [--side N] [--device NAME] [--channels-last]
"""

import argparse
import json
import math
import time
import tomllib

import torch
from torch import nn
from torch.nn import functional as F

STAGES = [(1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320)]
TAPPED = [0, 1, 2, 4, 6]
SIZES = {"efficientnet-lite0": (1.0, 1.0), "efficientnet-lite1": (1.0, 1.1), "efficientnet-lite2": (1.1, 1.2)}


class Conv(nn.Module):
    """Convolution with TensorFlow's SAME padding, batch norm and, if asked for, ReLU6."""

    def __init__(self, inputs, filters, kernel, stride=1, depthwise=False, relu6=True):
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.conv = nn.Conv2d(inputs, filters, kernel, stride, groups=inputs if depthwise else 1, bias=False)
        self.norm = nn.BatchNorm2d(filters, eps=1e-3, momentum=0.1)
        self.relu6 = relu6

    def forward(self, x):
        pads = []
        for size in (x.shape[3], x.shape[2]):
            total = max((math.ceil(size / self.stride) - 1) * self.stride + self.kernel - size, 0)
            pads += [total // 2, total - total // 2]
        if any(pads):
            x = F.pad(x, pads)
        x = self.norm(self.conv(x))
        return F.relu6(x, inplace=True) if self.relu6 else x


class Block(nn.Module):
    def __init__(self, inputs, filters, kernel, stride, expansion):
        super().__init__()
        wide = inputs * expansion
        layers = [Conv(inputs, wide, 1)] if expansion > 1 else []
        layers += [Conv(wide, wide, kernel, stride, depthwise=True), Conv(wide, filters, 1, relu6=False)]
        self.layers = nn.Sequential(*layers)
        self.residual = stride == 1 and inputs == filters

    def forward(self, x):
        return x + self.layers(x) if self.residual else self.layers(x)


class Network(nn.Module):
    def __init__(self, encoder, branch, level, reduction):
        super().__init__()
        width, depth = SIZES[encoder]
        self.blocks, self.taps, channels = nn.ModuleList([Conv(3, 32, 3, 2)]), [], []
        inputs = 32
        for stage, (repeats, kernel, stride, expansion, filters) in enumerate(STAGES):
            filters = max(8, int(filters * width + 4) // 8 * 8)
            if stage not in (0, len(STAGES) - 1):
                repeats = math.ceil(repeats * depth)
            for repeat in range(repeats):
                self.blocks.append(Block(inputs, filters, kernel, stride if repeat == 0 else 1, expansion))
                inputs = filters
            if stage in TAPPED:
                self.taps.append(len(self.blocks) - 1)
                channels.append(inputs)
        self.levels = nn.ModuleDict()
        for l in (3, 2, 1):
            branches = {f"encoder{j}": Conv(channels[j], branch, 1) for j in range(l + 1)}
            branches |= {f"deeper{k}": Conv(channels[4] if k == 4 else level, branch, 1) for k in range(4, l, -1)}
            joined = branch * len(branches)
            self.levels[str(l)] = nn.ModuleDict({
                **branches, "mix": Conv(joined, joined, 3, depthwise=True), "fuse": Conv(joined, level, 1),
                "squeeze": nn.Linear(level, level // reduction), "excite": nn.Linear(level // reduction, level),
                "head": nn.Conv2d(level, 1, 3, padding=1)})

    def forward(self, x):
        features = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in self.taps:
                features.append(x)
        levels, depths = {4: features[4]}, []
        for l in (3, 2, 1):
            part = self.levels[str(l)]
            branches = []
            for j in range(l + 1):
                feature = features[j]
                for _ in range(l - j):
                    feature = F.max_pool2d(feature, 2)
                branches.append(part[f"encoder{j}"](feature))
            for k in range(4, l, -1):
                narrow = part[f"deeper{k}"](levels[k])
                branches.append(F.interpolate(narrow, scale_factor=2 ** (k - l), mode="bilinear", align_corners=False))
            fused = part["fuse"](part["mix"](torch.cat(branches, 1)))
            gate = torch.sigmoid(part["excite"](F.relu6(part["squeeze"](fused.mean((2, 3))))))
            levels[l] = fused * gate[:, :, None, None]
            depths.insert(0, part["head"](levels[l]))
        return depths


def loss(depths, target, shares):
    """Boundary-weighted BCE and IoU at every depth, as F3Net and PraNet have it."""
    side = target.shape[-1]
    radius = max(1, round(15 * side / 352))
    weight = 1 + 5 * (F.avg_pool2d(target, 2 * radius + 1, 1, radius) - target).abs()
    total = 0
    for logits, share in zip(depths, shares):
        logits = F.interpolate(logits, size=(side, side), mode="bilinear", align_corners=False)
        bce = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        bce = (weight * bce).sum((2, 3)) / weight.sum((2, 3))
        p = torch.sigmoid(logits)
        both, union = (weight * p * target).sum((2, 3)), (weight * (p + target - p * target)).sum((2, 3))
        total = total + share * (bce + 1 - (both + 1) / (union + 1)).mean()
    return total


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", required=True)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--side", type=int)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--channels-last", action="store_true")
    options = parser.parse_args()
    with open(options.config, "rb") as file:
        config = tomllib.load(file)
    network, decoder = config["network"], config["network"]["decoder"]
    batch, side = options.batch or config["batch"], options.side or network["input_side"]
    device = torch.device(options.device)
    torch.manual_seed(1)
    model = Network(network["encoder"]["kind"], decoder["branch_channels"], decoder["level_channels"],
                    decoder.get("attention_reduction", 8)).to(device).train()
    form = torch.channels_last if options.channels_last else torch.contiguous_format
    model = model.to(memory_format=form)
    average = [p.detach().clone() for p in model.parameters()]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01)
    shares = config.get("depth_weights", [1.0, 0.5, 0.25])
    pixels = torch.randn(batch, 3, side, side, device=device).contiguous(memory_format=form)
    target = torch.zeros(batch, 1, side, side, device=device)
    target[:, :, side // 3:side // 2, side // 4:side // 2] = 1
    seconds = []
    for _ in range(options.steps + 2):
        started = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        total = loss(model(pixels), target, shares)
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        torch._foreach_lerp_(average, list(model.parameters()), 0.002)
        total.item()
        seconds.append(time.perf_counter() - started)
    # The first two choose algorithms and touch memory.
    print(json.dumps({"schema": 1, "by": f"PyTorch {torch.__version__}", "device": options.device, "batch": batch, "side": side,
                      "threads": torch.get_num_threads(), "parameters": sum(p.numel() for p in model.parameters()),
                      "seconds": seconds[2:]}))


if __name__ == "__main__":
    main()
