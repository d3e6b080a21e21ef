"""The datalist of the discriminator: written from codes and folders, read with all its checks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from custom_components.data.case_split import SECTIONS
from custom_components.data.consensus import How
from custom_components.data.qa_datalist import qa_cases, read_qa_datalist, write_qa_datalist
from custom_components.data.qa_sources import QASource, SourceEntries, joined_entries


def touched(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(str(path.name))
    return path


def source(folder: Path, codes: Sequence[float | None], *, model: str = "", truth: bool = False) -> QASource:
    """Codes of the cases c00, c01, ...; segmentations lie in folders of their own, and flat if the number is odd."""
    rows = ["case_id,code,model"]
    for number, code in enumerate(codes):
        name = f"c{number:02}"
        touched(folder / "images" / f"{name}.nii.gz")
        seg = folder / f"seg{model}"
        touched(seg / f"{name}.nrrd" if number % 2 else seg / name / f"{name}_seg.nii.gz")
        if truth:
            touched(folder / "truth" / f"{name}.nii.gz")
        rows.append(f"{name},{'' if code is None else code},{model}")
    (folder / f"codes{model}.csv").write_text("\n".join(rows) + "\n")
    return QASource(
        folder / f"codes{model}.csv",
        images=folder / "images",
        segmentations=folder / f"seg{model}",
        truth=folder / "truth" if truth else None,
        label_set="amos" if truth else None,
    )


def write(output: Path, *sources: QASource, how: How = "majority", seed: int = 0) -> SourceEntries:
    found = joined_entries(sources, how=how)
    write_qa_datalist(output, found, seed=seed)
    return found


def entries(path: Path) -> list[dict]:
    content = json.loads(path.read_text())
    return [entry for section in SECTIONS for entry in content[section]]


def test_entries_have_relative_paths_and_the_split_is_written_down(tmp_path: Path):
    output = tmp_path / "out" / "qa.json"
    done = write(output, source(tmp_path, [0] * 10 + [2] * 10 + [None], model="m", truth=True), seed=3)
    assert done.problems == []
    assert done.unrated == 1
    content = json.loads(output.read_text())
    assert content["split"] == {
        "seed": 3,
        "fractions": {"training": 0.8, "validation": 0.1, "test": 0.1},
        "codes": {
            "training": {"0": 8, "1": 0, "2": 8},
            "validation": {"0": 1, "1": 0, "2": 1},
            "test": {"0": 1, "1": 0, "2": 1},
        },
        "unrated": 1,
    }
    found = joined_entries([source(tmp_path, [0] * 10 + [2] * 10 + [None], model="m", truth=True)])
    assert write_qa_datalist(output, found, seed=3) == content["split"]["codes"]
    for section in SECTIONS:
        ids = [entry["case_id"] for entry in content[section]]
        assert ids == sorted(ids)
    by_case = {entry["case_id"]: entry for entry in entries(output)}
    assert by_case["c00"] == {
        "case_id": "c00",
        "code": 0,
        "model": "m",
        "image": "../images/c00.nii.gz",
        "segmentation": "../segm/c00/c00_seg.nii.gz",
        "truth": "../truth/c00.nii.gz",
        "label_set": "amos",
    }
    assert by_case["c11"]["segmentation"] == "../segm/c11.nrrd"
    assert "c20" not in by_case


def test_what_was_written_is_read_with_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(tmp_path / "qa.json", source(tmp_path, [0, 0, 0]))
    monkeypatch.chdir(tmp_path)
    for section in SECTIONS:
        (entry,) = qa_cases("qa.json", section)
        assert entry == {
            "case_id": entry["case_id"],
            "code": 0,
            "image": str(tmp_path / "images" / f"{entry['case_id']}.nii.gz"),
            "segmentation": entry["segmentation"],
        }
        assert Path(entry["segmentation"]).is_absolute()


def test_segmentations_of_several_models_keep_a_case_in_one_section(tmp_path: Path):
    sources = [source(tmp_path, [0, 1, 2] * 8, model="m"), source(tmp_path, [2, 1, 0] * 8, model="n")]
    write(tmp_path / "qa.json", *sources)
    content = json.loads((tmp_path / "qa.json").read_text())
    cases = [{entry["case_id"] for entry in content[section]} for section in SECTIONS]
    assert sum(map(len, cases)) == 24 == len(set.union(*cases))
    assert all({entry["code"] for entry in content[section]} == {0, 1, 2} for section in SECTIONS)
    assert [(e["case_id"], e["model"]) for e in content["test"]] == [(c, m) for c in sorted(cases[2]) for m in "mn"]


def test_montages_take_the_place_of_volumes(tmp_path: Path):
    for number in range(4):
        touched(tmp_path / "png" / f"c{number}.png")
    (tmp_path / "codes.txt").write_text("c0.png 0\nc1.png 0\nc2.png 0\nc3.png unrated\nc4.png 2\n")
    done = write(tmp_path / "qa.json", QASource(tmp_path / "codes.txt", montages=tmp_path / "png"))
    assert {entry["montage"] for entry in entries(tmp_path / "qa.json")} == {
        f"png/c{number}.png" for number in range(3)
    }
    assert [str(problem) for problem in done.problems] == [
        f"{tmp_path}/codes.txt, line 5: case_id 'c4': montage is 'not there', expected one file of the case in "
        f"{tmp_path}/png: rejected"
    ]


def test_ratings_without_their_files_are_problems_and_the_others_are_listed(tmp_path: Path):
    one = source(tmp_path, [0] * 8, truth=True)
    (tmp_path / "images" / "c00.nii.gz").unlink()
    touched(tmp_path / "images" / "more" / "c01.nii")
    (tmp_path / "seg" / "c03.nrrd").unlink()
    touched(tmp_path / "seg" / "c05.nii.gz")
    (tmp_path / "truth" / "c06.nii.gz").unlink()
    done = write(tmp_path / "qa.json", one)
    listed = {entry["case_id"]: entry for entry in entries(tmp_path / "qa.json")}
    assert set(listed) == {"c02", "c04", "c06", "c07"}
    assert "truth" not in listed["c06"]
    assert listed["c06"]["label_set"] == "amos"
    assert {(p.case_id, p.field, p.found, p.action) for p in done.problems} == {
        ("c00", "image", "not there", "rejected"),
        (
            "c01",
            "image",
            "case id 'c01' belongs to 2 images: c01.nii.gz, more/c01.nii; name them apart in a datalist",
            "rejected",
        ),
        ("c03", "case_id", "c03", "rejected"),
        ("c05", "segmentation", "2 files: c05.nii.gz, c05.nrrd", "rejected"),
        ("c06", "truth", "not there", "kept"),
    }


def test_a_rating_of_a_segmentation_that_changed_is_a_problem(tmp_path: Path):
    one = source(tmp_path, [0] * 4)
    digest = hashlib.sha256(b"another").hexdigest()
    Path(one.codes).write_text(f"case_id,code,segmentation_sha256\nc00,0,{digest}\nc01,0,\nc02,0,\nc03,0,\n")
    done = write(tmp_path / "qa.json", one)
    assert [(problem.case_id, problem.field) for problem in done.problems] == [("c00", "segmentation_sha256")]
    assert len(entries(tmp_path / "qa.json")) == 3


def test_several_raters_become_one_code(tmp_path: Path):
    one = source(tmp_path, [0] * 4)
    rows = [f"c{number:02},{code},{rater}" for number in range(4) for rater, code in (("x", 0), ("y", 1))]
    Path(one.codes).write_text("\n".join(["case_id,code,rater", *rows]) + "\n")
    write(tmp_path / "qa.json", one)
    assert [entry["code"] for entry in entries(tmp_path / "qa.json")] == [1] * 4
    write(tmp_path / "qa.json", one, how="mean")
    assert [entry["code"] for entry in entries(tmp_path / "qa.json")] == [0.5] * 4
    assert json.loads((tmp_path / "qa.json").read_text())["split"]["codes"]["training"] == {"0": 0, "1": 2, "2": 0}
    assert read_qa_datalist(tmp_path / "qa.json", "test")[0]["code"] == 0.5


def test_codes_of_two_models_in_one_file_are_problems(tmp_path: Path):
    one = source(tmp_path, [0] * 5)
    rows = ["c00,0,m", "c00,2,n", *(f"c{number:02},0,m" for number in range(1, 5))]
    Path(one.codes).write_text("\n".join(["case_id,code,model", *rows]) + "\n")
    done = write(tmp_path / "qa.json", one)
    assert [(problem.line, problem.found) for problem in done.problems] == [(2, "one of 2"), (3, "one of 2")]
    assert {entry["case_id"] for entry in entries(tmp_path / "qa.json")} == {"c01", "c02", "c03", "c04"}


def test_two_files_of_codes_of_the_same_segmentations_are_refused(tmp_path: Path):
    one = source(tmp_path, [0] * 4)
    with pytest.raises(
        ValueError, match="c00_seg.nii.gz is in another file of codes too, expected one: merge the codes"
    ):
        write(tmp_path / "qa.json", one, one)
    assert not (tmp_path / "qa.json").exists()


def test_a_source_has_volumes_or_montages():
    for folders in ({}, {"images": "i"}, {"images": "i", "segmentations": "s", "montages": "m"}):
        with pytest.raises(ValueError, match="codes.csv: given are .*, expected images and segmentations, or montages"):
            QASource("codes.csv", **folders)
    with pytest.raises(ValueError, match="label_set is 'abdomen13'"):
        QASource("codes.csv", montages="m", label_set="abdomen13")


def test_missing_folders_are_refused_in_one_line(tmp_path: Path):
    one = source(tmp_path, [0] * 4)
    for name, message in (
        ("images", "images is .*absent, found nothing, expected a folder"),
        ("segmentations", "absent is not there, expected a folder"),
        ("truth", "absent is not there, expected a folder"),
    ):
        with pytest.raises(ValueError, match=message):
            write(tmp_path / "qa.json", QASource(**{**vars(one), name: tmp_path / "absent"}))


@pytest.fixture
def content(tmp_path: Path) -> dict:
    """A datalist with one montage in each section."""
    for name in "abc":
        touched(tmp_path / f"{name}.png")
    names = zip(SECTIONS, "abc", strict=True)
    return {section: [{"case_id": name, "code": 1, "montage": f"{name}.png"}] for section, name in names}


ENTRY = {"case_id": "a", "code": 1, "montage": "a.png"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"test": [ENTRY]}, "case 'a' is in training and test, expected one section"),
        ({"training": []}, "section 'training' is empty, expected at least one rated case"),
        ({"training": [{**ENTRY, "code": 3}]}, r"training\[0\] has code 3, expected a number from 0 to 2"),
        ({"training": [{**ENTRY, "code": "1"}]}, r"training\[0\] has code '1', expected a number"),
        ({"training": [{**ENTRY, "code": True}]}, r"training\[0\] has code True, expected a number"),
        ({"training": [{**ENTRY, "code": None}]}, r"training\[0\] has code None, expected a number"),
        ({"training": [{"code": 1, "montage": "a.png"}]}, r"training\[0\]: case_id is '', expected a name"),
        ({"training": [{**ENTRY, "case_id": "../a"}]}, r"training\[0\]: case_id is '../a', expected a name"),
        (
            {"training": [{"case_id": "a", "code": 1, "image": "a.png"}]},
            r"training\[0\] has case_id, code, image, expected montage, or image and segmentation",
        ),
        ({"training": [{**ENTRY, "montage": "x.png"}]}, r"training\[0\] names the montage x.png, which does not exist"),
        ({"training": [{**ENTRY, "montage": None}]}, r"training\[0\] has montage None, expected a path"),
        ({"training": [{**ENTRY, "label_set": "abdomen13"}]}, r"training\[0\]: label_set is 'abdomen13'"),
    ],
)
def test_a_datalist_with_a_fault_is_refused_in_one_line(tmp_path: Path, content: dict, change: dict, message: str):
    path = tmp_path / "qa.json"
    path.write_text(json.dumps({**content, **change}))
    with pytest.raises(ValueError, match=message) as caught:
        read_qa_datalist(path)
    assert str(caught.value).startswith(f"{path}: ")
    with pytest.raises(SystemExit, match=message):
        qa_cases(path)


def test_a_section_that_is_not_there_is_refused(tmp_path: Path, content: dict):
    path = tmp_path / "qa.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="section is 'unlabeled', expected one of training, validation, test"):
        read_qa_datalist(path, "unlabeled")
    path.write_text(json.dumps({"training": content["training"]}))
    with pytest.raises(ValueError, match="section 'validation' not found, found training"):
        read_qa_datalist(path)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    first=st.lists(st.sampled_from([0, 1, 2, None]), min_size=8, max_size=12),
    second=st.lists(st.sampled_from([0, 1, 2, None]), min_size=8, max_size=12),
    seed=st.integers(0, 5),
)
def test_no_case_is_on_two_sides_and_every_rating_is_listed(
    tmp_path_factory: pytest.TempPathFactory, first: list, second: list, seed: int
):
    folder = tmp_path_factory.mktemp("qa")
    first = [1, 1, 1, *first]
    write(folder / "qa.json", source(folder, first, model="m"), source(folder, second, model="n"), seed=seed)
    found = [(section, entry) for section in SECTIONS for entry in read_qa_datalist(folder / "qa.json", section)]
    section_of: dict[str, set[str]] = {}
    for section, entry in found:
        section_of.setdefault(entry["case_id"], set()).add(section)
    assert all(len(sections) == 1 for sections in section_of.values())
    expected = {
        (f"c{number:02}", model, code)
        for model, codes in (("m", first), ("n", second))
        for number, code in enumerate(codes)
        if code is not None
    }
    assert {(entry["case_id"], entry["model"], entry["code"]) for _, entry in found} == expected
    assert len(found) == len(expected)
