"""How fast the rating page is, and how much memory its server takes.

    python benchmarks/review.py FOLDER --cases 2000 --large 10000

makes a cohort at the paper's grid in FOLDER (a few phantoms under many names), and measures with a real server and a
headless Chromium: from the command to the address, of a small and of a large cohort, and the server's memory then; how
long it takes to answer a montage; from the press of a key until the next montage is on the screen; and how many cases
a rater codes who needs 1.5 s for each. Writes `benchmarks/results/review.json`.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import fire
import httpx
import nibabel as nib
import numpy as np
import psutil
from playwright.sync_api import Page, sync_playwright

from custom_components.data.phantom import make_phantom
from custom_components.files import complete_file

RESULTS = Path(__file__).resolve().parent / "results" / "review.json"
PHANTOMS = 8
PACE = 1.5
"""Seconds that a rater looks."""

BROWSER = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]

ON_SCREEN = """
    window.presses = []
    addEventListener('keydown', (event) => { if ('012'.includes(event.key)) window.pressed = performance.now() }, true)
    const draw = CanvasRenderingContext2D.prototype.drawImage
    CanvasRenderingContext2D.prototype.drawImage = function (...words) {
        draw.apply(this, words)
        if (this.canvas.id !== 'organs' || window.pressed === undefined) return
        const pressed = window.pressed
        window.pressed = undefined
        requestAnimationFrame(() => requestAnimationFrame(() => window.presses.push(performance.now() - pressed)))
    }
