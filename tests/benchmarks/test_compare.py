from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
import compare  # noqa: E402
import figures  # noqa: E402
import measure  # noqa: E402


def run(times: dict[str, float], *, spread: float = 0.02, peaks: dict[str, float] | None = None) -> dict[str, Any]:
    ways = {
        name: {"median": value, "low": value * (1 - spread), "high": value * (1 + spread), "runs": 5, "ratio": value,
               **({"peak_mib": peaks[name]} if peaks else {})}
        for name, value in times.items()
    }  # fmt: skip
    return {"reference": "bare", "ways": ways, "machine": {"processor": "some"}, "aims": []}


def test_a_way_is_slower_by_its_ratio_to_the_bare_loop():
    kept = run({"bare": 1.0, "ours": 1.1, "peer": 3.0})
    assert compare.verdicts(kept, run({"bare": 4.0, "ours": 4.4, "peer": 12.0}), 0.1) == {
        "bare": ["same"], "ours": ["same"], "peer": ["same"],
    }  # fmt: skip
    found = compare.verdicts(kept, run({"bare": 4.0, "ours": 5.6, "peer": 6.0}), 0.1)
    assert (found["ours"], found["peer"]) == (["slower"], ["faster"])


def test_what_lies_within_the_spread_of_the_runs_is_no_change():
    kept = run({"bare": 1.0, "ours": 1.0}, spread=0.2)
    assert compare.verdicts(kept, run({"bare": 1.0, "ours": 1.2}, spread=0.2), 0.1)["ours"] == ["same"]


def test_more_memory_and_ways_that_come_and_go_are_told():
    kept = run({"bare": 1.0, "ours": 1.0, "old": 1.0}, peaks={"bare": 100, "ours": 100, "old": 1})
    found = compare.verdicts(
        kept, run({"bare": 1, "ours": 1, "new": 1}, peaks={"bare": 100, "ours": 150, "new": 1}), 0.1
    )
    assert found == {"bare": ["same"], "ours": ["same", "more memory"], "old": ["gone"], "new": ["new"]}


def test_the_command_tells_and_keeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    monkeypatch.setattr(compare, "KEPT", tmp_path)
    monkeypatch.setattr(compare, "LATEST", tmp_path / "latest")
    (tmp_path / "latest").mkdir()
    with pytest.raises(SystemExit, match="no latest figures of any benchmark"):
        compare.main()
    (tmp_path / "latest" / "step.json").write_text(json.dumps(run({"bare": 1.0, "ours": 1.0})))
    compare.main(keep=True)
    assert "step: no kept figures" in capsys.readouterr().out
    (tmp_path / "latest" / "step.json").write_text(json.dumps(run({"bare": 1.0, "ours": 1.5})))
    with pytest.raises(SystemExit, match="slower or larger than the kept figures: step: ours"):
        compare.main("step")
    assert "1.00 ->    1.50 times bare: slower" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="no latest figures of other"):
        compare.main("other")


def test_ways_take_turns_and_the_first_turn_does_not_count():
    order = []
    seconds = measure.take_turns({name: lambda name=name: order.append(name) for name in "ab"}, rounds=3)
    assert order == list("abababab")
    assert [len(values) for values in seconds.values()] == [3, 3]
    assert measure.take_turns({"told": lambda: [1.0, 2.0]}, rounds=2)["told"] == [1.0, 2.0, 1.0, 2.0]


def test_memory_of_a_program_is_that_of_all_its_processes():
    code = "import subprocess, sys, time; held = bytearray(150 << 20); subprocess.run([sys.executable, '-c', "
    code += '"import time; held = bytearray(100 << 20); time.sleep(1)"])'
    seconds, peak = measure.ProcessPeak().run([sys.executable, "-c", code])
    assert seconds > 1
    assert 250 < peak < 400
    with pytest.raises(SystemExit, match="exit code 3"):
        measure.ProcessPeak().run([sys.executable, "-c", "raise SystemExit(3)"])


def test_the_page_tells_the_kept_figures():
    text = figures.PAGE.read_text()
    assert figures.filled(text) == text
    kept = {path.stem for path in measure.KEPT.glob("*.json") if "ways" in json.loads(path.read_text())}
    assert kept <= {name for _, name, _ in figures.BLOCK.findall(text)}
