"""A real server of MONAI Label, with packaged bundles, on a folder of phantoms."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
from packaged import bare_environment, environment_with

REQUIREMENTS = ("monailabel==0.8.5", "pydicom<3", "pynetdicom<3", "dicomweb-client[gcp]<0.61", "torch", "torchvision")
"""As in the README: the newest that start together."""


def monai_label_python() -> Path:
    return environment_with("monailabel", *REQUIREMENTS)


class Server:
    """What a client of MONAI Label asks."""

    def __init__(self, client: httpx.Client, log: Path) -> None:
        self.client, self.log = client, log

    def info(self) -> dict[str, Any]:
        return self.client.get("/info/").json()

    def infer(self, model: str, image: str, output: str = "image", **params: Any) -> httpx.Response:
        data = {"params": json.dumps({"device": "cpu", **params})}
        return self.client.post(f"/infer/{model}", params={"image": image, "output": output}, data=data)

    def train(self, model: str, **params: Any) -> httpx.Response:
        settings = {"max_epochs": 1, "device": "cpu", "val_split": 0.25, "multi_gpu": False, **params}
        return self.client.post(f"/train/{model}", params={"run_sync": True}, json=settings)

    def next_case(self, strategy: str) -> dict[str, Any]:
        return self.client.post(f"/activelearning/{strategy}", json={}).json()

    def says(self, pattern: str) -> bool:
        """Whether the log has it; what went wrong is written after the answer."""
        for _ in range(40):
            if re.search(pattern, self.log.read_text()):
                return True
            time.sleep(0.5)
        return False

    def score(self) -> dict[str, Any]:
        return self.client.post("/scoring/qa_score", params={"run_sync": True}, json={"device": "cpu"}).json()


def start(app: Path, studies: Path, log: Path, port: int, **conf: str) -> subprocess.Popen:
    words = [
        "start_server", "--app", str(app), "--studies", str(studies), "--host", "127.0.0.1", "--port", str(port),
        "--conf", "zoo_source", "github", "--conf", "sam2", "false",
    ]  # fmt: skip
    words += [word for name, value in conf.items() for word in ("--conf", name, value)]
    command = [str(monai_label_python().parent / "monailabel"), *words]
    path = f"{monai_label_python().parent}:{bare_environment()['PATH']}"
    with log.open("w") as stream:
        return subprocess.Popen(
            command,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={**bare_environment(), "PATH": path, "MONAI_LABEL_AUTO_UPDATE_SCORING": "false"},
            start_new_session=True,
        )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serving(app: Path, studies: Path, log: Path, **conf: str) -> Iterator[Server]:
    port = free_port()
    process = start(app, studies, log, port, **conf)
    try:
        for _ in range(240):
            if "Uvicorn running on" in log.read_text():
                break
            assert process.poll() is None, log.read_text()[-3000:]
            time.sleep(0.5)
        else:
            raise AssertionError(log.read_text()[-3000:])
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=300) as client:
            yield Server(client, log)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def sample_app(folder: Path) -> Path:
    """The app `monaibundle` that comes with MONAI Label."""
    python = monai_label_python()
    command = [
        str(python.parent / "monailabel"),
        "apps",
        "--download",
        "--name",
        "monaibundle",
        "--output",
        str(folder),
    ]
    subprocess.run(
        command, check=True, env={**bare_environment(), "PATH": f"{python.parent}:{bare_environment()['PATH']}"}
    )
    return folder / "monaibundle"


def write_studies(cohort: Path, folder: Path) -> Path:
    """A folder of studies: the training cases with their final labels, the others without."""
    (folder / "labels" / "final").mkdir(parents=True)
    entries = json.loads((cohort / "dataset.json").read_text())
    for entry in entries["training"] + entries["validation"]:
        shutil.copy(cohort / entry["image"], folder)
        shutil.copy(cohort / entry["label"], folder / "labels" / "final" / Path(entry["image"]).name)
    for path in sorted((cohort / "imagesTs").iterdir()):
        shutil.copy(path, folder)
    return folder
