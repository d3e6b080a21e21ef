"""The report as a whole: page, data and pictures."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import RATED_GRID, RatedCohort, write_rows, write_volume
from PIL import Image

from custom_components.report.before_after import SetFiles, Volumes
from custom_components.report.report_html import MOST_PAIRS, shown_pairs
from custom_components.report.report_text import report_text
from custom_components.report.validation_curve import read_curve
from custom_components.report.write_report import write_count_report, write_report


class Page(HTMLParser):
    """Tags with their attributes, text, and whether every element is closed in order."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert self.open == []
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def of(self, tag: str) -> list[dict[str, Any]]:
        return [attributes for name, attributes in self.tags if name == tag]


def sets(rated: RatedCohort, name: str = "QA-supervised", **of_after: Any) -> tuple[SetFiles, list[SetFiles]]:
    after = SetFiles(name, of_after.pop("codes", rated.codes_after), rated.after, **of_after)
    return SetFiles("Baseline", rated.codes_before, rated.before), [after]


def volumes(rated: RatedCohort, **options: Any) -> Volumes:
    return Volumes(rated.images, rated.truth, **{**RATED_GRID, "workers": 0, **options})


@pytest.fixture
def curve(tmp_path: Path) -> Path:
    path = tmp_path / "learning_curve.csv"
    path.write_text("epoch,val_rmse\n1,0.5\n2,0.4\n")
    return path


def test_the_report_is_a_page_data_and_pictures(rated: RatedCohort, tmp_path: Path, curve: Path):
    out = tmp_path / "out"
    data = write_report(out, *sets(rated), volumes=volumes(rated), curves=[read_curve(curve)])
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()) == [
        "codes.png", "curve.png", "pairs/broken_b.png", "pairs/improved_a.png", "pairs/improved_d.png",
        "pairs/improved_e.png", "report.html", "report.json", "transitions.png",
    ]  # fmt: skip
    assert json.loads((out / "report.json").read_text()) == data
    (method,) = data["methods"]
    assert method["table"] == [[0, 0, 1], [1, 1, 0], [1, 1, 0]]
    assert {kind: change["cases"] for kind, change in method["changes"].items()} == {
        "fixed": ["a", "d"], "broken": ["b"], "improved": ["a", "d", "e"], "worse": ["b"],
    }  # fmt: skip
    assert method["cases"][1] == {
        "case_id": "b", "before": 0, "after": 2, "score_before": None, "score_after": None,
    }  # fmt: skip
    assert [share["cases"] for share in data["sets"][1]["shares"]] == [2, 2, 1]
    assert method["tests"]["failure"]["p_value"] == 1  # 2 fixed, 1 broken
    liver = next(organ for organ in method["dice"]["organs"] if organ["organ"] == "liver")
    assert (liver["cases"], liver["before"]) == (5, pytest.approx((1 + 2 * 2 / 3) / 5))
    assert liver["after"] == pytest.approx((2 + 2 * 2 / 3) / 5)
    assert data["curves"][0]["best"] == {"val_rmse": {"epoch": 2, "value": 0.4}}
    assert (method["left_out"], method["problems"]) == ({}, [])


def test_fixed_and_broken_are_about_gross_failures_and_better_and_worse_about_every_change(tmp_path: Path):
    names = [f"{before}{after}" for before in range(3) for after in range(3)]
    before, after = (
        write_rows(tmp_path / f"{side}.csv", [{"case_id": f"c{name}", "code": name[side]} for name in names])
        for side in (0, 1)
    )
    data = write_report(tmp_path / "out", SetFiles("before", before), [SetFiles("after", after)])
    assert {kind: change["cases"] for kind, change in data["methods"][0]["changes"].items()} == {
        "fixed": ["c20", "c21"],
        "broken": ["c02", "c12"],
        "improved": ["c10", "c20", "c21"],
        "worse": ["c01", "c02", "c12"],
    }


