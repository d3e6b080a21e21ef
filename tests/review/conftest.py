"""A browser, and servers of the rating page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser_steps import BROWSER, CASES, FEW, NO_WEBGL, OPTIONS, Server, open_page, serve, wait_until_ready


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
