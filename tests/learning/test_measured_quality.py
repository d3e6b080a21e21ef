"""What is measured of segmentations, the codes that it predicts, and the segmentation that is taken by them."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from custom_components.anatomy import INDEX, JUDGED_ORGANS
from custom_components.learning.code_forest import MEASUREMENTS, CodeForest, code_forest
from custom_components.learning.measured_ranking import MeasuredRanking
from custom_components.learning.measurements import COLUMNS, Opinions, measure
from custom_components.learning.organ_candidates import OrganLogit, organ_logits

LIVER, SPLEEN = INDEX["liver"], INDEX["spleen"]
SIZE = 12


def logits_of(labels: np.ndarray, certainty: float = 5.0) -> Tensor:
    """Logits (1, 13, X, Y, Z) whose most probable organs are the labels."""
    return certainty * nn.functional.one_hot(torch.as_tensor(labels).long(), 13).permute(3, 0, 1, 2)[None].float()


def scene() -> np.ndarray:
    labels = np.zeros((SIZE,) * 3, np.uint8)
    labels[1:5, 1:5, 1:5], labels[7:11, 7:11, 7:9] = LIVER, SPLEEN
    return labels


def value(measured: np.ndarray, organ: str, name: str) -> float:
    return float(measured[COLUMNS.index(f"{organ}_{name}")])


def opinions(*labels: np.ndarray, certainty: float = 50.0) -> Opinions:
    image = torch.zeros(1, 1, SIZE, SIZE, SIZE)
    image[0, 0][torch.as_tensor(labels[0]) == LIVER] = 0.5
    return Opinions.of(image, [logits_of(one, certainty) for one in labels], voxel_ml=2.0)


def test_sizes_greys_and_pieces_are_those_of_the_segmentation():
    labels = scene()
    seen = opinions(labels)
    labels[9, 1:5, 1] = LIVER  # four voxels more, elsewhere
    measured = measure(labels, seen)
    assert value(measured, "liver", "volume_ml") == 2 * (64 + 4)
    assert value(measured, "liver", "expected_ml") == pytest.approx(2 * 64)
    assert value(measured, "liver", "pieces") == 2
    assert value(measured, "spleen", "pieces") == 1
    assert value(measured, "liver", "grey") == 0.5
    assert value(measured, "liver", "rim_grey") == 0.0
    assert value(measured, "liver", "unsure") == pytest.approx(4 / 68)
    assert value(measured, "liver", "agreement") == pytest.approx(128 / 132)


def test_disagreement_of_networks_is_seen():
    other = scene()
    other[other == SPLEEN] = 0
    measured = measure(scene(), opinions(scene(), other))
    assert value(measured, "spleen", "agreement") == pytest.approx(0.5)
    assert value(measured, "spleen", "least_agreement") == 0
    assert value(measured, "spleen", "certainty") == pytest.approx(0.5)
    assert value(measured, "liver", "agreement") == 1
    missed = measure(other, opinions(scene(), other))
    assert value(missed, "spleen", "missed") > 0.9


def test_what_is_absent_has_no_grey_but_an_agreement():
    measured = measure(np.zeros((SIZE,) * 3, np.uint8), opinions(np.zeros((SIZE,) * 3, np.uint8)))
    for organ in JUDGED_ORGANS:
        assert np.isnan(value(measured, organ, "grey"))
        assert value(measured, organ, "agreement") == 1
        assert value(measured, organ, "volume_ml") == 0


def test_a_forest_learns_what_tells_the_code_and_is_the_same_again():
    rng = np.random.default_rng(0)
    measured = rng.uniform(size=(200, len(COLUMNS)))
    measured[::7, 3] = np.nan
    codes = (3 * measured[:, 5]).astype(int).clip(0, 2)
    learnt = CodeForest(measured[:150], codes[:150])
    assert np.corrcoef(learnt(measured[150:]), codes[150:])[0, 1] > 0.8
    assert np.array_equal(learnt(measured), CodeForest(measured[:150], codes[:150])(measured))
    with pytest.raises(ValueError, match="19 segmentations are measured and coded, expected 20 at least"):
        CodeForest(measured[:19], codes[:19])
    with pytest.raises(ValueError, match=r"measured has shape \(150, 3\), expected 150 codes and 44 columns"):
        CodeForest(measured[:150, :3], codes[:150])


class Says(nn.Module):
    """A network that always says the same."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits, self.calls = logits, 0

    def forward(self, image: Tensor) -> Tensor:
        self.calls += 1
        return self.logits


class Prefers:
    """In place of a forest: the larger a spleen is, the better."""

    def __call__(self, measured: np.ndarray) -> np.ndarray:
        return 2 - np.atleast_2d(measured)[:, COLUMNS.index("spleen_volume_ml")] / 200


