"""The command line: results on standard output, one line on standard error for what a user can mend."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from custom_components.__main__ import _mistake, _quoted

AFFINE = np.diag([5.0, 5.0, 5.0, 1.0])
LABELS = np.random.default_rng(0).integers(0, 13, (12, 12, 8)).astype(np.uint8)


def write(path: Path, voxels: np.ndarray = LABELS, affine: np.ndarray = AFFINE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(voxels, affine), path)
    return path


def shortened(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:-40])
    return path


@pytest.fixture
def case(tmp_path: Path) -> dict[str, Path]:
    image = np.random.default_rng(0).integers(-200, 200, LABELS.shape).astype(np.int16)
    return {
        "image": write(tmp_path / "ct.nii.gz", image),
        "segmentation": write(tmp_path / "seg.nii.gz"),
        "output": tmp_path / "planes.png",
    }


def test_planes_draws_a_case(call, case: dict[str, Path]):
    code, out, err = call("planes", *case.values())
    assert (code, out.strip()) == (0, str(case["output"]))
    assert "error" not in err
    assert case["output"].stat().st_size > 5000


@pytest.mark.parametrize("key", ["image", "segmentation"])
def test_planes_says_in_one_line_what_is_wrong_with_a_file(call, case: dict[str, Path], key: str):
    path = case[key]
    shortened(path)
    code, out, err = call("planes", *case.values())
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {path}: truncated or damaged: ")
    assert err.count("\n") == 1
    path.write_text("no image")
    assert call("planes", *case.values())[2].startswith(f"error: {path}: no NIfTI image, or truncated: ")
    path.unlink()
    assert call("planes", *case.values()) == (2, "", f"error: {path}: file not found\n")


def test_planes_refuses_another_grid_an_unknown_label_set_and_a_folder_that_is_not_there(call, case: dict[str, Path]):
    code, _, err = call("planes", *case.values(), "--label_set", "abdomen13")
    assert code == 2
    assert err.startswith("error: label_set is 'abdomen13', expected one of")
    code, _, err = call("planes", case["image"], case["segmentation"], "/absent/planes.png")
    assert (code, err) == (2, "error: /absent/planes.png: No such file or directory\n")
    write(case["segmentation"], LABELS[:-1])
    code, _, err = call("planes", *case.values())
    assert code == 2
    assert err.startswith(f"error: {case['segmentation']} has 11 x 12 x 8 voxels, expected 12 x 12 x 8 as ")


@pytest.fixture
def cohort_folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Segmentations and truth of the cases a and b, and where the codes go."""
    for name in "ab":
        write(tmp_path / "seg" / name / f"{name}_seg.nii.gz")
        write(tmp_path / "truth" / f"{name}.nii.gz")
    return tmp_path / "seg", tmp_path / "truth", tmp_path / "codes" / "codes.csv"


def test_rate_prints_the_shares(call, cohort_folders: tuple[Path, Path, Path]):
    code, out, err = call("rate", *cohort_folders)
    assert (code, err) == (0, "")
    assert out == f"2 cases; code 0: 2 (100%), code 1: 0 (0%), code 2: 0 (0%); see {cohort_folders[2]}\n"
    assert len(cohort_folders[2].read_text().splitlines()) == 3


def test_rate_sets_a_bad_case_aside_and_codes_the_others(
    call, cohort_folders: tuple[Path, Path, Path], caplog: pytest.LogCaptureFixture
):
    seg, truth, codes = cohort_folders
    shortened(seg / "a" / "a_seg.nii.gz")
    code, out, _ = call("rate", *cohort_folders)
    assert code == "error: 1 of 2 cases set aside: a"
    assert out.startswith("1 cases; code 0: 1 (100%)")
    assert "a: set aside: a_seg.nii.gz: truncated or damaged" in caplog.text
    assert [line.split(",")[0] for line in codes.read_text().splitlines()] == ["case_id", "b"]
    (truth / "b.nii.gz").write_text("no image")
    code, out, _ = call("rate", *cohort_folders)
    assert code == "error: 2 of 2 cases set aside: a, b"
    assert out.startswith("0 cases; code 0: 0 (0%)")
    assert len(codes.read_text().splitlines()) == 1


