"""Screendumps: reading, writing for people, and what must be seen in them."""

import struct
import zlib

from machine import Failed


class Picture:
    """24-bit RGB, rows without gaps."""

    def __init__(self, ppm):
        fields, at = [], 0
        while len(fields) < 4:
            end = at
            while not ppm[end:end + 1].isspace():
                end += 1
            fields.append(ppm[at:end])
            at = end + 1
        if fields[0] != b"P6" or fields[3] != b"255":
            raise Failed(f"a screendump of another kind: {fields}")
        self.width, self.height = int(fields[1]), int(fields[2])
        self.pixels = ppm[at:at + 3 * self.width * self.height]

    def png(self):
        rows = b"".join(b"\0" + self.row(y) for y in range(self.height))

        def chunk(kind, data):
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

        head = struct.pack(">IIBBBBB", self.width, self.height, 8, 2, 0, 0, 0)
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")

    def row(self, y):
        return self.pixels[3 * self.width * y:3 * self.width * (y + 1)]

    def at(self, x, y):
        start = 3 * (y * self.width + x)
        return tuple(self.pixels[start:start + 3])

    def whole(self):
        return (0, 0, self.width, self.height)

    def share(self, rectangle, wanted):
        """How much of `(x, y, width, height)`, every other row, has colours that `wanted(r, g, b)` takes."""
        left, top, width, height = rectangle
        counts = []
        for y in range(top, top + height, 2):
            row = self.row(y)[3 * left:3 * (left + width)]
            counts.append(sum(map(wanted, row[0::3], row[1::3], row[2::3])))
        return sum(counts) / (width * len(counts))

    def places(self, wanted):
        """`[(x, y)]` of all pixels of every other row whose colour `wanted(r, g, b)` takes."""
        found = []
        for y in range(0, self.height, 2):
            row = self.row(y)
            found += [(x, y) for x, hit in enumerate(map(wanted, row[0::3], row[1::3], row[2::3])) if hit]
        return found


def fit(frame, surface):
    """Where a frame lies on a surface: as large as it can be in its proportions, in the middle. As the program has it."""
    (width, height), (most_x, most_y) = frame, surface
    if width * most_y >= height * most_x:
        size = most_x, (height * most_x + width // 2) // width
    else:
        size = (width * most_y + height // 2) // height, most_y
    return (most_x - size[0]) // 2, (most_y - size[1]) // 2, *size


def overlap(one, other):
    """Intersection over union of two rectangles `(x, y, width, height)`."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    both = max(width, 0) * max(height, 0)
    return both / (one[2] * one[3] + other[2] * other[3] - both)


# White, yellow, cyan, green, magenta, red, blue at 75 %, black: vivid's first pattern, eight bars of equal width.
BARS = [(191, 191, 191), (191, 191, 0), (0, 191, 191), (0, 191, 0), (191, 0, 191), (191, 0, 0), (0, 0, 191), (0, 0, 0)]


def must_be_bars(picture, place, tolerance=4):
    """Colour bars in `place`, black around it. Y′CbCr of eight bits and back is off by two."""
    left, top, width, height = place
    for index, colour in enumerate(BARS):
        # Not at the bars' edges, where chroma and resampling mix; not at the bottom, where the glyph is.
        for across in (0.25, 0.5, 0.75):
            for down in (0.02, 0.3, 0.6, 0.9):
                x, y = left + int((index + across) * width / 8), top + int(down * height)
                found = picture.at(x, y)
                if max(abs(a - b) for a, b in zip(found, colour)) > tolerance:
                    raise Failed(f"bar {index} at ({x}, {y}) is {found} instead of {colour}")
    # The bars' edges tell whether the picture lies where it must.
    y = top + height // 3
    for index in range(7):
        edge = left + (index + 1) * width / 8
        for x, colour in ((int(edge) - 5, BARS[index]), (int(edge) + 5, BARS[index + 1])):
            found = picture.at(x, y)
            if max(abs(a - b) for a, b in zip(found, colour)) > tolerance:
                raise Failed(f"the edge after bar {index} is not at {edge:.0f}: ({x}, {y}) is {found}")
    around = [(left // 2, picture.height // 2), (left - 2, 5)] if left > 4 else []
    around += [(picture.width // 2, top // 2)] if top > 4 else []
    for x, y in around:
        if max(picture.at(x, y)) > 2:
            raise Failed(f"not black beside the picture: ({x}, {y}) is {picture.at(x, y)}")


def is_outline(red, green, blue):
    """The overlay's cyan (0, 255, 230), also where it is blended with what lies beneath."""
    return green > 170 and blue > 140 and red < 90


def is_dark(red, green, blue):
    return red < 16 and green < 16 and blue < 16


def is_glyph(red, green, blue):
    """A letter or dot of one of the glyph's colours: green, light grey, amber."""
    return ((abs(red - 60) < 10 and abs(green - 230) < 10 and abs(blue - 90) < 10)
            or (abs(red - 200) < 8 and abs(green - 200) < 8 and abs(blue - 200) < 8)
            or (red > 247 and abs(green - 170) < 10 and blue < 10))


def must_have_glyph(picture, there=True):
    """A dot and words in the lower right corner."""
    height = max(picture.height // 300, 1) * 12
    corner = (picture.width * 3 // 4, picture.height - height, picture.width // 4, height)
    share = picture.share(corner, is_glyph)
    if (share > 0.01) != there:
        raise Failed(f"{share:.1%} of the lower right corner has the glyph's colours")


def must_say_why(picture):
    """A dark screen with lines of light letters in its middle."""
    dark = picture.share(picture.whole(), is_dark)
    middle = (picture.width // 8, picture.height // 3, picture.width * 3 // 4, picture.height // 3)
    letters = picture.share(middle, lambda red, green, blue: min(red, green, blue) > 150)
    if dark < 0.9 or not 0.001 < letters < 0.3:
        raise Failed(f"no screen that says why: {dark:.0%} of it dark, letters on {letters:.1%} of its middle")
