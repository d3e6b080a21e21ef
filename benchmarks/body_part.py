"""How well a body-part regressor finds its way in whole-trunk phantoms, whose heights are known, and how fast it is.

    python benchmarks/body_part.py WEIGHTS [--cases 200] [--output benchmarks/results/body_part.json]
    python benchmarks/body_part.py WEIGHTS --ct CT --label LABEL --picture CT.png

Phantoms of seeds that no cohort has, in hospital form: random field of view, spacing, orientation and part of the
trunk. The true slice score of a slice is its height in the phantom's anatomy, on the scale on which the tops of the
livers have -4 and the middles of the kidneys 0 on average. Then each scan is spoilt on purpose, and what the crop
refuses is counted.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Orientation

from custom_components.anatomy import JUDGED_ORGANS
from custom_components.body_part.evaluate import kept_mm
from custom_components.body_part.findings import check_body_part, is_in_reverse_order
from custom_components.body_part.landmarks import LANDMARKS, landmark_indices, organ_spans
from custom_components.body_part.line import LEAST_SLICES
from custom_components.body_part.plot import draw_body_part
from custom_components.body_part.regressor import BodyPart, BodyPartRegressor
from custom_components.data.phantom import RawForm
from custom_components.data.phantom.body import BodyFrame
from custom_components.data.phantom.scan import make_phantom
from custom_components.data.phantom.subject import draw_subject
from custom_components.data.phantom.variation import VARIATION
from custom_components.data.readers import read_volume

FORM = RawForm(matrix=128, slice_mm=(1.0, 6.0))
SEED = 20_201_911
RANGE, GRID_MM = (-6.0, 6.0), 384.0
FIXED = {name: mark.score for name, mark in LANDMARKS.items() if mark.score is not None}


def phantom(number: int) -> tuple[MetaTensor, np.ndarray, np.ndarray]:
    """A CT and its label (X, Y, Z) in RAS, and the height of each slice in the phantom's own anatomy, in mm."""
    shift = float(np.random.default_rng((SEED, number)).uniform())
    made = make_phantom((SEED, number), shift, grid=FORM)
    subject = draw_subject(np.random.SeedSequence((SEED, number)), shift, VARIATION)
    frame = BodyFrame(subject, np.random.default_rng(subject.anatomy_seed.spawn(2)[0]))
    image, label = (
        Orientation("RAS", labels=None)(MetaTensor(torch.as_tensor(voxels)[None], affine=torch.as_tensor(made.affine)))
        for voxels in (made.image.astype(np.float32), made.label)
    )
    x, y, z = image.shape[1:]
    centres = np.stack([np.full(z, (x - 1) / 2), np.full(z, (y - 1) / 2), np.arange(z), np.ones(z)])
    world = (np.asarray(image.affine) @ centres)[:3].astype(np.float32)
    return image, label[0].numpy(), frame.fields(world.reshape(3, z, 1, 1))[2].ravel()


def other_header(image: MetaTensor, factor: float) -> MetaTensor:
    """The same slices, with another distance in the header."""
    affine = image.affine.clone()
    affine[:3, 2] *= factor
    return MetaTensor(image.as_tensor(), affine=affine)


SPOILT: dict[str, tuple[str, Callable[[MetaTensor], MetaTensor]]] = {
    "slices in reverse order": ("slice scores grow upwards", lambda image: image.flip(3)),
    "upside down": ("slice scores grow upwards", lambda image: image.flip([1, 3])),
    "left and right exchanged": ("has left and right exchanged", lambda image: image.flip(1)),
    "spacing half of the true one": ("has a wrong slice spacing", partial(other_header, factor=0.5)),
    "spacing twice the true one": ("has a wrong slice spacing", partial(other_header, factor=2.0)),
    "spacing 1.5 times the true one": ("has a wrong slice spacing", partial(other_header, factor=1.5)),
}
"""What is done to a scan, and what shall be said."""

