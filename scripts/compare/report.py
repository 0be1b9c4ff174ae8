"""The figures as Markdown."""

import importlib.metadata
import os
import pathlib
import subprocess

PACKAGES = ("onnxruntime", "ai-edge-litert", "ncnn", "tract")


def machine(given):
    """What was measured, on what."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), os.uname().machine)
    version = subprocess.run([given.program, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return {"cpu": model, "cores": sorted(given.cores), "load_at_end": round(os.getloadavg()[0], 2), "program": version,
            "packages": {package: importlib.metadata.version(package) for package in PACKAGES},
            "rounds": given.rounds, "frames": given.frames, "threads": given.threads}


def spread(figures, digits):
    low, high = figures["quartiles"]
    return f"{low:.{digits}f}–{high:.{digits}f}"


def heading(given, figures):
    about = figures["machine"]
    packages = ", ".join(f"{package} {version}" for package, version in about["packages"].items())
    cores = ", ".join(map(str, about["cores"]))
    return (f"{about['cpu']}, core {cores}; {given.rounds} rounds of {given.frames} frames, taking turns; {about['program']}; "
            f"{packages}. Load average at the end: {about['load_at_end']}.")


def engines_table(given, figures):
    lines = ["One thread, pinned; CPU time of the whole process a frame. Ratio: polyp-edge / engine, round by round. Spread: "
             "inter-quartile.", "", heading(given, figures)]
    for name, model in figures["models"].items():
        twin = "float engines run the float original" if model["float_is_original"] else "float engines run dequantised weights"
        lines += ["", f"**{name}** ({twin})", "",
                  "| engine | CPU ms a frame: min | median | spread | ratio: median | spread | mean difference, LSB |",
                  "|---|---|---|---|---|---|---|"]
        for engine, result in model["engines"].items():
            cpu, ratio = result["cpu_ms"], result.get("ratio")
            ratios = f"{ratio['median']:.3f} | {spread(ratio, 3)}" if ratio else "1 | –"
            difference = result["mean_difference_lsb"]
            difference = "0" if difference == 0 else f"{difference:.2f}"
            lines.append(f"| {engine} | {cpu['min']:.2f} | {cpu['median']:.2f} | {spread(cpu, 2)} | {ratios} | {difference} |")
    return "\n".join(lines)


def threads_table(given, figures):
    lines = ["polyp-edge, wall-clock time a frame (median of each round's frames), 1 thread and more in turns. Spread: "
             "inter-quartile.", "", heading(given, figures), "",
             f"| model | 1 thread, ms: min | median | {given.threads} threads, ms: min | median | speed-up: median | spread |",
             "|---|---|---|---|---|---|---|"]
    for name, model in figures["models"].items():
        one, many, speed_up = model["wall_ms"]["1"], model["wall_ms"][str(given.threads)], model["speed_up"]
        lines.append(f"| {name} | {one['min']:.2f} | {one['median']:.2f} | {many['min']:.2f} | {many['median']:.2f} "
                     f"| {speed_up['median']:.2f} | {spread(speed_up, 2)} |")
    return "\n".join(lines)