def test_rate_says_in_one_line_which_folder_is_wrong(call, cohort_folders: tuple[Path, Path, Path], tmp_path: Path):
    seg, truth, codes = cohort_folders
    assert call("rate", tmp_path / "absent", truth, codes) == (
        2, "", f"error: {tmp_path}/absent is not there, expected a folder\n",
    )  # fmt: skip
    (tmp_path / "file").touch()
    code, _, err = call("rate", seg, truth, tmp_path / "file" / "codes.csv")
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith(f"error: {tmp_path}/file")


def test_a_mistake_of_the_program_keeps_its_traceback(call, case: dict[str, Path], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("custom_components.report.planes._telling_voxel", lambda label: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        call("planes", *case.values())


def test_what_monai_wraps_around_a_users_mistake_is_taken_off():
    error = RuntimeError("applying transform <LoadImaged>")
    error.__cause__ = ValueError("a.nii:\n truncated")
    assert _mistake(error) == "a.nii: truncated"
    assert _mistake(RuntimeError("another")) is None


def test_a_process_ends_with_one_line_and_an_exit_code(cohort_folders: tuple[Path, Path, Path]):
    shortened(cohort_folders[0] / "a" / "a_seg.nii.gz")
    command = [sys.executable, "-m", "custom_components", "rate", *map(str, cohort_folders)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert done.stdout.startswith("1 cases; code 0: 1 (100%)")
    warning, error = done.stderr.splitlines()
    assert warning.startswith("a: set aside: a_seg.nii.gz: truncated or damaged: ")
    assert error == "error: 1 of 2 cases set aside: a"


HEADER = "case_id,code,rater,seconds,rated_at,reason,segmentation_sha256,model"


def touched(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


@pytest.fixture
def ratings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with the codes of two raters for the cases a to f."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "anna.csv").write_text(f"{HEADER}\na,0,anna,10\nb,0,anna,20\nc,1,anna\nd,2,anna\ne,2,anna\nf,,anna\n")
    (tmp_path / "ben.txt").write_text("a.png 0\nb.png 2\nc.png 1\nd.png 2\ne.png 1\nf.png unrated\n")
    return tmp_path


def test_codes_summary_counts_each_code_and_what_is_unrated(call, ratings: Path):
    code, out, err = call("codes", "summary", "anna.csv,ben.txt")
    assert (code, err) == (0, "")
    assert [line.split() for line in out.splitlines()[1:]] == [
        ["all", "6", "12", "3", "3", "4", "2", "15"],
        ["rater", "anna", "6", "6", "2", "1", "2", "1", "15"],
        ["rater", "ben", "6", "6", "1", "2", "2", "1"],
    ]
    assert out.splitlines()[0].split() == [
        "of", "cases", "rows", "code", "0", "code", "1", "code", "2", "unrated", "median", "seconds",
    ]  # fmt: skip


def test_codes_summary_says_what_is_rejected_and_ends_with_1(call, ratings: Path):
    write(ratings / "seg" / "a.nii.gz")
    write(ratings / "seg" / "z" / "z_seg.nii.gz")
    (ratings / "grades.csv").write_text("Scan;Grade\na;fair\nb;good\na;poor\n")
    code, out, err = call(
        "codes", "summary", "grades.csv", "--columns", "case_id=Scan,code=Grade",
        "--values=good=0,fair=1,bad=2", "--segmentations", "seg",
    )  # fmt: skip
    assert code == "error: 2 rows rejected"
    assert err.splitlines() == [
        "grades.csv, line 3: case_id is 'b', expected a case with a segmentation in seg: rejected",
        "grades.csv, line 4: case_id 'a': code is 'poor', expected one of 'good', 'fair', 'bad' or empty: rejected",
    ]
    lines = out.splitlines()
    assert lines[1].split() == ["all", "1", "1", "0", "1", "0", "0"]
    assert lines[2] == "1 segmentations without a row: z"
    assert call("codes", "summary", "grades.csv", "--columns", "{'case_id': 'Scan', 'code': 'Grade'}")[0] != 2
    code, _, err = call("codes", "summary", "grades.csv", "--columns", "Scan")
    assert (code, err) == (2, "error: columns is 'Scan', expected NAME=VALUE,NAME=VALUE\n")
    code, _, err = call("codes", "summary", "grades.csv", "--values", "good=3")
    assert (code, err) == (2, "error: values has '3' for 'good', expected 0, 1, 2 or unrated\n")


def test_codes_agreement_gives_kappa_and_the_disagreements(call, ratings: Path):
    code, out, err = call("codes", "agreement", "anna.csv,ben.txt", "--show", 1, "--disagreements", "apart.csv")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split() == ["raters", "both", "rated", "agreement", "kappa", "weighted", "kappa"]
    # 3 of 5 are equal; by chance (2 * 1 + 1 * 2 + 2 * 2) / 25; squares of the distances 4 + 1, by chance 35 / 5
    assert lines[1].startswith("anna, ben           5  60.0 % [")
    assert f"  {(0.6 - 0.32) / 0.68:.2f} [" in lines[1]
    assert f"  {1 - 5 / 7:.2f} [" in lines[1]
    assert lines[3].startswith("2 ratings each of 5 segmentations: agreement 60.0 %")
    assert lines[3].endswith("; 1 with another number of ratings left out")
    assert lines[5:] == [
        "2 of 6 segmentations with different codes, the worst first",
        "case id  anna  ben  spread",
        "b           0    2       2",
    ]
    table = (ratings / "apart.csv").read_text().splitlines()
    assert table == ["case_id,segmentation,anna,ben,spread", "b,,0,2,2", "e,,2,1,1"]
    code, _, err = call("codes", "agreement", "anna.csv")
    assert (code, err) == (2, "error: anna.csv: raters are 'anna', expected two or more\n")


def test_codes_merge_keeps_every_rating_or_makes_a_consensus(call, ratings: Path):
    code, out, err = call("codes", "merge", "all.csv", "anna.csv", "ben.txt")
    assert (code, err) == (0, "")
    assert out == "12 rows, 2 of them unrated, of 6 cases; see all.csv\n"
    assert (ratings / "all.csv").read_text().splitlines()[:2] == [HEADER, "a,0,anna,10.0,,,,"]
    assert call("codes", "merge", "one.csv", "all.csv", "--consensus", "majority")[0] == 0
    lines = (ratings / "one.csv").read_text().splitlines()
    assert [line.split(",")[:3] for line in lines[1:]] == [
        [case, code, "consensus"] for case, code in zip("abcdef", ["0", "2", "1", "2", "2", ""], strict=True)
    ]
    assert call("codes", "merge", "soft.csv", "all.csv", "--consensus=mean")[0] == 0
    assert [line.split(",")[1] for line in (ratings / "soft.csv").read_text().splitlines()[1:]] == [
        "0.0", "1.0", "1.0", "2.0", "1.5", "",
    ]  # fmt: skip
    assert call("codes", "merge", "one.txt", "all.csv", "--consensus", "majority")[0] == 0
    assert (ratings / "one.txt").read_text() == "a 0\nb 2\nc 1\nd 2\ne 2\nf unrated\n"
    message = "error: all.txt: case 'a' has several ratings, expected one: make a consensus first\n"
    assert call("codes", "merge", "all.txt", "all.csv") == (2, "", message)


def test_codes_merge_writes_down_what_it_leaves_out(call, ratings: Path):
    (ratings / "more.csv").write_text("case_id,code,rater\na,1,anna\ng,7,anna\n")
    code, out, err = call("codes", "merge", "all.csv", "anna.csv", "more.csv")
    assert code == "error: 3 rows rejected"
    assert out == "5 rows, 1 of them unrated, of 5 cases; see all.csv and all.problems.csv\n"
    assert [line.split(": ")[0] for line in err.splitlines()] == [
        "anna.csv, line 2", "more.csv, line 2", "more.csv, line 3",
    ]  # fmt: skip
    problems = (ratings / "all.problems.csv").read_text().splitlines()
    assert [line.split(",")[:3] for line in problems[1:]] == [
        ["anna.csv", "2", "a"], ["more.csv", "2", "a"], ["more.csv", "3", "g"],
    ]  # fmt: skip
    assert call("codes", "merge", "all.csv", "anna.csv")[0] == 0
    assert not (ratings / "all.problems.csv").exists()
    for words, message in (
        (("all.csv", "all.csv", "anna.csv"), "output is all.csv, which is read too, expected another file"),
        (("all.csv", "anna.csv", "--consensus", "best"), "consensus is 'best', expected majority, mean or none"),
        (("all.csv",), "no file of codes is given, expected at least one"),
        (("out.csv", "absent.csv"), "absent.csv: No such file or directory"),
        (("out.csv", "anna.csv", "./anna.csv"), "anna.csv: is given twice, expected each file of codes once"),
    ):
        assert call("codes", "merge", *words) == (2, "", f"error: {message}\n")


def test_codes_commands_do_not_replace_what_they_read(call, ratings: Path):
    before = (ratings / "anna.csv").read_bytes()
    (ratings / "all.problems.csv").write_bytes(before)
    for words, name in (
        (("split", "anna.csv", "--codes", "anna.csv", "--montages", "png"), "output is anna.csv"),
        (("agreement", "anna.csv,ben.txt", "--disagreements", "./anna.csv"), "disagreements is ./anna.csv"),
        (("merge", "all.csv", "all.problems.csv"), "output is all.problems.csv"),
    ):
        message = f"error: {name}, which is read too, expected another file\n"
        assert call("codes", *words) == (2, "", message)
    assert (ratings / "anna.csv").read_bytes() == before == (ratings / "all.problems.csv").read_bytes()


@pytest.mark.parametrize(
    ("words", "end"),
    [
        (("merge", "out.txt", "anna.csv", "more.csv"), "out.txt: case 'b' has several ratings"),
        (("agreement", "more.csv"), "raters are 'cleo', expected two or more"),
        (("split", "out.json", "--codes", "more.csv", "--montages", "png"), "training would be empty"),
    ],
)
def test_rejected_rows_are_told_where_the_command_fails_after_them(call, ratings: Path, words: tuple, end: str):
    (ratings / "more.csv").write_text("case_id,code,rater\na,7,cleo\nb,1,cleo\n")
    touched(ratings / "png" / "x.png")
    code, out, err = call("codes", *words)
    assert (code, out) == (2, "")
    *problems, last = err.splitlines()
    assert problems[0] == "more.csv, line 2: case_id 'a': code is '7', expected 0, 1, 2 or empty: rejected"
    assert last.startswith("error: ")
    assert end in last


def test_codes_of_cases_without_a_montage_or_segmentation_are_rejected_by_all_commands(call, ratings: Path):
    for case_id in "abcde":
        touched(ratings / "png" / f"{case_id}.png")
        write(ratings / "seg" / f"{case_id}.nii.gz")
    for words in (("summary", "anna.csv"), ("agreement", "anna.csv,ben.txt"), ("merge", "all.csv", "anna.csv")):
        for option, folder in (("--montages", "png"), ("--segmentations", "seg")):
            code, _, err = call("codes", *words, option, folder)
            assert err.count("case_id is 'f', expected a case") == len(words[-1].split(",")), (words, option)
            assert str(code).startswith("error: ")


def test_codes_split_reads_columns_and_values_of_others(call, ratings: Path):
    for number in range(6):
        touched(ratings / "png" / f"{number}.png")
    rows = "".join(f"{number},{('good', 'bad')[number % 2]}\n" for number in range(6))
    (ratings / "grades.csv").write_text(f"Scan,Grade\n{rows}")
    code, out, err = call(
        "codes", "split", "qa.json", "--codes", "grades.csv", "--montages", "png", "--validation", 0.34, "--test", 0.34,
        "--columns", "case_id=Scan,code=Grade", "--values", "good=0,bad=2",
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert out.startswith("training: 2 (code 0: 1, code 1: 0, code 2: 1)\n")


def test_codes_split_writes_the_datalist(call, ratings: Path):
    image = np.zeros((4, 4, 4), dtype=np.int16)
    for number in range(10):
        for folder in ("images", "2024_05", "1.10"):
            write(ratings / folder / f"{number:02}.nii.gz", image)
    for name in ("first.csv", "second.csv"):
        (ratings / name).write_text("case_id,code\n" + "".join(f"{number:02},{number % 2}\n" for number in range(10)))
    code, out, err = call(
        "codes", "split", "qa.json", "--codes", "first.csv,second.csv", "--images=images",
        "--segmentations", "2024_05,1.10", "--seed", 4, "--validation", 0.2, "--test=0.2",
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "training: 12 (code 0: 6, code 1: 6, code 2: 0)",
        "validation: 4 (code 0: 2, code 1: 2, code 2: 0)",
        "test: 4 (code 0: 2, code 1: 2, code 2: 0)",
        "unrated: 0, in no section",
        "see qa.json",
    ]
    content = json.loads((ratings / "qa.json").read_text())
    assert content["split"]["seed"] == 4
    folders = {Path(entry["segmentation"]).parent.as_posix() for entry in content["training"]}
    assert folders == {"2024_05", "1.10"}
    (ratings / "scores.csv").write_text("case_id,score\n03,0.25\n04,1.5\n05,\n")
    words = ("codes", "split", "qa.json", "--codes", "first.csv,second.csv", "--images=images",
             "--segmentations", "2024_05,1.10")  # fmt: skip
    assert call(*words, "--scores", ",scores.csv")[0] == 0
    content = json.loads((ratings / "qa.json").read_text())
    entries = [entry for section in ("training", "validation", "test") for entry in content[section]]
    scored = {(entry["case_id"], entry["segmentation"][:4]): entry["score"] for entry in entries if "score" in entry}
    assert scored == {("03", "1.10"): 0.25, ("04", "1.10"): 1.5}
    code, _, err = call(*words, "--scores", "scores.csv")
    assert "scores has 1 entries, expected 2, one for each file of codes" in f"{code}{err}"
    (ratings / "1.10" / "03.nii.gz").unlink()
    words = ("codes", "split", "qa.json", "--codes", "second.csv", "--images", "images", "--segmentations", "1.10")
    code, out, err = call(*words)
    assert code == "error: 1 row rejected"
    assert err == "second.csv, line 5: case_id is '03', expected a case with a segmentation in 1.10: rejected\n"
    assert out.startswith("training: 5 (code 0: 3, code 1: 2, code 2: 0)\n")
    code, _, err = call(*words[:5], "--montages", "a,b")
    assert (code, err) == (2, "error: montages has 2 entries, expected 1, one for each file of codes\n")


def test_names_that_look_like_numbers_or_lists_reach_the_command_as_they_are():
    def command(one: str, *more: str, name: str | None = None, number: float = 1) -> None: ...

    words = ["2024_05", "--name=1.10", "007", "--number", "1_0", "1e3", "--name", "a,b", "-n", "0x10", "--number=0.30"]
    assert _quoted(words, command) == [
        "'2024_05'", "--name='1.10'", "'007'", "--number", "1_0", "'1e3'", "--name", "'a,b'", "-n", "'0x10'",
        "--number=0.30",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "found"), [((), "codes"), (("codes",), "agreement"), (("codes", "merge", "--help"), "OUTPUT")]
)
def test_help_lists_the_commands_of_a_group(words: tuple[str, ...], found: str):
    command = [sys.executable, "-m", "custom_components", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0
    assert found in done.stdout + done.stderr
    assert "FIRE" not in done.stdout + done.stderr


def test_a_rejected_row_ends_a_process_with_1(ratings: Path):
    (ratings / "codes.csv").write_text("case_id,code\na,0\nb,1.5\n")
    command = [sys.executable, "-m", "custom_components", "codes", "summary", "codes.csv"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert done.stdout.splitlines()[1].split() == ["all", "1", "1", "1", "0", "0", "0"]
    assert done.stderr.splitlines() == [
        "codes.csv, line 3: case_id 'b': code is '1.5', expected 0, 1, 2 or empty: rejected",
        "error: 1 row rejected",
    ]


SMALL_GRID = ("--pixdim", "5.25,5.25,12", "--roi_size=64,64,32", "--body_part_path", "none", "--workers", 0)


def test_montage_draws_every_case_and_skips_what_is_finished(call, cohort: Path, tmp_path: Path):
    words = ("montage", cohort / "imagesTs", cohort / "truth", tmp_path / "2024_05", *SMALL_GRID)
    table = tmp_path / "2024_05" / "montages.csv"
    code, out, _ = call(*words)
    assert (code, out) == (0, f"3 montages; see {table}\n")
    assert len(list(table.parent.glob("*.png"))) == 3
    assert call(*words)[:2] == (0, f"0 montages, 3 skipped (finished before); see {table}\n")
    assert call(*words, "--overwrite")[:2] == (0, f"3 montages; see {table}\n")


def test_montage_sets_a_bad_case_aside_and_ends_with_1(
    call, cohort: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    path, other = sorted((cohort / "imagesTs").glob("*.nii.gz"))[:2]
    for name, image in (("a", path), ("b", other)):
        for folder, source in (("images", image), ("labels", cohort / "truth" / image.name)):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / f"{name}.nii.gz").write_bytes(source.read_bytes())
    shortened(tmp_path / "labels" / "b.nii.gz")
    code, out, _ = call("montage", tmp_path / "images", tmp_path / "labels", tmp_path / "out", *SMALL_GRID)
    assert code == f"error: 1 of 2 cases set aside; see {tmp_path}/out/montages.csv"
    assert out == f"1 montages; see {tmp_path}/out/montages.csv\n"
    assert "b: set aside: segmentation b.nii.gz: truncated or damaged" in caplog.text
    assert [path.name for path in (tmp_path / "out").glob("*.png")] == ["a.png"]


def test_montage_says_in_one_line_what_is_wrong(call, cohort: Path, tmp_path: Path):
    images, labels = cohort / "imagesTs", cohort / "truth"
    (tmp_path / "file").touch()
    for words, said in (
        ((tmp_path / "absent", labels, tmp_path / "out"), f"images is {tmp_path}/absent, found nothing"),
        ((images, tmp_path / "absent", tmp_path / "out"), f"{tmp_path}/absent is not there, expected a folder"),
        ((images, labels, tmp_path / "out", "--label_set", "mine"), "label_set is 'mine', expected one of"),
        ((images, labels, tmp_path / "out", "--pixdim", 5), "pixdim is 5, expected 3 positive numbers (mm)"),
        ((images, labels, tmp_path / "file" / "out"), f"{tmp_path}/file"),
    ):
        code, out, err = call("montage", *words)
        assert (code, out) == (2, "")
        assert err.startswith(f"error: {said}")
        assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_montage_process_ends_with_one_line_for_each_bad_case(cohort: Path, tmp_path: Path):
    path = sorted((cohort / "imagesTs").glob("*.nii.gz"))[0]
    write(tmp_path / "labels" / "orphan.nii.gz")
    write(tmp_path / "labels" / path.name)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / path.name).write_bytes(path.read_bytes())
    command = [sys.executable, "-m", "custom_components", "montage", "images", "labels", "out", *map(str, SMALL_GRID)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == "0 montages; see out/montages.csv\n"
    lines = [line.strip() for line in done.stderr.replace("\r", "\n").splitlines()]
    said = [line for line in lines if line and not line.startswith("montages: ")]  # without the progress bar
    name = path.name.removesuffix(".nii.gz")
    assert said == [
        "orphan: set aside: no image",
        f"{name}: set aside: case {name}: segmentation has 12 x 12 x 8 voxels, expected 64 x 64 x 32 as image",
        "error: 2 of 2 cases set aside; see out/montages.csv",
    ]
