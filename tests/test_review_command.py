"""The command that opens the rating page."""

from __future__ import annotations

import csv
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from review_files import write_montages, write_volumes

from custom_components.review_command import find_sources

Call = Callable[..., tuple[object, str, str]]


def test_a_folder_of_images_and_segmentations_is_a_cohort(tmp_path: Path):
    write_volumes(tmp_path)
    (source,) = find_sources(str(tmp_path))
    assert (source.images, source.segmentations) == (str(tmp_path / "images"), str(tmp_path / "segmentations"))


def test_what_an_inference_wrote_is_a_cohort_with_its_images(tmp_path: Path):
    (source,) = find_sources(str(tmp_path), images="ct")
    assert (source.model, source.images, source.segmentations) == ("", "ct", str(tmp_path))


def test_a_folder_of_montages_is_a_cohort(tmp_path: Path):
    write_montages(tmp_path, 1)
    (source,) = find_sources(str(tmp_path))
    assert (source.montages, source.segmentations) == (str(tmp_path), "")


def test_several_models_have_names_and_scores_of_their_own(tmp_path: Path):
    given = {"images": "ct", "segmentations": "x/old,x/new", "scores": "o.csv,n.csv", "second_scores": "o2.csv,n2.csv"}
    old, new = find_sources(str(tmp_path), **given)
    assert (old.model, old.segmentations, old.scores) == ("old", "x/old", ("o.csv", "o2.csv"))
    assert (new.model, new.segmentations, new.scores) == ("new", "x/new", ("n.csv", "n2.csv"))
    assert [one.model for one in find_sources(str(tmp_path), **given, models="a,b")] == ["a", "b"]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["absent"], "cohort is .*absent, found nothing, expected a folder"),
        (["."], "found neither a folder segmentations nor montages <case>.png, expected one of them, or --images"),
        (
            [".", "--montages", "m", "--segmentations", "s"],
            "montages is m and segmentations s, expected one",
        ),
        ([".", "--segmentations", "s"], "images is not given, and .* has no folder images or imagesTs"),
        ([".", "--images", "i", "--segmentations", "a,b", "--scores", "x.csv"], "scores has 1 entries, expected 2"),
        ([".", "--images", "i", "--order", "worst"], "order is worst, expected scores with it"),
        (
            [".", "--images", "i", "--order", "best"],
            "order is 'best', expected one of shuffled, worst",
        ),
        ([".", "--images", "i", "--paired", "true"], "paired is given with 1 folder, expected two or more"),
        ([".", "--images", "i", "--repeats", "2"], "repeats is 2.0, expected a share from 0 to 0.5"),
        ([".", "--images", "i", "--host", "0.0.0.0"], "host is 0.0.0.0, which others can reach: expected --tls_cert"),
        ([".", "--images", "i", "--pixdim", "2,2"], r"pixdim is \(2, 2\), expected 3 positive numbers"),
        ([".", "--images", "i", "--cases", "absent.csv"], "absent.csv: No such file or directory"),
        ([".", "--montages", "empty"], r"empty holds no <case>\.png"),
        ([".", "--images", "i", "--no_such", "1"], "no_such"),
    ],
)
def test_a_mistake_is_one_line(call: Call, tmp_path: Path, monkeypatch, words: list[str], error: str):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    code, _, err = call("review", *words)
    assert code == 2
    assert re.search(error, err), err
    assert "Traceback" not in err


def test_a_port_that_is_taken_is_one_line(call: Call, tmp_path: Path):
    write_montages(tmp_path, 2)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, err = call("review", tmp_path, "--port", port, "--open", "false")
    assert code == 2
    assert f"127.0.0.1:{port}: Address already in use; choose another --port" in err


def start(cohort: Path, *words: str) -> tuple[subprocess.Popen[str], str, str]:
    """Start the command; give the process, the origin and the token."""
    command = [
        sys.executable,
        "-m",
        "custom_components",
        "review",
        str(cohort),
        "--open",
        "false",
        "--port",
        "0",
        *words,
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    for line in process.stdout:
        if found := re.search(r"(https?://\S+)/#token=(\S+)", line):
            return process, found[1], found[2]
    raise RuntimeError("the server ended")


def code_one(origin: str, token: str, **options) -> None:
    with httpx.Client(base_url=origin, headers={"Origin": origin}, trust_env=False, timeout=30, **options) as client:
        client.post("/api/enter", json={"token": token, "rater": "Anna"}).raise_for_status()
        (turn,) = client.post("/api/next", json={}).json()["turns"]
        wish = {"place": turn["place"], "version": turn["version"], "code": 2, "seconds": 3, "request": "r"}
        client.post("/api/rate", json={**wish, "previous": None}).raise_for_status()


def test_ctrl_c_ends_the_server_and_exports(tmp_path: Path):
    write_montages(tmp_path / "cohort", 3)
    (tmp_path / "cases.csv").write_text("case_id,why\ncase_0001,worst\n")
    words = ["--cases", str(tmp_path / "cases.csv"), "--export", str(tmp_path / "codes.csv")]
    process, origin, token = start(tmp_path / "cohort", *words)
    code_one(origin, token)
    process.send_signal(signal.SIGINT)
    assert process.stdout
    said = process.stdout.read()
    process.stdout.close()
    assert process.wait() == 0
    assert f"1 codes are in {tmp_path / 'cohort' / 'review' / 'review.sqlite'} and {tmp_path / 'codes.csv'}" in said
    with (tmp_path / "codes.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["case_id"], row["code"], row["rater"]) == ("case_0001", "2", "Anna")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make a certificate")
def test_a_reading_room_has_tls(tmp_path: Path):
    write_montages(tmp_path / "cohort", 2)
    files = [str(tmp_path / name) for name in ("key.pem", "cert.pem")]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", files[0], "-out", files[1]],
        check=True, capture_output=True,
    )  # fmt: skip
    words = ["--host", "0.0.0.0", "--tls_key", files[0], "--tls_cert", files[1]]
    process, origin, token = start(tmp_path / "cohort", *words)
    assert origin.startswith("https://")
    port = origin.rpartition(":")[2]
    context = ssl.create_default_context(cafile=files[1])
    code_one(f"https://127.0.0.1:{port}", token, verify=context)
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://127.0.0.1:{port}", trust_env=False)
    process.terminate()
    assert process.stdout
    process.stdout.close()
    process.wait()