def test_the_page_needs_nothing_else_and_shows_every_picture(rated: RatedCohort, tmp_path: Path, curve: Path):
    write_report(tmp_path / "out", *sets(rated), volumes=volumes(rated), curves=[read_curve(curve)])
    page = Page(tmp_path / "out" / "report.html")
    pictures = page.of("img")
    assert len(pictures) == 2 + 4
    assert all(re.match(r"data:image/(png|jpeg);base64,[A-Za-z0-9+/=]+$", picture["src"]) for picture in pictures)
    assert all(picture["alt"] for picture in pictures)
    links = [value for _, attributes in page.tags for name, value in attributes.items() if name in ("href", "srcset")]
    assert links == []
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "iframe", "object"})
    assert "://" not in re.sub(r"data:[^\"]*", "", (tmp_path / "out" / "report.html").read_text())
    assert "a before: code 2 (gross failure) after: code 0 (success)" in page.text
    assert "Newly broken: 1 successes or acceptable ones that became gross failures (0 or 1 to 2) b" in page.text


def test_names_are_text_and_no_mark_up(rated: RatedCohort, tmp_path: Path):
    name = '<b>"QA" & $x$</b>/seed'
    case_id = "<script>alert(1)<"
    rows: list[dict[str, object]] = [{"case_id": case, "code": 0} for case in ("a", case_id)]
    codes = write_rows(tmp_path / "codes.csv", rows)
    before = SetFiles("Baseline", write_rows(tmp_path / "other.csv", [{**row, "code": 2} for row in rows]))
    write_report(tmp_path / "out", before, [SetFiles(name, codes)])
    page = Page(tmp_path / "out" / "report.html")
    assert {tag for tag, _ in page.tags}.isdisjoint({"b", "script"})
    assert f"{name} against Baseline" in page.text
    assert f"Fixed: 2 gross failures that became success or acceptable (2 to 0 or 1) {case_id}, a" in page.text


def test_nothing_tells_where_the_files_lie(rated: RatedCohort, tmp_path: Path):
    with rated.codes_after.open("a") as file:
        file.write("/archive/Jane_Doe/x.nii,1,\nb,0,\nc,7,\n")
    path = rated.after / "a" / "a_seg.nii.gz"
    path.write_bytes(path.read_bytes()[:-30])
    (rated.images / "d.nii.gz").write_bytes(b"")
    write_report(tmp_path / "out", *sets(rated), volumes=volumes(rated))
    for file_name in ("report.html", "report.json"):
        text = (tmp_path / "out" / file_name).read_text()
        assert "codes_after.csv" in text
        assert str(tmp_path) not in text
        assert "Jane" not in text


def test_nothing_is_left_out_silently(rated: RatedCohort, tmp_path: Path):
    with rated.codes_after.open("a") as file:
        file.write("only_after,1,\n")
    with rated.codes_before.open("a") as file:
        file.write("only_before,1,\nlater,,\n")
    write_volume(rated.after / "b" / "b_seg.nii.gz", np.zeros((16, 16, 9), np.uint8))
    write_volume(rated.after / "never.nii.gz", np.zeros((16, 16, 9), np.uint8))
    (rated.truth / "c.nii.gz").unlink()
    (rated.images / "d.nii.gz").write_bytes(b"")
    data = write_report(tmp_path / "out", *sets(rated), volumes=volumes(rated))
    (method,) = data["methods"]
    assert method["compared"] == 4
    assert method["left_out"] == {
        "after: segmentation changed since it was rated": ["b"],
        "before: unrated": ["later"],
        "after: in the other set only": ["later", "only_before"],
        "before: in the other set only": ["never", "only_after"],
        "after: unrated": ["never"],
    }
    assert method["left_out_cases"] == 5
    assert method["dice"]["without"] == ["c"]
    assert list(method["pairs"]["set_aside"]) == ["d"]
    page, text = Page(tmp_path / "out" / "report.html").text, report_text(data)
    for said in ("after: segmentation changed since it was rated", "before: unrated", "before: in the other set only"):
        assert said in page
        assert said in text
    assert "left out (after: unrated): 1 case (never)" in text
    assert "QA-supervised: no pair of montages, 1 case set aside: d: before: d.nii.gz: " in text
    assert "QA-supervised: 1 problem in codes_after.csv: line 3, 'b': segmentation_sha256 is " in text


