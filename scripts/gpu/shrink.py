"""Pictures and their masks made smaller until they fit: the first of a few sizes and qualities that does."""

import argparse
import sys
from pathlib import Path

from PIL import Image

# Longest side in pixels, JPEG quality; best first.
LEVELS = [(512, 85), (448, 85), (448, 75), (384, 80), (384, 70), (352, 70), (320, 70), (288, 65), (256, 65), (256, 50)]


def resized(image, side, filter):
    share = side / max(image.size)
    if share >= 1:
        return image
    return image.resize([max(1, round(length * share)) for length in image.size], filter)


def write(source, target, side, quality):
    """Bytes written. A mask keeps two values, a picture becomes a JPEG; one that would grow is left as it is."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(source) as image:
        if source.parent.name == "masks":
            resized(image.convert("L"), side, Image.Resampling.BOX).point(lambda v: 255 * (v > 127)).convert("1").save(
                target, optimize=True
            )
        else:
            target = target.with_suffix(".jpg")
            smaller = resized(image.convert("RGB"), side, Image.Resampling.LANCZOS)
            smaller.save(target, quality=quality, subsampling="4:2:0", optimize=True)
            if source.suffix == ".jpg" and smaller.size == image.size and target.stat().st_size > source.stat().st_size:
                target.write_bytes(source.read_bytes())
    return target.stat().st_size


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--masks", type=Path, required=True)
    parser.add_argument("--room", type=int, required=True)
    options = parser.parse_args()
    names = [line for path in (options.images, options.masks) for line in path.read_text().splitlines()]
    sample = names[::23]
    for side, quality in LEVELS:
        def size(some):
            return sum(write(options.data / name, options.out / name, side, quality) for name in some)

        # Is it worth trying on all of them?
        if size(sample) * len(names) > 1.1 * options.room * len(sample):
            continue
        total = size(names)
        print(f"level           {side} px, quality {quality}: {total} bytes", file=sys.stderr)
        if total <= options.room:
            print(f"pictures        made smaller: longest side at most {side} px, JPEG quality {quality}, {total} bytes")
            return 0
    return 1


sys.exit(main())
