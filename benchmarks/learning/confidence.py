"""How sure a network is of its own segmentations, for the control that asks no people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from workbench import CONFIGS, Bench

from custom_components.bundle import load_weights


@torch.no_grad()
def most_confident(bench: Bench, segmentations: Path, share: float) -> list[dict[str, Any]]:
    """Make pseudo-labels of so large a share of the unlabelled cases: those with the highest mean probability.

    The mean is over the voxels of the organs, each with the probability of its own label.
    """
    parser = ConfigParser()
    names = [name for name in ("inference", bench.size.overlay) if name]
    parser.read_config([str(CONFIGS["baseline_seg"] / f"{name}.yaml") for name in names])
    network, inferer, load, device = map(parser.get_parsed_content, ("network", "inferer", "preprocessing", "device"))
    load_weights(network, bench.baseline, "run.py")
    network.eval()
    found = []
    for entry in json.loads(bench.datalist.read_text())["unlabeled"]:
        image = (bench.cohort / entry["image"]).absolute()
        volume = load({"image": str(image)})["image"].as_tensor()[None].to(device)
        best, labels = inferer(volume, network).softmax(1).max(1)
        case_id = image.name.removesuffix(".nii.gz")
        label = segmentations / case_id / f"{case_id}_seg.nii.gz"
        found.append((float(best[labels > 0].mean()) if (labels > 0).any() else 0.0, str(image), str(label.absolute())))
    found.sort(reverse=True)
    chosen = found[: round(share * len(found))]
    return [{"image": image, "label": label, "weight": 1.0} for _, image, label in chosen]
