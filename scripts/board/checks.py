"""What the emulated board must show: each check by its name, in the order in which they run."""

import json
import time

import picture
from board import SOON_S, last_line
from machine import Failed

SCREEN = (1280, 720)
# vivid's virtual cameras, as `VIVID` makes them.
WEBCAM, WEBCAM_PLANES, HDMI_IN, HDMI_OUT = (
    f"/dev/v4l/by-id/vivid-{name}" for name in ("000-vid-cap", "001-vid-cap", "002-vid-cap", "002-vid-out"))
VIVID = ("n_devs=3 node_types=0x1,0x1,0x101 num_inputs=1,1,1 input_types=0,0,3 num_outputs=1,1,1 output_types=1,1,1"
         " multiplanar=1,2,1")
# By their names in a profile and in the driver's words.
FORMATS = {"YUYV": "YUYV", "UYVY": "UYVY", "NV12": "NV12", "RGB24": "RGB3", "BGR24": "BGR3"}
CLOCKS = {True: "its clock counting instructions", False: "its clock this machine's"}


def camera(device, formats, size, rest=""):
    names = ", ".join(f'"{name}"' for name in formats)
    return f'[camera]\nsource = "v4l2:{device}"\nformats = [{names}]\nsizes = ["{size[0]}x{size[1]}"]\n{rest}'


# Without assistance the picture comes all the same, and sooner.
NO_MODEL = '[model]\nbundle = "none"\n'

CHECKS = []


def check(name, counted=False):
    """`counted`: on the board whose clock counts instructions."""
    def add(function):
        CHECKS.append((name, counted, function))
        return function
    return add


def bars(board, name, size, screen=SCREEN, glyph=True, within_s=SOON_S):
    """The webcam's colour bars in their place, and the glyph."""
    def holds(shot):
        if (shot.width, shot.height) != screen:
            raise Failed(f"the monitor is {shot.width}×{shot.height} instead of {screen[0]}×{screen[1]}")
        picture.must_be_bars(shot, picture.fit(size, screen))
        picture.must_have_glyph(shot, glyph)
    return board.eventually(name, holds, within_s)


def message(board, name, within_s=SOON_S):
    """A dark screen that says why there is no picture."""
    return board.eventually(name, picture.must_say_why, within_s)


LIVE = camera(WEBCAM, ["YUYV"], SCREEN, "rate_hz = 15.0\n")


def live(board):
    """The webcam at 1280×720 with its bars on the monitor, if it is not there already."""
    if board.running == "live" and board.exit_status() is None:
        return
    board.no_text(WEBCAM)
    board.start("live", LIVE)
    bars(board, "live", SCREEN, within_s=40)


# 1. Video there: right colours, right place, the glyph.


def formats(board, device):
    for name, granted in FORMATS.items():
        board.no_text(device)
        board.start("webcam", camera(device, [name], (640, 480), "rate_hz = 15.0\n" + NO_MODEL))
        # Enlarged: 960×720 in the middle.
        bars(board, f"{name} {device[-11:]}", (640, 480), within_s=40)
        if f" {granted}," not in board.log():
            raise Failed(f"the log does not say that {granted} was granted: {last_line(board.log())}")
        _, status = board.stop()
        # Of a bundle that is not there.
        if status != 74:
            raise Failed(f"{name}: exit {status}: {last_line(board.log())}")


@check("every format of a webcam in its colours and place, single-planar")
def single_planar(board):
    formats(board, WEBCAM)


@check("every format of a webcam in its colours and place, multi-planar")
def multi_planar(board):
    formats(board, WEBCAM_PLANES)


@check("the monitor takes the camera's size where the profile says so")
def camera_mode(board):
    board.no_text(WEBCAM)
    board.start("mode", camera(WEBCAM, ["YUYV"], (640, 480), "rate_hz = 15.0\n") + NO_MODEL + '[display]\nmodes = ["camera"]')
    bars(board, "640x480", (640, 480), screen=(640, 480), within_s=40)


# 2. The rendered endoscope through HDMI.


