"""Montages from before and after a round, mixed so that nobody can tell which is whose."""

import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from custom_components.data.case_files import sha256_of
from custom_components.data.montage_png import read_montage_png, write_montage_png
from custom_components.learning.blind_audit import mix_montages, read_key
from custom_components.learning.cycle_actions import CodesMissing, act
from custom_components.learning.cycle_steps import Mix, MixedCodes

CASES = ["patient-a", "patient-b", "patient-c"]


@pytest.fixture
def rated(tmp_path: Path) -> Path:
    """Segmentations and montages before and after; c was not segmented after."""
    for number, side in enumerate(("before", "after")):
        for place, case_id in enumerate(CASES[: 3 - number]):
            value = 10 * number + place
            path = tmp_path / side / "rated" / case_id / f"{case_id}_seg.nii.gz"
            path.parent.mkdir(parents=True)
            nib.save(nib.Nifti1Image(np.full((2, 2, 2), value, np.uint8), np.eye(4)), path)
            picture = torch.full((3, 60, 400), value / 20)
            write_montage_png(tmp_path / side / "rated_montages" / f"{case_id}.png", picture, case_id=case_id)
    return tmp_path


def mixed(folder: Path, seed: int = 0) -> pd.DataFrame:
    segmentations = folder / "before" / "rated", folder / "after" / "rated"
    act(Mix("audit", segmentations, seed, folder / "audit"))
    return read_key(folder / "audit_key.csv")


def waiting(folder: Path, *files: Path) -> MixedCodes:
    codes = folder / "before_codes.csv", folder / "after_codes.csv"
    return MixedCodes("codes", folder / "audit", folder / "audit_ratings.csv", files, codes)


def codes_of(path: Path) -> dict[str, int]:
    return pd.read_csv(path).set_index("case_id")["code"].to_dict()


def test_a_mixed_montage_is_the_same_picture_and_tells_nothing_else(rated: Path):
    key = mixed(rated)
    assert sorted(zip(key["case_id"], key["side"], strict=True)) == [
        (name, side) for name in CASES[:2] for side in (0, 1)
    ]
    assert sorted(path.stem for path in (rated / "audit").iterdir()) == sorted(key["name"])
    assert [re.fullmatch(r"m(\d)-[0-9a-f]{4}", name)[1] for name in key["name"]] == ["1", "2", "3", "4"]
    for name, case_id, side, digest in key.itertuples(index=False):
        folder = rated / ("before", "after")[side]
        source, found = folder / "rated_montages" / f"{case_id}.png", rated / "audit" / f"{name}.png"
        assert torch.equal(read_montage_png(found), read_montage_png(source))
        assert not np.array_equal(np.asarray(Image.open(found))[:28], np.asarray(Image.open(source))[:28])  # the name
        assert not found.is_symlink()
        assert digest == sha256_of(folder / "rated" / case_id / f"{case_id}_seg.nii.gz")


def test_the_order_is_random_and_made_again_the_same(rated: Path):
    orders = {tuple(mixed(rated, seed)["case_id"] + mixed(rated, seed)["side"].astype(str)) for seed in range(12)}
    assert len(orders) > 4
    assert mixed(rated, 3).equals(mixed(rated, 3))


def test_codes_go_back_to_their_segmentations(rated: Path):
    key = mixed(rated)
    value = {("patient-a", 0): 2, ("patient-a", 1): 0, ("patient-b", 0): 1, ("patient-b", 1): 2}
    rows = [(name, value[case_id, side], "spleen") for name, case_id, side, _ in key.itertuples(index=False)]
    ratings = pd.DataFrame(rows, columns=["case_id", "code", "reason"])
    ratings[1:].to_csv(rated / "audit_ratings.csv", index=False)
    first = key["name"][0]
    with pytest.raises(
        CodesMissing, match=rf"1 of 4 mixed montages have no code \({first}\): code the montages in .*audit "
    ):
        act(waiting(rated))
    assert (rated / "audit_missing.csv").read_text() == f"case_id\n{first}\n"
    ratings.to_csv(rated / "audit_ratings.csv", index=False)
    act(waiting(rated))
    assert codes_of(rated / "before_codes.csv") == {"patient-a": 2, "patient-b": 1}
    assert codes_of(rated / "after_codes.csv") == {"patient-a": 0, "patient-b": 2}
    assert set(pd.read_csv(rated / "after_codes.csv")["reason"]) == {"spleen"}


def test_ratings_of_a_page_count_by_the_new_names_alone(rated: Path):
    key = mixed(rated)
    earlier = key[key["side"] == 0][["case_id", "segmentation_sha256"]].assign(code=2)  # as a store of the round before
    earlier.to_csv(rated / "store.csv", index=False)
    with pytest.raises(CodesMissing, match="4 of 4 mixed montages have no code"):  # which were "before" stays unknown
        act(waiting(rated, rated / "store.csv"))
    page = pd.DataFrame({"case_id": key["name"], "code": [0, 1, 2, 0]})
    pd.concat([earlier, page]).to_csv(rated / "store.csv", index=False)
    act(waiting(rated, rated / "store.csv"))
    found = [codes_of(rated / f"{side}_codes.csv") for side in ("before", "after")]
    for code, case_id, side in zip([0, 1, 2, 0], key["case_id"], key["side"], strict=True):
        assert found[side][case_id] == code


def test_names_are_of_one_mix_only(rated: Path):
    """So that a store which has the ratings of several rounds gives each its own."""
    assert not set(mixed(rated, 0)["name"]) & set(mixed(rated, 1)["name"])


def test_without_a_case_on_both_sides_there_is_nothing_to_mix(rated: Path):
    for path in (rated / "after" / "rated_montages").iterdir():
        path.unlink()
    folders = [rated / side / "rated" for side in ("before", "after")]
    montages = [folder.with_name("rated_montages") for folder in folders]
    with pytest.raises(ValueError, match="rated_montages"):
        mix_montages(folders, montages, rated / "audit", rated / "key.csv", seed=0)


def test_a_corrected_code_counts_and_a_mistyped_name_is_told(rated: Path, capsys):
    key = mixed(rated)
    rows = [f"{name},1,2026-01-01" for name in key["name"]]
    first, case_id, side = key.loc[0, ["name", "case_id", "side"]]
    rows += [f"{first},2,2026-01-02", "M1,0,2026-01-03"]
    (rated / "audit_ratings.csv").write_text("\n".join(["case_id,code,rated_at", *rows]))
    act(waiting(rated))
    found = pd.read_csv(rated / f"{('before', 'after')[side]}_codes.csv")
    assert found.loc[found["case_id"] == case_id, "code"].tolist() == [2]
    said = capsys.readouterr().err
    assert "'M1' is no montage in" in said
    assert f"case_id '{case_id}': code is '1', expected no second rating" in said


def test_segmentations_that_are_the_same_before_and_after_have_codes_of_their_own(rated: Path):
    folders = [rated / side / "rated" / "patient-a" / "patient-a_seg.nii.gz" for side in ("before", "after")]
    folders[1].write_bytes(folders[0].read_bytes())
    key = mixed(rated)
    (rated / "audit_ratings.csv").write_text(
        "case_id,code\n" + "".join(f"{row.name},{row.side}\n" for row in key.itertuples())
    )
    act(waiting(rated))
    assert [codes_of(rated / f"{side}_codes.csv")["patient-a"] for side in ("before", "after")] == [0, 1]
