"""Is a network as ONNX the same as in torch, and how fast is it on a CPU?

    python benchmarks/onnx_parity.py [FOLDER] [--rounds 5] [--threads 2]

FOLDER is that of a bundle, in the repository or unzipped; without models/model.pt the weights are random.
The export is the command of its documentation, the input random and of the size in its metadata.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import fire
import numpy as np
import onnxruntime
import torch
from monai.bundle import ConfigParser

from custom_components.inferers import AutocastInferer
from custom_components.options import check_number
from custom_components.user_errors import exit_on_user_error


@exit_on_user_error
def main(folder: str = "bundles/baseline_seg", rounds: int = 5, threads: int = 2) -> None:
    """Export a bundle's network and print what was measured as JSON.

    Args:
        folder: of the bundle.
        rounds: turns of each contestant, at least two; the first one warms up and does not count.
        threads: of torch and of onnxruntime.

    Raises:
        SystemExit: there are fewer rounds, or the network cannot be exported; one line, and exit code 1.
    """
    check_number(rounds, "rounds", 2, whole=True)
    torch.set_num_threads(threads)
    bundle = Path(folder)
    parser = ConfigParser()
    parser.read_config(bundle / "configs" / "inference.yaml")
    network = parser.get_parsed_content("network_def").eval()
    weights = bundle / "models" / "model.pt"
    with tempfile.TemporaryDirectory() as work:
        if weights.is_file():
            network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        else:
            weights = Path(work) / "model.pt"
            torch.save(network.state_dict(), weights)
        path = Path(work) / "model.onnx"
        _export(bundle, weights, path)
        megabytes = path.stat().st_size / 1e6
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    tensor = metadata["network_data_format"]["inputs"]["image"]
    torch.manual_seed(0)
    image = torch.rand(1, tensor["num_channels"], *tensor["spatial_shape"])
    contestants: dict[str, Callable[[], np.ndarray]] = {
        "torch float32": lambda: network(image).numpy(),
        "torch as the bundle": lambda: AutocastInferer()(image, network).numpy(),
        "onnxruntime": lambda: session.run(["pred"], {"image": image.numpy()})[0],
    }
    table = {"bundle": bundle.name, "size": list(image.shape), "threads": threads, "megabytes": round(megabytes, 1)}
    print(json.dumps({**table, **_measured(contestants, rounds)}, indent=2))


def _export(bundle: Path, weights: Path, path: Path) -> None:
    command = [sys.executable, "-m", "monai.bundle", "onnx_export", "--args_file", "configs/onnx.yaml",
               "--ckpt_file", str(weights.resolve()), "--filepath", str(path)]  # fmt: skip
    done = subprocess.run(command, cwd=bundle, check=False, capture_output=True, text=True)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["no reason is given"])[-1].strip()
        raise ValueError(f"{weights} cannot be written as ONNX: {why}")


@torch.no_grad()
def _measured(contestants: dict[str, Callable[[], np.ndarray]], rounds: int) -> dict[str, object]:
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    found = {}
    for _ in range(rounds):
        for name, run in contestants.items():
            started = time.perf_counter()
            found[name] = run()
            seconds[name].append(time.perf_counter() - started)
    ours, theirs = found["torch float32"], found["onnxruntime"]
    return {
        "median_seconds": {name: round(statistics.median(taken[1:]), 3) for name, taken in seconds.items()},
        "max_difference": float(np.abs(ours - theirs).max()),
        "max_output": float(np.abs(ours).max()),
        "other_labels": int((ours.argmax(1) != theirs.argmax(1)).sum()) if ours.shape[1] > 1 else None,
    }


if __name__ == "__main__":
    fire.Fire(main)