def endoscope(board, rest=""):
    """The rendered endoscope through the HDMI input."""
    # The cable's two ends must have the same timings.
    for device in (HDMI_IN, HDMI_OUT):
        board.machine.must(f"vivid timings {device} 1280x720 30")
    board.control(HDMI_IN, "Loop Video=1", "OSD Text Mode=None")
    board.machine.run("killall vivid")
    board.machine.must(f"vivid feed {HDMI_OUT} /endoscope.yuyv </dev/null >/run/feed.log 2>&1 & sleep 1; cat /run/feed.log")
    board.start("endoscope", camera(HDMI_IN, ["YUYV"], SCREEN) + rest)


@check("a polyp of the rendered endoscope is outlined where it is", counted=True)
def outlined(board):
    endoscope(board)

    def holds(shot):
        line = shot.places(picture.is_outline)
        if len(line) < 200:
            raise Failed(f"{len(line)} pixels have the outline's colour")
        left, right = min(x for x, _ in line), max(x for x, _ in line)
        top, bottom = min(y for _, y in line), max(y for _, y in line)
        overlap = picture.overlap((left, top, right - left + 1, bottom - top + 1), board.polyps)
        if overlap < 0.5:
            raise Failed(f"the outline lies in {left}..{right} × {top}..{bottom}, the polyps in {board.polyps}: IoU {overlap:.2f}")
        picture.must_have_glyph(shot)
    board.eventually("outlined polyp", holds, 60)
    board.until_state(["assist"])


# 9. What the room asks for.

# The action of each key; the button's line is the only one that the emulator can press.
KEYS = {"f1": "outlines-toggle", "f2": "outlines-off", "f3": "outlines-on", "f4": "outlines-off-while-held", "f5": "mark",
        "f6": "snapshot", "f7": "record-start", "f8": "record-stop", "f9": "record-last", "f10": "record-toggle"}
CHIP, LAMP = "/dev/gpiochip0", 5
ROOM = """
[pipeline]
audit_folder = "/run/audit"

[control]
socket = "/run/polyp-edge/control.sock"

[[control.inputs]]
device = "/dev/input/event0"
keys = { %s }

[[control.pins]]
chip = "%s"
line = 3
active_low = false
pull = "none"
action = "outlines-toggle"

[alert]
pins = [{ chip = "%s", line = %d, lasts_ms = 10000 }]
again_after_ms = 100

[study]
folder = "/run/study"

[recording]
pictures = "both"
before_s = 3.0
rate_hz = 1.0
memory_megabytes = 16
""" % (", ".join(f'KEY_{key.upper()} = "{action}"' for key, action in KEYS.items()), CHIP, CHIP, LAMP)
CTL = "polyp-edge ctl --socket /run/polyp-edge/control.sock "


def outlines_are(board, name, on):
    """On the monitor and in the state file."""
    def holds(shot):
        line = len(shot.places(picture.is_outline))
        if (line >= 200) != on:
            raise Failed(f"{line} pixels have the outline's colour, and outlines are {'on' if on else 'off'}")
        # The corner always says something: that outlines are drawn, or that they are off.
        picture.must_have_glyph(shot)
    board.eventually(name, holds, 120)
    board.until_state([f'"outlines": {str(on).lower()}'], 30)


