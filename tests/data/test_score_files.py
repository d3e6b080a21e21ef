from __future__ import annotations

from pathlib import Path

import pytest

from custom_components.data.score_files import read_scores


def test_scores_are_read_and_cases_that_were_set_aside_left_out(tmp_path: Path):
    path = tmp_path / "qa_scores.csv"
    path.write_text("case_id,score,code,status\nb,1.25,1,ok\n007,-0.1,0,ok\na,,,set_aside\n")
    assert read_scores(path) == {"b": 1.25, "007": -0.1}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("case_id,code\na,1\n", "columns are case_id, code, expected case_id and score"),
        ("", "columns are none, expected case_id and score"),
        ("case_id,score\na,high\n", "line 2: case_id 'a': score is 'high', expected a finite number"),
        ("case_id,score\na,1\nb,nan\n", "line 3: case_id 'b': score is 'nan', expected a finite number"),
        ("case_id,score\na,1\na,2\n", "line 3: case_id 'a' is there twice, expected once"),
        ("case_id,score\na,\n", "no case has a score, expected at least one"),
    ],
)
def test_what_are_no_scores_is_said_in_one_line(text: str, said: str, tmp_path: Path):
    path = tmp_path / "scores.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=said) as error:
        read_scores(path)
    assert str(error.value).startswith(f"{path}")
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_or_no_text_is_said(tmp_path: Path):
    with pytest.raises(ValueError, match=r"absent.csv: No such file or directory"):
        read_scores(tmp_path / "absent.csv")
    (tmp_path / "picture.csv").write_bytes(b"case_id,score\n\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"picture.csv: no CSV in UTF-8"):
        read_scores(tmp_path / "picture.csv")