def test_a_score_that_fell_while_codes_got_worse_is_said_first(rated: RatedCohort, tmp_path: Path):
    scores = [
        write_rows(tmp_path / f"{side}.csv", [{"case_id": case, "score": score} for case in "abcde"])
        for side, score in (("low", 0.1), ("high", 1.2))
    ]
    before = SetFiles("Baseline", rated.codes_after, scores=scores[1])
    after = SetFiles("published", rated.codes_before, scores=scores[0])
    data = write_report(tmp_path / "out", before, [after])
    sentence = (
        "Do not trust the QA score of published: over 5 cases it fell from 1.20 to 0.10, while the codes got worse "
        "(mean code 0.80 to 1.20, gross failures 1 to 2): "
    )
    assert data["methods"][0]["warning"].startswith(sentence)
    assert report_text(data).startswith(sentence)
    page = Page(tmp_path / "out" / "report.html")
    assert page.text.index(sentence) < page.text.index("mean QA score")
    assert {"class": "warning"} in page.of("p")
    assert [one["mean_score"] for one in data["sets"]] == pytest.approx([1.2, 0.1])
    turned = write_report(tmp_path / "out", SetFiles("a", after.codes, scores=scores[1]), [
        SetFiles("b", before.codes, scores=scores[0])
    ])  # fmt: skip
    assert turned["methods"][0]["warning"] == ""
    assert "Do not trust" not in Page(tmp_path / "out" / "report.html").text


def scores_of(folder: Path, name: str, scores: dict[str, float]) -> Path:
    return write_rows(folder / f"{name}.csv", [{"case_id": case, "score": score} for case, score in scores.items()])


def test_cases_without_a_score_are_named_and_each_method_has_the_mean_before_of_its_own_cases(
    rated: RatedCohort, tmp_path: Path
):
    before = scores_of(tmp_path, "before", {"a": 2.0, "b": 1.0, "c": 1.0, "d": 1.0})
    whole = scores_of(tmp_path, "whole", dict.fromkeys("abcde", 1.5))
    some = scores_of(tmp_path, "some", {"b": 0.5, "c": 1.5, "e": 0.0})
    data = write_report(
        tmp_path / "out",
        SetFiles("Baseline", rated.codes_before, scores=before),
        [SetFiles("x", rated.codes_after, scores=whole), SetFiles("y", rated.codes_after, scores=some)],
    )
    assert data["has_same_cases"]
    assert [(one["name"], one["mean_score"]) for one in data["sets"]] == [
        ("Baseline (cases of x)", 1.25), ("x", 1.5), ("Baseline (cases of y)", 1.0), ("y", 1.0),
    ]  # fmt: skip
    text, page = report_text(data), Page(tmp_path / "out" / "report.html").text
    assert "x: no score before, so not in the mean scores: 1 case (e)" in text
    assert "y: no score after, so not in the mean scores: 2 cases (a, d)" in text
    assert "No score after: 2 cases a, d" in page
    assert "The sets after have scores of different cases" in page


def test_ratings_that_do_not_tell_their_segmentation_are_said_not_to_be_checked(rated: RatedCohort, tmp_path: Path):
    lines = rated.codes_after.read_text().splitlines()
    lines[1:3] = [line.rpartition(",")[0] + "," for line in lines[1:3]]
    rated.codes_after.write_text("\n".join([*lines, "gone,1,", "later,,"]) + "\n")
    data = write_report(tmp_path / "out", *sets(rated))
    assert data["before"]["not_checked"] == []
    (method,) = data["methods"]
    assert method["not_checked"] == ["a", "b"]
    assert method["compared"] == 5
    assert "codes_after.csv: rated without segmentation_sha256, so that nothing tells if it is" in report_text(data)
    assert "if it is of the file that is there (their codes count): 2 cases a, b" in Page(
        tmp_path / "out" / "report.html"
    ).text  # fmt: skip


