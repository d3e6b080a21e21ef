"""What raters see, and do not see, of a study."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser_steps import Server, eventually, needs_browser, open_page, press, wait_until_ready
from review_files import write_volumes

from custom_components.data.codes import load_codes

pytestmark = needs_browser

CASES = ("patient_a", "patient_b", "patient_c")


@pytest.fixture
def start(tmp_path: Path) -> Iterator:
    servers = []

    def start_one(*options: str) -> Server:
        server = Server(tmp_path / "cohort", "--repeats", "0", *options)
        servers.append(server)
        server.start()
        return server

    yield start_one
    for server in servers:
        server.kill()


def listen(page) -> list[str]:
    """All that the server answers from now on as text."""
    heard: list[str] = []

    def keep(response) -> None:
        if "json" in response.headers.get("content-type", ""):
            heard.append(response.text())

    page.on("response", keep)
    return heard


def test_the_worst_and_the_most_uncertain_come_first_and_ids_and_scores_only_if_asked(start, browser, tmp_path: Path):
    write_volumes(tmp_path / "cohort", CASES)
    scores = "case_id,score,low,high\npatient_a,0.5,0.4,0.6\npatient_b,1.75,1.7,1.8\npatient_c,0.25,0,2\n"
    (tmp_path / "scores.csv").write_text(scores)
    options = ["--scores", str(tmp_path / "scores.csv"), "--show_ids", "true", "--show_scores", "true"]
    server = start(*options, "--order", "worst")
    page = open_page(browser, server.address(), "Anna")
    assert page.inner_text("#about") == "patient_b · score 1.75"
    press(page, "2", "1 of 3")
    assert page.inner_text("#about") == "patient_a · score 0.50"
    server.kill()

    server = start(*options[:2], "--order", "uncertain")
    page = open_page(browser, server.address(), "Ben")
    assert not page.is_visible("#about")
    heard = listen(page)
    press(page, "0", "1 of 3")
    wait_until_ready(page)
    page.keyboard.press("Enter")
    page.wait_for_selector("#windows button")
    page.keyboard.press("Escape")
    press(page, "0", "2 of 3")
    assert len(heard) > 3
    assert not [text for text in heard if "patient" in text or "score" in text or str(tmp_path) in text]
    eventually(lambda: page.get_attribute("#stage", "aria-busy") == "false")
    page.click("#open-results")
    page.wait_for_selector("#results td")
    with page.expect_download() as download:
        page.click("text=Export CSV")
    download.value.save_as(tmp_path / "codes.csv")
    table, _ = load_codes(tmp_path / "codes.csv")
    of_ben = table[table["rater"] == "Ben"].sort_values("rated_at")
    assert of_ben["case_id"].tolist() == ["patient_c", "patient_a"]  # widths of 2, 0.2 and 0.1


def test_a_paired_study_is_blind_and_its_export_has_the_models(start, browser, tmp_path: Path):
    for model in ("before", "after"):
        write_volumes(tmp_path / model, CASES, label=6 if model == "before" else 1)
    (tmp_path / "cohort").mkdir()
    folders = [str(tmp_path / model / "segmentations") for model in ("before", "after")]
    codes = tmp_path / "codes.csv"
    server = start(
        "--images", str(tmp_path / "before" / "images"), "--segmentations", ",".join(folders), "--models",
        "before,after", "--paired", "true", "--export", str(codes),
    )  # fmt: skip
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    heard = listen(page)
    page.goto(server.address())
    page.fill("#rater", "Anna")
    page.keyboard.press("Enter")
    for number in range(6):
        press(page, str(number % 3), f"{number + 1} of 6")
    page.click("#open-results")
    page.wait_for_selector("#results td")
    assert not page.is_visible("text=Export CSV")
    assert not page.is_visible("text=Export JSON")
    words = page.inner_text("body") + "".join(heard)
    assert "6 montages" in words
    for word in ("patient", "before", "after,", '"after"', str(tmp_path)):
        assert word not in words, word
    server.end()
    table, problems = load_codes(codes)
    assert not problems
    assert sorted(table["model"]) == ["after"] * 3 + ["before"] * 3
    first = table.sort_values("rated_at")["case_id"].tolist()[:3]
    assert sorted(first) == list(CASES)  # one of each case before the second of any


def test_repeats_are_hidden_and_raters_who_disagree_are_decided(start, browser, tmp_path: Path):
    write_volumes(tmp_path / "cohort", tuple(f"case_{number:02d}" for number in range(14)))
    server = start("--repeats", "0.1")
    anna, ben = (open_page(browser, server.address(number), name) for number, name in enumerate(("Anna", "Ben")))
    heard = listen(anna)
    for number in range(15):
        press(anna, "0", f"{number + 1} of 15")  # 14, and one of them again
    assert not [text for text in heard if "repeat" in text]
    press(ben, "2", "1 of 15")
    anna.click("#open-results")
    eventually(lambda: "1 of 1" in anna.inner_text("#results"), page=anna)  # consistent
    anna.keyboard.press("Escape")
    waiting = []
    anna.route("**/api/next", lambda route: route.continue_() if waiting else waiting.append(route))
    anna.reload()
    eventually(lambda: anna.inner_text("#decide").split()[-1] == "1" and waiting, page=anna)
    anna.click("#decide")  # while the page still asks for what comes next
    waiting[0].continue_()
    eventually(lambda: "please decide" in anna.inner_text("#about"), page=anna)
    wait_until_ready(anna)
    anna.keyboard.press("1")
    eventually(lambda: "No more to decide" in anna.inner_text("#end"), page=anna)
    history = json.loads(anna.evaluate("fetch('/api/export.json').then((answer) => answer.text())"))["history"]
    assert [row["code"] for row in history if row["shown_as"] == "adjudication"] == [1]
