"""One engine on one model, in a process of its own: what compare-engines measures.

runner.py ENGINE MODEL FRAMES SHAPE SCALE ZERO_POINT [INPUTS OUTPUTS]

ENGINE: onnxruntime, litert, ncnn, tract. Runs FRAMES frames (all the same) on one thread. SHAPE, SCALE and ZERO_POINT are the
stored u8 input's. With INPUTS (stored u8 [N, H, W, C]), runs those instead and writes the logits' raw values (f32 for a float
engine, u8, s8), of type and shape as the engine gives them, to OUTPUTS (.npy).
"""

import os
import sys

import numpy as np


def onnxruntime(model):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    value = session.get_inputs()[0]
    return (lambda x: session.run(None, {value.name: x})[0]), "u8" if value.type == "tensor(uint8)" else "f32"


def litert(model):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model, num_threads=1)
    interpreter.allocate_tensors()
    start, end = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def run(x):
        interpreter.set_tensor(start, x)
        interpreter.invoke()
        return interpreter.get_tensor(end)

    return run, "s8"


def ncnn(model):
    import ncnn

    net = ncnn.Net()
    allocators = ncnn.UnlockedPoolAllocator(), ncnn.PoolAllocator()
    net.opt.num_threads = 1
    net.opt.use_vulkan_compute = False
    net.opt.blob_allocator, net.opt.workspace_allocator = allocators
    if net.load_param(f"{model}.param") or net.load_model(f"{model}.bin"):
        sys.exit(f"ncnn does not load {model}.param")
    start, end = net.input_names()[0], net.output_names()[0]

    def run(x):
        extractor = net.create_extractor()
        extractor.input(start, ncnn.Mat(x[0]))
        failed, output = extractor.extract(end)
        return np.array(output)[None]

    run.net = net, allocators
    return run, "f32"


def tract(model):
    import tract

    runnable = tract.onnx().load(model).into_model().into_runnable()
    return (lambda x: runnable.run([x])[0].to_numpy()), "f32"


def main():
    engine, model, frames, shape, scale, zero_point, *files = sys.argv[1:]
    shape = [int(side) for side in shape.split(",")]
    run, kind = {"onnxruntime": onnxruntime, "litert": litert, "ncnn": ncnn, "tract": tract}[engine](model)

    def prepare(stored):
        """From u8 [1, H, W, C] to what the engine takes."""
        if kind == "s8":
            return (stored ^ 0x80).view(np.int8)
        planes = np.ascontiguousarray(stored.transpose(0, 3, 1, 2))
        return planes if kind == "u8" else (planes.astype(np.float32) - int(zero_point)) * np.float32(scale)

    channels, height, width = shape[1:]
    if files:
        inputs = np.load(files[0])
        np.save(files[1], np.concatenate([np.array(run(prepare(stored[None]))) for stored in inputs]))
        frames = 0
    x = prepare(np.random.default_rng(0).integers(0, 256, (1, height, width, channels), np.uint8))
    for _ in range(int(frames)):
        run(x)
    os._exit(0)  # ncnn's allocators must not be taken down before its network, and Python's order is its own


if __name__ == "__main__":
    main()