@check("outlines go and come by socket, key and button, and so do pictures, films, marks and a lamp", counted=True)
def room(board):
    endoscope(board, ROOM)
    machine = board.machine
    outlines_are(board, "outlines before", True)
    ways = {"the socket": lambda: machine.must(CTL + "outlines toggle", 60), "the button": machine.press_button}
    has_keys = machine.run("ls /dev/input/event0")[0] == 0
    if has_keys:
        ways["a key"] = lambda: machine.press("f1")
    for way, press in ways.items():
        for on in (False, True):
            press()
            outlines_are(board, f"outlines {'on' if on else 'off'} by {way}", on)
    # The lamp's pin, as the kernel tells: it is on while a region is new.
    machine.must("mountpoint -q /sys/kernel/debug || mount -t debugfs debugfs /sys/kernel/debug")
    pins = machine.must("cat /sys/kernel/debug/gpio")
    if "polyp-edge" not in pins:
        raise Failed(f"no pin is the program's: {pins}")
    machine.must(CTL + "outlines off", 60)
    # A region is new again once it has been gone for three seconds.
    machine.must("sleep 4", 120)
    machine.must(CTL + "outlines on", 60)
    until(board, "the lamp is lit", "grep polyp-edge /sys/kernel/debug/gpio", lambda text: " out hi" in text)
    order = (lambda key, _: machine.press(key)) if has_keys else (lambda _, words: machine.must(CTL + words, 60))
    order("f6", "snapshot")
    until(board, "a picture is kept", "ls /run/study/*Z", lambda text: "segmentation.dcm" in text)
    order("f7", "record start")
    board.until_state(['"state": "recording"'], 60)
    outlines_are(board, "recording", True)
    machine.must("sleep 3", 120)
    order("f8", "record stop")
    until(board, "a film has ended", "cat /run/study/*-video/recording.json", lambda text: "it was told to end" in text)
    order("f9", "record last")
    until(board, "the last seconds are kept", "cat /run/study/*-video/recording.json",
          lambda text: text.count("it was told to end") == 2)
    order("f5", "mark seen")
    until(board, "all is recorded", "polyp-edge audit --folder /run/audit --json", lambda text: all(
        f'"event":"{event}"' in text for event in ("outlines", "mark", "snapshot", "recording-begun", "recording-ended")))
    return "" if has_keys else "without keys: this kernel has no evdev"


def until(board, what, command, holds, within_s=90):
    """Until a command on the board says what it should."""
    end = time.monotonic() + within_s
    while True:
        board.must_run()
        _, text = board.machine.run(command, 60)
        if holds(text):
            return
        if time.monotonic() > end:
            raise Failed(f"{what}: not in {within_s} s; {command} says {text.strip()[-300:]}")
        time.sleep(0.5)


# 10. From glass to glass.


@check("bench loopback measures what a cable of a known length adds", counted=True)
def loopback(board):
    machine = board.machine
    board.end()
    machine.run("killall vivid")
    for device in (HDMI_IN, HDMI_OUT):
        machine.must(f"vivid timings {device} 1280x720 30")
    board.control(HDMI_IN, "Loop Video=1", "OSD Text Mode=None")
    board.profile("loop", camera(HDMI_IN, ["YUYV"], SCREEN) + '[display]\nkind = "y4m"')
    # The first of both also has what emulation itself takes.
    found = {}
    for delay_ms in (0, 300):
        machine.must("cd /run; polyp-edge bench loopback --board /polyp-edge/boards/loop.toml --no-model --warm-up 3 --seconds 12 --json"
                     f" 2>/run/loop.log | vivid pipe {HDMI_OUT} {delay_ms} 2>/run/pipe.log || true", 400)
        text = machine.must("cat /run/loop.log")
        if '"outside"' not in text:
            raise Failed(f"nothing was measured: {last_line(text)}; {machine.run('cat /run/pipe.log')[1][-200:]}")
        found[delay_ms] = json.loads(text[text.index("{"):text.rindex("}") + 1])
    added = found[300]["outside"]["mean_ms"] - found[0]["outside"]["mean_ms"]
    # Each picture waits for the input's next one: half of one on average, a whole one at most.
    if abs(added - 300) > 1000 / 30 + found[0]["error_ms"]:
        raise Failed(f"300 ms more were measured as {added:.1f}: {found}")
    turns = ", ".join(f"{one['turns']} turns of {one['whole']['p50_ms']:.0f} ms" for one in found.values())
    return f"300 ms more are {added:.1f}; {turns}"


# 7. SIGTERM.


@check("SIGTERM ends the program in under a second, and the console is back", counted=True)
def terminated(board):
    if board.running != "endoscope":
        outlined(board)
    took, status = board.stop()
    if status != 0:
        raise Failed(f"exit {status}: {last_line(board.log())}")

    def holds(shot):
        if shot.pixels != board.console.pixels:
            raise Failed("the monitor does not show the console as it was before")
    board.eventually("console", holds, 10)
    if took > 1.0:
        raise Failed(f"it took {took:.2f} s")
    return f"{took:.2f} s"


