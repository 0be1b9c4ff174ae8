"""Boots an emulated board with Debian and the package, and goes through what happens to a cart that is installed, upgraded and
cleaned; then through faults.py. See scripts/board-install."""

import argparse
import json
import sys
import time
from pathlib import Path

import checks
import faults
import initramfs
import picture
from machine import Failed, Machine

MODULES = ["virtio-pci", "virtio-gpu", "vivid"]
VIVID = "n_devs=1 node_types=0x1 num_inputs=1 input_types=0 num_outputs=1"
# A whole Debian, with everything emulated.
BOOT_S = 400
SOON_S = 60
STATE = "/run/polyp-edge/state.json"
SERVICE = """[Unit]
Description=Obeys whoever tests this board
DefaultDependencies=no
After=systemd-remount-fs.service
[Service]
ExecStart=/usr/local/bin/obey
# Not /run, which a check fills.
Environment=OBEY_FOLDER=/dev/shm
StandardInput=null
[Install]
WantedBy=sysinit.target
"""


def image(options):
    """The root, with the kernel's modules, as an initramfs."""
    root, here = Path(options.debian), Path(__file__).parent
    release = options.kernel.name.removeprefix("vmlinuz-")
    order = initramfs.modules(Path(options.root, "lib/modules", release), MODULES)
    modules = root / "modules"
    modules.mkdir(exist_ok=True)
    for name, data in order:
        (modules / f"{name}.ko").write_bytes(data)
    load = "".join(f"insmod /modules/{name}.ko {VIVID if name == 'vivid' else ''} || exit 1\n" for name, _ in order)
    script = root / "usr/local/bin/load-modules"
    # vivid writes over its picture.
    still = "i=0; until [ -e /dev/video0 ] || [ $i -gt 50 ]; do sleep 0.2; i=$((i+1)); done\n" \
            "v4l2-ctl -d /dev/video0 --set-ctrl osd_text_mode=2\n"
    script.write_text("#!/bin/sh\n" + load + still)
    obey = root / "usr/local/bin/obey"
    obey.write_bytes((here / "obey").read_bytes())
    for path in (script, obey):
        path.chmod(0o755)
    units = root / "etc/systemd/system"
    (units / "obey.service").write_text(SERVICE)
    (units / "load-modules.service").write_text(
        "[Unit]\nDefaultDependencies=no\nBefore=systemd-udev-trigger.service\n[Service]\nType=oneshot\n"
        "ExecStart=/usr/local/bin/load-modules\n[Install]\nWantedBy=sysinit.target\n")
    wants = units / "sysinit.target.wants"
    wants.mkdir(exist_ok=True)
    for unit in ("obey", "load-modules"):
        link = wants / f"{unit}.service"
        link.unlink(missing_ok=True)
        link.symlink_to(f"/etc/systemd/system/{unit}.service")


class Cart:
    """The board, and what is seen of it."""

    def __init__(self, machine, out):
        self.machine, self.out = machine, out

    def look(self, name):
        shot = picture.Picture(self.machine.screendump("screen"))
        number = len(list(self.out.glob("*.png"))) + 1
        (self.out / f"{number:02}-{name.replace(' ', '-')}.png").write_bytes(shot.png())
        return shot

    def eventually(self, what, holds, within_s=SOON_S):
        """What `holds()` gives, once it does not fail any more."""
        end = time.monotonic() + within_s
        while True:
            try:
                return holds()
            except Failed as failure:
                if time.monotonic() > end:
                    self.look(f"{what} failed")
                    raise Failed(f"{what}: {failure}") from failure
            time.sleep(1)

    def state(self):
        status, text = self.machine.run(f"cat {STATE}")
        try:
            return json.loads(text) if status == 0 else {}
        except json.JSONDecodeError:
            return {}

    def pid(self):
        return self.machine.must("systemctl show -P MainPID polyp-edge").strip()

    @staticmethod
    def has_bars(shot):
        """Whatever mode was chosen: the camera's and the monitor's are the same."""
        size = (shot.width, shot.height)
        picture.must_be_bars(shot, picture.fit(size, size))

    def shows_the_picture(self, name):
        """vivid's bars where they belong, and in the corner that there is no assistance."""
        def bars():
            shot = picture.Picture(self.machine.screendump("screen"))
            self.has_bars(shot)
            picture.must_have_glyph(shot)
        self.machine.must("systemctl is-active polyp-edge")
        self.eventually(name, bars)
        return self.look(name)

    def shows_none(self, name):
        """Not vivid's bars."""
        def none():
            shot = picture.Picture(self.machine.screendump("screen"))
            try:
                self.has_bars(shot)
            except Failed:
                return
            raise Failed("the picture is still there")
        self.eventually(name, none)
        self.look(name)


