"""One bundle on every engine: the engines' own files, the check of their logits, the rounds."""

import pathlib
import sys
import tomllib

import numpy as np

import measure
import to_float
import to_ncnn
import to_tflite
from graph import Graph

HERE = pathlib.Path(__file__).resolve().parent
OURS = "polyp-edge int8"
CHECKED_FRAMES = 5


class Engine:
    """`module` is runner.py's name for it. Output scale and zero point are `None` for real values."""

    def __init__(self, name, module, model, quantisation=None, last=False):
        self.name, self.module, self.model, self.quantisation = name, module, model, quantisation
        self.last = last  # channels

    def command(self, contract, frames, *files):
        shape = ",".join(map(str, contract["shape"]))
        return [sys.executable, HERE / "runner.py", self.module, self.model, str(frames), shape, repr(contract["scale"]),
                str(contract["zero_point"]), *files]

    def steps(self, raw, output):
        """Logits in steps of the bundle's output, `[N, 1, H, W]`."""
        raw = raw.astype(np.float64)
        if self.last:
            raw = raw.transpose(0, 3, 1, 2)
        if self.quantisation:
            scale, zero_point = self.quantisation
            raw = (raw - zero_point) * scale
        return np.clip(raw / output["scale"] + output["zero_point"], 0, 255)


def write_models(bundle, manifest, original, folder):
    """The engines, in the table's order; each one's file is written into `folder`."""
    model = bundle / manifest["model"]
    output = manifest["output"]
    paths = {ending: folder / f"{bundle.name}.{ending}" for ending in ("f32.onnx", "tflite", "ncnn")}
    original = original or paths["f32.onnx"]
    if original == paths["f32.onnx"]:
        to_float.write(Graph(model), original)
    to_ncnn.write(Graph(model), folder / bundle.name)
    graph = Graph(model)
    to_tflite.write(graph, paths["tflite"])
    end = graph.tensors[graph.output]
    return [Engine("onnxruntime int8", "onnxruntime", model, (output["scale"], output["zero_point"])),
            Engine("LiteRT/XNNPACK int8", "litert", paths["tflite"], (float(end.scale), end.zero_point - 128), last=True),
            Engine("ncnn int8", "ncnn", folder / bundle.name),
            Engine("onnxruntime f32", "onnxruntime", original), Engine("tract f32", "tract", original)]


def dump(given, bundle, manifest, folder):
    """The bundle's golden frames, or rendered ones, as the cart feeds them: u8 `[N, H, W, 3]`; and polyp-edge's logits."""
    source = "synthetic"
    if golden := manifest.get("golden", [])[:CHECKED_FRAMES]:
        source = folder / f"{bundle.name}.golden"
        source.mkdir(exist_ok=True)
        for entry in golden:
            (source / pathlib.Path(entry["frame"]).name).write_bytes((bundle / entry["frame"]).read_bytes())
    out = folder / f"{bundle.name}.dump"
    more = ["--kernels", given.kernels] if given.kernels else []
    frames = str(CHECKED_FRAMES)
    measure.spend([given.program, "model", bundle, "--dump", source, "--out", out, "--frames", frames, *more], given.cores)
    _, channels, height, width = manifest["input"]["shape"]
    inputs = np.fromfile(out / "inputs.bin", np.uint8).reshape(-1, height, width, channels)
    logits = np.fromfile(out / "logits.bin", np.uint8).reshape(-1, *manifest["output"]["shape"][1:])
    return inputs, logits.astype(float)


def differences(given, inputs, ours, manifest, engines, folder):
    """Mean absolute difference of every engine's logits from those of the first, in steps."""
    np.save(folder / "inputs.npy", inputs)
    results = {}
    for engine in engines:
        measure.spend(engine.command(manifest["input"], 0, folder / "inputs.npy", folder / "outputs.npy"), given.cores)
        results[engine.name] = engine.steps(np.load(folder / "outputs.npy"), manifest["output"])
    oracle = results[engines[0].name]
    return {name: float(np.abs(logits - oracle).mean()) for name, logits in (results | {OURS: ours}).items()}


def compare(given, bundle, original, folder):
    print(bundle.name, file=sys.stderr)
    manifest = tomllib.loads((bundle / "manifest.toml").read_text())
    inputs, ours = dump(given, bundle, manifest, folder)
    oracle, *others = write_models(bundle, manifest, original, folder)
    others = [engine for engine in others if engine.name in given.engines]
    difference = differences(given, inputs, ours, manifest, [oracle, *others], folder)
    commands = {OURS: lambda frames: given.bench(bundle, 1, frames)}
    for engine in [oracle, *others]:
        if engine.name in given.engines:
            commands[engine.name] = lambda frames, engine=engine: engine.command(manifest["input"], frames)
    times = measure.cpu_rounds(commands, given.rounds, given.frames, given.cores)
    results = {}
    for name, values in times.items():
        results[name] = {"cpu_ms": measure.summary(values), "mean_difference_lsb": difference[name]}
        if name != OURS:
            results[name]["ratio"] = measure.summary([ours / theirs for ours, theirs in zip(times[OURS], values)])
    return {"engines": results, "float_is_original": original is not None}
