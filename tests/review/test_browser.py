"""The page in a real browser, with a real server that is killed and started again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from browser_steps import (
    BROWSER,
    CASES,
    FEW,
    OPTIONS,
    SHOWN,
    SOFTWARE_WEBGL,
    Server,
    done,
    eventually,
    focused,
    key,
    middle,
    needs_browser,
    open_page,
    press,
    transform,
    wait_for_text,
    wait_until_ready,
)
from PIL import Image
from review_files import write_volumes

from custom_components.data.codes import load_codes
from custom_components.review.niivue import niivue_module
from custom_components.review.store import Store

pytestmark = needs_browser


def test_a_rater_works_through_a_cohort(server: Server, browser, tmp_path: Path):
    page = open_page(browser, server.address(), "Anna")
    for number in range(30):
        press(page, str(number % 3), f"{number + 1} of {CASES}")

    press(page, "u", f"29 of {CASES}")
    assert page.get_attribute('.code[data-code="2"]', "aria-pressed") == "false"
    press(page, "1", f"30 of {CASES}")
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector('.code[data-code="1"][aria-pressed="true"]')
    press(page, "2", f"30 of {CASES}")  # coded anew, not once more

    whole = transform(page)
    page.mouse.move(500, 400)
    page.mouse.wheel(0, -400)
    eventually(lambda: transform(page) != whole)
    zoomed = transform(page)
    page.mouse.down()
    page.mouse.move(600, 450, steps=4)
    page.mouse.up()
    assert transform(page) != zoomed
    page.mouse.dblclick(500, 400)
    eventually(lambda: transform(page) == whole)
    assert not page.is_visible("#planes")

    opacity = "document.getElementById('organs').style.opacity"
    assert page.evaluate(opacity) == "0.4"
    page.keyboard.press("Space")
    assert page.evaluate(opacity) == "0"
    page.keyboard.press("+")
    assert page.evaluate(opacity) == "0.5"

    page.keyboard.press("?")
    assert page.is_visible("#help")
    page.keyboard.press("Escape")
    page.mouse.click(450, 330)  # a slice
    axial = '.view[data-plane="axial"] p'
    eventually(lambda: "/ 10" in page.inner_text(axial), 60)
    before = page.inner_text(axial)
    page.mouse.move(240, 400)
    page.mouse.wheel(0, -100)
    eventually(lambda: page.inner_text(axial) != before)
    page.click("text=lung")
    page.keyboard.press("Escape")
    assert not page.is_visible("#planes")

    page.keyboard.press("f")
    page.check('#reasons input[value="left kidney"]')
    page.fill("#flag-text", "<b>half</b> of it")
    page.keyboard.press("Enter")
    wait_for_text(page, "#flag-shown", "left kidney: <b>half</b> of it")

    page.click("#open-results")
    page.wait_for_selector("#results td", **SHOWN)
    with page.expect_download() as download:
        page.click("text=Export CSV")
    download.value.save_as(tmp_path / "codes.csv")
    table, problems = load_codes(tmp_path / "codes.csv", segmentations=tmp_path / "cohort" / "segmentations")
    assert not problems
    assert table["code"].value_counts().to_dict() == {0: 10, 1: 10, 2: 10}
    assert table["reason"].tolist().count("left kidney; <b>half</b> of it") == 1
    assert page.errors == []


def test_the_page_goes_on_through_a_killed_server(server: Server, browser):
    page = open_page(browser, server.address(), "Anna")
    press(page, "0", f"1 of {CASES}")
    server.kill()
    wait_until_ready(page)
    page.keyboard.press("2")
    page.wait_for_selector("#alert:not([hidden])")
    assert "Not saved yet" in page.inner_text("#alert")
    page.keyboard.press("0")  # the montage is still the same: this is not for the next one
    server.start()
    page.wait_for_selector("#alert", state="hidden", **SHOWN)
    wait_for_text(page, "#progress", f"2 of {CASES}")
    press(page, "1", f"3 of {CASES}")
    store = Store(Path(str(server.command[4])) / "review" / "review.sqlite")
    assert [row["code"] for row in store.rows("SELECT code FROM event ORDER BY event")] == [0, 2, 1]
    store.close()


def test_two_raters_work_at_once_and_neither_sees_the_other(server: Server, browser):
    anna = open_page(browser, server.address(), "Anna")
    ben = open_page(browser, server.address(1), "<i>Ben</i>")
    assert ben.inner_text("#who") == "<i>Ben</i>"
    for number in range(5):
        press(anna, "0", f"{number + 1} of {CASES}")
        press(ben, "2", f"{number + 1} of {CASES}")
    tab = anna.context.new_page()  # a second tab of Anna
    tab.goto(anna.url)
    tab.wait_for_selector(".code:not([disabled])", **SHOWN)
    press(tab, "1", f"6 of {CASES}")
    wait_until_ready(anna)
    anna.keyboard.press("2")
    wait_for_text(anna, "#saved", "another window")
    anna.wait_for_selector('.code[data-code="1"][aria-pressed="true"]')
    anna.click("#open-results")
    anna.wait_for_selector("#results td", **SHOWN)
    assert anna.inner_text("#results td >> nth=0") == "<i>Ben</i>"


def test_the_page_asks_which_organs_are_wrong(tmp_path: Path, browser):
    write_volumes(tmp_path / "cohort", ("a", "b", "c"))
    server = Server(tmp_path / "cohort", "--repeats", "0", "--ask_reasons", "true")
    server.start()
    page = open_page(browser, server.address(), "Anna")
    press(page, "0", "1 of 3")
    wait_until_ready(page)
    page.keyboard.press("2")
    page.wait_for_selector("#flag[open]")
    for digit in ("4", "1", "1"):  # spleen; liver, and not
        page.keyboard.press(digit)
    page.keyboard.press("Enter")
    wait_for_text(page, "#progress", "2 of 3")
    wait_until_ready(page)
    page.keyboard.press("1")
    page.keyboard.press("Escape")  # then nothing is stored
    wait_for_text(page, "#progress", "2 of 3")
    store = Store(tmp_path / "cohort" / "review" / "review.sqlite")
    assert [(row["code"], row["reason"]) for row in store.rows("SELECT * FROM code ORDER BY code")] == [
        (0, ""), (2, "spleen"),
    ]  # fmt: skip
    store.close()
    server.kill()


def test_a_stranger_gets_in_with_no_address_that_was_used(server: Server, browser):
    address = server.address()
    open_page(browser, address, "Anna")
    page = browser.new_context().new_page()
    page.goto(address)
    page.fill("#rater", "Eve")
    page.keyboard.press("Enter")
    eventually(lambda: "used before" in page.inner_text("#enter-note"))
    assert not page.is_visible("#work")


@pytest.mark.skipif(niivue_module() is None, reason="no ipyniivue")
def test_niivue_shows_the_planes_where_there_is_webgl(server: Server, playwright, tmp_path: Path):
    browser = playwright.chromium.launch(executable_path=BROWSER, args=[*OPTIONS, *SOFTWARE_WEBGL])
    page = open_page(browser, server.address(), "Anna")
    warnings = []
    page.on("console", lambda message: warnings.append(message.text) if message.type == "warning" else None)
    box = page.locator("#ct").bounding_box()
    x, y = 16.5, 24 + 8.5  # of 96 x 72 pixels: in the organ, in the first slice of the second row
    page.mouse.click(box["x"] + x / 96 * box["width"], box["y"] + y / 72 * box["height"])
    eventually(lambda: page.query_selector('#windows [aria-pressed="true"]'), 60)
    assert page.is_visible("#niivue"), warnings
    page.wait_for_timeout(2000)
    page.locator("#niivue").screenshot(path=tmp_path / "niivue.png")
    shown = np.asarray(Image.open(tmp_path / "niivue.png").convert("RGB")).astype(int)
    yellow = (shown[..., 0] > 150) & (shown[..., 1] > 150) & (shown[..., 2] < 140)  # the liver over grey
    rows, columns = np.nonzero(yellow)
    assert len(rows) > 1000
    of_plane = [columns[columns * 3 // shown.shape[1] == place] for place in range(3)]
    assert all(len(one) > 300 for one in of_plane)  # each plane goes through the organ that was clicked
    assert of_plane[0].mean() > shown.shape[1] / 6  # axial: the patient's left is on the right
    assert of_plane[2].mean() < shown.shape[1] * 5 / 6  # sagittal: in front is on the left
    page.keyboard.press("Escape")
    assert not page.is_visible("#planes")
    assert page.errors == []
    browser.close()


def test_a_held_key_on_a_button_is_one_press(page):
    page.focus('.code[data-code="1"]')
    for _ in range(20):
        page.keyboard.down("Enter")  # a repeat from the second on
        page.wait_for_timeout(60)
    page.keyboard.up("Enter")
    assert done(page) == 1


def test_the_second_of_a_double_press_is_not_for_the_next_case(page):
    page.keyboard.press("0")
    eventually(lambda: page.inner_text("#progress").startswith("1 "))
    page.keyboard.press("0")
    assert done(page) == 1
    wait_until_ready(page)
    page.dblclick('.code[data-code="2"]', delay=5)
    assert done(page) == 2
    press(page, "1", f"3 of {FEW}")


def test_each_montage_is_shown_with_its_organs(page):
    page.keyboard.press("Space")
    assert page.is_visible("#organs-hidden")
    press(page, "0", f"1 of {FEW}")
    assert not page.is_visible("#organs-hidden")
    assert page.evaluate("document.getElementById('organs').style.opacity") == "0.4"
    for _ in range(5):
        page.keyboard.press("-")
    assert page.is_visible("#organs-hidden")


def test_planes_forget_the_case_before(page):
    ink = """(canvas) => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
        .data.some((value) => value > 0)"""
    drawn = '.view[data-plane="axial"] canvas >> nth=0'
    page.keyboard.press("Enter")
    eventually(lambda: page.eval_on_selector(drawn, ink), page=page)
    assert "/ 10" in page.inner_text('.view[data-plane="axial"] p')
    page.keyboard.press("Escape")
    press(page, "0", f"1 of {FEW}")
    page.route("**/api/planes/**", lambda route: route.fulfill(status=404, json={"error": "no CT"}))
    page.keyboard.press("Enter")
    eventually(lambda: "no CT" in page.inner_text('.view[data-plane="axial"] p'), page=page)
    assert not page.eval_on_selector(drawn, ink)


def test_a_click_does_not_open_the_planes_of_the_next_case(page):
    page.mouse.click(450, 330)
    press(page, "0", f"1 of {FEW}")
    page.wait_for_timeout(600)
    assert not page.is_visible("#planes")


def test_planes_are_on_their_own_and_have_keys(page):
    page.keyboard.press("Enter")
    eventually(lambda: "6 / 10" in page.inner_text('.view[data-plane="axial"] p'), page=page)  # the middle
    page.keyboard.press("ArrowUp")
    eventually(lambda: "7 / 10" in page.inner_text('.view[data-plane="axial"] p'), page=page)
    for _ in range(15):
        page.keyboard.press("Tab")
        assert page.evaluate("!document.activeElement.closest('#work')")
    page.keyboard.press("Space") if focused(page) == "planes" else page.click("#planes-toggle")
    assert page.get_attribute("#planes-toggle", "aria-pressed") == "false"
    page.keyboard.press("Escape")
    assert focused(page) == "stage"
    page.click("#open-planes")
    page.keyboard.press("2")
    assert not page.is_visible("#planes")
    assert done(page) == 1


def test_back_at_the_end_and_what_was_left_for_later(page):
    for number in range(FEW - 1):
        press(page, "0", f"{number + 1} of {FEW}")
    wait_until_ready(page)
    page.keyboard.press("ArrowRight")
    eventually(lambda: f"1 of {FEW} is left without a code" in page.inner_text("#end"), page=page)
    page.keyboard.press("ArrowRight")
    press(page, "1", f"{FEW} of {FEW}")
    eventually(lambda: "All montages are coded" in page.inner_text("#end"), page=page)
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector('.code[data-code="1"][aria-pressed="true"]')
    assert not page.is_visible("#end")


def test_keys_work_while_the_slider_has_the_focus(page):
    page.focus("#opacity")
    page.keyboard.press("ArrowRight")
    assert page.input_value("#opacity") == "45"
    page.keyboard.press("1")
    assert done(page) == 1
    page.mouse.click(*middle(page, "#opacity"))
    assert focused(page) == "stage"


@pytest.mark.parametrize("size", [(1440, 900), (1024, 768)])
def test_nothing_is_cut_off(page, size: tuple[int, int]):
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.keyboard.press("Enter")
    eventually(lambda: "/ 20" in page.inner_text('.view[data-plane="sagittal"] p'), page=page)
    for selector in ("#close-planes", '.view[data-plane="sagittal"]', "#views"):
        box = page.locator(selector).bounding_box()
        assert box["x"] + box["width"] <= size[0]
        assert box["y"] + box["height"] <= size[1]


def test_keys_of_other_keyboards(page):
    key(page, "à", code="Digit0")
    assert done(page) == 1
    wait_until_ready(page)
    key(page, "г", code="KeyU")
    assert done(page) == 0
    key(page, "g", code="KeyU")  # a letter of a Latin layout is what it writes
    key(page, "а", code="KeyF")
    assert page.is_visible("#flag")
