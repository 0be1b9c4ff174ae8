"""Checks an ONNX file and runs it in onnxruntime.

    run_onnx.py MODEL INPUT OUTPUT

INPUT: frames of raw u8, each of the model's input shape, one after the other. OUTPUT: the raw bytes of the model's
output for each. Exit code 3 where onnx, onnxruntime or numpy is not installed.
"""

import sys

try:
    import numpy
    import onnx
    import onnxruntime
except ImportError as error:
    print(error, file=sys.stderr)
    sys.exit(3)


def main(model_path, input_path, output_path):
    onnx.checker.check_model(model_path, full_check=False)
    options = onnxruntime.SessionOptions()
    # On x86 without VNNI its products saturate otherwise.
    options.add_session_config_entry("session.x64quantprecision", "1")
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model_path, options, providers=["CPUExecutionProvider"])
    (source,) = session.get_inputs()
    assert source.type == "tensor(uint8)", source.type
    frames = numpy.fromfile(input_path, dtype=numpy.uint8).reshape(-1, *source.shape[1:])
    with open(output_path, "wb") as output:
        for frame in frames:
            (result,) = session.run(None, {source.name: frame[None]})
            output.write(result.tobytes())


if __name__ == "__main__":
    main(*sys.argv[1:])
