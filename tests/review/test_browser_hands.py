"""The page for fingers, trackpads and screen readers, and what it remembers of a rater."""

from __future__ import annotations

import pytest
from browser_steps import (
    FEW,
    SHOWN,
    Server,
    done,
    enter,
    eventually,
    middle,
    needs_browser,
    press,
    transform,
    wait_until_ready,
)

pytestmark = needs_browser

AXIAL = '.view[data-plane="axial"] p'


@pytest.fixture
def tablet(few: Server, browser, request):
    context = browser.new_context(viewport={"width": 1024, "height": 768}, has_touch=True)
    page = context.new_page()
    enter(page, few.fresh_address(), request.node.name)
    wait_until_ready(page)
    yield page
    assert page.errors == []
    context.close()


def touch(page, *ways: list[tuple[float, float]]) -> None:
    """Fingers that touch at the first point of each way, move to the next ones, and let go; not fast, as a fling is."""
    session = page.context.new_cdp_session(page)

    def send(kind: str, points: tuple[tuple[float, float], ...] = ()) -> None:
        fingers = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})

    for number, points in enumerate(zip(*ways, strict=True)):
        send("touchMove" if number else "touchStart", points)
        page.wait_for_timeout(50)
    send("touchEnd")
    session.detach()


def test_fingers_code_flag_undo_and_hide(tablet):
    tablet.tap('.code[data-code="2"]')
    assert done(tablet) == 1
    wait_until_ready(tablet)
    tablet.tap("#open-flag")
    tablet.tap("#reasons label >> nth=1")
    tablet.tap("#save-flag")
    eventually(lambda: "right kidney" in tablet.inner_text("#flag-shown"))
    tablet.tap("#undo")  # the flag
    eventually(lambda: not tablet.is_visible("#flag-shown"))
    tablet.tap("#toggle")
    assert tablet.is_visible("#organs-hidden")
    tablet.tap("#undo")
    assert done(tablet) == 0


def test_two_fingers_zoom_and_one_moves(tablet):
    whole = transform(tablet)
    x, y = middle(tablet, "#stage")
    touch(tablet, *([(x + side * (50 + 25 * step), y) for step in range(5)] for side in (-1, 1)))
    zoomed = transform(tablet)
    assert scale(zoomed) == pytest.approx(3 * scale(whole), rel=0.1)
    touch(tablet, [(x + 10 * step, y) for step in range(5)])
    assert transform(tablet) != zoomed
    assert scale(transform(tablet)) == scale(zoomed)
    tablet.wait_for_timeout(500)
    assert not tablet.is_visible("#planes")  # that was no tap
    tablet.tap("#reset")
    assert transform(tablet) == whole


def scale(words: str) -> float:
    return float(words.partition("scale(")[2].rstrip(")"))


def test_a_finger_opens_planes_there_and_goes_through_them(tablet):
    tablet.touchscreen.tap(*middle(tablet, "#ct"))
    eventually(lambda: "/ 10" in tablet.inner_text(AXIAL), page=tablet)
    across = '.view[data-plane="sagittal"] p'
    before = tablet.inner_text(across)
    x, y = middle(tablet, '.view[data-plane="axial"] .pane')
    touch(tablet, [(x + 15 * step, y) for step in (0, 1, 2, 3, 4, 4)])  # stops, and then lets go
    eventually(lambda: tablet.inner_text(across) != before, page=tablet)
    tablet.tap("text=lung")
    eventually(lambda: tablet.inner_text('#windows [aria-pressed="true"]') == "lung")
    tablet.tap("#close-planes")
    assert not tablet.is_visible("#planes")


def test_a_trackpad_goes_through_slices_one_by_one(page):
    page.keyboard.press("Enter")
    eventually(lambda: "6 / 10" in page.inner_text(AXIAL), page=page)
    page.mouse.move(*middle(page, '.view[data-plane="axial"] .pane'))
    for _ in range(12):
        page.mouse.wheel(0, -10)  # 120 pixels in small steps
    eventually(lambda: "9 / 10" in page.inner_text(AXIAL), page=page)
    page.mouse.wheel(0, 120)  # one notch of a mouse
    eventually(lambda: "8 / 10" in page.inner_text(AXIAL), page=page)


def test_what_a_rater_likes_is_remembered(page):
    page.keyboard.press("+")
    page.keyboard.press("Enter")
    page.click("text=bone")
    page.reload()
    wait_until_ready(page)
    assert page.input_value("#opacity") == "50"
    assert page.evaluate("document.getElementById('organs').style.opacity") == "0.5"
    page.keyboard.press("Enter")
    page.wait_for_selector("text=bone")
    assert page.get_attribute("#windows >> text=bone", "aria-pressed") == "true"


def test_who_enters_under_a_name_that_has_coded_is_told(page, few: Server, browser):
    press(page, "1", f"1 of {FEW}")
    other = browser.new_context().new_page()
    enter(other, few.fresh_address(), page.inner_text("#who"))
    eventually(lambda: "has coded 1 here before" in other.inner_text("#saved"))
    assert page.text_content("#saved").startswith("1 saved")
    other.context.close()


def test_who_listens_hears_what_happens(page):
    def heard() -> str:
        return page.text_content("#announce")

    press(page, "1", f"1 of {FEW}")
    assert heard() == "Case 1, code 1 saved"
    page.keyboard.press("Space")
    assert heard() == "Organs hidden"
    page.keyboard.press("f")
    page.keyboard.press("4")
    page.keyboard.press("Enter")
    eventually(lambda: heard() == "Flag: spleen")
    page.keyboard.press("u")
    eventually(lambda: heard() == "undone")
    for number in range(1, FEW):
        press(page, "0", f"{number + 1} of {FEW}")
    eventually(lambda: "All montages are coded" in heard())


def test_everything_has_a_name_for_who_listens(page):
    def names(selector: str) -> str:
        return page.locator(selector).aria_snapshot()

    press(page, "0", f"1 of {FEW}")
    wait_until_ready(page)
    shown = names("body")
    page.keyboard.press("f")
    shown += names("#flag")
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    page.wait_for_selector("#windows button", **SHOWN)
    shown += names("#planes")
    page.keyboard.press("Escape")
    page.click("#open-results")
    page.wait_for_selector("#results td", **SHOWN)
    shown += names("#results")
    roles = ("button", "slider", "checkbox", "textbox", "link", "progressbar", "region", "dialog", "group")
    lines = [line.strip("- ") for line in shown.splitlines()]
    nameless = [line for line in lines if line.split(":")[0].split(" [")[0] in roles]
    assert nameless == []
    for expected in (
        'button "0 Success Liver, kidneys and spleen are all found and well outlined."',
        'slider "Opacity of the organs"',
        'slider "coronal slice"',
        'checkbox "left kidney 3"',
        'progressbar "coded"',
        "listitem: liver (judged)",
        "listitem: stomach",
    ):
        assert any(line.startswith(expected) for line in lines), expected
