"""Score segmentations one at a time, in one process, as one would write it without this project.

    python benchmarks/peers/one_at_a_time.py IMAGES LABELS OUT.csv --ckpt_path model.pt

MONAI's transforms bring CT and segmentation to the grid, the volume is coloured, tiled and reduced in floating point,
and the network has one montage in float32.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import fire
import torch
import torch.nn.functional as F
from monai.transforms import (
    Compose,
    EnsureChannelFirstd,
    LoadImaged,
    Orientationd,
    ResizeWithPadOrCropd,
    ScaleIntensityRanged,
    Spacingd,
)

from custom_components.networks import QADiscriminator

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from montage import plain


def main(images: str, labels: str, out: str, ckpt_path: str) -> None:
    """Write a table of scores.

    Args:
        images: folder of CTs.
        labels: folder of label maps with the same names.
        out: the table.
        ckpt_path: weights of the discriminator.
    """
    keys = ["image", "label"]
    load = Compose(
        [
            LoadImaged(keys),
            EnsureChannelFirstd(keys),
            Orientationd(keys, axcodes="RAS", labels=None),
            Spacingd(keys, (2.0, 2.0, 6.0), mode=("bilinear", "nearest")),
            ScaleIntensityRanged("image", -175, 275, 0, 1, clip=True),
            ResizeWithPadOrCropd(keys, (168, 168, 64)),
        ]
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = QADiscriminator().to(device).eval()
    network.load_state_dict(torch.load(ckpt_path, weights_only=True))
    with Path(out).open("w", newline="") as file, torch.no_grad():
        table = csv.writer(file)
        table.writerow(["case_id", "score"])
        for path in sorted(Path(images).glob("*.nii.gz")):
            item = load({"image": str(path), "label": str(Path(labels) / path.name)})
            image, label = (item[key].as_tensor().to(device) for key in keys)
            probabilities = F.one_hot(label[0].long(), 13).movedim(-1, 0)[None].float()
            score = float(network(plain(image[None], probabilities)))
            table.writerow([path.name.removesuffix(".nii.gz"), f"{score:.4f}"])


if __name__ == "__main__":
    fire.Fire(main)