def test_several_methods_stand_side_by_side_and_seeds_are_summarised(rated: RatedCohort, tmp_path: Path):
    before = SetFiles("Baseline", rated.codes_before, rated.before)
    afters = [
        SetFiles("ranked/seed1", rated.codes_after, rated.after),
        SetFiles("ranked/seed2", rated.codes_before, rated.before),
    ]
    data = write_report(tmp_path / "out", before, afters, volumes=volumes(rated))
    assert data["has_same_cases"]
    assert [one["name"] for one in data["sets"]] == ["Baseline", "ranked/seed1", "ranked/seed2"]
    (summary,) = data["seeds"]
    assert (summary["method"], summary["seeds"]) == ("ranked", ["seed1", "seed2"])
    assert summary["failure"] == pytest.approx({"mean": 0.3, "low": 0.2, "high": 0.4})
    assert (tmp_path / "out" / "pairs" / "ranked_seed1" / "improved_a.png").is_file()
    text, page = report_text(data), Page(tmp_path / "out" / "report.html").text
    assert "ranked/seed2 against Baseline\nbefore: 1 success (20.0 %), 2 gross failures (40.0 %) of 5\n" in text
    assert "ranked 2 (seed1, seed2) 30.0 % 20.0 % to 40.0 %" in page
    assert "not defined: no case changed its code" in page


def test_methods_over_other_cases_have_each_their_own_set_before(rated: RatedCohort, tmp_path: Path):
    fewer = write_rows(tmp_path / "fewer.csv", [{"case_id": case, "code": 0} for case in "ab"])
    before = SetFiles("Baseline", rated.codes_before)
    data = write_report(tmp_path / "out", before, [SetFiles("x", rated.codes_after), SetFiles("y", fewer)])
    assert not data["has_same_cases"]
    assert [(one["name"], one["cases"]) for one in data["sets"]] == [
        ("Baseline (cases of x)", 5), ("x", 5), ("Baseline (cases of y)", 2), ("y", 2),
    ]  # fmt: skip
    assert "not compared over the same cases" in Page(tmp_path / "out" / "report.html").text


def test_a_second_report_leaves_no_picture_of_the_first(rated: RatedCohort, tmp_path: Path, curve: Path):
    out = tmp_path / "out"
    write_report(out, *sets(rated), volumes=volumes(rated), curves=[read_curve(curve)])
    data = write_report(out, *sets(rated, codes=rated.codes_before))
    assert sorted(path.name for path in out.rglob("*") if path.is_file()) == [
        "codes.png", "report.html", "report.json", "transitions.png",
    ]  # fmt: skip
    assert data["methods"][0]["pairs"] is None
    assert len(Page(out / "report.html").of("img")) == 1