"""
"""Keeps the milliseconds from each key to the second frame after its montage was drawn, which is on the screen then."""


def main(folder: str, cases: int = 2000, large: int = 10_000, presses: int = 300, rated: int = 60) -> None:
    """Make the cohorts, measure, print and write the figures."""
    root = Path(folder).absolute()
    found: dict[str, Any] = {"cases": cases, "large": large, "machine": f"{platform.machine()}, {os.cpu_count()} cores"}
    for name, count in (("small", 100), ("large", large)):
        cohort = make_cohort(root / name, count)
        with Server(cohort) as server:
            found[name] = {"seconds_to_address": server.seconds, "server_mib": server.after_some(50)}
    with Server(make_cohort(root / "middle", cases)) as server:
        found["montage_ms"] = percentiles(server.montages(400))
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=BROWSER)
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.add_init_script(ON_SCREEN)
            enter(page, server.address())
            found["key_to_screen_ms"] = percentiles(press_keys(page, presses))
            found["cases_per_minute"] = {"looking_only": 60 / PACE, "measured": 60 / at_pace(page, rated)}
            browser.close()
        found["server_mib_after"] = server.memory()
    print(json.dumps(found, indent=1))
    with complete_file(RESULTS) as partial:
        partial.write_text(json.dumps(found, indent=1) + "\n")


def make_cohort(folder: Path, count: int) -> Path:
    """Write a few phantoms under many names, and draw them; what is there stays."""
    for number in range(PHANTOMS):
        path = folder.parent / "phantoms" / f"{number}.nii.gz"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            phantom = make_phantom(number, 0.5, grid="paper")
            for kind, volume in (("", phantom.image), ("label_", phantom.label)):
                with complete_file(path.with_name(f"{kind}{path.name}")) as partial:
                    nib.save(nib.Nifti1Image(volume, phantom.affine), partial)
    if (folder / "made").is_file():
        return folder
    for number in range(count):
        source = f"{number % PHANTOMS}.nii.gz"
        for part, kind in (("images", ""), ("segmentations", "label_")):
            link(folder.parent / "phantoms" / f"{kind}{source}", folder / part / f"case_{number:05d}.nii.gz")
    draw_once(folder)
    (folder / "made").touch()
    return folder


def draw_once(folder: Path) -> None:
    """Draw the first phantoms, and give the others their pictures and rows."""
    from custom_components.case_ids import CASE_ID
    from custom_components.data.fingerprint import FINGERPRINT
    from custom_components.data.layout import OK
    from custom_components.review.cohort import Cohort, Source
    from custom_components.review.drawing import redraw
    from custom_components.review.store import Item

    source = Source(images=str(folder / "images"), segmentations=str(folder / "segmentations"))
    cohort = Cohort([source], folder / "review" / "montages")
    cases = cohort.cases(source)
    table = cohort.table("")
    table.start()
    for number, case in enumerate(cases):
        case_id = str(case[CASE_ID])
        if number < PHANTOMS:
            item = Item(case_id, image=(str(case["image"]),), segmentation=str(case["segmentation"]))
            if fault := redraw(cohort, item):
                raise RuntimeError(fault)
        else:
            drawn = cohort.files("", str(cases[number % PHANTOMS][CASE_ID]))
            for old, new in zip(drawn, cohort.files("", case_id), strict=True):
                link(old, new)
        table.add({CASE_ID: case_id, "montage": case_id, "status": OK, "made_from": str(case[FINGERPRINT])})
    table.finish()


def link(old: Path, new: Path) -> None:
    """Give a file another name."""
    new.parent.mkdir(parents=True, exist_ok=True)
    new.unlink(missing_ok=True)
    os.link(old, new)


class Server:
    """A server of a cohort; its address can be used by several raters, one after the other."""

    def __init__(self, cohort: Path) -> None:
        for path in (cohort / "review").glob("review.sqlite*"):
            path.unlink()
        self.log = cohort / "server.log"
        words = ["-m", "custom_components", "review", str(cohort), "--open", "false", "--port", "0"]
        start = time.perf_counter()
        with self.log.open("w") as log:
            self.process = subprocess.Popen([sys.executable, *words], stdout=log)
        self.used = 0
        self.address(peek=True)
        self.seconds = round(time.perf_counter() - start, 2)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()

    def address(self, peek: bool = False) -> str:
        """The next address that opens the page."""
        while True:
            found = re.findall(r"http://\S+#token=\S+", self.log.read_text())
            if len(found) > self.used:
                self.used += not peek
                return found[-1]
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended, see {self.log}")
            time.sleep(0.01)

    def client(self) -> httpx.Client:
        """A rater's client."""
        origin, token = self.address().split("/#token=")
        client = httpx.Client(base_url=origin, headers={"Origin": origin}, timeout=60)
        client.post("/api/enter", json={"token": token, "rater": f"rater {self.used}"}).raise_for_status()
        return client

    def montages(self, count: int) -> list[float]:
        """Milliseconds of the answers to so many layers of montages."""
        times: list[float] = []
        with closing(self.client()) as client:
            place = 0
            while len(times) < count:
                (turn,) = client.post("/api/next", json={"after": place}).json()["turns"]
                place = turn["place"]
                for layer in turn["layers"]:
                    start = time.perf_counter()
                    client.get(f"/api/montage/{place}/{layer}", params={"version": turn["version"]}).raise_for_status()
                    times.append(1000 * (time.perf_counter() - start))
        return times

    def after_some(self, count: int) -> float:
        """Memory after so many montages."""
        self.montages(count)
        return self.memory()

    def memory(self) -> float:
        """MiB that the server holds, without the second process."""
        return round(psutil.Process(self.process.pid).memory_info().rss / 2**20, 1)


def enter(page: Page, address: str) -> None:
    """Enter as a rater."""
    page.goto(address)
    page.fill("#rater", "A rater")
    page.keyboard.press("Enter")
    page.wait_for_selector(".code:not([disabled])")
    time.sleep(3)


def press_keys(page: Page, count: int) -> list[float]:
    """Code so many as fast as the page shows them; give the milliseconds of each."""
    for number in range(count):
        page.keyboard.press(str(number % 3))
        while page.evaluate("window.presses.length") <= number:
            time.sleep(0.005)
        time.sleep(0.4)  # looks, as even a hasty rater does
    return page.evaluate("window.presses")


def at_pace(page: Page, count: int) -> float:
    """Seconds a case of a rater who looks at each for `PACE` from when it is shown."""
    start = time.perf_counter()
    first = page.evaluate("window.presses.length")
    for number in range(count):
        time.sleep(PACE)
        page.keyboard.press(str(number % 3))
        while page.evaluate("window.presses.length") <= first + number:
            time.sleep(0.005)
    return (time.perf_counter() - start) / count


def percentiles(times: list[float]) -> dict[str, float]:
    """Median, 95th percentile and maximum."""
    return {name: round(float(np.percentile(times, q)), 1) for name, q in (("50", 50), ("95", 95), ("max", 100))}


if __name__ == "__main__":
    fire.Fire(main)
