from __future__ import annotations

import pytest

from custom_components.data.case_table import CaseTable

COLUMNS = ["case_id", "status", "score"]


def row(case_id: str, score: str = "") -> dict[str, str]:
    return {"case_id": case_id, "status": "ok", "score": score}


def test_rows_are_in_the_file_as_soon_as_they_are_added(tmp_path):
    table = CaseTable(tmp_path / "new" / "t.csv", COLUMNS)
    table.start()
    table.add(row("b", "1"))
    assert (tmp_path / "new" / "t.csv").read_text() == "case_id,status,score\nb,ok,1\n"


def test_the_end_sorts_the_rows_and_keeps_the_last_of_each_case(tmp_path):
    table = CaseTable(tmp_path / "t.csv", COLUMNS)
    table.start()
    for case_id, score in (("b", "1"), ("a", "2"), ("b", "3")):
        table.add(row(case_id, score))
    table.finish()
    assert (tmp_path / "t.csv").read_text().splitlines()[1:] == ["a,ok,2", "b,ok,3"]
    table.finish(key=lambda row: -float(row["score"]))
    assert (tmp_path / "t.csv").read_text().splitlines()[1:] == ["b,ok,3", "a,ok,2"]


def test_a_later_run_keeps_earlier_rows_and_drops_a_torn_line(tmp_path):
    (tmp_path / "t.csv").write_text("case_id,status,score\na,ok,1\nb,ok,2\nc,o")
    table = CaseTable(tmp_path / "t.csv", COLUMNS)
    table.start()
    table.add(row("b", "5"))
    table.finish()
    assert (tmp_path / "t.csv").read_text().splitlines()[1:] == ["a,ok,1", "b,ok,5"]


def test_an_unknown_column_is_an_error(tmp_path):
    table = CaseTable(tmp_path / "t.csv", COLUMNS)
    table.start()
    with pytest.raises(ValueError, match="colour"):
        table.add({**row("a"), "colour": "red"})