@pytest.mark.parametrize(
    ("improved", "broken", "methods"), [(6, 100, 1), (40, 3, 1), (40, 40, 1), (6, 9, 12), (2, 0, 1)]
)
def test_the_page_holds_so_many_pairs_and_says_how_many_more_there_are(
    improved: int, broken: int, methods: int, tmp_path: Path
):
    Image.new("RGB", (8, 4)).save(tmp_path / "pair.png")
    kinds = ["improved"] * improved + ["broken"] * broken
    drawn = [{"kind": kind, "case_id": str(n), "picture": "pair.png"} for n, kind in enumerate(kinds)]
    shown = shown_pairs({"drawn": drawn}, methods, tmp_path)
    counts = {kind: len(some["pairs"]) for kind, some in shown.items()}
    assert sum(counts.values()) == min(max(2, MOST_PAIRS // methods), improved + broken)
    assert min(counts.values()) > 0 or not (improved and broken)
    assert {kind: counts[kind] + some["more"] for kind, some in shown.items()} == {
        "improved": improved,
        "broken": broken,
    }
    assert shown["improved"]["pairs"][0]["case_id"] == "0"


def test_the_pictures_of_the_page_are_smaller_than_the_files(rated: RatedCohort, tmp_path: Path):
    big = volumes(rated, pixdim=(1.0, 1.0, 12.0), roi_size=(220, 220, 9))
    write_report(tmp_path / "out", *sets(rated), volumes=big)
    with Image.open(tmp_path / "out" / "pairs" / "improved_a.png") as picture:
        assert picture.width == 2 * 660 + 16
    assert (tmp_path / "out" / "report.html").stat().st_size < 1_500_000


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"pixdim": 5}, "pixdim is 5, expected 3 positive numbers (mm)"),
        ({"roi_size": (64, 64)}, "roi_size is (64, 64), expected 3 whole numbers of at least 1"),
        ({"improvements": -1}, "pairs is -1, expected a whole number of 0 or more"),
        ({"improvements": 2.5}, "pairs is 2.5, expected a whole number of 0 or more"),
        ({"label_set": "mine"}, "label_set is 'mine', expected one of"),
        ({"truth": "absent"}, "absent is not there, expected a folder"),
        ({"images": "absent"}, "images is absent, found nothing"),
    ],
)
def test_a_mistake_is_said_before_anything_is_written(
    options: dict[str, Any], said: str, rated: RatedCohort, tmp_path: Path
):
    given = {"images": rated.images, "truth": rated.truth, **RATED_GRID, **options}
    with pytest.raises(ValueError, match=re.escape(said)):
        write_report(tmp_path / "out", *sets(rated), volumes=Volumes(**given))
    assert not (tmp_path / "out").exists()


def test_sets_that_do_not_fit_each_other_are_refused(rated: RatedCohort, tmp_path: Path):
    before = SetFiles("Baseline", rated.codes_before, rated.before)
    bare = SetFiles("bare", rated.codes_after)
    for folders in ({"truth": rated.truth}, {"images": rated.images}):
        with pytest.raises(ValueError, match=r"(truth|images) is .*, expected the segmentations before and after with"):
            write_report(tmp_path / "out", before, [bare], volumes=Volumes(**folders))
    with pytest.raises(ValueError, match=r"names are 'Baseline', 'x', 'x', expected different ones"):
        write_report(tmp_path / "out", before, [SetFiles("x", rated.codes_after), SetFiles("x", rated.codes_after)])
    scores = write_rows(tmp_path / "scores.csv", [{"case_id": "z", "score": 1}])
    with pytest.raises(ValueError, match=r"scores are given of some of the sets"):
        write_report(tmp_path / "out", before, [SetFiles("x", rated.codes_after, scores=scores)])
    with pytest.raises(ValueError, match=r"scores.csv: no compared case is in both, expected at least one"):
        write_report(
            tmp_path / "out",
            SetFiles("b", rated.codes_before, scores=scores),
            [SetFiles("x", rated.codes_after, scores=scores)],
        )
    assert not (tmp_path / "out").exists()


def test_counts_alone_give_a_page_that_says_that_its_tests_are_unpaired(tmp_path: Path):
    data = write_count_report(tmp_path / "out", [714, 707, 606], [951, 674, 402], ("Baseline", "QA-supervised"))
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == data
    page, text = Page(tmp_path / "out" / "report.html"), report_text(data)
    assert len(page.of("img")) == 1
    assert "2 gross failure -10.1 [-12.7, -7.4] chi-squared, unpaired p < 0.0001" in page.text
    assert "the tests are unpaired, because counts do not tell which case became what" in page.text
    assert "2 gross failure: -10.1 [-12.7, -7.4] points, chi-squared, unpaired: p < 0.0001" in text
    assert "These tests are unpaired" in text
    assert data["sets"][0]["mean_code"] == pytest.approx((707 + 2 * 606) / 2027)
