"""Boots the emulated board, runs every check, prints one line for each. See scripts/board-vm."""

import argparse
import json
import sys
import time
from pathlib import Path

import checks
import initramfs
import soak
from board import Board
from machine import Failed, Machine

MODULES = ["virtio-pci", "virtio-gpu", "virtio-input", "evdev", "vivid"]


def image(options):
    """The initramfs, as bytes."""
    root, archive = Path(options.root), initramfs.Archive()
    here = Path(__file__).parent
    archive.file("init", (here / "init").read_bytes(), 0o755)
    archive.file("bin/obey", (here / "obey").read_bytes(), 0o755)
    archive.file("bin/links", (here / "links").read_bytes(), 0o755)
    archive.file("bin/busybox", (root / "bin/busybox").read_bytes(), 0o755)
    archive.device("dev/console", 5, 1)
    release = options.kernel.name.removeprefix("vmlinuz-")
    parameters = {"vivid": checks.VIVID}
    order = initramfs.modules(root / "lib/modules" / release, MODULES, options.modules)
    for name, data in order:
        archive.file(f"modules/{name}.ko", data)
    archive.file("modules/order", "".join(f"{name} {parameters.get(name, '')}\n" for name, _ in order).encode())
    for name, program in (("polyp-edge", options.program), ("vivid", options.vivid)):
        archive.file(f"bin/{name}", Path(program).read_bytes(), 0o755)
        for library, file in initramfs.libraries(root, program):
            if library not in archive.names:
                archive.file(library, file.read_bytes(), 0o755)
    archive.file("endoscope.yuyv", Path(options.endoscope).read_bytes())
    archive.tree("polyp-edge/boards", options.boards, "*.toml")
    archive.tree("polyp-edge/models/first-light", options.bundle)
    return archive.bytes()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("kernel", "root", "program", "vivid", "boards", "bundle", "endoscope", "polyps", "out"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--modules", help="a folder with more of the kernel's modules")
    parser.add_argument("--only", default="", help="only checks with this in their name")
    parser.add_argument("--soak", type=float, default=0, metavar="HOURS", help="faults for so long instead of checks")
    parser.add_argument("--seed", type=int, default=1, help="decides on the order of the soak's faults")
    options = parser.parse_args()
    # QEMU runs in another folder.
    out, options.kernel = Path(options.out).resolve(), Path(options.kernel).resolve()
    out.mkdir(parents=True, exist_ok=True)
    for old in [*out.glob("*.png"), *out.glob("*.log")]:
        old.unlink()
    (out / "initramfs").write_bytes(image(options))

    begun = time.monotonic()
    failed = []
    if options.soak:
        failed += on_board(options, out, False, [("soak", lambda board: soaked(board, options))])
    for counted in () if options.soak else (True, False):
        wanted = [(name, run) for name, on, run in checks.CHECKS if on == counted and options.only in name]
        if wanted:
            failed += on_board(options, out, counted, wanted)
    say(f"{len(failed)} failed in {time.monotonic() - begun:.0f} s; screendumps and logs in {out}")
    for name in failed:
        say(f"        {name}")
    return 1 if failed else 0


def on_board(options, out, counted, wanted):
    """Boots a board and runs checks on it: the names of those that failed."""
    kind = "counted" if counted else "timed"
    begun = time.monotonic()
    try:
        machine = Machine(options.kernel, out / "initramfs", out, checks.SCREEN, counted)
    except Failed as failure:
        say(f"FAILED  boot: {failure}; see {out}/guest-{kind}.log, {out}/qemu-{kind}.log")
        return ["boot"]
    say(f"booted in {time.monotonic() - begun:.0f} s, {checks.CLOCKS[counted]}")
    failed = []
    try:
        board = Board(machine, out, json.loads(options.polyps))
        board.prepare()
        for name, run in wanted:
            start = time.monotonic()
            try:
                detail = run(board)
                say(f"passed  {name} ({time.monotonic() - start:.0f} s{'; ' + detail if detail else ''})")
            except Failed as failure:
                failed.append(name)
                say(f"FAILED  {name} ({time.monotonic() - start:.0f} s): {failure}")
            board.keep_log(name)
    except Failed as failure:
        failed.append("the board")
        say(f"FAILED  the board: {failure}")
    finally:
        machine.stop()
    return failed


def soaked(board, options):
    failed = soak.soak(board, options.soak, options.seed, say)
    if failed:
        raise Failed(", ".join(failed))
    return f"{options.soak} h, seed {options.seed}"


def say(text):
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
