"""What the benchmark of inference measures must stay within its limits."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.mark.slow
def test_a_very_large_ct_needs_less_than_4_gib_and_gets_the_labels_of_the_plain_way():
    pytest.importorskip("psutil", reason="pip install -e .[benchmarks]")
    subprocess.run([sys.executable, BENCHMARKS / "inference_memory.py"], check=True, timeout=900)
    measured = json.loads((BENCHMARKS / "results" / "inference_memory.json").read_text())
    assert measured["shape"] == [512, 512, 600]
    assert measured["peak_gib"] < 4
    assert measured["equal_voxels"] >= 0.995
