import os
from pathlib import Path

import pytest

from custom_components.files import complete_file, partial_path


def test_the_final_name_appears_when_all_is_written(tmp_path: Path):
    path = tmp_path / "new" / "a.txt"
    with complete_file(path) as partial:
        partial.write_text("all")
        assert not path.exists()
    assert path.read_text() == "all"
    assert os.listdir(path.parent) == ["a.txt"]


def test_an_error_leaves_what_was_there_and_nothing_of_the_new_one(tmp_path: Path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def interrupted() -> None:
        with complete_file(path) as partial:
            partial.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_what_a_killed_run_left_is_replaced(tmp_path: Path):
    partial_path(tmp_path / "a.txt").write_text("half")
    with complete_file(tmp_path / "a.txt") as partial:
        partial.write_text("all")
    assert os.listdir(tmp_path) == ["a.txt"]
