#!/usr/bin/env python3
"""Scores predicted maps with the field's reference implementation (PyPI pysodmetrics), to compare `polyp-host measure` with it.

python3 scripts/measures/compare.py MAPS MASKS          # folders of 8-bit grey PNG, paired by name: JSON on stdout
python3 scripts/measures/compare.py --fixture FILE      # small made-up maps, with its values beside them

Needs scripts/measures/requirements.txt. "list" holds the measures of all maps together, "maps" those of each alone.
"""

import argparse
import json
import pathlib
import sys

import numpy as np
import py_sod_metrics as reference
from PIL import Image

WIDTH, HEIGHT = 24, 20


def measures(pairs):
    curves = reference.FmeasureV2({
        "dice": reference.DICEHandler(with_dynamic=True, with_adaptive=False),
        "iou": reference.IOUHandler(with_dynamic=True, with_adaptive=False),
    })
    weighted, structure, alignment, error = (
        reference.WeightedFmeasure(), reference.Smeasure(), reference.Emeasure(), reference.MAE())
    for grey, mask in pairs:
        for measure in (curves, weighted, structure, alignment, error):
            measure.step(pred=grey, gt=mask)
    results, e = curves.get_results(), alignment.get_results()["em"]["curve"]
    dice, iou = results["dice"]["dynamic"], results["iou"]["dynamic"]
    values = {
        "mean_dice": dice.mean(), "max_dice": dice.max(), "mean_iou": iou.mean(),
        "weighted_f": weighted.get_results()["wfm"], "s_measure": structure.get_results()["sm"],
        "mean_e": e.mean(), "max_e": e.max(), "mae": error.get_results()["mae"],
    }
    return {name: float(value) for name, value in values.items()}


def report(named):
    return {
        "list": measures([pair for _, pair in named]),
        "maps": {name: measures([pair]) for name, pair in named},
    }


def read_folder(maps, masks):
    def grey(path):
        return np.array(Image.open(path).convert("L"))

    names = sorted(path.name for path in masks.glob("*.png"))
    missing = [name for name in names if not (maps / name).is_file()]
    if missing or not names:
        sys.exit(f"{maps}: {len(missing)} of {len(names)} maps are missing, {missing[:5]}")
    return [(name.removesuffix(".png"), (grey(maps / name), grey(masks / name))) for name in names]


def made_up():
    """Small maps of every kind that is treated in a way of its own. A mask of nothing but the last row or column is not
    among them: there the reference's S-measure is NaN."""
    random = np.random.default_rng(5)
    y, x = np.mgrid[:HEIGHT, :WIDTH]

    def blob(row, column, radius):
        return ((y - row) ** 2 + (x - column) ** 2 <= radius ** 2)

    def soft(row, column, radius, noise):
        far = np.hypot(y - row, x - column) - radius
        return np.clip(255 / (1 + np.exp(far)) + random.normal(0, noise, far.shape), 0, 255).astype(np.uint8)

    empty, full = np.zeros((HEIGHT, WIDTH), bool), np.ones((HEIGHT, WIDTH), bool)
    even = {value: np.full((HEIGHT, WIDTH), value, np.uint8) for value in (0, 77, 128, 255)}
    corner, two = blob(2, 3, 3), blob(5, 6, 3) | blob(13, 17, 4)
    halves = np.where(x < 12, 40, 200).astype(np.uint8)
    column, dot = x == 5, (y == 7) & (x == 9)
    steps = ((x * 10 + y) % 256).astype(np.uint8)
    cases = {
        "good": (soft(9, 11, 5, 0), blob(9, 11, 5)), "noisy": (soft(9, 11, 5, 40), blob(9, 11, 5)),
        "shifted": (soft(7, 14, 5, 10), blob(9, 11, 5)), "faint": (soft(9, 11, 5, 5) // 6 + 30, blob(9, 11, 5)),
        "two": (soft(5, 6, 3, 8), two), "binary": (blob(8, 11, 5) * np.uint8(255), blob(9, 11, 5)),
        "wrong": (soft(4, 4, 3, 0), blob(14, 18, 3)), "nothing on polyp": (even[0], two),
        "everything on polyp": (even[255], two), "even on polyp": (even[77], corner), "half on polyp": (even[128], two),
        "nothing on empty": (even[0], empty), "even on empty": (even[77], empty), "blob on empty": (soft(9, 11, 5, 8), empty),
        "full on full": (even[255], full), "even on full": (even[77], full), "blob on full": (soft(9, 11, 5, 8), full),
        "halves": (halves, corner), "column": (soft(9, 5, 2, 20), column), "dot": (soft(7, 9, 2, 3), dot),
        "steps": (steps, two), "exact": (two * np.uint8(255), two),
    }
    return [(name, (grey, mask.astype(np.uint8) * 255)) for name, (grey, mask) in cases.items()]


def write_fixture(path):
    named = made_up()
    values = report(named)
    lines = [
        json.dumps({"name": name, "map": grey.ravel().tolist(), "mask": "".join("1" if value else "0" for value in mask.ravel()),
                    "measures": values["maps"][name]})
        for name, (grey, mask) in named
    ]
    head = f'{{"width": {WIDTH}, "height": {HEIGHT}, "list": {json.dumps(values["list"])}, "cases": [\n'
    path.write_text(head + ",\n".join(lines) + "\n]}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("maps", type=pathlib.Path, nargs="?")
    parser.add_argument("masks", type=pathlib.Path, nargs="?")
    parser.add_argument("--fixture", type=pathlib.Path)
    arguments = parser.parse_args()
    if arguments.fixture:
        write_fixture(arguments.fixture)
    elif arguments.maps and arguments.masks:
        print(json.dumps(report(read_folder(arguments.maps, arguments.masks))))
    else:
        parser.error("name MAPS and MASKS, or --fixture FILE")


if __name__ == "__main__":
    main()
