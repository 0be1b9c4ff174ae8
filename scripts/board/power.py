"""Cuts the emulated board's power while a bundle is installed, again and again. See scripts/board-power-cut."""

import argparse
import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import initramfs
from machine import Failed, Machine

MODULES = ["virtio-pci", "virtio-blk", "crc32c_generic", "ext4"]
DISK_MB = 256
# The installed bundle of before, and those that are installed in turn.
FIRST, NEXT = "first", ["even", "odd"]
PROFILE = """name = "power"
inherits = "base"
model.bundle = "installed"
model.threads = 2
store.folder = "/disk/bundles"
trust.development_key = false
# No limit on the time of a frame, which an emulated CPU would not keep.
pipeline.lock_step = true
pipeline.audit_folder = "/disk/audit"
display.kind = "null"
display.folder = "/run/out"
"""
INSTALL = "polyp-edge bundle install /bundles/{}.polyp --board /boards/power.toml"


def image(options):
    root, archive = Path(options.root), initramfs.Archive()
    here = Path(__file__).parent
    for name in ("init", "obey", "links"):
        archive.file(name if name == "init" else f"bin/{name}", (here / name).read_bytes(), 0o755)
    archive.file("bin/busybox", (root / "bin/busybox").read_bytes(), 0o755)
    archive.device("dev/console", 5, 1)
    order = initramfs.modules(Path(options.modules), MODULES)
    for name, data in order:
        archive.file(f"modules/{name}.ko", data)
    archive.file("modules/order", "".join(f"{name} \n" for name, _ in order).encode())
    archive.file("bin/polyp-edge", Path(options.program).read_bytes(), 0o755)
    for library, file in initramfs.libraries(root, options.program):
        archive.file(library, file.read_bytes(), 0o755)
    archive.tree("boards", options.boards, "base.toml")
    archive.file("boards/power.toml", PROFILE.encode())
    archive.tree("boards/keys", options.keys, "*.pub")
    archive.tree("bundles", options.bundles, "*.polyp")
    return archive.bytes()


class Board:
    """A board with a disk, which outlasts it."""

    def __init__(self, options, out):
        self.machine = Machine(options.kernel, out / "initramfs", out, (640, 480), False, disk=out / "disk.raw")
        self.machine.must("mkdir -p /disk && mount -t ext4 /dev/vda /disk", 60)

    def asked(self, verb):
        return self.machine.must(f"polyp-edge {verb} --board /boards/power.toml", 240)

    def slots(self):
        return json.loads(self.asked("bundle list --json"))

    def verified(self):
        """What a start finds: which bundle runs, and that all of it is whole; what the audit trail says."""
        slots = self.slots()
        version = json.loads(self.asked("check --json"))["model_version"]
        trial = slots["trial"] and slots["trial"]["slot"]["version"]
        if version != (trial or slots["good"]["version"]):
            raise Failed(f"{version} runs, and the record is {slots}")
        self.asked("audit --check")
        return version, trial


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("kernel", "root", "modules", "program", "boards", "keys", "bundles", "out"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--cuts", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args()
    out, options.kernel = Path(options.out).resolve(), Path(options.kernel).resolve()
    for old in out.glob("*.log"):
        old.unlink()
    (out / "initramfs").write_bytes(image(options))
    disk = out / "disk.raw"
    disk.unlink(missing_ok=True)
    with open(disk, "wb") as file:
        file.truncate(DISK_MB << 20)
    mkfs = shutil.which("mkfs.ext4") or "/usr/sbin/mkfs.ext4"
    subprocess.run([mkfs, "-q", "-F", str(disk)], check=True)

    begun, chance = time.monotonic(), random.Random(options.seed)
    board, counts = Board(options, out), {"before": 0, "after": 0}
    try:
        board.machine.must(INSTALL.format(FIRST), 240)
        board.asked("bundle mark-good")
        start = time.monotonic()
        board.machine.must(INSTALL.format(NEXT[1]), 240)
        takes = time.monotonic() - start
        board.asked("bundle rollback")
        say(f"an installation takes {takes:.1f} s, emulated; seed {options.seed}")
        for cut in range(options.cuts):
            bundle = NEXT[cut % 2]
            # Everywhere in it, and as often where it takes effect.
            at = chance.uniform(0, takes) if cut % 2 == 0 else chance.uniform(0.9, 1.3) * takes
            board.machine.must(f"({INSTALL.format(bundle)} >/run/install.log 2>&1 &) ; true", 30)
            time.sleep(at)
            board.machine.cut_power()
            board = Board(options, out)
            version, trial = board.verified()
            if version not in (FIRST, bundle):
                raise Failed(f"cut {cut + 1}, {at:.2f} s after the beginning: {version} runs")
            counts["after" if trial else "before"] += 1
            say(f"passed  cut {cut + 1}, {at:.2f} s after the beginning: {version} runs, {'on trial' if trial else 'the good one'}")
            if trial:
                board.asked("bundle rollback")
        # And the store can be used as ever.
        board.machine.must(INSTALL.format(NEXT[0]), 240)
        board.asked("bundle mark-good")
        left = board.machine.must("ls /disk/bundles").split()
        if board.verified()[0] != NEXT[0] or any(name.endswith(".part") for name in left):
            raise Failed(f"left in the store: {left}")
    except Failed as failure:
        say(f"FAILED  {failure}")
        return 1
    finally:
        board.machine.stop()
    say(f"{options.cuts} cuts in {time.monotonic() - begun:.0f} s: {counts['before']} before the installation took effect, {counts['after']} after")
    return 0


def say(text):
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
