"""A server of the rating page as a process, what a rater does in a browser, and fixtures for both."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from review_files import write_volumes

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
OPTIONS = [
    "--no-sandbox", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
]  # fmt: skip
NO_WEBGL = ["--disable-3d-apis"]
SOFTWARE_WEBGL = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
needs_browser = pytest.mark.skipif(
    BROWSER is None and not os.environ.get("NEEDS_BROWSER"), reason="no Chromium; NEEDS_BROWSER=1 makes that a failure"
)
CASES = 36
FEW = 4
SHOWN = {"timeout": 60_000}


class Server:
    """`python -m custom_components review`, on one port, however often it is killed."""

    def __init__(self, cohort: Path, *options: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        grid = ["--pixdim", "4,4,5", "--roi_size", "24,24,12", "--workers", "0"]
        self.command = [
            sys.executable, "-m", "custom_components", "review", cohort, "--open", "false", "--port", str(port), *grid,
            *options,
        ]  # fmt: skip
        self.process: subprocess.Popen[str] | None = None
        self.entered = 0
        self.lines: list[str] = []

    def start(self) -> None:
        self.lines.clear()
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)
        self.reader = threading.Thread(target=self._read, args=(self.process,))
        self.reader.start()
        self.address()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        with process.stdout as lines:
            for line in lines:
                self.lines.append(line)

    def address(self, uses: int = 0) -> str:
        """The address that is good after so many were used."""
        for _ in range(1200):
            found = [url for line in self.lines for url in re.findall(r"http://\S+#token=\S+", line)]
            if len(found) > uses:
                return found[uses]
            assert self.process
            assert self.process.poll() is None, "the server ended"
            time.sleep(0.1)
        raise TimeoutError

    def fresh_address(self) -> str:
        """An address for one rater more."""
        self.entered += 1
        return self.address(self.entered - 1)

    def kill(self) -> None:
        """End without any time to tidy up."""
        self.end(signal.SIGKILL)

    def end(self, how: signal.Signals = signal.SIGINT) -> None:
        """End as by Ctrl-C, with what the command does then."""
        assert self.process
        self.process.send_signal(how)
        self.process.wait()
        self.reader.join()


def serve(cohort: Path, cases: int) -> Iterator[Server]:
    write_volumes(cohort, tuple(f"case_{number:02d}" for number in range(cases)))
    server = Server(cohort, "--repeats", "0")
    server.start()
    yield server
    server.kill()


def open_page(browser, address: str, rater: str):
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    enter(page, address, rater)
    return page


def enter(page, address: str, rater: str) -> None:
    """Open an address and enter under a name; what fails in the page is kept in `errors`."""
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.goto(address)
    page.fill("#rater", rater)
    page.keyboard.press("Enter")
    page.wait_for_selector(".code:not([disabled])", **SHOWN)
    assert "token" not in page.url


def press(page, key: str, expected: str) -> None:
    wait_until_ready(page)
    page.keyboard.press(key)
    wait_for_text(page, "#progress", expected)


def eventually(is_so: Callable[[], Any], seconds: float = 30, page: Any = None) -> None:
    """Wait until something is so; Playwright's own waiting needs `eval`, which the page's policy forbids."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, page.inner_text("body") if page else "it did not become so"
        time.sleep(0.01)


def wait_for_text(page, selector: str, text: str) -> None:
    eventually(
        lambda: text in page.text_content(selector) and page.get_attribute("#stage", "aria-busy") == "false", page=page
    )


def wait_until_ready(page) -> None:
    """A montage that has just appeared takes no code."""
    page.wait_for_selector("#stage[data-ready][aria-busy=false]", **SHOWN)


def transform(page) -> str:
    return page.eval_on_selector("#sheet", "sheet => sheet.style.transform")


def key(page, name: str, selector: str = "#stage", **options: Any) -> None:
    """A key as a held one, or one of another layout, gives it; what the browser does with it by itself is not done."""
    page.eval_on_selector(
        selector,
        "(element, options) => element.dispatchEvent(new KeyboardEvent('keydown', options))",
        {"key": name, "bubbles": True, "cancelable": True, **options},
    )


def done(page) -> int:
    page.wait_for_timeout(400)  # what was pressed would be stored by now
    eventually(lambda: page.get_attribute("#stage", "aria-busy") == "false", page=page)
    return int(page.inner_text("#progress").split()[0])


def focused(page) -> str:
    return page.evaluate("document.activeElement.id")


def middle(page, selector: str) -> tuple[float, float]:
    box = page.locator(selector).bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


@pytest.fixture(scope="module")
def playwright():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def browser(playwright):
    browser = playwright.chromium.launch(executable_path=BROWSER, args=[*OPTIONS, *NO_WEBGL])
    yield browser
    browser.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    yield from serve(tmp_path / "cohort", CASES)


@pytest.fixture(scope="module")
def few(tmp_path_factory) -> Iterator[Server]:
    """A server of few cases that tests share, each as a rater of its own."""
    yield from serve(tmp_path_factory.mktemp("few"), FEW)


@pytest.fixture
def page(few: Server, browser, request):
    page = open_page(browser, few.fresh_address(), request.node.name[:40])
    wait_until_ready(page)
    yield page
    assert page.errors == []
    page.context.close()
