"""Import, check, merge and export of QA codes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from custom_components.data.code_checks import segmentation_keys
from custom_components.data.code_files import COLUMNS
from custom_components.data.code_problems import write_problems
from custom_components.data.code_values import UNRATED
from custom_components.data.codes import load_codes, read_codes, write_codes, write_text_codes

HEADER = ",".join(COLUMNS)


def written(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def codes_of(table: pd.DataFrame) -> dict[str, int | None]:
    return {case: None if pd.isna(code) else code for case, code in zip(table["case_id"], table["code"], strict=True)}


def lines(problems: list) -> list[str]:
    return [str(problem) for problem in problems]


def test_our_csv_is_read_with_types_and_places(tmp_path: Path):
    row = f"a,1,anna,12.5,2024-05-01T10:00:00Z,liver cut,{'0F' * 32},baseline"
    table, problems = read_codes(written(tmp_path / "codes.csv", f"{HEADER}\n{row}\nb,,anna,,,,,\n"))
    assert problems == []
    assert list(table.columns) == list(COLUMNS)
    assert codes_of(table) == {"a": 1, "b": None}
    assert table["code"].dtype == "Int64"
    assert table.iloc[0][["seconds", "reason", "segmentation_sha256", "model"]].tolist() == [
        12.5, "liver cut", "0f" * 32, "baseline",
    ]  # fmt: skip
    assert table.index.tolist() == [(str(tmp_path / "codes.csv"), 2), (str(tmp_path / "codes.csv"), 3)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_what_a_spreadsheet_writes_is_read(tmp_path: Path, delimiter: str, encoding: str):
    rows = [["Case_ID", "Code", "reason", "Ward", ""], ["007", '"2.0"', '"größer, ""falsch"";\r\nunten"', "B", ""]]
    text = "".join(delimiter.join(row) + "\r\n" for row in [*rows, ["", "", "", "", ""], ["b", "", "", "", ""]])
    table, problems = read_codes(written(tmp_path / "codes.csv", text, encoding))
    assert problems == []
    assert codes_of(table) == {"007": 2, "b": None}
    assert table["reason"].iloc[0] == 'größer, "falsch";\nunten'
    assert table["Ward"].tolist() == ["B", ""]
    assert list(table.columns) == [*COLUMNS, "Ward"]
    assert table.index.get_level_values("line").tolist() == [2, 5]


def test_the_hint_of_a_spreadsheet_about_its_delimiter_is_skipped(tmp_path: Path):
    table, _ = read_codes(written(tmp_path / "codes.csv", "sep=;\r\ncase_id;code\r\na;1\r\n"))
    assert codes_of(table) == {"a": 1}


def test_two_column_text_is_read(tmp_path: Path):
    text = "# in March\n\nname code\nliver scan 3.png 2\na.nii.gz\t0\r\n  b unrated\nc.1  1\n d -\nlone\n e 3\n#f 0\n"
    path = written(tmp_path / "codes.txt", text)
    table, problems = read_codes(path)
    assert codes_of(table) == {"liver scan 3": 2, "a": 0, "b": None, "c.1": 1, "d": None}
    assert lines(problems) == [
        f"{path}, line 9: case_id 'lone': line is 'lone', expected a name, white space and a code: rejected",
        f"{path}, line 10: case_id 'e': code is '3', expected 0, 1, 2 or empty: rejected",
    ]


def test_columns_and_values_of_another_program_are_named(tmp_path: Path):
    path = written(tmp_path / "grades.csv", "Scan,Grade,Ward\na.nii.gz,Good,x\nb.png,bad,y\nc,later,\nd,0,\ne,,\n")
    columns, values = {"case_id": "Scan", "code": "grade"}, {"good": 0, "bad": 2, "later": None}
    table, problems = read_codes(path, columns=columns, values=values)
    assert codes_of(table) == {"a": 0, "b": 2, "c": None, "e": None}
    assert table["Ward"].tolist() == ["x", "y", "", ""]
    expected = "code is '0', expected one of 'good', 'bad', 'later' or empty"
    assert lines(problems) == [f"{path}, line 5: case_id 'd': {expected}: rejected"]


def test_a_column_with_our_name_is_kept_where_another_is_named_for_it(tmp_path: Path):
    path = written(tmp_path / "codes.csv", "case_id,code,Second reading\na,0,2\n")
    table, _ = read_codes(path, columns={"code": "Second reading"})
    assert codes_of(table) == {"a": 2}
    assert table["code (file)"].tolist() == ["0"]


def test_numbers_of_another_scale_are_not_taken_for_codes(tmp_path: Path):
    path = written(tmp_path / "codes.csv", "case_id,code\na,1\nb,2\nc,3\nd,0\n")
    table, problems = read_codes(path, values={1: 0, 2: 1, 3: 2})
    assert codes_of(table) == {"a": 0, "b": 1, "c": 2}
    assert [problem.case_id for problem in problems] == ["d"]


@pytest.mark.parametrize("cell", ["1.5", "3", "-1", "good", "2,0", "1e0", "None", "0 1", "01"])
def test_an_unknown_code_is_rejected_and_said(tmp_path: Path, cell: str):
    path = written(tmp_path / "codes.csv", f'case_id,code,reason\na,"{cell}",why\nb,1,\n')
    table, problems = read_codes(path)
    assert codes_of(table) == {"b": 1}
    assert lines(problems) == [f"{path}, line 2: case_id 'a': code is {cell!r}, expected 0, 1, 2 or empty: rejected"]
    assert [(problem.line, problem.row["reason"]) for problem in problems] == [(2, "why")]


@pytest.mark.parametrize("word", [*sorted(UNRATED), "Unrated", "NA", " "])
def test_unrated_is_its_own_state(tmp_path: Path, word: str):
    table, problems = read_codes(written(tmp_path / "codes.csv", f"case_id,code\na,{word}\nb,0\n"))
    assert (codes_of(table), problems) == ({"a": None, "b": 0}, [])


@pytest.mark.parametrize("name", ["", "../a", "p1/scan", ".hidden", "C:\\scans\\a"])
def test_a_case_id_that_cannot_be_is_rejected(tmp_path: Path, name: str):
    path = written(tmp_path / "codes.csv", f"case_id,code\n{name},1\n")
    table, problems = read_codes(path)
    assert table.empty
    expected = "expected a name without slashes and leading dot"
    assert lines(problems) == [f"{path}, line 2: case_id is {name!r}, {expected}: rejected"]


def test_a_case_id_of_several_lines_is_rejected(tmp_path: Path):
    path = written(tmp_path / "codes.csv", 'case_id,code\n"a\nb",1\n')
    assert lines(read_codes(path).problems) == [
        f"{path}, line 2: case_id is 'a\\nb', expected a name in one line: rejected"
    ]


def test_other_cells_that_cannot_be_are_said_and_their_ratings_kept(tmp_path: Path):
    path = written(tmp_path / "codes.csv", f"{HEADER}\na,1,x,fast,,,,\nb,2,x,-3,,,,\nc,0,x,1,03/05/24,,1.2E+45,\n")
    table, problems = read_codes(path)
    assert codes_of(table) == {"a": 1, "b": 2, "c": 0}
    assert table["seconds"].isna().tolist() == [True, True, False]
    assert lines(problems) == [
        f"{path}, line 2: case_id 'a': seconds is 'fast', expected a number of seconds: kept, without it",
        f"{path}, line 3: case_id 'b': seconds is '-3', expected a number of seconds: kept, without it",
        f"{path}, line 4: case_id 'c': rated_at is '03/05/24', expected a time as 2024-05-31T12:00:00Z: kept",
        f"{path}, line 4: case_id 'c': segmentation_sha256 is '1.2e+45', expected 64 hexadecimal digits: kept",
    ]


def test_a_row_with_a_comma_too_many_is_rejected(tmp_path: Path):
    path = written(tmp_path / "codes.csv", "case_id,code,reason\na,1,liver, spleen\nb,1,,\n")
    table, problems = read_codes(path)
    assert codes_of(table) == {"b": 1}
    assert lines(problems) == [f"{path}, line 2: case_id 'a': row is '4 cells', expected 3 as in the header: rejected"]
    assert problems[0].row["further cells"] == "spleen"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty, expected codes"),
        (
            "Scan,Grade\na,1\n",
            "first line is 'Scan,Grade', expected the columns 'case_id' and 'code', or lines of a name",
        ),
        ("case_id,code,code\na,1,1\n", "column 'code' is there 2 times, expected once"),
        ('case_id,code\na,1\nb,"2\nc,0\n', "line 3: unexpected end of data, expected each quotation mark closed"),
        ("PK\0\1", "no text file, expected CSV or lines of a name and a code"),
    ],
)
def test_a_file_that_holds_no_codes_is_refused_in_one_line(tmp_path: Path, text: str, message: str):
    path = written(tmp_path / "codes.csv", text)
    with pytest.raises(ValueError, match=message) as caught:
        read_codes(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_wrong_arguments_are_refused(tmp_path: Path):
    path = written(tmp_path / "codes.csv", "case_id,code\na,1\n")
    for arguments, message in (
        ({"columns": {"case_id": "Scan"}}, "expected the columns 'Scan' and 'code'"),
        ({"columns": {"grade": "Grade"}}, "columns has the key 'grade', expected some of case_id, code"),
        ({"values": {"good": 3}}, "values has 3 for 'good', expected 0, 1, 2 or None"),
        ({"values": {"good": 0, "GOOD": 1}}, "expected no two that differ only in case"),
        ({"format": "xlsx"}, "format is 'xlsx', expected csv or text"),
    ):
        with pytest.raises(ValueError, match=message):
            read_codes(path, **arguments)
    with pytest.raises(ValueError, match="absent.csv: No such file"):
        read_codes(tmp_path / "absent.csv")
    with pytest.raises(ValueError, match="no file of codes is given"):
        load_codes([])


def test_soft_codes_are_only_read_where_they_are_asked_for(tmp_path: Path):
    path = written(tmp_path / "codes.csv", "case_id,code\na,0.6666666666666666\nb,2.5\nc,\nd,1\n")
    table, problems = read_codes(path, soft=True)
    assert table["code"].dropna().tolist() == [2 / 3, 1.0]
    assert [problem.found for problem in problems] == ["2.5"]
    assert codes_of(read_codes(path).table) == {"c": None, "d": 1}


@pytest.fixture
def segmentations(tmp_path: Path) -> Path:
    """Segmentations of a, in a folder of its own, and of b, flat."""
    folder = tmp_path / "seg"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "a_seg.nii.gz").write_bytes(b"of a")
    (folder / "b.nii.gz").write_bytes(b"of b")
    return folder


def test_ratings_of_other_cases_or_changed_segmentations_are_rejected(tmp_path: Path, segmentations: Path):
    of_a, of_b = (hashlib.sha256(text).hexdigest() for text in (b"of a", b"of b"))
    rows = [f"a,0,x,,,,{of_a},", f"b,1,x,,,,{of_a},", "c,2,x,,,,,", f"b,,y,,,,{of_a},", "a,1,y,,,,,"]
    path = written(tmp_path / "codes.csv", "\n".join([HEADER, *rows]) + "\n")
    table, problems = load_codes(path, segmentations=segmentations)
    assert table[["case_id", "rater"]].values.tolist() == [["a", "x"], ["b", "y"], ["a", "y"]]
    assert lines(problems) == [
        f"{path}, line 3: case_id 'b': segmentation_sha256 is '{of_a}', expected {of_b} of b.nii.gz: it changed since, "
        "or is another model's: rejected",
        f"{path}, line 4: case_id is 'c', expected a case with a segmentation in {segmentations}: rejected",
    ]


def test_ratings_of_cases_that_are_not_known_are_rejected(tmp_path: Path):
    path = written(tmp_path / "codes.txt", "a 0\nb 1\n")
    table, problems = load_codes(path, known={"b"})
    assert codes_of(table) == {"b": 1}
    assert lines(problems) == [f"{path}, line 1: case_id is 'a', expected a case that is known: rejected"]


def duplicates(tmp_path: Path, *rows: str):
    path = written(tmp_path / "codes.csv", "\n".join([HEADER, *rows]) + "\n")
    table, problems = load_codes(path)
    return codes_of(table), [(problem.line, problem.action) for problem in problems], lines(problems), table


def test_the_same_rating_twice_is_one_and_said(tmp_path: Path):
    codes, actions, texts, table = duplicates(tmp_path, "a,1,x,,,,,", "a,1,x,9,,spleen,,", "a,1,y,,,,,")
    assert codes == {"a": 1}
    assert actions == [(2, "merged")]
    assert texts[0].endswith(f"merged, same code: 1 in {tmp_path}/codes.csv, line 3 counts")
    assert table["rater"].tolist() == ["x", "y"]
    assert table["seconds"].iloc[0] == 9


def test_of_two_codes_of_a_rater_the_later_counts_if_both_have_a_time(tmp_path: Path):
    early, late = "2024-05-01T10:00:00+02:00", "2024-05-01T09:00:00Z"
    assert duplicates(tmp_path, f"a,2,x,,{late},,,", f"a,0,x,,{early},,,")[:2] == ({"a": 2}, [(3, "replaced")])
    assert duplicates(tmp_path, f"a,2,x,,{early},,,", f"a,,x,,{late},,,")[:2] == ({"a": None}, [(2, "replaced")])


@pytest.mark.parametrize("time", ["", "2024-05-01T10:00:00Z", "yesterday"])
def test_of_two_codes_of_a_rater_without_an_order_none_counts(tmp_path: Path, time: str):
    codes, actions, texts, _ = duplicates(tmp_path, f"a,2,x,,{time},,,", "a,0,x,,2024-05-01T10:00:00Z,,,", "b,0,x,,,,,")
    assert codes == {"b": 0}
    assert [action for action in actions if action[1] == "rejected"] == [(2, "rejected"), (3, "rejected")]
    assert any(text.endswith(f"not also 0 in {tmp_path}/codes.csv, line 3: rejected") for text in texts)


def test_a_code_counts_against_unrated(tmp_path: Path):
    assert duplicates(tmp_path, "a,,x,4,,why,,", "a,2,x,,,,,")[:2] == ({"a": 2}, [(2, "merged")])


def test_segmentations_of_a_case_are_told_apart(tmp_path: Path):
    rows = ["a,0,x,,,,,first", "a,2,x,,,,,second", f"b,0,x,,,,{'0' * 64},", f"b,2,x,,,,{'1' * 64},"]
    _, actions, _, table = duplicates(tmp_path, *rows)
    assert (len(table), actions) == (4, [])


def test_a_rating_that_does_not_name_its_segmentation_is_of_the_only_one():
    table = pd.DataFrame(
        {
            "case_id": ["a", "a", "b", "b", "b", "c", "c"],
            "segmentation_sha256": ["0f", "", "0f", "1f", "", "0f", ""],
            "model": ["m", "m", "m", "n", "n", "", "m"],
        }
    )
    assert segmentation_keys(table).tolist() == ["0f", "0f", "0f", "1f", "1f", "0f", "0f"]
    assert segmentation_keys(table.iloc[[2, 3]].assign(segmentation_sha256="")).tolist() == ["m", "n"]


def test_of_several_files_one_without_raters_is_of_a_rater_with_its_name(tmp_path: Path):
    files = [
        written(tmp_path / "anna.txt", "a 0\nb 1\n"),
        written(tmp_path / "b.csv", "case_id,code,rater\na,2,ben\nb,,\n"),
    ]
    table, problems = load_codes(files)
    assert problems == []
    assert table[["case_id", "rater"]].values.tolist() == [["a", "anna"], ["b", "anna"], ["a", "ben"], ["b", ""]]
    assert load_codes(files[0]).table["rater"].tolist() == ["", ""]


def test_files_of_one_name_in_several_folders_are_of_several_raters(tmp_path: Path):
    files = [tmp_path / rater / "week1" / "codes.txt" for rater in ("anna", "ben")]
    for number, path in enumerate(files):
        path.parent.mkdir(parents=True)
        written(path, f"a {number}\nb 1\n")
    table, problems = load_codes(files)
    assert problems == []
    assert sorted(set(table["rater"])) == ["anna/week1/codes", "ben/week1/codes"]
    assert len(table) == 4
    with pytest.raises(ValueError, match=r"codes.txt: is given twice, expected each file of codes once"):
        load_codes([files[0], files[0].parent / ".." / "week1" / "codes.txt"])


@pytest.mark.parametrize("text", ["a, 1\nb, 2\n", "Scan; Grade\na; 1\nb; 2\n"])
def test_a_csv_without_our_header_is_not_taken_for_text(tmp_path: Path, text: str):
    path = written(tmp_path / "codes.csv", text)
    with pytest.raises(ValueError, match="expected the columns 'case_id' and 'code', or lines of a name and a code"):
        read_codes(path)
    table, problems = read_codes(written(tmp_path / "codes.txt", f"c 0\n{text}"))
    assert codes_of(table) == {"c": 0}
    assert len(problems) == len(text.splitlines())
    assert "expected a name, white space and a code: rejected" in str(problems[-1])


def test_further_columns_go_through_a_merge(tmp_path: Path):
    files = [
        written(tmp_path / "a.csv", "case_id,code,Ward\na,0,B\n"),
        written(tmp_path / "b.csv", "case_id,code\nb,1\n"),
    ]
    write_codes(load_codes(files).table, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == f"{HEADER},Ward\na,0,a,,,,,,B\nb,1,b,,,,,,\n"


def test_what_does_not_count_is_in_the_file_of_problems(tmp_path: Path):
    _, problems = load_codes(written(tmp_path / "codes.csv", "case_id,code,Ward\na,5,B\nb,1,\nb,1,\n"))
    write_problems(problems, tmp_path / "problems.csv")
    table = pd.read_csv(tmp_path / "problems.csv")
    assert table[["line", "case_id", "field", "found"]].values.tolist() == [[2, "a", "code", 5], [4, "b", "code", 1]]
    assert table["row"].tolist() == ['{"case_id": "a", "code": "5", "Ward": "B"}', '{"case_id": "b", "code": "1"}']


def test_text_codes_are_one_a_case(tmp_path: Path):
    table, _ = read_codes(written(tmp_path / "codes.csv", "case_id,code,rater\nliver scan,0,x\nb,,x\n"))
    write_text_codes(table, tmp_path / "out.txt")
    assert (tmp_path / "out.txt").read_text() == "liver scan 0\nb unrated\n"
    with pytest.raises(ValueError, match="case 'b' has several ratings, expected one: make a consensus first"):
        write_text_codes(table.iloc[[0, 1, 1]], tmp_path / "out.txt")
    with pytest.raises(ValueError, match="case_id is '#b', expected no leading # and no comma or semicolon"):
        write_text_codes(table.replace("b", "#b"), tmp_path / "out.txt")
    assert (tmp_path / "out.txt").read_text() == "liver scan 0\nb unrated\n"


CELLS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=8).map(
    lambda text: text.replace("\r\n", "\n").replace("\r", "\n").strip()
)
CASES = st.text(st.characters(categories=("L", "N", "P", "S", "Zs"), exclude_characters="/\\"), min_size=1, max_size=8)
CASE_IDS = CASES.map(str.strip).filter(lambda name: bool(name) and name[0] not in ".#")
CODE_CELLS = st.sampled_from([0, 1, 2, None])
in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)


@in_one_folder
@given(rows=st.lists(st.tuples(CASE_IDS, CODE_CELLS, CELLS, st.floats(0, 1e6) | st.none(), CELLS, CELLS), max_size=5))
def test_reading_what_was_written_gives_the_same_table(tmp_path: Path, rows: list[tuple]):
    names = ["case_id", "code", "rater", "seconds", "reason", "A ward"]
    table = pd.DataFrame(rows, columns=names).reindex(columns=[*COLUMNS, "A ward"])
    texts = dict.fromkeys([name for name in table.columns if name not in ("code", "seconds")], "string")
    table = table.astype({**texts, "code": "Int64", "seconds": "Float64"}).fillna(dict.fromkeys(texts, ""))
    write_codes(table, tmp_path / "codes.csv")
    again, problems = read_codes(tmp_path / "codes.csv")
    assert problems == []
    pd.testing.assert_frame_equal(again.reset_index(drop=True), table)


@in_one_folder
@given(
    codes=st.dictionaries(
        CASE_IDS.filter(lambda name: "." not in name and name[-1] not in ",;"), CODE_CELLS, min_size=1
    )
)
def test_unrated_never_becomes_a_code(tmp_path: Path, codes: dict[str, int | None]):
    table = pd.DataFrame({"case_id": list(codes), "code": pd.array(list(codes.values()), dtype="Int64")})
    write_text_codes(table, tmp_path / "codes.txt")
    first = load_codes(tmp_path / "codes.txt").table
    write_codes(first, tmp_path / "codes.csv")
    assert codes_of(load_codes(tmp_path / "codes.csv").table) == codes
