"""Show the test montages whose code a discriminator misses, and how near to a limit of the rater they are.

    python benchmarks/misclassified.py DATALIST WEIGHTS OUT.png

The rater's code comes from the worst organ's quality and the two limits of `custom_components.data.rater`. Prints the
accuracy by the distance to the nearer limit, and draws the worst errors with score, code, and the organ that decided.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import fire
import numpy as np
import torch
from matplotlib.figure import Figure

from custom_components.data.code_values import nearest_code
from custom_components.data.qa_datalist import read_qa_datalist
from custom_components.data.rater import LIMITS, judge
from custom_components.inferers import AutocastInferer
from custom_components.networks import QADiscriminator
from custom_components.preprocessing import qa_montage, qa_preprocessing
from custom_components.transforms.montage import montage

GRID = {"pixdim": (5.25, 5.25, 12.0), "roi_size": (64, 64, 32)}
EDGES = (0.0, 0.01, 0.02, 0.05, 0.1, 1.0)


def main(datalist: str, weights: str, output: str, shown: int = 20) -> None:
    """Print the table and draw the picture."""
    network = QADiscriminator().eval()
    network.load_state_dict(torch.load(weights, weights_only=True))
    load, finish, inferer = qa_preprocessing(**GRID), qa_montage(), AutocastInferer()
    rows = []
    for case in read_qa_datalist(datalist, "test"):
        item = load(case)
        with torch.no_grad():
            score = float(inferer(finish(item)["montage"][None], network))
        arrays = [item[key][0].numpy() for key in ("segmentation", "truth")]
        worst = min(judge(*arrays, spacing=GRID["pixdim"]), key=lambda organ: organ.quality)
        distance = min(abs(worst.quality - limit) for limit in (LIMITS.good, LIMITS.gross))
        rows.append((abs(score - case["code"]), score, case["code"], worst, distance, item))
    codes = np.array([row[2] for row in rows])
    right = np.array([nearest_code(row[1]) == row[2] for row in rows])
    distances = np.array([row[4] for row in rows])
    print(f"{len(rows)} test montages, {right.mean():.1%} right, {(~right).sum()} wrong; codes {np.bincount(codes)}")
    for low, high in pairwise(EDGES):
        chosen = (distances >= low) & (distances < high)
        if chosen.any():
            share = f"{chosen.sum():4} montages, {right[chosen].mean():.1%} right"
            print(f"quality {low:.2f} to {high:.2f} from a limit: {share}")
    wrong = sorted((row for row, ok in zip(rows, right, strict=True) if not ok), key=lambda row: -row[0])
    figure = Figure(figsize=(20, 4.3 * -(-min(shown, len(wrong)) // 5)), layout="constrained", facecolor="black")
    for place, (_, score, code, worst, distance, item) in enumerate(wrong[:shown], start=1):
        axes = figure.add_subplot(-(-min(shown, len(wrong)) // 5), 5, place)
        volumes = (item[key].as_tensor()[None] for key in ("image", "segmentation"))
        axes.imshow(montage(*volumes)[0].movedim(0, -1).clamp(0, 1).numpy())
        reason = f"{worst.organ.replace('_', ' ')} {worst.quality:.3f}, {distance:.3f} from a limit"
        text = f"code {code}, score {score:.2f}\n{reason}"
        axes.set_title(text, color="white", fontsize=11)
        axes.axis("off")
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=80)
    print(f"the {min(shown, len(wrong))} worst: {output}")


if __name__ == "__main__":
    fire.Fire(main)