# 5. The HDMI signal.


def hdmi(board):
    """The HDMI input's own bars on the monitor, if they are not there already."""
    if board.running == "hdmi" and board.exit_status() is None:
        return
    board.machine.must(f"vivid timings {HDMI_IN} 1280x720 30")
    board.control(HDMI_IN, "Loop Video=0", "OSD Text Mode=None", "DV Timings Signal Mode=Current DV Timings")
    board.start("hdmi", camera(HDMI_IN, ["UYVY"], SCREEN) + NO_MODEL)
    bars(board, "HDMI", SCREEN, within_s=40)


@check("a lost HDMI signal is said on the screen, and the picture comes back")
def signal(board):
    hdmi(board)
    # vivid takes the cable's power away with the signal.
    for mode, reason in (("No Signal", "no cable"), ("No Lock", "out of range"), ("Out of Range", "out of range")):
        board.control(HDMI_IN, f"DV Timings Signal Mode={mode}")
        message(board, f"HDMI {mode}")
        board.until_state(["no-signal", reason])
        board.control(HDMI_IN, "DV Timings Signal Mode=Current DV Timings")
        bars(board, f"HDMI after {mode}", SCREEN)


@check("another HDMI timing is taken over")
def timing(board):
    hdmi(board)
    board.control(HDMI_IN, "DV Timings=640x480p59", "DV Timings Signal Mode=Selected DV Timings")
    bars(board, "HDMI 640x480", (640, 480))
    board.control(HDMI_IN, "DV Timings=1280x720p30")
    bars(board, "HDMI 1280x720", SCREEN)


# 3. A camera that errs.


@check("damaged and dropped buffers do not stop the picture")
def damaged(board):
    live(board)
    for _ in range(5):
        board.control(WEBCAM, "Inject V4L2_BUF_FLAG_ERROR")
    board.control(WEBCAM, "Percentage of Dropped Buffers=60")
    moves(board, "dropped buffers")
    board.control(WEBCAM, "Percentage of Dropped Buffers=0")
    bars(board, "after damaged buffers", SCREEN)


for injected in ("VIDIOC_QBUF Error", "Fatal Streaming Error"):
    @check(f"the picture recovers from an injected {injected}")
    def recovers(board, injected=injected):
        live(board)
        board.control(WEBCAM, f"Inject {injected}")
        time.sleep(1)
        moves(board, f"after {injected}")


@check("the picture recovers from errors while it starts")
def starts(board):
    live(board)
    # Each is met at the next start of the stream, which the third one brings about.
    board.control(WEBCAM, "Inject VIDIOC_STREAMON Error", "Inject VIDIOC_REQBUFS Error", "Inject Fatal Streaming Error")
    time.sleep(1)
    moves(board, "after start errors", 40)


# 4. A camera that goes and returns.


@check("an unbound camera is said on the screen, and its return shows")
def unplugged(board):
    live(board)
    board.plug(False)
    first = message(board, "camera gone")
    board.until_state(["no-signal", "unplugged"])

    def holds(shot):
        picture.must_say_why(shot)
        if shot.pixels == first.pixels:
            raise Failed("the screen does not count how long the camera has been gone")
    board.eventually("camera gone for longer", holds)
    board.plug(True)
    board.no_text(WEBCAM)
    bars(board, "camera back", SCREEN, within_s=40)


@check("a camera that hangs up is opened again")
def disconnected(board):
    live(board)
    # vivid connects again when nobody holds it open any more: a picture that waits until the model is loaded does.
    before = len(board.log())
    board.control(WEBCAM, "Disconnect")
    board.until_log(["hung up", "frames arrive again"], before, 60)
    moves(board, "after hanging up")


@check("a camera that is replugged at once is found again, whatever its number")
def replugged(board):
    live(board)
    # Pictures of the old device are still under way and may keep its number.
    board.plug(False)
    board.plug(True)
    board.no_text(WEBCAM)
    moves(board, "replugged", 40)
    return board.machine.must(f"readlink {WEBCAM}").strip()


