"""The fooling monitor that a configuration asks for."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml
from torch import nn

from custom_components.anatomy import INDEX
from custom_components.learning.fooling import FoolingRule
from custom_components.learning.monitoring import fooling_monitor, fooling_rule
from custom_components.networks import QADiscriminator
from custom_components.preprocessing import ct_preprocessing


@pytest.fixture
def datalist(tmp_path: Path) -> Path:
    """Case t is labelled with a liver of 8 voxels; a and b are unlabelled, with pseudo-labels of 27 and 64."""
    for name, side in {"t": 2, "a": 3, "b": 4}.items():
        label = np.zeros((8, 8, 8), np.uint8)
        label[:side, :side, :side] = INDEX["liver"]
        for kind, volume in (("image", label.astype(np.int16)), ("label", label)):
            nib.save(nib.Nifti1Image(volume, np.eye(4)), tmp_path / f"{kind}_{name}.nii.gz")
    torch.save(QADiscriminator().state_dict(), tmp_path / "qa.pt")
    return tmp_path / "dataset.json"


ACCEPTED = {-1: {"code": 0.0, "accepted": True}}
"""What a score alone says is good."""


def monitor(datalist: Path, codes: dict[str, int], **options):
    def entry(name: str) -> dict:
        return {"image": f"image_{name}.nii.gz", "label": f"label_{name}.nii.gz"}

    content = {
        "training": [entry("t")],
        "unlabeled": [{"image": f"image_{name}.nii.gz"} for name in "ab"],
        "pseudo": [{**entry(name), **ACCEPTED.get(code, {"code": code})} for name, code in codes.items()],
    }
    datalist.write_text(json.dumps(content))
    grid = {"pixdim": (1, 1, 1), "roi_size": (8, 8, 8)}
    return fooling_monitor(
        nn.Conv3d(1, 13, 1), datalist, ct_preprocessing(**grid), ct_preprocessing(**grid, with_label=True),
        output_dir=datalist.parent, discriminator_paths=str(datalist.parent / "qa.pt"), pixdim=(1, 1, 1), interval=5,
        size=(16, 16), **options,
    )  # fmt: skip


def volumes(made) -> tuple[float, float]:
    low, high = made.plausible.volumes_ml["liver"]
    return round(low * 1250), round(high * 800)  # without the margin, in voxels


def test_what_is_good_comes_from_the_labels_or_from_what_was_coded_0(datalist: Path):
    assert volumes(monitor(datalist, {"a": 0, "b": 2})) == (8, 8)
    made = monitor(datalist, {"a": 0, "b": 2}, reference_section="pseudo")
    assert volumes(made) == (27, 27)
    assert len(made.images) == 2
    assert len(made.good_images) == 1
    assert volumes(monitor(datalist, {"a": 0, "b": -1}, reference_section="pseudo")) == (27, 27)


def test_where_nothing_was_coded_0_the_labels_tell_and_the_log_says_so(datalist: Path, caplog):
    assert volumes(monitor(datalist, {"a": 1, "b": 2}, reference_section="pseudo")) == (8, 8)
    assert "pseudo: no case is coded 0: the labels of the training tell what is plausible" in caplog.text


def test_a_missing_section_is_one_line(datalist: Path):
    with pytest.raises(SystemExit, match="section 'other' not found"):
        monitor(datalist, {"a": 0}, reference_section="other")


def test_weights_to_compare_with_are_those_of_the_file(datalist: Path):
    start = nn.Conv3d(1, 13, 1)
    torch.save(start.state_dict(), datalist.parent / "start.pt")
    made = monitor(datalist, {"a": 0}, start_path=datalist.parent / "start.pt")
    assert torch.equal(made.start.weight, start.weight)
    assert not torch.equal(made.network.weight, start.weight)
    with pytest.raises(SystemExit, match=r"monitor_start_path.*absent.pt|absent.pt.*monitor_start_path"):
        monitor(datalist, {"a": 0}, start_path=datalist.parent / "absent.pt")


def test_limits_of_the_configuration_are_those_of_the_rule():
    path = Path(__file__).resolve().parents[2] / "bundles" / "qa_semi_seg" / "configs" / "train.yaml"
    assert fooling_rule(yaml.safe_load(path.read_text())["monitor_limits"]) == FoolingRule()
    assert fooling_rule({"steepness": 2}).steepness == 2


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"fal": 1}, "monitor_limits: 'fal' is unknown, expected some of fall, agreement"),
        ({"fall": "x"}, "monitor_limits: fall is 'x', expected a number of at least 0"),
        ({"agreement": 2}, "agreement is 2, expected a number from 0 to 1"),
        (0.1, "monitor_limits is 0.1, expected numbers by name"),
    ],
)
def test_limits_that_cannot_be_are_one_line(limits, message: str):
    with pytest.raises(SystemExit) as stopped:
        fooling_rule(limits)
    assert str(stopped.value).startswith(f"error: {message}")