PARTS = {
    "chest above the liver": ("top of the liver", 75.0, np.inf),
    "pelvis": ("middle of the kidneys", -np.inf, -200.0),
}
"""Slices from so many to so many mm above a landmark, of which none is to be kept."""
LEAST_MM = 30.0
"""Of such a part."""


def other_parts(image: MetaTensor, label: np.ndarray, spacing: float) -> dict[str, MetaTensor]:
    """The parts of a scan in which nothing is to be kept, as scans of their own."""
    marks, parts = landmark_indices(label), {}
    for name, (landmark, low, high) in PARTS.items():
        if landmark in marks:
            mm = (np.arange(image.shape[3]) - marks[landmark]) * spacing
            slices = np.flatnonzero((mm >= low) & (mm <= high))
            if len(slices) * spacing >= LEAST_MM and len(slices) >= LEAST_SLICES:
                parts[name] = MetaTensor(image.as_tensor()[..., slices[0] : slices[-1] + 1], affine=image.affine)
    return parts


def finding(found: BodyPart, slope: float) -> str:
    """Why the crop refuses a scan, or nothing."""
    try:
        check_body_part(found, slope, RANGE)
    except ValueError as error:
        return str(error)
    return ""


def measure(number: int, weights: str) -> dict[str, Any]:
    """One phantom, as it is and spoilt."""
    torch.set_num_threads(1)
    regressor = BodyPartRegressor.load(weights)
    image, label, height = phantom(number)
    found = regressor(image, step=0)
    spacing = float(np.linalg.norm(np.asarray(image.affine)[:3, 2]))
    crop = kept_mm(found, RANGE, GRID_MM)
    spans = {name: span for name, span in organ_spans(label).items() if name in JUDGED_ORGANS}
    inside = [low * spacing >= crop[0] and high * spacing <= crop[1] for low, high in spans.values()]
    return {
        "spacing": spacing,
        "height": height,
        "scores": found.scores,
        "line": found.line.at(found.slices.height),
        "marks": {
            name: float(np.interp(index, np.arange(len(height)), height))
            for name, index in landmark_indices(label).items()
        },
        "at": {name: float(found.line.at(index * spacing)) for name, index in landmark_indices(label).items()},
        "organs": len(spans),
        "all_inside": all(inside) if len(spans) == len(JUDGED_ORGANS) else None,
        "slope": found.line.slope / regressor.slope,
        "mirrored": found.mirrored,
        "exchanged": regressor(image.flip(1), step=0).mirrored,
        "turned": is_in_reverse_order(regressor(image.flip(3), step=0), regressor.slope),
        "finding": finding(found, regressor.slope),
        "spoilt": {
            name: finding(regressor(scan, step=0), regressor.slope)
            for name, scan in {
                **{name: change(image) for name, (_, change) in SPOILT.items()},
                **other_parts(image, label, spacing),
            }.items()
        },
    }


def true_scale(cases: list[dict[str, Any]]) -> tuple[float, float]:
    """Score of a mm of anatomy, and score at its height 0, from the true landmarks of all phantoms."""
    heights = [np.median([case["marks"][name] for case in cases if name in case["marks"]]) for name in FIXED]
    scale, shift = np.polyfit(heights, list(FIXED.values()), 1)
    return float(scale), float(shift)


