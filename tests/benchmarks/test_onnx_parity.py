"""What the benchmark of ONNX says instead of a traceback."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("onnxruntime")
ROOT = Path(__file__).resolve().parents[2]


def run(*words: object) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "benchmarks" / "onnx_parity.py"), *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


def test_a_single_round_only_warms_up():
    done = run("--rounds", 1)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "error: rounds is 1, expected a whole number of at least 2"


def test_why_an_export_failed_is_told(tmp_path: Path):
    shutil.copytree(ROOT / "bundles" / "qa_discriminator" / "configs", tmp_path / "configs")
    (tmp_path / "configs" / "onnx.yaml").unlink()
    done = run(tmp_path)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert "model.pt cannot be written as ONNX: " in last
    assert "onnx.yaml" in last