IMAGE = torch.zeros(1, 1, SIZE, SIZE, SIZE)


def rank(first: Tensor, *others: Tensor, forest=None, **options):
    network, committee = Says(first), {f"other{number}": Says(one) for number, one in enumerate(others)}
    ranking = MeasuredRanking(
        forest, voxel_ml=1.0, committee=committee, inferer=lambda image, network: network(image), **options
    )
    return ranking(network, IMAGE, first), network, committee


def test_without_codes_the_first_result_is_measured_and_kept():
    taken, network, _ = rank(logits_of(scene()), sources=organ_logits([9.0]))
    assert taken.candidate == "first"
    assert torch.equal(taken.logits, logits_of(scene()))
    assert np.isnan(taken.score)
    assert network.calls == 0
    assert value(taken.measures, "liver", "volume_ml") == 64


def test_the_best_of_all_networks_and_their_variants_is_taken():
    small = scene()
    small[small == SPLEEN] = 0
    sources = [OrganLogit("spleen", 4.0), OrganLogit("spleen", -4.0)]
    taken, _, committee = rank(logits_of(small), logits_of(scene(), 5.0), forest=Prefers(), sources=sources)
    assert taken.candidate == "other0"  # first come, of equals
    assert torch.equal(taken.logits, logits_of(scene()))
    assert (taken.first_score, taken.score) == (2.0, 2 - 32 / 200)
    assert committee["other0"].calls == 1  # a variant of its logits needs no further run
    taken, *_ = rank(logits_of(small), logits_of(scene(), 3.0), forest=Prefers(), sources=sources)
    assert taken.candidate == "spleen_+4" or taken.candidate == "other0+spleen_+4"
    assert taken.logits.argmax(1).eq(SPLEEN).sum() * 1.0 == value(taken.measures, "spleen", "volume_ml")


@pytest.mark.parametrize("options", [{"limit": 2.0}, {"margin": 0.2}])
def test_limit_and_margin_keep_the_first_result(options):
    small = scene()
    small[small == SPLEEN] = 0
    taken, *_ = rank(logits_of(small), logits_of(scene()), forest=Prefers(), **options)
    assert (taken.candidate, taken.score) == ("first", 2.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Measured segmentations, of which the even ones are good."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(30):
        case = f"c{number:02d}"
        path = tmp_path / "segmentations" / case / f"{case}_seg.nii.gz"
        path.parent.mkdir(parents=True)
        nib.save(nib.Nifti1Image(np.full((2, 2, 2), number, np.uint8), np.eye(4)), path)
        rows.append(
            {"case_id": case, **dict.fromkeys(COLUMNS, 0.5), "liver_certainty": number % 2 + rng.normal(0, 0.1)}
        )
    table = pd.DataFrame(rows)
    table.loc[3, "spleen_grey"] = np.nan
    table.to_csv(tmp_path / "segmentations" / MEASUREMENTS, index=False)
    codes = pd.DataFrame({"case_id": table["case_id"], "code": [2 * (number % 2) for number in range(30)]})
    codes.to_csv(tmp_path / "codes.csv", index=False)
    return tmp_path


def test_measured_and_coded_folders_make_a_forest(folder: Path):
    found = code_forest(f"{folder / 'segmentations'}", [str(folder / "codes.csv")])
    good, bad = (np.array([0.5] * len(COLUMNS)) for _ in range(2))
    good[COLUMNS.index("liver_certainty")], bad[COLUMNS.index("liver_certainty")] = 0, 1
    low, high = found(np.stack([good, bad]))
    assert low < 0.3
    assert high > 1.7
    assert code_forest([], "") is None


def test_mistakes_are_one_line(folder: Path):
    segmentations, codes = folder / "segmentations", folder / "codes.csv"
    with pytest.raises(SystemExit, match="rated_codes has 0 entries, expected 1, one for each folder"):
        code_forest([str(segmentations)], [])
    (segmentations / MEASUREMENTS).write_text("case_id,liver_volume_ml\nc00,3\n")
    with pytest.raises(SystemExit, match="column 'liver_expected_ml' not found, expected case_id and 44 measures"):
        code_forest(str(segmentations), str(codes))
    (segmentations / MEASUREMENTS).unlink()
    with pytest.raises(SystemExit, match=r"measurements.csv: No such file or directory; an inference with --measure"):
        code_forest(str(segmentations), str(codes))


def test_codes_of_other_files_do_not_count(folder: Path):
    table = pd.read_csv(folder / "codes.csv")
    table["segmentation_sha256"] = "0" * 64
    table.to_csv(folder / "codes.csv", index=False)
    with pytest.raises(SystemExit, match="0 segmentations are measured and coded, expected 20 at least"):
        code_forest(str(folder / "segmentations"), str(folder / "codes.csv"))
