#!/usr/bin/env python3
"""Compares the cart's engine with onnxruntime on a bundle's model, logit for logit, on the frames of a source.

python3 scripts/oracle/compare.py BUNDLE SOURCE [--frames 50] [--program target/release/polyp-edge] [--also FILE.onnx]...

SOURCE is anything that `polyp-edge replay` takes: a folder of images, a video, `synthetic`. Frames are prepared as on the
cart. The exit code is 1 if any byte differs. `--also` names a float or QDQ export of the same network, whose logits are floats: its
difference from the engine is reported, without a limit.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile
import tomllib

import numpy as np

from nets import exact_cpu, session


def distance(manifest, inputs, ours, file):
    """How far a float export is from the engine: decisions at the bundle's threshold, and logits in the engine's steps."""
    output, threshold = manifest["output"], manifest["decision"]["threshold"]
    logits = (ours.astype(np.float32) - output["zero_point"]) * np.float32(output["scale"])
    oracle = session(file.read_bytes())
    name = oracle.get_inputs()[0].name
    theirs = np.stack([oracle.run(None, {name: np.ascontiguousarray(frame.transpose(2, 0, 1)[None])})[0].reshape(-1)
                       for frame in inputs])
    cut = np.log(threshold / (1 - threshold))
    # The engine's logits end where u8 does.
    low, high = ((edge - output["zero_point"]) * output["scale"] for edge in (0, 255))
    steps = np.abs(np.clip(theirs, low, high) - logits) / output["scale"]
    return (f"{np.mean((theirs >= cut) == (logits >= cut)):.4%} of decisions as the engine's, logits "
            f"{steps.mean():.3f} steps apart in the mean, {steps.max():.2f} at most")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle", type=pathlib.Path)
    parser.add_argument("source")
    parser.add_argument("--frames", type=int, default=50)
    parser.add_argument("--program", default="target/release/polyp-edge")
    parser.add_argument("--also", type=pathlib.Path, action="append", default=[])
    arguments = parser.parse_args()
    if not exact_cpu():
        sys.exit("this CPU has no VNNI: onnxruntime's own int8 convolutions saturate here, so there is nothing to compare with")
    manifest = tomllib.loads((arguments.bundle / "manifest.toml").read_text())
    _, channels, height, width = manifest["input"]["shape"]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([arguments.program, "model", arguments.bundle, "--dump", arguments.source, "--out", folder,
                        "--frames", str(arguments.frames)], check=True)
        inputs = np.fromfile(f"{folder}/inputs.bin", np.uint8).reshape(-1, height, width, channels)
        ours = np.fromfile(f"{folder}/logits.bin", np.uint8).reshape(len(inputs), -1)
    oracle = session((arguments.bundle / manifest["model"]).read_bytes())
    name = oracle.get_inputs()[0].name
    differing = 0
    for frame, logits in zip(inputs, ours):
        theirs = oracle.run(None, {name: np.ascontiguousarray(frame.transpose(2, 0, 1)[None])})[0]
        differing += int((theirs.reshape(-1) != logits).sum())
    values = len(np.unique(ours)) if len(ours) else 0
    print(f"{arguments.bundle}: {differing} of {ours.size} logits differ on {len(inputs)} frames of {arguments.source}"
          f" ({values} different values)")
    for file in arguments.also:
        print(f"{file.name}: {distance(manifest, inputs, ours, file)}")
    sys.exit(0 if differing == 0 and len(inputs) else 1)


if __name__ == "__main__":
    main()
