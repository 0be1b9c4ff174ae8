"""Hours on the emulated board: one fault after another in an order that a seed decides, each followed by a look at whether the
picture moves again, and memory and open files measured all along. See scripts/soak."""

import random
import time

import checks
from board import last_line
from machine import Failed

# From the end of a fault to a picture that moves: an emulated CPU takes ten times as long as a real one.
BACK_S = 60
# Memory may grow by this much from the second quarter of the time to the end: what is touched for the first time.
GROWTH_KIB = 6144


def camera_away(board, chance):
    board.plug(False)
    time.sleep(chance.uniform(0, 20))
    board.plug(True)
    board.no_text(checks.WEBCAM)


def camera_hangs_up(board, chance):
    board.control(checks.WEBCAM, "Disconnect")


def monitor_away(board, chance):
    connector = board.machine.must("ls -d /sys/class/drm/card*-Virtual-1").strip()
    board.machine.must(f"echo off > {connector}/status")
    time.sleep(chance.uniform(0, 15))
    board.machine.must(f"echo detect > {connector}/status")


def hang_up(board, text, said):
    before = len(board.log())
    board.profile("live", text)
    board.machine.must("kill -HUP $(cat /run/polyp.pid)")
    board.until_log([said], before, 180)


def reload_same(board, chance):
    hang_up(board, checks.LIVE, "the profile was reloaded")


def reload_model(board, chance):
    hang_up(board, checks.LIVE + "[model]\nthreads = 2\n", "the profile was reloaded and is in use")
    hang_up(board, checks.LIVE, "the profile was reloaded and is in use")


def reload_wrong(board, chance):
    wrong = chance.choice(["[overlay]\nglyph = 7\n", '[display]\nconnector = "DP-7"\n', '[model]\nbundle = "none"\n'])
    hang_up(board, checks.LIVE + wrong, "the profile stays as it was")
    board.profile("live", checks.LIVE)


def clock_jumps(board, chance):
    years = chance.choice([-10, 10])
    board.machine.must(f"date -s @$(( $(date +%s) + {years} * 31557600 ))")


def stopped(board, chance):
    board.machine.must("kill -STOP $(cat /run/polyp.pid)")
    time.sleep(chance.uniform(0, 5))
    board.machine.must("kill -CONT $(cat /run/polyp.pid)")


FAULTS = [camera_away, camera_hangs_up, monitor_away, reload_same, reload_model, reload_wrong, clock_jumps, stopped]


def soak(board, hours, seed, say):
    """Runs for so long: names of what failed."""
    chance, begun = random.Random(seed), time.monotonic()
    checks.live(board)
    checks.settled(board)
    counts, slowest, usages, failed = {}, {}, [], []
    while time.monotonic() - begun < 3600 * hours:
        fault = chance.choice(FAULTS)
        name = fault.__name__.replace("_", " ")
        try:
            fault(board, chance)
            mended = time.monotonic()
            checks.moves(board, f"soak {sum(counts.values())} {name}", BACK_S)
            took = time.monotonic() - mended
        except Failed as failure:
            say(f"FAILED  {name} after {(time.monotonic() - begun) / 3600:.2f} h, seed {seed}: {failure}")
            failed.append(name)
            if board.exit_status() is not None:
                say(f"        the program ended: {last_line(board.log())}")
                break
            continue
        counts[name] = counts.get(name, 0) + 1
        slowest[name] = max(slowest.get(name, 0), took)
        usages.append((time.monotonic() - begun, checks.usage(board)))
        # Screendumps of what went well are not kept: hours of them are gigabytes.
        for old in sorted(board.out.glob("*.png"))[:-20]:
            old.unlink()
        time.sleep(chance.uniform(2, 20))
    for name in sorted(counts):
        say(f"        {counts[name]:4} × {name}, the picture looked at within {slowest[name]:.0f} s")
    failed += grown(usages, say)
    if board.exit_status() is None:
        seconds, status = board.stop()
        say(f"        SIGTERM: gone after {seconds:.2f} s with exit code {status}")
        if status != 0:
            failed.append("the end")
    return failed


def grown(usages, say):
    """Whether memory or files grew after the first quarter."""
    if len(usages) < 8:
        say("        too short to tell whether memory grows")
        return []
    quarter = usages[len(usages) // 4:]
    early = max(usage["kib"] for _, usage in quarter[:len(quarter) // 3])
    late = min(usage["kib"] for _, usage in quarter[-len(quarter) // 3:])
    files = [usage["fds"] for _, usage in usages]
    say(f"        resident memory: most in the early part {early} KiB, least in the late part {late} KiB;"
        f" open files {min(files)} to {max(files)}")
    failed = []
    if late > early + GROWTH_KIB:
        failed.append("memory grows")
    if files[-1] > files[0] + 2:
        failed.append("open files grow")
    return failed
