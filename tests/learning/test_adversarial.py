"""Segmentations that please a discriminator, and their codes."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from custom_components.anatomy import INDEX
from custom_components.inferers import AutocastInferer
from custom_components.learning.adversarial import fool, write_certain_codes
from custom_components.networks import QADiscriminator
from custom_components.segmentation_gradients import QAScoreGradient

LIVER, AORTA = INDEX["liver"], INDEX["aorta"]
FLOAT32 = AutocastInferer(cpu_bfloat16=False)


class Colour(nn.Module):
    """A score that falls as the montage gets redder, above all on its right."""

    def forward(self, picture: Tensor) -> Tensor:
        weighted = picture[:, :1] * torch.linspace(0.2, 2, picture.shape[-1])
        return 3 - 10 * weighted.mean((1, 2, 3))[:, None]


def volume(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.zeros(1, 1, 12, 12, 8, dtype=torch.uint8)
    labels[..., 2:7, 2:7, 2:6] = AORTA
    return torch.rand(1, 1, 12, 12, 8, generator=generator) * 0.2, labels


def test_score_of_the_hard_montage_falls_and_it_is_the_one_that_is_told():
    image, labels = volume()
    gradient = QAScoreGradient([Colour()], size=(24, 24), inferer=FLOAT32)
    found = fool(image, labels, gradient, steps=15, step=3.0, goal=-9)
    assert found.before == pytest.approx(float(gradient.score(image, labels)))
    assert found.after == pytest.approx(float(gradient.score(image, found.labels)))
    assert found.after < found.before - 0.1
    assert (found.labels.dtype, found.labels.shape) == (labels.dtype, labels.shape)
    assert not torch.equal(found.labels, labels)


def test_steps_end_at_the_goal():
    image, labels = volume()
    gradient = QAScoreGradient([Colour()], size=(24, 24), inferer=FLOAT32)
    assert torch.equal(fool(image, labels, gradient, goal=5.0).labels, labels)
    far = fool(image, labels, gradient, steps=30, step=3.0, goal=-9)
    middle = (far.before + far.after) / 2
    near = fool(image, labels, gradient, steps=30, step=3.0, goal=middle)
    assert far.after < near.after <= middle


def write(path: Path, labels: np.ndarray, dtype: type = np.uint8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(labels.astype(dtype), np.diag([4.0, 4.0, 6.0, 1.0])), path)


def cohort(folder: Path) -> Path:
    """Three cases with CT, segmentation and truth; a fourth whose CT is damaged."""
    rng = np.random.default_rng(0)
    for name in "abcd":
        labels = np.zeros((20, 20, 20), np.uint8)
        labels[2:12, 2:18, 2:18] = LIVER
        write(folder / "images" / f"{name}.nii.gz", rng.integers(-100, 200, labels.shape), np.int16)
        write(folder / "truth" / f"{name}.nii.gz", labels)
        write(folder / "seg" / name / f"{name}_seg.nii.gz", labels)
    (folder / "images" / "d.nii.gz").write_bytes(b"no image")
    torch.manual_seed(0)
    torch.save(QADiscriminator().state_dict(), folder / "model.pt")
    return folder


GRID = ("--pixdim", "4,4,6", "--roi_size", "24,24,24", "--montage_size", "48,48", "--steps", "8")


def test_command_writes_segmentations_on_the_grid_of_their_ct_with_codes_of_the_truth(call, tmp_path: Path, caplog):
    folder = cohort(tmp_path)
    code, out, err = call(
        "adversarial", str(folder / "images"), str(folder / "seg"), str(folder / "out"),
        "--discriminator_path", str(folder / "model.pt"), "--truth", str(folder / "truth"), *GRID,
    )  # fmt: skip
    assert code == 0, err
    assert "3 segmentations, score lower by" in out
    table = pd.read_csv(folder / "out" / "codes.csv")
    assert list(table["case_id"]) == ["a", "b", "c"]
    assert "d: set aside" in caplog.text
    written = nib.load(folder / "out" / "a" / "a_seg.nii.gz")
    assert written.shape == (20, 20, 20)
    np.testing.assert_allclose(written.affine, np.diag([4.0, 4.0, 6.0, 1.0]))
    changed = np.asarray(written.dataobj)
    assert changed.max() <= 12
    assert (changed != np.asarray(nib.load(folder / "truth" / "a.nii.gz").dataobj)).any()


def test_where_nothing_can_be_changed_there_are_no_codes(call, tmp_path: Path, monkeypatch):
    folder = cohort(tmp_path)
    monkeypatch.setattr("custom_components.learning.adversarial.fool_cohort", lambda *_, **__: {})
    code, out, _ = call(
        "adversarial", str(folder / "images"), str(folder / "seg"), str(folder / "out"),
        "--discriminator_path", str(folder / "model.pt"), "--truth", str(folder / "truth"), *GRID,
    )  # fmt: skip
    assert code == 0
    assert out.startswith("none of 4 segmentations could be changed so that the score falls; see")
    assert pd.read_csv(folder / "out" / "codes.csv").empty


def test_codes_are_certain_or_none(tmp_path: Path):
    folder = cohort(tmp_path)
    labels = np.zeros((20, 20, 20), np.uint8)
    labels[2:12, 2:18, 2:18] = LIVER
    little, other_organ = labels.copy(), labels.copy()
    little[11, 2:5, 2:5] = 0
    other_organ[15:18, 2:5, 2:5] = AORTA
    for name, changed in (("a", np.zeros_like(labels)), ("b", little), ("c", other_organ)):
        write(folder / "out" / name / f"{name}_seg.nii.gz", changed)
    codes = pd.DataFrame({"case_id": ["a", "b", "c"], "code": pd.array([0, 0, 1], dtype="Int64")})
    counts = write_certain_codes(folder / "seg", folder / "out", codes, tmp_path / "codes.csv")
    table = pd.read_csv(tmp_path / "codes.csv").set_index("case_id")
    assert table["code"].to_dict() == {"a": 2, "c": 1}  # a lost its liver; in c no judged organ changed; b is open
    assert counts == {2: 1, 1: 1}
    assert table["segmentation_sha256"].str.len().eq(64).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "codes is '' and truth is '', expected one of them"),
        (("--truth", "truth", "--count", "0"), "count is 0, expected a whole number of at least 1"),
        (("--truth", "truth", "--discriminator_path", "absent.pt"), "no weights at absent.pt"),
    ],
)
def test_mistakes_are_one_line(call, tmp_path: Path, options: tuple[str, ...], message: str, monkeypatch):
    monkeypatch.chdir(cohort(tmp_path))
    path = () if "absent.pt" in options else ("--discriminator_path", "model.pt")
    code, _, err = call("adversarial", "images", "seg", "out", *path, *options)
    assert code in (1, 2) or message in str(code)
    assert message in err or message in str(code)
    assert not (tmp_path / "out").exists()
