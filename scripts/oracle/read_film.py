#!/usr/bin/env python3
"""Reads a recording's films as ffmpeg's libraries do, and says what they found as JSON; an error if a film cannot be read.

    read_film.py FOLDER
"""
import json
import sys
from pathlib import Path

import av
import numpy


def film(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        known = None if stream.duration is None and container.duration is None else container.duration / 1e6
        times, means, sizes, edges = [], [], set(), 0
        for frame in container.decode(stream):
            picture = frame.to_ndarray(format="rgb24")
            times.append(float(frame.pts * frame.time_base))
            means.append(float(picture.mean()))
            sizes.add(picture.shape[1::-1])
            edges += int((picture[..., 2].astype(int) - picture[..., 0] > 100).sum())
        codec = stream.codec_context.name
    # By the places of its clusters, as a player does whose bar is moved.
    sought = None
    if known is not None and len(times) > 2:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            container.seek(int(times[-1] / 2 / stream.time_base), stream=stream)
            sought = float(next(container.decode(stream)).pts * stream.time_base)
    return {
        "codec": codec, "times": times, "lasts": known, "sought": sought, "means": means,
        "sizes": sorted(sizes), "cyan": edges,
    }


folder = Path(sys.argv[1])
print(json.dumps({path.name: film(path) for path in sorted(folder.glob("*.mkv"))}))
