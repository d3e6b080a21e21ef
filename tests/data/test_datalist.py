from __future__ import annotations

import json
from pathlib import Path

import pytest

from custom_components.data.datalist import copy_datalist, labelled_cases


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of files that nobody reads here."""
    for name in ("images/a.1.2.nii.gz", "images/b.nii.gz", "more/b.nii", "labels/a.nii.gz", "labels/b.nii.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


A = {"image": "images/a.1.2.nii.gz", "label": "labels/a.nii.gz"}
B = {"image": "images/b.nii.gz", "label": "labels/b.nii.gz"}


def listed(folder: Path, *entries: object, section: str = "training") -> Path:
    path = folder / "dataset.json"
    path.write_text(json.dumps({section: entries}))
    return path


def test_cases_are_named_after_the_whole_name_of_the_image(folder: Path) -> None:
    cases = labelled_cases(listed(folder, A, {**B, "case_id": 7, "label_set": "amos"}))
    assert cases == [
        {
            "case_id": "a.1.2",
            "image": str(folder / "images/a.1.2.nii.gz"),
            "label": str(folder / "labels/a.nii.gz"),
        },
        {
            "case_id": "7",
            "image": str(folder / "images/b.nii.gz"),
            "label": str(folder / "labels/b.nii.gz"),
            "label_set": "amos",
        },
    ]


@pytest.mark.parametrize("set_aside", [False, True])
@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([], "section 'training' is empty"),
        (["images/b.nii.gz"], r"training\[0\] has label None, expected a path"),
        ([A, {"label": "labels/b.nii.gz"}], r"training\[1\] has image None, expected a path"),
        ([{**A, "case_id": "../a"}], r"training\[0\]: case_id is '../a', expected a name without slashes"),
        (
            [A, B, {**B, "image": "more/b.nii"}],
            "training: the images images/b.nii.gz and more/b.nii share the case id 'b', expected one for each",
        ),
    ],
)
def test_a_list_of_another_form_ends_the_program_with_one_line(
    folder: Path, entries: list, message: str, set_aside: bool
) -> None:
    with pytest.raises(SystemExit, match=f"^error: .*{message}") as caught:
        labelled_cases(listed(folder, *entries), set_aside=set_aside)
    assert "\n" not in str(caught.value)


UNUSABLE = [
    ({"label": "labels/c.nii.gz"}, "names the label labels/c.nii.gz, which does not exist"),
    ({"image": "images/c.nii.gz"}, "names the image images/c.nii.gz, which does not exist"),
    ({"image": "/archive/c.nii.gz"}, "names the image c.nii.gz, which does not exist"),
    ({"label_set": "abdomen13"}, r": label_set is 'abdomen13', expected one of"),
    ({"label_set": 13}, r": label_set is 13, expected a name or a list of organs"),
]


@pytest.mark.parametrize(("change", "reason"), UNUSABLE)
def test_an_unusable_case_ends_a_training(folder: Path, change: dict, reason: str) -> None:
    with pytest.raises(SystemExit, match=rf"^error: .*dataset.json: training\[1\] ?{reason}"):
        labelled_cases(listed(folder, A, {**B, **change}))


@pytest.mark.parametrize(("change", "reason"), UNUSABLE)
def test_an_unusable_case_is_set_aside_where_asked(folder: Path, change: dict, reason: str) -> None:
    good, bad = labelled_cases(listed(folder, A, {**B, **change}, section="test"), "test", set_aside=True)
    assert "error" not in good
    assert bad["case_id"] == Path(change.get("image", "b")).name.removesuffix(".nii.gz")
    assert bad["error"].startswith("test[1]")
    assert reason in bad["error"]
    assert str(folder) not in bad["error"]
    assert "/archive" not in bad["error"]


def test_a_copied_list_names_the_slices_of_a_series_from_its_own_folder(folder: Path) -> None:
    source = listed(folder, {"image": ["scan/1.dcm", "scan/2.dcm"]}, "a.nii.gz", section="unlabeled")
    copy_datalist(source, folder / "lists" / "copy.json", {})
    content = json.loads((folder / "lists" / "copy.json").read_text())
    assert content["unlabeled"] == [{"image": ["../scan/1.dcm", "../scan/2.dcm"]}, "../a.nii.gz"]
