"""Times polyp-edge's int8 engine against other engines on the same networks, on one core of this machine."""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
MADE = ("mobilenet", "unet")
ENGINES = ("onnxruntime int8", "LiteRT/XNNPACK int8", "ncnn int8", "onnxruntime f32", "tract f32")

DETAILS = """
Each engine runs in a process of its own, on one thread, pinned to one core; the engines take turns, round by round.
CPU time a frame = (CPU time of the whole process with 10 + FRAMES frames - that with 10) / FRAMES, so start-up cancels.
Ratio = polyp-edge / engine within a round: below 1, polyp-edge is faster. Before timing, every engine's logits are compared with
onnxruntime int8's, in steps of the int8 output (LSB).

The twins are made from a bundle's model.onnx: for LiteRT a flatbuffer of s8 activations with the same weights (what a
concatenation joins takes its scale, as LiteRT's own quantiser arranges it); for ncnn its own symmetric int8 in convolutions, float
elsewhere; for float engines the float original where there is one, else dequantised weights.
mobilenet and unet are made by scripts/oracle/make_models.py.
"""


class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(2, f"compare-engines: {message}\n")


def arguments():
    parser = Parser(prog="scripts/compare-engines", usage="scripts/compare-engines [options]", description=__doc__, epilog=DETAILS,
                    formatter_class=argparse.RawDescriptionHelpFormatter)
    target = os.environ.get("CARGO_TARGET_DIR", "target")
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / target / "release/polyp-edge",
                        help="polyp-edge, built by cargo build --release (default: target/release/polyp-edge)")
    parser.add_argument("--models", default="first-light,mobilenet,unet", metavar="LIST",
                        help="first-light, mobilenet, unet, or folders of bundles, by commas (default: the first three)")
    parser.add_argument("--engines", metavar="LIST", help=f"only these, by commas: {', '.join(ENGINES)}; polyp-edge always runs")
    parser.add_argument("--rounds", type=int, default=15, help="times that each engine is measured (default: 15)")
    parser.add_argument("--frames", type=int, default=100, help="frames a measurement (default: 100)")
    parser.add_argument("--cores", default="", metavar="LIST",
                        help="cores to pin to, by commas (default: the last that this process may use; --threads takes as many)")
    parser.add_argument("--kernels", help="polyp-edge's kernel set (default: its own choice)")
    parser.add_argument("--threads", type=int, default=1,
                        help="if above 1: measure instead polyp-edge's wall-clock time with 1 and with this many threads")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write all figures to a file as well")
    given = parser.parse_args()
    if min(given.rounds, given.frames, given.threads) < 1:
        parser.error("--rounds, --frames and --threads must be at least 1")
    allowed = sorted(os.sched_getaffinity(0))
    try:
        given.cores = {int(core) for core in given.cores.split(",") if core} or set(allowed[-given.threads:])
    except ValueError:
        parser.error(f"--cores {given.cores}: not numbers")
    if not given.cores <= set(allowed):
        parser.error(f"--cores: this process may use {allowed}")
    if len(given.cores) != given.threads:
        parser.error(f"{given.threads} threads need as many cores; given or found: {sorted(given.cores)}")
    given.engines = [name.strip() for name in given.engines.split(",")] if given.engines else list(ENGINES)
    if unknown := set(given.engines) - set(ENGINES):
        parser.error(f"--engines: no {', '.join(unknown)}; there are {', '.join(ENGINES)}")
    given.bench = lambda *what: bench(given, *what)
    return given


def bench(given, bundle, threads, frames):
    """The command that runs so many frames, and a few more that are always as many."""
    kernels = ["--kernels", given.kernels] if given.kernels else []
    return [given.program, "bench", "model", bundle, "--threads", str(threads), "--runs", str(frames), *kernels]


def find_bundles(given, folder):
    """`{name: (bundle, float original or None)}`"""
    names = [name for name in given.models.split(",") if name]
    bundles = {}
    if any(name in MADE for name in names):
        print("making mobilenet and unet", file=sys.stderr)
        made = subprocess.run([sys.executable, ROOT / "scripts/oracle/make_models.py", folder], capture_output=True, text=True)
        if made.returncode:
            raise ValueError(f"make_models.py: {made.stderr.strip().splitlines()[-1]}")
    for name in names:
        if name in MADE:
            bundles[name] = folder / name, folder / f"{name}.f32.onnx"
        else:
            path = ROOT / "models" / name if (ROOT / "models" / name).is_dir() else pathlib.Path(name)
            if not (path / "manifest.toml").is_file():
                raise ValueError(f"{name}: neither a known model nor a bundle's folder")
            bundles[path.name] = path, None
    return bundles


def compare_threads(given, bundles):
    import measure
    results = {}
    for name, (bundle, _) in bundles.items():
        print(name, file=sys.stderr)
        times = {1: [], given.threads: []}
        for _ in range(given.rounds):
            for threads in times:
                # One thread may take whichever of the cores is free, as it could on a cart.
                with tempfile.TemporaryFile() as figures:
                    measure.spend([*given.bench(bundle, threads, given.frames), "--json"], given.cores, figures)
                    figures.seek(0)
                    times[threads].append(json.load(figures)["median_ms"])
        speed_up = [one / many for one, many in zip(times[1], times[given.threads])]
        results[name] = {"wall_ms": {str(threads): measure.summary(values) for threads, values in times.items()},
                         "speed_up": measure.summary(speed_up)}
    return results


def main():
    given = arguments()
    if not os.access(given.program, os.X_OK):
        raise ValueError(f"no program at {given.program}: cargo build --release, or name one by --program")
    given.program = given.program.resolve()
    import report
    with tempfile.TemporaryDirectory(prefix="compare-engines-") as folder:
        folder = pathlib.Path(folder)
        bundles = find_bundles(given, folder)
        if given.threads > 1:
            results = compare_threads(given, bundles)
        else:
            import engines
            results = {name: engines.compare(given, bundle, original, folder) for name, (bundle, original) in bundles.items()}
        figures = {"schema": 1, "machine": report.machine(given), "models": results}
        print((report.threads_table if given.threads > 1 else report.engines_table)(given, figures))
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError, RuntimeError, subprocess.CalledProcessError) as error:
        sys.exit(f"compare-engines: {error}")
    except KeyboardInterrupt:
        sys.exit("compare-engines: interrupted")
