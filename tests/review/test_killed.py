"""A server that is killed at any moment has lost nothing that the page was told to be stored."""

from __future__ import annotations

import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from review_files import write_montages

from custom_components.review.store import Store

KILLS = 50


class Rater:
    """Codes as fast as it can, and notes what the server said is stored."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.client = httpx.Client(base_url=origin, headers={"Origin": origin}, trust_env=False, timeout=10)
        self.stored: dict[int, int] = {}
        self.wish: dict | None = None
        self.sent = 0

    def enter(self, token: str) -> None:
        self.client.post("/api/enter", json={"token": token, "rater": "Anna"}).raise_for_status()

    def work(self, until: threading.Event) -> None:
        """Send codes until the server is gone; a wish without an answer is sent again first, as the page does."""
        while not until.is_set():
            try:
                if self.wish is None:
                    (turn,) = self.client.post("/api/next", json={}).json()["turns"]
                    self.sent += 1
                    self.wish = {
                        "place": turn["place"], "version": turn["version"], "code": self.sent % 3, "seconds": 1,
                        "previous": turn["rating"], "request": f"wish {self.sent}",
                    }  # fmt: skip
                answer = self.client.post("/api/rate", json=self.wish)
            except httpx.TransportError:
                return
            answer.raise_for_status()
            self.stored[answer.json()["place"]] = self.wish["code"]
            self.wish = None


@pytest.mark.slow
def test_a_server_that_is_killed_at_any_moment_loses_nothing(tmp_path: Path):
    write_montages(tmp_path / "cohort", 6000)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ["-m", "custom_components", "review", str(tmp_path / "cohort"), "--open", "false", "--port", str(port)]
    rater, draw = Rater(f"http://127.0.0.1:{port}"), random.Random(0)
    in_flight = 0
    for number in range(KILLS):
        process = subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, text=True)
        assert process.stdout
        token = next(found for line in process.stdout if (found := re.search(r"#token=(\S+)", line)))[1]
        for _ in range(200):
            with socket.socket() as probe:
                if not probe.connect_ex(("127.0.0.1", port)):
                    break
            time.sleep(0.02)
        if number == 0:
            rater.enter(token)
        killed = threading.Event()
        worker = threading.Thread(target=rater.work, args=(killed,))
        worker.start()
        time.sleep(draw.uniform(0.05, 1.2))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        killed.set()
        worker.join()
        in_flight += rater.wish is not None
        store = Store(tmp_path / "cohort" / "review" / "review.sqlite")
        found = {row["place"]: row["code"] for row in store.rows("SELECT place, code FROM rating")}
        assert store.number("SELECT count(*) FROM (SELECT place FROM event GROUP BY place HAVING count(*) > 1)") == 0
        store.close()
        missing = {place: code for place, code in rater.stored.items() if found.get(place) != code}
        assert not missing, f"kill {number}: {missing}"
        assert len(found) - len(rater.stored) in (0, 1)  # one more than the rater knows of, at most
    assert len(rater.stored) > 5 * KILLS
    assert in_flight > KILLS / 4  # the kills did hit work
    rater.client.close()
    print(f"{KILLS} kills, {len(rater.stored)} codes, {in_flight} kills with a code in flight, nothing lost")