# 6. The monitor.


@check("a monitor that is unplugged and plugged in again shows the picture")
def monitor(board):
    live(board)
    connector = board.machine.must("ls -d /sys/class/drm/card*-Virtual-1").strip()
    board.machine.must(f"echo off > {connector}/status")
    board.until_state(["no monitor"])

    def holds(shot):
        if shot.share(shot.whole(), picture.is_dark) < 0.9:
            raise Failed("the unplugged monitor shows a picture")
    board.eventually("monitor unplugged", holds)
    board.machine.must(f"echo detect > {connector}/status")
    moves(board, "monitor back", 40)


@check("a second monitor shows the picture, and its coming and going leaves the first one alone")
def second(board):
    connector = board.machine.must("ls -d /sys/class/drm/card*-Virtual-2").strip()
    board.machine.must(f"echo on > {connector}/status")
    board.no_text(WEBCAM)

    def clean(shot):
        picture.must_be_bars(shot, picture.fit(SCREEN, (shot.width, shot.height)))
        picture.must_have_glyph(shot, False)

    def is_dark(shot):
        if shot.share(shot.whole(), picture.is_dark) < 0.9:
            raise Failed("the unplugged second monitor shows a picture")
    shows = '[display]\nsecond = { connector = "Virtual-2", shows = "SHOWS" }\n'
    board.start("second", LIVE + shows.replace("SHOWS", "clean"))
    bars(board, "first of two", SCREEN, within_s=40)
    board.eventually("second, clean", clean, 40, head=1)
    board.machine.must(f"echo off > {connector}/status")
    board.until_state(["no monitor at virtual-2"])
    board.eventually("second unplugged", is_dark, head=1)
    bars(board, "first while the second is away", SCREEN)
    board.machine.must(f"echo on > {connector}/status")
    board.eventually("second back", clean, 40, head=1)
    # What it shows is changed while it shows; then there is no camera any more.
    board.profile("second", LIVE + shows.replace("SHOWS", "outlined"))
    board.machine.must("kill -HUP $(cat /run/polyp.pid)")
    board.eventually("second, outlined", lambda shot: picture.must_have_glyph(shot, True), 90, head=1)
    board.plug(False)
    board.eventually("second without a camera", picture.must_say_why, 40, head=1)
    message(board, "first without a camera")
    board.plug(True)
    bars(board, "first with the camera back", SCREEN, within_s=40)
    seconds, status = board.stop()
    if seconds > 1.5 or status != 0:
        raise Failed(f"the end took {seconds:.2f} s and gave exit status {status}")
    board.machine.must(f"echo detect > {connector}/status")


# 8. SIGHUP.


@check("SIGHUP reloads the profile; a broken one is refused while the picture goes on")
def reload(board):
    live(board)
    hang_up = "kill -HUP $(cat /run/polyp.pid)"
    small = camera(WEBCAM, ["YUYV"], (640, 480), "rate_hz = 15.0\n")
    board.no_text(WEBCAM)
    board.profile("live", small)
    board.machine.must(hang_up)
    bars(board, "reloaded with another size", (640, 480), within_s=40)
    # What is wrong, and what is not there: refused, each with a line that names the profile or the device.
    for broken, said in ((small + "[overlay]\nglyph = 7", "live.toml"),
                         (small.replace(WEBCAM, "/dev/video77"), "/dev/video77"),
                         (small + '[display]\nconnector = "DP-7"', "DP-7"),
                         (small + NO_MODEL, "none")):
        before = len(board.log())
        board.profile("live", broken)
        board.machine.must(hang_up)
        board.until_log(["the profile stays as it was", said], before, 30)
        bars(board, "broken profile", (640, 480))
    board.profile("live", LIVE)
    board.machine.must(hang_up)
    bars(board, "reloaded as it was", SCREEN, within_s=40)


# Beside all that: memory and files.


