"""CPU time a frame of programs, each in rounds that take turns."""

import os
import statistics
import subprocess
import sys
import tempfile

FEW = 10


class Failed(RuntimeError):
    """A measured program ended with an error; its last line is the message."""


def spend(command, cores, output=subprocess.DEVNULL):
    """CPU seconds of a whole process, its threads and children of its own included, pinned to `cores`.

    What it prints goes to the open file `output`.
    """
    with tempfile.TemporaryFile() as errors:
        environment = os.environ | {"RUST_LOG": "warn", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        process = subprocess.Popen(command, stdout=output, stderr=errors, env=environment,
                                   preexec_fn=lambda: os.sched_setaffinity(0, cores))
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            lines = errors.read().decode(errors="replace").strip().splitlines() or [f"exit code {process.returncode}"]
            raise Failed(lines[-1])
    return usage.ru_utime + usage.ru_stime


def cpu_rounds(commands, rounds, frames, cores):
    """Milliseconds a frame, `{engine: [one a round]}`. `commands[engine](n)` is the command that runs n frames and a constant rest.

    The engines take turns, in an order that rotates: what disturbs the machine disturbs all of them.
    """
    results = {engine: [] for engine in commands}
    order = list(commands)
    for turn in range(rounds):
        for engine in order[turn % len(order):] + order[:turn % len(order)]:
            least, most = (spend(commands[engine](count), cores) for count in (FEW, FEW + frames))
            results[engine].append((most - least) / frames * 1e3)
        print(f"\r  round {turn + 1} of {rounds}", end="" if turn + 1 < rounds else "\n", file=sys.stderr, flush=True)
    return results


def summary(values):
    """Least, median, and the two quartiles."""
    low, _, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return {"min": min(values), "median": statistics.median(values), "quartiles": [low, high], "rounds": list(values)}
