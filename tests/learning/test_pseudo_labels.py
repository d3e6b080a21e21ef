"""Coded segmentations as labels of a training."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from dicom_files import write_series

from custom_components.data.case_sampling import training_cases


def segmentation(path: Path, value: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.full((2, 2, 2), value, np.uint8), np.eye(4)), path)
    return path


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    for name in "abcdt":
        segmentation(tmp_path / "data" / f"{name}.nii.gz")
    content = {
        "name": "cohort",
        "training": [{"image": "t.nii.gz", "label": "t.nii.gz"}],
        "unlabeled": [{"image": f"{name}.nii.gz"} for name in "abc"] + ["d.nii.gz"],
    }
    (tmp_path / "data" / "dataset.json").write_text(json.dumps(content))
    for one in (1, 2):
        for name in "abcd":
            segmentation(tmp_path / f"round{one}" / name / f"{name}_seg.nii.gz", one)
    return tmp_path


def codes(cohort: Path, number: int, **code) -> Path:
    path = cohort / f"codes{number}.csv"
    pd.DataFrame([{"case_id": name, "code": value} for name, value in code.items()]).to_csv(path, index=False)
    return path


def made(call, cohort: Path, *files: Path, **options: str) -> tuple[list[dict], str, int | str]:
    folders = ",".join(str(cohort / f"round{number}") for number in range(1, len(files) + 1))
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    output = cohort / "out" / "pseudo.json"
    code, out, err = call(
        "pseudo_labels", str(output), "--datalist", str(cohort / "data" / "dataset.json"),
        "--segmentations", folders, "--codes", ",".join(map(str, files)), *words,
    )  # fmt: skip
    content = json.loads(output.read_text()) if output.exists() else {}
    return content.get(options.get("pseudo_section", "pseudo"), []), out + err, code


def test_codes_become_weights_and_failures_are_left_out(call, cohort: Path):
    entries, said, code = made(call, cohort, codes(cohort, 1, a=0, b=1, c=2))
    assert code == 0
    assert [(one["case_id"], one["code"], one["weight"]) for one in entries] == [("a", 0.0, 1.0), ("b", 1.0, 0.3)]
    assert "2 pseudo-labels (1 of code 0, 1 of code 1), 2 cases without" in said


def test_all_that_is_coded_stands_in_a_list_of_its_own_failures_too(call, cohort: Path):
    made(call, cohort, codes(cohort, 1, a=0, b=2, c=2), codes(cohort, 2, b=1))
    coded = json.loads((cohort / "out" / "pseudo.json").read_text())["coded"]
    assert [(one["case_id"], one["code"], one["label"].split("/")[1]) for one in coded] == [
        ("a", 0.0, "round1"), ("b", 1.0, "round2"), ("c", 2.0, "round1"),
    ]  # fmt: skip
    assert all("weight" not in one for one in coded)


def test_a_training_can_read_it(call, cohort: Path):
    made(call, cohort, codes(cohort, 1, a=0, b=0))
    cases = training_cases(cohort / "out" / "pseudo.json", "pseudo")
    assert [case["case_id"] for case in cases] == ["t", "a", "b"]
    for case in cases:
        assert Path(case["image"]).samefile(cohort / "data" / f"{case['case_id']}.nii.gz")
    assert Path(cases[1]["label"]).samefile(cohort / "round1" / "a" / "a_seg.nii.gz")


def test_of_two_rounds_the_better_coded_counts_and_of_equals_the_later(call, cohort: Path):
    files = codes(cohort, 1, a=0, b=1, c=1, d=2), codes(cohort, 2, a=1, b=1, c=0)
    entries, _, _ = made(call, cohort, *files)
    found = {one["case_id"]: (one["code"], "round1" in one["label"]) for one in entries}
    assert found == {"a": (0, True), "b": (1, False), "c": (0, False)}


def test_other_sections_stay(call, cohort: Path):
    made(call, cohort, codes(cohort, 1, a=0), pseudo_section="mine")
    content = json.loads((cohort / "out" / "pseudo.json").read_text())
    assert content["name"] == "cohort"
    assert content["training"] == [{"image": "../data/t.nii.gz", "label": "../data/t.nii.gz"}]
    assert content["unlabeled"][-1] == "../data/d.nii.gz"
    assert [one["case_id"] for one in content["mine"]] == ["a"]


def test_several_raters_are_averaged(call, cohort: Path):
    path = cohort / "codes1.csv"
    path.write_text("case_id,code,rater\na,0,x\na,1,y\nb,2,x\nb,1,y\n")
    entries, _, _ = made(call, cohort, path)
    assert [(one["case_id"], one["code"], one["weight"]) for one in entries] == [("a", 0.5, 0.65), ("b", 1.5, 0.15)]


def test_codes_of_another_file_are_rejected(call, cohort: Path):
    path = cohort / "codes1.csv"
    path.write_text(f"case_id,code,segmentation_sha256\na,0,{'0' * 64}\nb,0,\n")
    entries, _, code = made(call, cohort, path)
    assert [one["case_id"] for one in entries] == ["b"]
    assert code == "error: 1 row of codes rejected"


@pytest.mark.parametrize(
    ("code", "options", "message"),
    [
        (2, {}, "none of 4 cases has a code with a weight above 0"),
        (0, {"weights": "1,-1,0"}, "weights is [1, -1, 0], expected 3 numbers of 0 or more"),
        (0, {"section": "nothing"}, "section 'nothing' not found, found training, unlabeled"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(call, cohort: Path, code: int, options: dict, message: str):
    entries, said, exit_code = made(call, cohort, codes(cohort, 1, a=code), **options)
    assert (entries, exit_code) == ([], 2)
    assert message in said


def reasoned(cohort: Path, number: int, **given: tuple[int, str]) -> Path:
    path = cohort / f"codes{number}.csv"
    rows = [{"case_id": name, "code": code, "reason": reason} for name, (code, reason) in given.items()]
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_a_reason_approves_the_judged_organs_that_it_does_not_name(call, cohort: Path):
    file = reasoned(
        cohort, 1, a=(0, ""), b=(2, "left kidney missing"), c=(1, "blurred"), d=(1, "Liver, spleen, kidneys")
    )
    entries, said, code = made(call, cohort, file, by_organ="true")
    assert code == 0
    assert [(one["case_id"], one["weight"], one.get("label_set")) for one in entries] == [
        ("a", 1.0, None), ("b", 1.0, ["spleen", "right_kidney", "liver"]), ("c", 0.3, None), ("d", 0.3, None),
    ]  # fmt: skip
    assert "4 pseudo-labels (1 of code 0, 2 of code 1, 1 of code 2), 0 cases without" in said


def test_each_round_gives_the_organs_that_passed_in_it_last(call, cohort: Path):
    files = (
        reasoned(cohort, 1, a=(2, "liver, spleen"), b=(1, "liver"), c=(1, "liver")),
        reasoned(cohort, 2, a=(1, "kidneys"), b=(2, "spleen"), c=(0, "")),
    )
    entries, _, _ = made(call, cohort, *files, by_organ="true")
    assert [(one["case_id"], one["label"].split("/")[1], one.get("label_set")) for one in entries] == [
        ("a", "round1", ["right_kidney", "left_kidney"]), ("a_organs1", "round2", ["spleen", "liver"]),
        ("b", "round1", ["spleen"]), ("b_organs1", "round2", ["right_kidney", "left_kidney", "liver"]),
        ("c", "round2", None),
    ]  # fmt: skip
    cases = training_cases(cohort / "out" / "pseudo.json", "pseudo")
    assert [case.get("label_set") for case in cases] == [None] + [one.get("label_set") for one in entries]


def test_an_organ_passes_where_no_rater_names_it(call, cohort: Path):
    path = cohort / "codes1.csv"
    rows = [("b", 1, "r", "spleen"), ("b", 2, "s", "liver"), ("c", 0, "r", ""), ("c", 1, "s", "no idea")]
    pd.DataFrame(rows, columns=["case_id", "code", "rater", "reason"]).to_csv(path, index=False)
    entries, _, _ = made(call, cohort, path, by_organ="true")
    assert [(one["case_id"], one["weight"], one.get("label_set")) for one in entries] == [
        ("b", 1.0, ["right_kidney", "left_kidney"]), ("c", 0.65, None),
    ]  # fmt: skip


def test_without_by_organ_reasons_change_nothing(call, cohort: Path):
    entries, _, _ = made(call, cohort, reasoned(cohort, 1, a=(0, ""), b=(1, "liver"), c=(2, "liver")))
    assert [(one["case_id"], one["weight"], one.get("label_set")) for one in entries] == [
        ("a", 1.0, None),
        ("b", 0.3, None),
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--accept_below", "x", "--scores", "s.csv"), "accept_below is 'x', expected a finite number"),
        (("--accept_below", "0.3"), "accept_below is 0.3 and scores is empty, expected a CSV of scores"),
        (("--by_organ", "maybe"), "by_organ is 'maybe', expected true or false"),
    ],
)
def test_a_number_or_switch_that_cannot_be_is_one_line(call, cohort: Path, words: tuple[str, ...], message: str):
    one = codes(cohort, 1, a=0, b=1)
    code, _, err = call(
        "pseudo_labels", "out.json", "--datalist", cohort / "data" / "dataset.json",
        "--segmentations", cohort / "round1", "--codes", one, *words,
    )  # fmt: skip
    assert f"error: {message}" in (code, err.strip())


def test_a_switch_can_be_off(call, cohort: Path):
    file = cohort / "codes1.csv"
    pd.DataFrame([{"case_id": "a", "code": 0}, {"case_id": "c", "code": 2, "reason": "liver"}]).to_csv(
        file, index=False
    )
    assert [one["case_id"] for one in made(call, cohort, file, by_organ="true")[0]] == ["a", "c"]
    assert [one["case_id"] for one in made(call, cohort, file, by_organ="false")[0]] == ["a"]


def test_what_people_coded_is_not_accepted_by_its_score_in_another_folder(call, cohort: Path):
    first, second = cohort / "round1", cohort / "round2"
    for name in "bc":  # the first segmentation was the best candidate, so it was written again
        (second / name / f"{name}_seg.nii.gz").write_bytes((first / name / f"{name}_seg.nii.gz").read_bytes())
    scores = cohort / "scores.csv"
    scores.write_text("case_id,score\na,0.1\nb,0.1\nc,0.1\nd,0.1\n")
    files = codes(cohort, 1, a=2, b=2, c=1), codes(cohort, 2, d=2)
    entries, _, code = made(call, cohort, *files, scores=f",{scores}", accept_below="0.3")
    assert code == 0
    found = {one["case_id"]: (one["code"], Path(one["label"]).parts[1]) for one in entries}
    assert found == {"a": (0.0, "round2"), "c": (1.0, "round1")}
    # whichever folder comes first
    (first / "d" / "d_seg.nii.gz").write_bytes((second / "d" / "d_seg.nii.gz").read_bytes())
    scores.write_text("case_id,score\na,0.9\nd,0.1\n")
    entries, said, code = made(call, cohort, codes(cohort, 1, a=0), files[1], scores=f"{scores},", accept_below="0.3")
    assert code == 0, said
    assert [one["case_id"] for one in entries] == ["a"]


def test_a_segmentation_that_people_approved_is_preferred_to_one_that_its_score_did(call, cohort: Path):
    scores = cohort / "scores.csv"
    scores.write_text("case_id,score\na,0.1\nb,0.1\n")
    files = codes(cohort, 1, a=0, b=1), codes(cohort, 2, d=2)
    for order in (1, -1):
        folders = ",".join(str(cohort / f"round{number}") for number in (1, 2)[::order])
        code, _, _ = call(
            "pseudo_labels", cohort / "out.json", "--datalist", cohort / "data" / "dataset.json",
            "--segmentations", folders, "--codes", ",".join(map(str, files[::order])),
            "--scores", ("," + str(scores), str(scores) + ",")[order < 0], "--accept_below", "0.3",
        )  # fmt: skip
        assert code == 0
        entries = json.loads((cohort / "out.json").read_text())["pseudo"]
        assert [(one["case_id"], Path(one["label"]).parts[0], one.get("accepted", False)) for one in entries] == [
            ("a", "round1", False), ("b", "round2", True),
        ]  # fmt: skip


def test_series_of_one_dicom_folder_are_cases_of_their_own(call, cohort: Path):
    for number in (1, 2):
        write_series(cohort / "data" / "p", np.zeros((4, 4, 4)), number=number, name=f"s{number}_{{:03d}}.dcm")
        segmentation(cohort / "round1" / f"p_{number}" / f"p_{number}_seg.nii.gz")
    content = json.loads((cohort / "data" / "dataset.json").read_text())
    (cohort / "data" / "dataset.json").write_text(json.dumps({**content, "unlabeled": ["p", "a.nii.gz"]}))
    entries, _, code = made(call, cohort, codes(cohort, 1, p_1=0, p_2=0))
    assert code == 0
    assert [sorted(one["image"]) for one in entries] == [
        [f"../data/p/s{number}_{slice:03d}.dcm" for slice in range(4)] for number in (1, 2)
    ]


def test_pseudo_labels_hold_behind_a_link(call, cohort: Path):
    (cohort / "scratch" / "deep").mkdir(parents=True)
    (cohort / "out").symlink_to(cohort / "scratch" / "deep")
    entries, _, code = made(call, cohort, codes(cohort, 1, a=0))
    assert code == 0
    assert all((cohort / "out" / entries[0][key]).is_file() for key in ("image", "label"))
