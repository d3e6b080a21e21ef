from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from custom_components.data.case_table import CaseTable, is_finished
from custom_components.data.share import Share

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


@pytest.mark.parametrize("torn", [b"c,o", "c,größ".encode()[:-1]], ids=["between letters", "within a letter"])
def test_a_later_run_keeps_earlier_rows_and_drops_a_torn_line(tmp_path, torn):
    (tmp_path / "t.csv").write_bytes(b"case_id,status,score\na,ok,1\nb,ok,2\n" + torn)
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


def written(path: Path) -> list[str]:
    return path.read_text().splitlines()[1:]


def process(path: Path, rank: int, world_size: int, cases: str, *, score: str = "1", ends: bool = True) -> None:
    table = CaseTable(path, COLUMNS, Share(rank, world_size))
    table.start()
    for case_id in cases:
        table.add(row(case_id, score))
    if ends:
        table.finish()


def test_processes_that_know_nothing_of_each_other_make_one_table(tmp_path: Path):
    path = tmp_path / "t.csv"
    process(path, 1, 2, "bd")
    assert written(path) == ["b,ok,1", "d,ok,1"]
    assert not is_finished(path)  # the first has not begun
    process(path, 0, 2, "ac", score="2")
    assert written(path) == ["a,ok,2", "b,ok,1", "c,ok,2", "d,ok,1"]
    assert is_finished(path)


def test_a_run_of_another_number_of_processes_that_ended_makes_up_for_one_that_did_not(tmp_path: Path):
    path = tmp_path / "t[1].csv"
    process(path, 0, 3, "a")
    assert not is_finished(path)
    process(tmp_path / "other_t[1].csv", 1, 2, "b")
    for rank in (1, 0):
        process(path, rank, 2, "ab"[rank])
    assert is_finished(path)


def test_a_table_is_unfinished_while_one_of_its_processes_is(tmp_path: Path):
    path = tmp_path / "t.csv"
    process(path, 1, 2, "b", ends=False)
    process(path, 0, 2, "ac")
    assert written(path) == ["a,ok,1", "b,ok,1", "c,ok,1"]
    assert not is_finished(path)
    process(path, 1, 2, "d")
    assert written(path)[-1] == "d,ok,1"
    assert is_finished(path)


@pytest.mark.parametrize("world_size", [1, 3])
def test_another_number_of_processes_goes_on_where_a_killed_run_ended(tmp_path: Path, world_size: int):
    path = tmp_path / "t.csv"
    process(path, 0, 1, "abcz", score="old")
    process(path, 0, 2, "ac", score="killed", ends=False)
    (tmp_path / ".rank1of2_t.csv").write_text("case_id,status,score,written\nb,ok,killed,1\nd,o")
    assert [one["score"] for _, one in sorted(CaseTable(path, COLUMNS).read().items())] == ["killed"] * 3 + ["old"]
    for rank in range(world_size):
        process(path, rank, world_size, "acd"[rank::world_size], score="new")
        assert is_finished(path) is (rank == world_size - 1)
    assert written(path) == ["a,ok,new", "b,ok,killed", "c,ok,new", "d,ok,new", "z,ok,old"]
    assert [one.name for one in sorted(tmp_path.glob(".*"))] == [
        f".rank{rank}of3_t.csv" for rank in range(world_size) if world_size > 1
    ]


def test_one_process_takes_over_what_several_wrote(tmp_path: Path):
    path = tmp_path / "t.csv"
    process(path, 0, 2, "a")
    process(path, 1, 2, "b")
    process(path, 0, 1, "a", score="2")
    assert written(path) == ["a,ok,2", "b,ok,1"]
    assert list(tmp_path.iterdir()) == [path]


def test_rows_that_are_not_kept_are_not_taken_from_other_processes_either(tmp_path: Path):
    path = tmp_path / "t.csv"
    process(path, 1, 2, "b", score="1")
    table = CaseTable(path, COLUMNS, Share(0, 2))
    table.start(keep=lambda row: row["score"] == "2")
    table.add(row("a", "2"))
    table.finish()
    assert written(path) == ["a,ok,2"]


def test_processes_that_end_at_the_same_time_leave_the_whole_table(tmp_path: Path):
    program = (
        "import pathlib, sys, time; from custom_components.data.case_table import CaseTable; "
        "from custom_components.data.share import Share\n"
        "rank, folder = int(sys.argv[1]), pathlib.Path(sys.argv[2])\n"
        "(folder / f'here_{rank}').touch()\n"
        "while len(list(folder.glob('here_*'))) < 3:\n"
        "    time.sleep(0.001)\n"
        "for turn in range(40):\n"
        f"    table = CaseTable({str(tmp_path)!r} + f'/{{turn}}.csv', ['case_id'], Share(rank, 3)); table.start()\n"
        "    [table.add({'case_id': f'{number}_{rank}'}) for number in range(5)]; table.finish()\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", program, str(rank), str(tmp_path)]) for rank in range(3)]
    assert [one.wait(120) for one in running] == [0, 0, 0]
    names = sorted(f"{number}_{rank}" for number in range(5) for rank in range(3))
    assert [written(tmp_path / f"{turn}.csv") for turn in range(40)] == [names] * 40
