"""The program on the emulated board: what is done to it, and what is seen of it."""

import json
import re
import time

import picture
from machine import Failed

# An emulated CPU takes ten times as long as a real one: patience for what a cart does at once.
SOON_S = 20


class Board:
    """The program on the board, and what is done to it."""

    def __init__(self, machine, out, polyps):
        self.machine, self.out = machine, out
        # Where the rendered endoscope's polyps lie: x, y, width, height.
        self.polyps = polyps
        # The profile that the program runs with.
        self.running = None

    def prepare(self):
        """A console with something to recognise on it."""
        self.machine.must("printf '\\033c\\033[?25lthe console of board-vm\\n' > /dev/tty1")
        time.sleep(0.3)
        self.console = self.look("console before")

    def keep_log(self, name):
        """What the program has said so far, beside the screendumps."""
        status, text = self.machine.run("cat /run/polyp.log")
        if status == 0:
            with open(self.out / "polyp-edge.log", "a") as file:
                file.write(f"== {name}\n{text}\n")

    # what is seen

    def look(self, name, head=0):
        """The monitor's picture, kept as a PNG file."""
        shot = picture.Picture(self.machine.screendump("screen", head))
        number = len(list(self.out.glob("*.png"))) + 1
        (self.out / f"{number:02}-{re.sub('[^a-z0-9]+', '-', name.lower())}.png").write_bytes(shot.png())
        return shot

    def eventually(self, name, holds, within_s=SOON_S, head=0):
        """Looks until `holds(picture)` raises nothing; its last objection if that does not come in time."""
        end = time.monotonic() + within_s
        while True:
            self.must_run()
            shot = picture.Picture(self.machine.screendump("screen", head))
            try:
                holds(shot)
                return self.look(name, head)
            except Failed:
                if time.monotonic() > end:
                    self.look(f"{name} failed", head)
                    raise
            time.sleep(0.3)

    def state(self):
        """The exported state; an empty one while there is none."""
        status, text = self.machine.run("cat /run/polyp-edge/state.json")
        try:
            return json.loads(text) if status == 0 else {}
        except json.JSONDecodeError:
            raise Failed(f"the exported state is not JSON: {text[:200]}") from None

    def until_state(self, wanted, within_s=SOON_S):
        """Waits until the exported state has all of the words `wanted`, in whatever field."""
        end = time.monotonic() + within_s
        while True:
            state = self.state()
            text = json.dumps(state, ensure_ascii=False).lower()
            if all(word in text for word in wanted):
                return state
            if time.monotonic() > end:
                raise Failed(f"the state is {text[:300]}, without {' '.join(wanted)}")
            time.sleep(0.3)

    def log(self):
        return self.machine.run("cat /run/polyp.log")[1]

    def until_log(self, wanted, start, within_s=SOON_S):
        """Waits until the log, from its character `start` on, has all of the words `wanted`."""
        end = time.monotonic() + within_s
        while True:
            text = self.log()[start:]
            missing = [words for words in wanted if words not in text]
            if not missing:
                return
            if time.monotonic() > end:
                raise Failed(f"the log does not say {missing[0]}; its last line: {last_line(text)}")
            time.sleep(0.3)

    # what is done

    def profile(self, name, text):
        """A board profile that inherits board-vm's."""
        whole = f'name = "{name}"\ninherits = "board-vm"\n{text}\n'.replace("\\", "\\\\").replace("\n", "\\n")
        self.machine.must(f"printf '{whole}' > /polyp-edge/boards/{name}.toml")

    def start(self, name, text):
        self.end()
        self.profile(name, text)
        self.machine.must("rm -f /run/polyp.exit /run/polyp.log /run/polyp-edge/state.json")
        self.machine.must(
            f"cd /run; (polyp-edge run --board /polyp-edge/boards/{name}.toml >/run/polyp.out 2>/run/polyp.log;"
            " echo $? >/run/polyp.exit) & i=0;"
            " until pidof polyp-edge >/run/polyp.pid || [ -e /run/polyp.exit ]; do i=$((i+1)); [ $i -gt 100 ] && exit 1; sleep 0.05; done")
        self.running = name

    def exit_status(self):
        """Of the program; `None` while it runs."""
        status, text = self.machine.run("cat /run/polyp.exit")
        return int(text) if status == 0 else None

    def must_run(self):
        status = self.exit_status()
        if self.running and status is not None:
            raise Failed(f"the program ended with {status}: {last_line(self.log())}")

    def stop(self):
        """Ends the program with SIGTERM: seconds until it was gone, and its exit status."""
        if self.exit_status() is not None:
            raise Failed(f"the program had ended before: {last_line(self.log())}")
        text = self.machine.must(
            "read a _ </proc/uptime; kill -TERM $(cat /run/polyp.pid); i=0;"
            " until [ -e /run/polyp.exit ]; do i=$((i+1)); [ $i -gt 500 ] && exit 1; sleep 0.02; done;"
            " read b _ </proc/uptime; echo $a $b; cat /run/polyp.exit", 40)
        self.running = None
        begun, ended, status = text.split()
        return float(ended) - float(begun), int(status)

    def end(self):
        """Makes sure that nothing of the last check runs on."""
        self.running = None
        self.machine.run("killall -TERM polyp-edge && { sleep 1; killall -KILL polyp-edge; sleep 0.2; }")

    def plug(self, there):
        """Takes the cameras away or brings them back."""
        self.machine.must(f"echo vivid.0 > /sys/bus/platform/drivers/vivid/{'bind' if there else 'unbind'}; links")

    def control(self, device, *settings):
        self.machine.must("vivid set " + device + "".join(f" '{setting}'" for setting in settings))

    def no_text(self, device):
        """Colour bars that stand still, with nothing written on them."""
        self.control(device, "OSD Text Mode=None")


def last_line(text):
    lines = text.strip().splitlines()
    return lines[-1] if lines else "nothing was logged"
