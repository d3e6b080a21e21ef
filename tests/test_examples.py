"""Scripts to start from."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("script", sorted((ROOT / "examples").glob("*.sh")), ids=lambda path: path.name)
def test_a_script_is_valid_and_names_files_that_are_there(script: Path):
    done = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    text = script.read_text(encoding="utf-8")
    folder = re.search(r"^configs=(.+)$", text, re.MULTILINE).group(1)
    names = re.findall(r"\$configs/(\w+\.yaml)", text)
    assert names
    assert [name for name in names if not (ROOT / folder / name).is_file()] == []


def test_a_job_of_an_array_takes_its_number_from_the_first(tmp_path: Path):
    (tmp_path / "python").write_text("#!/bin/sh\necho $RANK of $WORLD_SIZE\n")
    (tmp_path / "python").chmod(0o755)
    array = {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_COUNT": "8"}
    command = ["bash", str(ROOT / "examples" / "slurm.sh"), "segment", "in", "out"]
    done = subprocess.run(command, env={**array, "PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True)
    assert done.stdout.strip() == "2 of 8"
