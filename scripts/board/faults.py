"""What happens to an installed cart that assists: bundles that it must refuse, a bundle that does not do, threads that hang, a full
disk, a clock that jumps, keys that change. Each check by its name, in the order in which they run. See scripts/board-install."""

import json
import time

import picture
from machine import Failed

# A whole restart, or a model that is loaded and tested, with everything emulated.
SLOW_S = 180
DISK_MB = 4
SETTINGS = """
# The tiny network finds nothing then.
sensitivity = "quiet"

[camera]
sizes = ["640x480"]
rate_hz = 5.0

[pipeline]
# An emulated CPU is slow, and shares its machine with others.
max_age_ms = 1000

[store]
trial_minutes = 0.5
"""
BUNDLES = "/faults"
STORE = "/var/lib/polyp-edge"


def install(cart, name, within_s=SLOW_S):
    """Exit code and what was said."""
    return cart.machine.run(f"polyp-edge bundle install {BUNDLES}/{name}.polyp", within_s)


def installed(cart, name):
    status, text = install(cart, name)
    if status != 0:
        raise Failed(f"{name} is not installed: exit {status}: {text}")


def reload(cart):
    cart.machine.must("systemctl reload polyp-edge", 60)


def bundles(cart):
    return json.loads(cart.machine.must("polyp-edge bundle list --json", 60))


def assists(cart, version, on_trial, within_s=SLOW_S):
    """Waits until the model of that version assists."""
    def holds():
        state = cart.state()
        model = state.get("model") or {}
        found = model.get("version"), state.get("on_trial"), state.get("state")
        if found != (version, on_trial, "assist"):
            raise Failed(f"the state is {found}, {state.get('reason')}, instead of {(version, on_trial, 'assist')}")
        return state
    return cart.eventually(f"{version} assists", holds, within_s)


def degrades(cart, within_s=SLOW_S):
    def holds():
        state = cart.state()
        if state.get("state") != "degraded":
            raise Failed(f"the state is {state.get('state')}")
        return state["reason"]
    return cart.eventually("assistance is off", holds, within_s)


class Hung:
    """A thread of the program, stopped in whatever it asks of the kernel next: as long as a driver or a kernel that hangs."""

    def __init__(self, cart, thread, wait_s=600):
        self.machine = cart.machine
        find = f"grep -lx {thread} /proc/{cart.pid()}/task/*/comm"
        # The youngest: one that was given up may still be there.
        number = max(int(path.split("/")[-2]) for path in cart.machine.must(find).split())
        cart.machine.must(
            f"(strace -qq -o /dev/null -p {number} -e trace=all -e inject=all:delay_enter={wait_s * 1000000} </dev/null >/dev/shm/strace.log 2>&1 &);"
            f" i=0; until grep -q '^TracerPid:.[1-9]' /proc/{number}/status; do i=$((i+1)); [ $i -gt 100 ] && cat /dev/shm/strace.log && exit 1;"
            " sleep 0.1; done", 30)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.machine.run("pkill -KILL strace")


def moves(cart, name):
    """The monitor shows what the camera shows: no frozen picture. Leaves the bars there."""
    for pattern, shows in (("7", red), ("0", cart.has_bars)):
        cart.machine.must(f"v4l2-ctl -d /dev/video0 --set-ctrl test_pattern={pattern}")
        cart.eventually(name, lambda shows=shows: shows(picture.Picture(cart.machine.screendump("screen"))))
    cart.look(name)


