"""The emulated board: QEMU, its monitor, and a channel on which the guest obeys."""

import hashlib
import json
import os
import re
import socket
import subprocess
import time
from pathlib import Path


class Failed(Exception):
    """A check that did not hold, or a board that does not answer. The message says what."""


class Silent(Failed):
    """Nothing came in time."""


class Channel:
    """A Unix socket with time limits."""

    def __init__(self, path, within_s):
        end = time.monotonic() + within_s
        while True:
            self.socket = socket.socket(socket.AF_UNIX)
            try:
                self.socket.connect(str(path))
                break
            except OSError as error:
                self.socket.close()
                if time.monotonic() > end:
                    raise Failed(f"no connection to {path.name}: {error}") from error
                time.sleep(0.05)
        self.waiting = b""

    def clear(self):
        """Forgets what has come."""
        self.socket.settimeout(0.2)
        try:
            while self.socket.recv(1 << 16):
                pass
        except TimeoutError:
            pass
        self.waiting = b""

    def send(self, data):
        self.socket.settimeout(10)
        self.socket.sendall(data)

    def _more(self, end, what):
        self.socket.settimeout(max(0.01, end - time.monotonic()))
        try:
            data = self.socket.recv(1 << 16)
        except TimeoutError:
            raise Silent(f"no answer in time: {what}") from None
        if not data:
            raise Failed(f"the board is gone: {what}")
        self.waiting += data

    def line(self, end, what):
        while b"\n" not in self.waiting:
            self._more(end, what)
        line, self.waiting = self.waiting.split(b"\n", 1)
        return line

    def bytes(self, count, end, what):
        while len(self.waiting) < count:
            self._more(end, what)
        data, self.waiting = self.waiting[:count], self.waiting[count:]
        return data


class Machine:
    """Runs from `start` to `stop`; what it says goes to `guest-….log` in the folder `out`."""

    CHANNEL = "/dev/ttyAMA1"

    def __init__(self, kernel, initramfs, out, size, counted, memory_mb=768, parameters="", within_s=90, disk=None):
        """`counted`: each of the guest's instructions takes a nanosecond of its time, however long the emulation needs:
        delays are then those of a board of that speed, whatever else this machine does, but all takes longer. Else the
        guest's time is this machine's, and its CPU as slow as the emulation. `parameters`: more of the kernel's. It must be
        ready within `within_s`. `disk`: a file that is the board's first disk."""
        self.out = Path(out)
        # Of the last command.
        self.number = 0
        kind = "counted" if counted else "timed"
        self.sockets = [self.out / "qmp", self.out / "channel"]
        for path in self.sockets:
            path.unlink(missing_ok=True)
        qemu = os.environ.get("QEMU_SYSTEM_AARCH64", "qemu-system-aarch64")
        width, height = size
        # A socket's path must be short: QEMU runs in the folder.
        self.process = subprocess.Popen(
            [qemu, "-M", "virt,gic-version=3", "-cpu", "cortex-a76", "-smp", "2", "-m", str(memory_mb),
             *(["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off"] if counted else
               ["-accel", "tcg,thread=multi"]), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
             "-device", f"virtio-gpu-pci,id=gpu,max_outputs=2,xres={width},yres={height}", "-device", "virtio-keyboard-pci",
             *(["-drive", f"file={disk},format=raw,if=virtio"] if disk else []),
             "-serial", f"file:guest-{kind}.log", "-serial", "unix:channel,server=on,wait=off",
             "-qmp", "unix:qmp,server=on,wait=off",
             "-kernel", str(kernel), "-initrd", str(initramfs),
             "-append", f"console=ttyAMA0 panic=-1 vt.global_cursor_default=0 consoleblank=0"
                        f" board.channel={self.CHANNEL} {parameters}"],
            cwd=self.out, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=open(self.out / f"qemu-{kind}.log", "wb"))
        try:
            self.qmp = Channel(self._short("qmp"), 10)
            self._monitor_ready()
            self.guest = Channel(self._short("channel"), 10)
            end = time.monotonic() + within_s
            while self.guest.line(end, "boot").strip() != b"ready":
                pass
        except BaseException:
            self.stop()
            raise

    def _short(self, name):
        """A path that fits into a socket's address, however long the folder's is."""
        path = self.out / name
        return Path(os.path.relpath(path)) if len(str(path)) > 100 else path

    def _monitor_ready(self):
        # A busy machine needs a while to start QEMU.
        end = time.monotonic() + 60
        self.qmp.line(end, "QMP greeting")
        self.command("qmp_capabilities")

    def command(self, name, **arguments):
        """A QMP command's answer; events in between are passed over."""
        self.qmp.send(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
        end = time.monotonic() + 30
        while True:
            answer = json.loads(self.qmp.line(end, f"QMP {name}"))
            if "error" in answer:
                raise Failed(f"QMP {name}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def press(self, key):
        """Presses a key of the keyboard, by QEMU's name, and lets it go."""
        self.command("send-key", keys=[{"type": "qcode", "data": key}], **{"hold-time": 100})

    def press_button(self):
        """Presses the button at line 3 of the board's pins, for a tenth of a second: a PC's power button."""
        self.command("system_powerdown")

    def screendump(self, name, head=0):
        """What a monitor shows, as a PPM file's bytes. `head`: 1 is the second one."""
        path = self.out / f"{name}.ppm"
        self.command("screendump", filename=str(path.resolve()), device="gpu", head=head)
        data = path.read_bytes()
        path.unlink()
        return data

    def run(self, command, within_s=20):
        """`(status, output)` of a shell command on the board. What the serial line damaged is asked for again: the board
        runs no command twice."""
        assert "\n" not in command
        self.number += 1
        asked = f"{self.number} {within_s} {command}".encode()
        lost = []
        while len(lost) < 3:
            self.guest.send(md5(asked) + b" " + asked + b"\n")
            try:
                return self._answer(command, time.monotonic() + within_s + 15)
            except Silent as silent:
                lost.append(str(silent))
                self.guest.clear()
        raise Failed("; then ".join(lost))

    def _answer(self, command, end):
        pattern = re.compile(rb"= %d (\d+) (\d+) ([0-9a-f]{32})" % self.number)
        while not (head := pattern.search(self.guest.line(end, command))):
            pass
        status, count, checksum = head.groups()
        output = self.guest.bytes(int(count), time.monotonic() + 10, command)
        if md5(output) != checksum:
            raise Silent(f"a damaged answer to {command}")
        return int(status), output.decode(errors="replace")

    def must(self, command, within_s=20):
        """A shell command's output; `Failed` if it does not succeed."""
        status, output = self.run(command, within_s)
        if status != 0:
            raise Failed(f"on the board: {command}: exit {status}: {output.strip()[-300:]}")
        return output

    def cut_power(self):
        """As if its plug was pulled: what the guest has not given to its disk is lost."""
        self.process.kill()
        self.stop()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for path in self.sockets:
            path.unlink(missing_ok=True)


def md5(data):
    return hashlib.md5(data, usedforsecurity=False).hexdigest().encode()
