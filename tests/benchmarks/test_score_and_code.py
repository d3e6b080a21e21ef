"""What the benchmark of the published recipe prints of scores and codes."""

import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).resolve().parents[2] / "benchmarks" / "score_and_code.py"


def write_step(folder: Path, rows: dict[str, tuple[object, object, object]]) -> None:
    """Code, score and second score of each case; an empty text where there is none."""
    for name, column, number in (("test.csv", "code", 0), ("test/summary.csv", "score", 1),
                                 ("test_second/qa_scores.csv", "score", 2)):  # fmt: skip
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"{case},{row[number]}" for case, row in rows.items()]
        path.write_text("\n".join([f"case_id,{column}", *lines]) + "\n")


def run(folder: Path) -> subprocess.CompletedProcess:
    words = [sys.executable, str(PROGRAM), str(folder), str(folder / "out.png")]
    return subprocess.run(words, capture_output=True, text=True, timeout=100, check=False)


def test_means_are_over_the_cases_that_have_codes_and_scores_at_every_step(tmp_path: Path):
    write_step(tmp_path / "baseline", {"a": (2, 1.5, 1.7), "b": (0, 0.5, 0.3), "c": (2, "", 2.0)})
    write_step(tmp_path / "published" / "epoch20", {"b": (1, 0.1, 0.9), "c": (2, 1.0, 1.0), "a": (2, 0.3, 1.9)})
    done = run(tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == ["1 of 3 cases lack a code or a score at some step and are left out", "2 cases"]
    words = [line.split() for line in lines[2:]]
    assert [float(word) for word in words[-3]] == [0, 1.0, 1.0, 1.0, 0.5, 0.0, 0.5]
    assert [float(word) for word in words[-2]] == [240, 1.5, 0.2, 1.4, 0.0, 0.5, 0.5]
    assert (tmp_path / "out.png").stat().st_size > 5000


def test_no_common_case_is_one_line(tmp_path: Path):
    write_step(tmp_path / "baseline", {"a": (2, 1.5, 1.7)})
    write_step(tmp_path / "published" / "epoch20", {"b": (1, 0.1, 0.9)})
    done = run(tmp_path)
    assert done.returncode == 1
    assert "no case has code and scores at all of the steps 0, 240" in done.stderr
