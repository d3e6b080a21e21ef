"""Where the server listens, and how the second process behaves."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from custom_components.review.examples import draw_examples
from custom_components.review.helper import Helper
from custom_components.review.layers import EXAMPLE_PARTS, example_path
from custom_components.review.serve import Address, listen


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"host": "0.0.0.0"}, r"^host is 0\.0\.0\.0, which others can reach: expected --tls_cert and --tls_key, or"),
        ({"host": "reading-room.example"}, r"^host is reading-room\.example, which others can reach"),
        ({"tls_cert": "cert.pem"}, r"^tls_key is not given, expected both or none$"),
        ({"tls_cert": "absent.pem", "tls_key": "absent.pem"}, r"^tls_cert is absent\.pem: no such file$"),
        ({"port": 70000}, r"^port is 70000, expected 1 to 65535$"),
    ],
)
def test_an_address_that_cannot_be_is_one_line(options: dict, error: str):
    with pytest.raises(ValueError, match=error):
        Address(**options)


def test_what_is_no_certificate_is_one_line(tmp_path: Path):
    (tmp_path / "x.pem").write_text("no certificate")
    with pytest.raises(ValueError, match="no certificate with its key"):
        Address("0.0.0.0", tls_cert=str(tmp_path / "x.pem"), tls_key=str(tmp_path / "x.pem"))


def test_names_of_a_local_server():
    assert set(Address().hosts(8765)) == {"127.0.0.1:8765", "localhost:8765", "[::1]:8765"}
    assert Address("10.0.0.5", insecure=True).hosts(80) == ["10.0.0.5:80", "10.0.0.5"]
    assert Address("::1").url(8765) == "http://[::1]:8765/"


def test_small_answers_are_sent_at_once():
    """Asyncio leaves Nagle's algorithm on if the listening socket does not name TCP: each answer would take 40 ms."""

    async def has_no_delay() -> bool:
        seen: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            accepted = writer.get_extra_info("socket")
            seen.set_result(bool(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))
            writer.close()

        listener = listen(Address(port=0))
        server = await asyncio.start_server(connected, sock=listener)
        async with server:
            _, writer = await asyncio.open_connection(*listener.getsockname())
            writer.close()
            return await asyncio.wait_for(seen, 10)

    assert asyncio.run(has_no_delay())


def test_a_killed_helper_is_replaced(helper: Helper):
    victim = helper.run("helper:own_pid")
    os.kill(victim, signal.SIGKILL)
    time.sleep(0.5)
    assert helper.run("helper:own_pid") not in (victim, os.getpid())


def test_errors_of_the_helper_come_through(helper: Helper):
    with pytest.raises(FileNotFoundError):
        helper.run("layers:read_geometry", "no/such.png")


def test_the_helper_ends_with_a_killed_server(tmp_path: Path):
    script = (
        "import os, signal\nfrom custom_components.review.helper import Helper\n"
        "if __name__ == '__main__':\n"
        "    print(Helper().run('helper:own_pid'), flush=True)\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    (tmp_path / "server.py").write_text(script)
    run = subprocess.run([sys.executable, tmp_path / "server.py"], capture_output=True, text=True, check=False)
    assert run.returncode == -signal.SIGKILL
    pid = int(run.stdout)
    for _ in range(50):
        if not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split(")")[1][:3]:
            return
        time.sleep(0.1)
    pytest.fail(f"process {pid} is still there")


def test_each_code_has_an_example(tmp_path: Path):
    draw_examples(tmp_path)
    pictures = {}
    for code in (0, 1, 2):
        for part in EXAMPLE_PARTS:
            with Image.open(example_path(tmp_path, code, part)) as picture:
                pictures[code, part] = picture.tobytes()
                assert picture.width == (384 if part == "montage" else 64)
    assert len(set(pictures.values())) == 6
    times = [path.stat().st_mtime_ns for path in sorted(tmp_path.iterdir())]
    draw_examples(tmp_path)
    assert [path.stat().st_mtime_ns for path in sorted(tmp_path.iterdir())] == times
