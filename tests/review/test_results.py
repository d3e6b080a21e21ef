"""Counts, agreement, export and import."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from review_files import OpenReview, write_montages, write_volumes

from custom_components.data.case_files import sha256_of
from custom_components.data.codes import load_codes, read_codes
from custom_components.data.consensus import consensus
from custom_components.review.cohort import Source
from custom_components.review.imports import import_codes, import_text
from custom_components.review.ratings import flag, undo
from custom_components.review.results import code_table, export_csv, results, write_export
from custom_components.review.review import Review


def code_all(review: Review, rater: str, codes: dict[str, int], again: dict[str, int] | None = None) -> None:
    """Code what is shown, cases that are not named not at all; hidden repeats perhaps in another way."""
    place = 0
    while turns := review.following(rater, place, 1):
        if turns[0]["place"] <= place:
            return
        place = turns[0]["place"]
        turn = review.turns.turn(rater, place)
        case_id = review.store.item(turn.item).case_id
        given = {**codes, **(again or {})} if turn.kind == "repeat" else codes
        if case_id in given:
            review.rate(turn, turns[0]["version"], given[case_id], seconds=2, request=str(place), previous=None)


def codes_of(*values: int) -> dict[str, int]:
    return {f"case_{number:04d}": value for number, value in enumerate(values)}


def csv_file(folder: Path, rows: str, head: str = "case_id,code,rater") -> Path:
    path = folder / "import.csv"
    path.write_text(f"{head}\n{rows}\n")
    return path


def test_counts_pace_and_agreement(open_review: OpenReview, tmp_path: Path):
    write_montages(tmp_path / "cohort", 6)
    review = open_review()
    code_all(review, "Anna", codes_of(0, 0, 1, 2, 2))
    code_all(review, "Ben", codes_of(0, 0, 1, 2, 1, 0))
    found = results(review.store.path, 0)
    assert [(one["rater"], one["counts"], one["median_seconds"]) for one in found["raters"]] == [
        ("Anna", [2, 1, 2], 2.0), ("Ben", [3, 2, 1], 2.0),
    ]  # fmt: skip
    (pair,) = found["agreement"]
    assert (pair["raters"], pair["ratings"], pair["agreement"][0]) == (["Anna", "Ben"], 5, 0.8)
    assert 0.6 < pair["kappa"][0] < 0.8
    assert pair["kappa"][1] <= pair["kappa"][0] <= pair["kappa"][2]
    assert (found["items"], found["unrated"]) == (6, 0)
    assert review.results()["raters"] == found["raters"]  # in the helping process


def test_consistency_is_measured_on_hidden_repeats(open_review: OpenReview, tmp_path: Path):
    write_montages(tmp_path / "cohort", 40)
    review = open_review(repeats=0.1)
    codes = codes_of(*(number % 3 for number in range(40)))
    code_all(review, "Anna", codes)
    (anna,) = results(review.store.path, 0)["raters"]
    assert anna["consistency"] == {"pairs": 4, "same": 4, "weighted_kappa": 1.0}
    assert sum(anna["counts"]) == 40
    code_all(review, "Ben", codes, again=dict.fromkeys(codes, 2))
    ben = results(review.store.path, 0)["raters"][1]
    assert ben["consistency"]["same"] < 4


def test_an_unrated_case_is_not_exported_as_a_success(open_review: OpenReview, tmp_path: Path):
    write_montages(tmp_path / "cohort", 3)
    review = open_review()
    code_all(review, "Anna", {"case_0001": 2})
    turn = review.turns.turn("Anna", 1)
    item = review.store.item(turn.item)
    flagged = turn if item.case_id != "case_0001" else review.turns.turn("Anna", 2)
    digest = review.store.item(flagged.item).sha256
    flag(review.store, flagged, "image itself bad", sha256=digest, request="f")
    table = code_table(review.store)
    assert len(table) == 2
    assert table.set_index("case_id")["code"].dropna().to_dict() == {"case_0001": 2}
    (unrated,) = table[table["code"].isna()]["reason"]
    assert unrated == "image itself bad"
    assert not any(line.split(",")[1] == "0" for line in export_csv(review.store.path).splitlines())


def test_the_export_is_read_back_as_it_was(open_review: OpenReview, tmp_path: Path):
    write_volumes(tmp_path / "cohort")
    review = open_review(volumes=True)
    code_all(review, "Anna, MD", {"a": 0, "b": 2})
    shown = [review.turns.turn("Anna, MD", place) for place in (1, 2)]
    (turn,) = (one for one in shown if review.store.item(one.item).case_id == "b")
    flag(review.store, turn, 'spleen; the "tip"; cut', sha256=review.store.item(turn.item).sha256, request="f")
    (tmp_path / "codes.csv").write_text(export_csv(review.store.path))
    table, problems = load_codes(tmp_path / "codes.csv", segmentations=tmp_path / "cohort" / "segmentations")
    assert not problems
    row = table.set_index("case_id").loc["b"]
    assert (row["code"], row["rater"], row["reason"]) == (2, "Anna, MD", 'spleen; the "tip"; cut')
    assert row["segmentation_sha256"] == sha256_of(tmp_path / "cohort" / "segmentations" / "b.nii.gz")
    assert pd.Timestamp(row["rated_at"]).tzinfo is not None


def test_cells_that_a_spreadsheet_would_run_are_quoted(open_review: OpenReview, tmp_path: Path):
    write_montages(tmp_path / "cohort", 1)
    review = open_review()
    code_all(review, "=cmd()", {"case_0000": 0})
    (tmp_path / "codes.csv").write_text(export_csv(review.store.path))
    assert read_codes(tmp_path / "codes.csv").table["rater"].tolist() == ["'=cmd()"]


def test_what_was_undone_is_in_the_history_alone(open_review: OpenReview, tmp_path: Path):
    write_montages(tmp_path / "cohort", 2)
    review = open_review()
    code_all(review, "Anna", codes_of(0, 1))
    undo(review.store, "Anna", request="u")
    assert len(code_table(review.store)) == 1
    assert [one["kind"] for some in review.store.history() for one in some] == ["rating", "rating", "undo"]


def test_codes_of_two_models_carry_their_name(open_review: OpenReview, tmp_path: Path):
    from custom_components.review.cohort import Source

    for model in ("old", "new"):
        write_montages(tmp_path / model, 4)
    review = open_review.of([Source(m, montages=str(tmp_path / m)) for m in ("old", "new")], paired=True)  # type: ignore[attr-defined]
    code_all(review, "Anna", codes_of(0, 1, 2, 0))
    table = code_table(review.store)
    assert table.groupby("case_id")["model"].agg(sorted).tolist() == [["new", "old"]] * 4


def test_earlier_codes_are_taken_over_once_and_not_shown_again(open_review: OpenReview, tmp_path: Path):
    write_montages(tmp_path / "cohort", 4)
    review = open_review()
    path = tmp_path / "before.csv"
    path.write_text(
        "case_id,code,rater,rated_at\ncase_0000,2,Anna,2026-01-01T10:00:00Z\ncase_0001,,Anna,\nelsewhere,0,Anna,\n"
        "case_0002,0,,\ncase_0003,7,Anna,\n"
    )
    counts = import_codes(review, path)
    assert counts == {"taken": 2, "unrated": 1, "unknown": 1, "rejected": 1}
    assert import_codes(review, path)["there"] == 2
    shown = {review.store.item(turn.item).case_id for turn in review.turns.following("Anna", 0, 8)}
    assert shown == {"case_0001", "case_0002", "case_0003"}
    table = code_table(review.store).set_index("case_id")
    assert table.loc["case_0000", ["code", "rater", "rated_at"]].tolist() == [2, "Anna", "2026-01-01T10:00:00Z"]
    assert table.loc["case_0002", "rater"] == "imported"


def test_codes_of_another_segmentation_are_not_taken_over(open_review: OpenReview, tmp_path: Path):
    write_volumes(tmp_path / "cohort")
    review = open_review(volumes=True)
    good = sha256_of(tmp_path / "cohort" / "segmentations" / "a.nii.gz")
    text = f"case_id,code,rater,segmentation_sha256\na,1,Ben,{good}\nb,1,Ben,{'0' * 64}\n"
    line = import_text(review, text.encode())
    assert line == "1 codes taken over; 1 of cases that are not here, or of other segmentations of them"
    assert code_table(review.store)["segmentation_sha256"].tolist() == [good]


def test_imported_codes_end_with_the_file_that_they_are_of(open_review: OpenReview, tmp_path: Path):
    write_volumes(tmp_path / "cohort")
    review = open_review(volumes=True)
    assert import_codes(review, csv_file(tmp_path, "a,0,Anna\nb,2,Anna"))["taken"] == 2
    assert not review.following("Anna", 0, 8)
    write_volumes(tmp_path / "cohort", ("a",), label=5)
    review.settle()
    assert code_table(review.store)["case_id"].tolist() == ["b"]
    (view,) = review.following("Anna", 0, 8)
    assert review.turns.turn("Anna", view["place"]).kind == "changed"


def test_an_older_code_does_not_replace_a_newer_one(open_review: OpenReview, tmp_path: Path):
    write_montages(tmp_path / "cohort", 1)
    review = open_review()
    taken = [
        import_codes(review, csv_file(tmp_path, f"case_0000,{code},Anna,{at}", "case_id,code,rater,rated_at"))["taken"]
        for code, at in ((1, "2026-02-01T10:00:00Z"), (0, "2026-01-01T10:00:00Z"), (2, "2026-03-01T10:00:00+01:00"))
    ]
    assert taken == [1, 0, 1]
    assert code_table(review.store)["code"].tolist() == [2]


def test_a_code_that_is_taken_over_while_its_montage_is_shown_stands_once(open_review: OpenReview, tmp_path: Path):
    write_montages(tmp_path / "cohort", 2)
    review = open_review()
    shown = review.following("Anna", 0, 2)
    import_codes(review, csv_file(tmp_path, "case_0000,2,Anna\ncase_0001,2,Anna"))
    assert not review.following("Anna", 0, 2)
    turn = review.turns.turn("Anna", shown[0]["place"])
    review.rate(turn, shown[0]["version"], 0, seconds=2, request="late", previous=None)
    assert sorted(code_table(review.store)["code"]) == [0, 2]


def test_decisions_are_read_back(open_review: OpenReview, tmp_path: Path):
    write_montages(tmp_path / "cohort", 2)
    review = open_review()
    rows = "case_0000,0,Anna\ncase_0000,2,Ben\ncase_0001,0,Anna\ncase_0001,2,Ben\ncase_0000,1,Cora (adjudication)"
    assert import_codes(review, csv_file(tmp_path, rows)) == {"taken": 5, "rejected": 0}
    assert [review.store.item(item).case_id for item in review.to_decide()] == ["case_0001"]
    assert "Cora (adjudication)" in set(code_table(review.store)["rater"])
    assert [one["rater"] for one in results(review.store.path, 0)["raters"]] == ["Anna", "Ben"]


def test_codes_of_equal_files_go_to_their_model(open_review: OpenReview, tmp_path: Path):
    for model in ("old", "new"):
        write_montages(tmp_path / model, 1)
    sources = [Source(model, montages=str(tmp_path / model)) for model in ("old", "new")]
    review = open_review.of(sources)  # type: ignore[attr-defined]
    digest = sha256_of(tmp_path / "old" / "case_0000.png")
    head = "case_id,code,rater,segmentation_sha256,model"
    rows = "\n".join(f"case_0000,{code},Anna,{digest},{model}" for code, model in ((0, "old"), (2, "new")))
    assert import_codes(review, csv_file(tmp_path, rows, head))["taken"] == 2
    assert dict(code_table(review.store)[["model", "code"]].to_numpy()) == {"old": 0, "new": 2}


def test_a_flag_on_a_hidden_repeat_is_exported(open_review: OpenReview, tmp_path: Path):
    write_montages(tmp_path / "cohort", 6)
    review = open_review(repeats=0.34)
    code_all(review, "Anna", codes_of(0, 1, 2, 0, 1, 2))
    row = review.store.row("SELECT place, item FROM turn WHERE kind = 'repeat'")
    assert row
    turn, item = review.turns.turn("Anna", row["place"]), review.store.item(row["item"])
    flag(review.store, turn, "spleen", sha256=item.sha256, request="f")
    table = code_table(review.store).set_index("case_id")["reason"]
    assert table[table != ""].to_dict() == {item.case_id: "spleen"}


def test_what_changes_while_the_server_runs_is_not_exported_and_shown_again(open_review: OpenReview, tmp_path: Path):
    write_volumes(tmp_path / "cohort")
    review = open_review(volumes=True)
    code_all(review, "Anna", {"a": 0, "b": 2})
    write_volumes(tmp_path / "cohort", ("b",), label=5)
    assert [line.split(",")[0] for line in review.export_csv().splitlines()] == ["case_id", "a"]
    assert [one["counts"] for one in review.results()["raters"]] == [[1, 0, 0]]
    assert len(review.following("Anna", 2, 1)) == 1


def test_a_folder_that_is_away_for_a_while_takes_no_codes_with_it(open_review: OpenReview, tmp_path: Path):
    write_volumes(tmp_path / "cohort")
    review = open_review(volumes=True)
    code_all(review, "Anna", {"a": 0, "b": 2})
    (tmp_path / "cohort").rename(tmp_path / "away")
    assert review.results()["set_aside"] == 2
    (tmp_path / "away").rename(tmp_path / "cohort")
    assert review.view(review.turns.turn("Anna", 1))
    assert review.view(review.turns.turn("Anna", 2))
    assert sorted(code_table(review.store)["code"]) == [0, 2]


def test_a_file_that_is_no_codes_is_one_line(open_review: OpenReview, tmp_path: Path):
    write_montages(tmp_path / "cohort", 1)
    review = open_review()
    with pytest.raises(ValueError, match="^the file: first line is 'hello', expected the columns"):
        import_text(review, b"hello")


def test_an_export_into_a_file_keeps_what_else_it_holds(open_review: OpenReview, tmp_path: Path):
    write_montages(tmp_path / "cohort", 2)
    review = open_review()
    code_all(review, "Anna", codes_of(0, 1))
    path = tmp_path / "codes.csv"
    path.write_text("case_id,code,rater,remark\nelsewhere,2,Anna,x\ncase_0000,2,Ben,\ncase_0001,2,Anna,before\n")
    for _ in range(2):
        write_export(review.store.path, path)
        found = read_codes(path).table
        assert sorted(map(tuple, found[["case_id", "rater", "code", "remark"]].to_numpy())) == [
            ("case_0000", "Anna", 0, ""), ("case_0000", "Ben", 2, ""), ("case_0001", "Anna", 1, ""),
            ("elsewhere", "Anna", 2, "x"),
        ]  # fmt: skip
    undo(review.store, "Anna", request="u")
    write_export(review.store.path, path)
    assert len(read_codes(path).table) == 3  # what was taken back is in the file no more
    path.write_text("case_id,code\na,1,2,3\n")
    with pytest.raises(ValueError, match="row is '4 cells', expected 2 as in the header"):
        write_export(review.store.path, path)
    assert path.read_text() == "case_id,code\na,1,2,3\n"


def test_an_export_adds_nothing_twice_and_writes_over_no_store(open_review: OpenReview, tmp_path: Path):
    write_montages(tmp_path / "cohort", 2)
    review = open_review()
    code_all(review, "@Anna", codes_of(0, 1))
    for _ in range(3):
        write_export(review.store.path, tmp_path / "codes.csv")
    assert read_codes(tmp_path / "codes.csv").table["rater"].tolist() == ["'@Anna"] * 2
    with pytest.raises(ValueError, match="is a store of ratings, expected a CSV"):
        write_export(review.store.path, review.store.path)


def test_a_store_is_read_as_a_file_of_codes(open_review: OpenReview, tmp_path: Path):
    write_volumes(tmp_path / "cohort")
    review = open_review(volumes=True)
    code_all(review, "Anna", {"a": 0, "b": 2})
    table, problems = load_codes(review.store.path, segmentations=tmp_path / "cohort" / "segmentations")
    assert not problems
    assert table.set_index("case_id")["code"].to_dict() == {"a": 0, "b": 2}
    (tmp_path / "other.sqlite").write_bytes(b"SQLite format 3\0" + bytes(2000))
    with pytest.raises(ValueError, match=r"other\.sqlite: no store of ratings"):
        read_codes(tmp_path / "other.sqlite")


def test_a_decision_counts_more_than_the_raters_who_disagreed(open_review: OpenReview, tmp_path: Path):
    write_montages(tmp_path / "cohort", 2)
    review = open_review()
    code_all(review, "Anna", codes_of(0, 0))
    code_all(review, "Ben", codes_of(2, 1))
    review.turns.add_adjudication("Cora", review.to_decide())
    (view,) = review.following("Cora", 0, 8, adjudication=True)
    turn = review.turns.turn("Cora", view["place"])
    review.rate(turn, view["version"], 1, seconds=2, request="x", previous=None)
    codes = consensus(load_codes(review.store.path).table).set_index("case_id")["code"].to_dict()
    assert codes == {"case_0000": 1, "case_0001": 1}
    ratings = {one["rater"]: one["counts"] for one in results(review.store.path, 0)["raters"]}
    assert ratings["Cora"] == [0, 0, 0]