def red(shot):
    found = shot.at(shot.width // 2, shot.height // 3)
    if max(abs(a - b) for a, b in zip(found, (255, 0, 0))) > 12:
        raise Failed(f"the camera shows red, the monitor {found}")


def the_same_run(cart, pid):
    if cart.pid() != pid:
        raise Failed("the process is another one")


def a_trusted_bundle_assists(cart):
    text = SETTINGS.replace("\n", "\\n").replace('"', '\\"')
    cart.machine.must(f'printf "{text}" >> /etc/polyp-edge/cart.toml; cp {BUNDLES}/first.pub /etc/polyp-edge/keys/')
    # A disk of its own, which can be full.
    cart.machine.must(
        f"systemctl stop polyp-edge; mount -t tmpfs -o size={DISK_MB}m,mode=0750,uid=polyp-edge,gid=polyp-edge tmpfs {STORE};"
        " systemctl start polyp-edge", 60)
    cart.shows_the_picture("a cart without a bundle")
    status, text = install(cart, "good")
    if status != 0:
        raise Failed(f"exit {status}: {text}")
    reload(cart)
    assists(cart, "good", True)
    # Nothing but time and the trial.
    assists(cart, "good", False)
    moves(cart, "a bundle that was installed")
    return next(line for line in text.splitlines() if line.startswith("tested"))


def real_time_and_devices_are_granted(cart):
    """By the unit, to its own user, with every other device denied."""
    pid = cart.pid()
    classes = dict(reversed(line.split()) for line in
                   cart.machine.must(f"ps -L -o rtprio=,comm= -p {pid}").strip().splitlines() if len(line.split()) == 2)
    if not (classes.get("display", "-").isdigit() and classes.get("capture", "-").isdigit()) or classes.get("inference") != "-":
        raise Failed(f"priorities: {classes}")
    held = cart.machine.must(f"ls -l /proc/{pid}/fd")
    for device in ("/dev/video0", "/dev/dri/card"):
        if device not in held:
            raise Failed(f"{device} is not open: {held}")
    return f"capture {classes['capture']}, display {classes['display']}"


REFUSED = [("junk", 76), ("changed", 76), ("stranger", 76), ("unsigned", 76), ("lower", 76), ("elsewhere", 76), ("cut", 65)]


def what_must_not_run_is_refused(cart):
    pid, before, said = cart.pid(), bundles(cart), []
    for name, code in REFUSED:
        status, text = install(cart, name)
        lines = text.strip().splitlines()
        if status != code or len(lines) != 1:
            raise Failed(f"{name}: exit {status} instead of {code}: {text}")
        said.append(f"{name}: {lines[0]}")
    if bundles(cart) != before:
        raise Failed(f"{before} became {bundles(cart)}")
    the_same_run(cart, pid)
    assists(cart, "good", False, 30)
    trail = cart.machine.must("polyp-edge audit --json")
    for name, _ in REFUSED:
        if f"{name}.polyp" not in trail:
            raise Failed(f"the audit trail has nothing of {name}")
    (cart.out / "refused.txt").write_text("\n".join(said) + "\n")
    return f"{len(REFUSED)} bundles"


def an_inference_that_hangs_is_replaced(cart):
    pid, start = cart.pid(), time.monotonic()
    with Hung(cart, "inference"):
        reason = degrades(cart)
        cart.shows_the_picture("an inference that hangs")
        moves(cart, "the picture while inference hangs")
        assists(cart, "good", False)
    the_same_run(cart, pid)
    return f"{reason}; assistance again after {time.monotonic() - start:.0f} s, emulated"


def a_bundle_that_degrades_is_given_up(cart):
    pid = cart.pid()
    installed(cart, "next")
    reload(cart)
    assists(cart, "next", True)
    # Each call of the kernel takes so long: results come, but too late.
    with Hung(cart, "inference", 3):
        degrades(cart)
        cart.look("a bundle that degrades")

        def given_up():
            slots = bundles(cart)
            if slots["trial"] is not None:
                raise Failed(f"the bundles are {slots}")
            return slots
        slots = cart.eventually("given up", given_up, SLOW_S)
    assists(cart, "good", False)
    the_same_run(cart, pid)
    refused = slots["refused"]
    if refused["slot"]["version"] != "next":
        raise Failed(f"the bundles are {slots}")
    return refused["why"]


def restarted(cart, name, end):
    """`end()` must make the service manager end the program and start it again, with a new picture. Says how long that took, from the end
    of the old program to the new one's first picture, and how much of it was the program's own; by the board's journal."""
    pid = cart.pid()
    end()
    # What the new program shows, the old one has not shown.
    cart.machine.must("v4l2-ctl -d /dev/video0 --set-ctrl test_pattern=7")
    cart.eventually(name, lambda: red(picture.Picture(cart.machine.screendump("screen"))), SLOW_S)
    cart.look(name)
    cart.machine.must("v4l2-ctl -d /dev/video0 --set-ctrl test_pattern=0")
    new = cart.pid()
    if new == pid:
        raise Failed("the process is the same one")
    assists(cart, "good", False)
    ended = at(cart, "-u polyp-edge", "Main process exited")[-1]
    begun, shown = at(cart, f"_PID={new}", "MESSAGE")[0], at(cart, f"_PID={new}", "kms::sink")[0]
    return f"a picture {shown - ended:.1f} s after its end, {shown - begun:.1f} s of it the program's own, emulated"


def at(cart, whose, words):
    """When the journal took in lines with these words, s since the kernel's start."""
    text = cart.machine.must(f"journalctl -b {whose} -o json --output-fields=MESSAGE --no-pager | grep '{words}'", 60)
    return [int(json.loads(line)["__MONOTONIC_TIMESTAMP"]) / 1e6 for line in text.splitlines()]


def a_display_that_hangs_is_started_again(cart):
    def hang():
        Hung(cart, "display")
        # Whom strace holds not even SIGKILL ends, so it lets go as soon as the watchdog has bitten.
        cart.machine.must('(until [ "$(systemctl show -P SubState polyp-edge)" = stop-watchdog ]; do sleep 0.1; done; pkill -KILL strace)'
                          " >/dev/null 2>&1 &")
    took = restarted(cart, "after a display that hung", hang)
    if "watchdog" not in cart.machine.must("journalctl -b -u polyp-edge --no-pager | grep -i watchdog | tail -3").lower():
        raise Failed("the journal does not say that it was the watchdog")
    return took


def a_killed_program_is_started_again(cart):
    return restarted(cart, "after a kill", lambda: cart.machine.must("systemctl kill -s KILL polyp-edge"))


def a_full_disk_stops_nothing(cart):
    pid = cart.pid()
    cart.machine.run(f"dd if=/dev/zero of={STORE}/filler bs=64k", 60)
    try:
        status, text = install(cart, "next")
        said = text.strip().splitlines()[-1]
        if status != 74 or not said.startswith("polyp-edge: ") or "No space left" not in said:
            raise Failed(f"exit {status} on a full disk: {text}")
        moves(cart, "a full disk")
        # The state's file system, too.
        cart.machine.run("dd if=/dev/zero of=/run/filler bs=1M", 60)

        def stale():
            text = cart.machine.run("cat /run/polyp-edge/state.json")[1]
            if "stale" not in text:
                raise Failed(f"the state file says {text[:300]}")
        cart.eventually("a stale state", stale)
        moves(cart, "two full disks")
    finally:
        cart.machine.run(f"rm -f /run/filler {STORE}/filler")
    state = assists(cart, "good", False)
    the_same_run(cart, pid)
    cart.machine.must("polyp-edge audit --check")
    installed(cart, "next")
    cart.machine.must("polyp-edge bundle rollback", 60)
    return f"{said}; {state['shown']} pictures shown"


def a_clock_that_jumps_changes_nothing(cart):
    pid = cart.pid()
    for jump in ("+10 years", "-20 years", "+10 years"):
        before = cart.state()["written_uptime_s"]
        cart.machine.must(f'date -s "$(date -d "{jump}" "+%F %T")"')
        time.sleep(6)
        moves(cart, f"clock {jump}")
        state = assists(cart, "good", False, 30)
        if state["written_uptime_s"] <= before:
            raise Failed("the state is not written any more")
        the_same_run(cart, pid)
    cart.machine.must("polyp-edge audit --check")
    installed(cart, "next")
    cart.machine.must("polyp-edge bundle rollback", 60)


def keys_are_rotated(cart):
    keys = "/etc/polyp-edge/keys"
    pid = cart.pid()
    status, text = install(cart, "rotated")
    if status != 76:
        raise Failed(f"before its key came: exit {status}: {text}")
    cart.machine.must(f"cp {BUNDLES}/second.pub {keys}/")
    installed(cart, "rotated")
    reload(cart)
    assists(cart, "rotated", True)
    assists(cart, "rotated", False)
    cart.machine.must(f"rm {keys}/first.pub")
    reload(cart)
    status, text = install(cart, "next")
    if status != 76:
        raise Failed(f"of a key that was removed: exit {status}: {text}")
    assists(cart, "rotated", False, 30)
    moves(cart, "after the keys were rotated")
    the_same_run(cart, pid)
    cart.machine.must("systemctl restart polyp-edge", 60)
    assists(cart, "rotated", False)
    # The one before was signed with the key that is gone.
    status, text = cart.machine.run("polyp-edge bundle rollback", 60)
    if status != 76 or "nothing is changed" not in text:
        raise Failed(f"back to a bundle whose key was removed: exit {status}: {text}")
    cart.machine.must("polyp-edge audit --check")


def all_of_it_is_in_the_audit_trail(cart):
    text = cart.machine.must("polyp-edge audit", 60)
    (cart.out / "audit.txt").write_text(text)
    return f"{len(text.splitlines())} lines"


CHECKS = [a_trusted_bundle_assists, real_time_and_devices_are_granted, what_must_not_run_is_refused,
          an_inference_that_hangs_is_replaced, a_bundle_that_degrades_is_given_up, a_display_that_hangs_is_started_again,
          a_killed_program_is_started_again, a_full_disk_stops_nothing, a_clock_that_jumps_changes_nothing, keys_are_rotated,
          all_of_it_is_in_the_audit_trail]
