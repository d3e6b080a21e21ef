"""How several processes share the cases of a run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from bundle_runs import TORCHRUN

from custom_components.data.share import Share, process_device, process_share


@pytest.mark.parametrize("count", [0, 1, 5, 7])
@pytest.mark.parametrize("world_size", [1, 2, 6])
def test_no_case_is_left_out_or_done_twice(count: int, world_size: int):
    shares = [Share(rank, world_size).of(range(count)) for rank in range(world_size)]
    assert sorted(case for share in shares for case in share) == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"WORLD_SIZE": "4"}, "WORLD_SIZE is 4 and RANK is not set, expected both or none of them"),
        ({"RANK": "1"}, "RANK is 1 and WORLD_SIZE is not set, expected both or none of them"),
        ({"RANK": "4", "WORLD_SIZE": "4"}, "RANK is 4, expected a whole number from 0 to 3"),
        ({"RANK": "-1", "WORLD_SIZE": "4"}, "RANK is '-1', expected a whole number from 0 to 3"),
        ({"RANK": "0", "WORLD_SIZE": "two"}, "WORLD_SIZE is 'two', expected a whole number of at least 1"),
    ],
)
def test_numbers_that_cannot_be_are_one_line(environment: dict[str, str], message: str):
    with pytest.raises(SystemExit, match=f"^error: {message}$"):
        process_share(environment)


LATE = """
import os, pathlib, signal, sys, time
from custom_components.data.share import process_share

share, is_first = process_share(), os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
done = pathlib.Path(sys.argv[1], "done")
if is_first and share.rank == 1:
    time.sleep(4)
    os.kill(os.getpid(), signal.SIGKILL)
if not is_first and share.rank == 0:
    time.sleep(4)
    done.touch()
share.wait_for_the_others()
sys.exit(0 if done.exists() else "was not waited for")
"""
"""The first process is late, after a start in which it was done and the second one was killed."""


@pytest.mark.slow
@pytest.mark.parametrize("own_store", ["0", "1"])
def test_processes_wait_for_the_last_one_also_after_a_restart(own_store: str, tmp_path: Path):
    (tmp_path / "late.py").write_text(LATE)
    command = [sys.executable, *TORCHRUN, "--max_restarts", "1", tmp_path / "late.py", tmp_path]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": own_store}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "waited for" not in done.stderr


def test_each_process_of_a_machine_has_its_gpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    found = [str(process_device({"LOCAL_RANK": str(rank)})) for rank in range(3)]
    assert found == ["cuda:0", "cuda:1", "cuda:0"]
    assert str(process_device({})) == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert str(process_device({"LOCAL_RANK": "1"})) == "cpu"