def boots_to_the_picture(cart):
    # Nothing was done but to install the package and to switch on.
    cart.eventually("the unit", lambda: cart.machine.must("systemctl is-active polyp-edge"), BOOT_S)
    cart.shows_the_picture("the picture after the start")

    def told():
        state = cart.state()
        if state.get("state") != "degraded" or "no bundle is installed" not in (state.get("reason") or ""):
            raise Failed(f"the state is {state.get('state')}: {state.get('reason')}")
        return state
    state = cart.eventually("the state", told)
    user = cart.machine.must(f"ps -o user= -p {cart.pid()}").strip()
    if user != "polyp-edge":
        raise Failed(f"it runs as {user}")
    since = cart.machine.must("systemctl show -P ActiveEnterTimestampMonotonic polyp-edge").strip()
    return f"{int(since) / 1e6:.0f} s after the kernel's start, emulated; {state['board']}, {state['state']}: {state['reason']}"


def doctor_agrees(cart):
    text = cart.machine.run("polyp-edge doctor --board /etc/polyp-edge/cart.toml", 60)[1]
    bad = [line for line in text.splitlines() if line.startswith("BAD")]
    # No bundle is installed, and the service holds the monitor.
    other = [line for line in bad if "no bundle is installed" not in line and "in use by polyp-edge" not in line]
    if other or not bad:
        raise Failed(f"doctor says {text}")
    return f"{len(bad)} known findings"


def reloads(cart):
    pid = cart.pid()
    cart.machine.must("systemctl reload polyp-edge")
    time.sleep(2)
    if cart.pid() != pid:
        raise Failed("the process is another one")
    cart.shows_the_picture("after a reload")


def an_upgrade_lets_it_run(cart):
    pid, text = cart.pid(), cart.machine.must("dpkg -i --force-confdef --force-confold /packages/newer.deb", 240)
    if "still runs" not in text:
        raise Failed(f"dpkg said {text[-300:]}")
    if cart.pid() != pid:
        raise Failed("the process is another one")
    cart.shows_the_picture("after an upgrade")
    cart.machine.must("systemctl restart polyp-edge", 60)
    cart.shows_the_picture("after a restart")


def removing_gives_the_console_back(cart):
    cart.machine.must("dpkg --remove polyp-edge", 120)
    if cart.machine.run("pidof polyp-edge")[0] == 0:
        raise Failed("it still runs")
    cart.shows_none("removed")
    cart.machine.must("[ -e /etc/polyp-edge/cart.toml ]")


def purging_leaves_nothing(cart):
    cart.machine.must("dpkg --purge polyp-edge", 120)
    cart.machine.must("[ ! -e /etc/polyp-edge ] && [ ! -e /var/lib/polyp-edge ] && [ ! -e /run/polyp-edge ]")
    failed = cart.machine.run("systemctl --failed --no-legend --plain")[1]
    if "polyp" in failed:
        raise Failed(failed)


def one_command_installs(cart):
    # Only the package: a cart has no network.
    text = cart.machine.must("apt-get install -y /packages/polyp-edge.deb", 300)
    cart.shows_the_picture("installed by one command")
    return next((line for line in text.splitlines() if "profile is" in line), "")


CHECKS = [boots_to_the_picture, doctor_agrees, reloads, an_upgrade_lets_it_run, removing_gives_the_console_back,
          purging_leaves_nothing, one_command_installs]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("kernel", "root", "debian", "out"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--image-only", action="store_true", help="prepare the root, and boot nothing")
    parser.add_argument("--initramfs", help="what was made of the root")
    options = parser.parse_args()
    out, options.kernel = Path(options.out).resolve(), Path(options.kernel).resolve()
    if options.image_only:
        image(options)
        return 0
    for old in [*out.glob("*.png"), *out.glob("*.log")]:
        old.unlink()
    begun, failed = time.monotonic(), []
    try:
        machine = Machine(options.kernel, Path(options.initramfs).resolve(), out, checks.SCREEN, False, memory_mb=2048,
                          parameters="rdinit=/lib/systemd/systemd systemd.journald.forward_to_console=1", within_s=BOOT_S)
    except Failed as failure:
        print(f"FAILED  boot: {failure}; see {out}/guest-timed.log")
        return 1
    print(f"obeys after {time.monotonic() - begun:.0f} s", flush=True)
    cart = Cart(machine, out)
    try:
        for run in CHECKS + faults.CHECKS:
            name, start = run.__name__.replace("_", " "), time.monotonic()
            try:
                detail = run(cart)
                print(f"passed  {name} ({time.monotonic() - start:.0f} s{'; ' + detail if detail else ''})", flush=True)
            except Failed as failure:
                failed.append(name)
                print(f"FAILED  {name} ({time.monotonic() - start:.0f} s): {failure}", flush=True)
        (out / "journal.log").write_text(machine.run("journalctl -b --no-pager -o short-monotonic | tail -n 400", 60)[1])
    finally:
        machine.stop()
    print(f"{len(failed)} failed in {time.monotonic() - begun:.0f} s; screendumps and logs in {out}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