@check("memory and open files stay as they are, after reloads too")
def flat(board):
    board.running = None
    live(board)
    moves(board, "before the wait")
    loaded = settled(board)
    # Reloads of a model that stays, then of one that changes: two in memory while the new one is tested, then one again.
    # What the allocator keeps for the next one comes once.
    stays = [reloaded(board, f"the same model {number}", ["", ""]) for number in (1, 2, 3)]
    changes = [reloaded(board, f"another model {number}", ["[model]\nthreads = 2\n", ""]) for number in (1, 2, 3)]
    for before, after in ((stays[0], stays[2]), (stays[2], changes[0]), (changes[0], changes[2])):
        if after["fds"] > loaded["fds"] or after["kib"] > before["kib"] + 4096:
            raise Failed(f"{loaded} became {stays} and {changes} with each two reloads")
    last = flat_for(board, 12)
    if last["fds"] > loaded["fds"] or last["kib"] > changes[0]["kib"] + 4096:
        raise Failed(f"{changes} became {last}")
    resident = ", ".join(f"{round['kib'] / 1024:.1f}" for round in [loaded, *stays, *changes])
    return f"{resident} MiB resident, two reloads between each; {last['fds']} files"


def reloaded(board, name, additions):
    for addition in additions:
        before = len(board.log())
        board.profile("live", LIVE + addition)
        board.machine.must("kill -HUP $(cat /run/polyp.pid)")
        # Another model is loaded and tested beside the one in charge: an emulated CPU takes a while.
        board.until_log(["the profile was reloaded and is in use"], before, 180)
    moves(board, f"after reloads, {name}")
    return settled(board)


def settled(board, within_s=180):
    """What the program uses once its model is loaded and has looked at a picture: an emulated CPU takes a while."""
    end = time.monotonic() + within_s
    before = usage(board)
    while True:
        time.sleep(4)
        board.must_run()
        now = usage(board)
        loading = board.state().get("state") == "self-test"
        if not loading and now["fds"] == before["fds"] and abs(now["kib"] - before["kib"]) <= 256:
            return now
        if time.monotonic() > end:
            raise Failed(f"{before} still became {now}{', the model not yet loaded' if loading else ''}")
        before = now


def flat_for(board, span_s, within_s=120):
    """What the program uses once it uses the same at both ends of `span_s` seconds, which no leak ever does. What is
    touched for the first time, as by a first polyp, may come at any moment, and once."""
    end = time.monotonic() + within_s
    before = usage(board)
    while True:
        time.sleep(span_s)
        board.must_run()
        now = usage(board)
        if now["fds"] <= before["fds"] and now["kib"] <= before["kib"] + 256:
            return now
        if time.monotonic() > end:
            raise Failed(f"{before} still became {now} in {span_s} s")
        before = now


def usage(board):
    """Memory in KiB, all of it and by its kinds (its own, files', shared), and open files."""
    text = board.machine.must("pid=$(cat /run/polyp.pid); grep -E 'VmRSS|Rss(Anon|File|Shmem)' /proc/$pid/status; ls /proc/$pid/fd | wc -l")
    lines = [line.split() for line in text.strip().splitlines()]
    kinds = {words[0].rstrip(":"): int(words[1]) for words in lines if len(words) > 2}
    return {"kib": kinds["VmRSS"], "fds": int(lines[-1][0]),
            "kinds": [kinds[kind] for kind in ("RssAnon", "RssFile", "RssShmem")]}


def moves(board, name, within_s=SOON_S):
    """The webcam's bars are there, and when its pattern changes, so does the monitor: no frozen picture."""
    bars(board, name, SCREEN, within_s=within_s)
    board.control(WEBCAM, "Test Pattern=100% Red")

    def holds(shot):
        if max(abs(a - b) for a, b in zip(shot.at(640, 300), (255, 0, 0))) > 12:
            raise Failed(f"the camera shows red, the monitor {shot.at(640, 300)}")
    board.eventually(f"{name} red", holds, within_s)
    board.control(WEBCAM, "Test Pattern=75% Colorbar")
    bars(board, f"{name} again", SCREEN, within_s=within_s)