def figures(cases: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures of all phantoms."""
    scale, shift = true_scale(cases)
    errors = {
        which: [np.abs(case[which] - (scale * case["height"] + shift)) / abs(scale) for case in cases]
        for which in ("scores", "line")
    }
    per_case = np.array([one.mean() for one in errors["line"]])
    whole = [case for case in cases if case["all_inside"] is not None]
    spoilt = {}
    expected = {name: said for name, (said, _) in SPOILT.items()} | dict.fromkeys(PARTS, "is of another part")
    for name, said in expected.items():
        texts = [case["spoilt"][name] for case in cases if not case["finding"] and name in case["spoilt"]]
        right = sum(said in text for text in texts)
        spoilt[name] = {"cases": len(texts), "refused": sum(map(bool, texts)), "for the right reason": right}
    return {
        "cases": len(cases),
        "mm of a score": 1 / abs(scale),
        "error of a slice in mm": float(np.mean([one.mean() for one in errors["scores"]])),
        "error of a slice in slices": float(
            np.mean([one.mean() / case["spacing"] for one, case in zip(errors["scores"], cases, strict=True)])
        ),
        "error of the line in mm": float(per_case.mean()),
        "error of the line in slices": float(
            np.mean([one / case["spacing"] for one, case in zip(per_case, cases, strict=True)])
        ),
        "error of the line in mm, 95th percentile of the cases": float(np.percentile(per_case, 95)),
        "error at landmarks in mm": {
            name: float(np.mean([abs(case["at"][name] - score) for case in cases if name in case["at"]]) / abs(scale))
            for name, score in FIXED.items()
        },
        "scans with both kidneys, liver and spleen whole": len(whole),
        "of these whole in the crop too": sum(case["all_inside"] for case in whole),
        "refused though nothing is wrong": sum(bool(case["finding"]) for case in cases),
        "reasons": sorted({case["finding"] for case in cases if case["finding"]}),
        "slope, least and greatest": [min(case["slope"] for case in cases), max(case["slope"] for case in cases)],
        "mirrored, greatest": max(case["mirrored"] for case in cases),
        "mirrored, least of those exchanged": min(case["exchanged"] for case in cases),
        "in reverse order and turned": sum(case["turned"] for case in cases),
        "spoilt": spoilt,
    }


def speed(weights: str, repeats: int = 5) -> float:
    """Median seconds for a CT of 512 x 512 x 300 voxels in memory."""
    regressor = BodyPartRegressor.load(weights)
    affine = torch.diag(torch.tensor([0.8, 0.8, 1.5, 1.0], dtype=torch.float64))
    volume = MetaTensor(torch.randint(-1000, 1000, (1, 512, 512, 300), dtype=torch.int16).float(), affine=affine)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        regressor(volume)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def picture(args: argparse.Namespace) -> None:
    """Score one CT, print what is found, and draw it."""
    regressor = BodyPartRegressor.load(args.weights)
    found = regressor(read_volume(args.ct), step=0)
    slope, falling = found.line.slope / regressor.slope, float((np.diff(found.scores) < 0).mean())
    print(f"slope {slope:.2f} of the usual one, {found.line.inliers:.0%} of the slices within 1 of the line, ", end="")
    print(f"{falling:.0%} of the steps upwards fall, mirrored with probability {found.mirrored:.2f}")
    print(f"finding: {finding(found, regressor.slope) or 'none'}")
    marks = None
    if args.label:
        label = read_volume(args.label)
        mm = float(np.linalg.norm(np.asarray(label.affine)[:3, 2]))
        marks = {name: index * mm for name, index in landmark_indices(label[0].numpy()).items()}
        for name, (low, high) in organ_spans(label[0].numpy()).items():
            if name in JUDGED_ORGANS:
                print(f"{name}: scores {found.line.at(high * mm):.1f} to {found.line.at(low * mm):.1f}")
    draw_body_part(found, RANGE, landmarks=marks).savefig(args.picture)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", help="body_part.pt")
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--workers", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--output", type=Path)
    parser.add_argument("--ct")
    parser.add_argument("--label")
    parser.add_argument("--picture", default="body_part.png")
    args = parser.parse_args()
    if args.ct:
        return picture(args)
    with ProcessPoolExecutor(args.workers, multiprocessing.get_context("spawn")) as pool:
        cases = list(pool.map(partial(measure, weights=args.weights), range(args.cases)))
    found = {**figures(cases), "seconds for 512 x 512 x 300": speed(args.weights)}
    text = json.dumps(found, indent=2)
    print(text)
    if args.output:
        args.output.write_text(text + "\n", encoding="utf-8")
    return None


if __name__ == "__main__":
    main()
