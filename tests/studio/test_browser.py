"""The page in headless Chromium: what a person sees and does, and that it asks nobody else."""

import json
import os
import shutil

import pytest

pytest.importorskip("starlette", reason="the extra `studio` is not installed")
pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import expect, sync_playwright

from gravlensdiffusion.studio.server import HOST
from tests.studio.serving import served
from tests.studio.studios import BEFORE, SIMULATED, studio

CHROMIUM = os.environ.get("GRAVLENS_CHROMIUM") or shutil.which("chromium")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: apt-get install chromium"),
    pytest.mark.allow_hosts([HOST]),
]
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 860}
WAIT_MS = 60_000
# What is read of a page is waited for, never read once and hoped for.
expect.set_options(timeout=WAIT_MS)


@pytest.fixture(scope="module")
def address():
    report = b"<!doctype html><title>Report</title><h1>Rows</h1><script>parent.x = 1</script>"
    with served(studio(own=True, report=report)) as address:
        yield address


@pytest.fixture(scope="module")
def chromium():
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium, address):
    """Return what opens a room, and watches every request and complaint of the page."""
    contexts, urls, faults = [], [], []

    def open_room(room="order", at=address, viewport=DESK, **how):
        context = chromium.new_context(viewport=viewport, **how)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("request", lambda request: urls.append(request.url))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda line: line.type == "error" and faults.append(line.text))
        page.goto(f"{at}#{room}")
        page.wait_for_selector("html[data-ready]")
        rest(page)
        return page

    open_room.urls, open_room.faults = urls, faults
    yield open_room
    for context in contexts:
        context.close()


def rest(page):
    """Wait until nothing is drawn."""
    page.wait_for_selector("#busy:not(.on)", state="attached")


def drawn(page, selector):
    """Return the share of pixels of a canvas that are not its darkest."""
    return page.eval_on_selector(
        selector,
        """canvas => {
            const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            const sums = Array.from({length: data.length / 4}, (_, k) => data[4*k] + data[4*k+1] + data[4*k+2]);
            const low = Math.min(...sums);
            return sums.filter(sum => sum > low).length / sums.length;
        }""",
    )


def test_every_request_goes_to_this_machine(opened, address):
    for room in ("order", "watch", "many", "compare", "guess"):
        page = opened(room)
        expect(page.locator(f"#{room}")).to_be_visible()
    page.goto(f"{address}#compare")
    frame = page.wait_for_selector("#report iframe")
    assert "Rows" in frame.content_frame().content()
    assert page.evaluate("window.x === undefined")
    assert {f"/api/{name}" for name in ("about", "lens", "watch", "many", "set", "guess")} <= {
        "/" + url.removeprefix(address).partition("?")[0] for url in opened.urls
    }
    assert [url for url in opened.urls if not url.startswith(address)] == []
    # The script of the report was not run, which the browser says.
    assert all("script" in fault and "sandbox" in fault for fault in opened.faults), opened.faults


def test_the_lens_follows_the_slider_beside_the_simulation(opened):
    page = opened()
    orders = []
    page.on("request", lambda request: orders.append(json.loads(request.post_data or "{}")))
    assert drawn(page, "#trio figure:nth-child(1) .sky canvas") > 0.1
    assert drawn(page, "#trio figure:nth-child(2) .sky canvas") > 0.1
    before = page.locator("#trio figure:nth-child(2) .sky canvas").screenshot()
    page.locator("#slide-theta_E").focus()
    page.keyboard.press("End")
    rest(page)
    assert orders[0]["parameters"]["theta_E"] == 1.6
    assert orders[0]["is_draft"]
    assert not orders[-1]["is_draft"]
    assert page.locator("#trio figure:nth-child(2) .sky canvas").screenshot() != before
    # What is left open is not asked for.
    page.get_by_label("Einstein radius: any").check()
    rest(page)
    assert "theta_E" not in orders[-1]["parameters"]
    assert opened.faults == []


def test_pixel_values_are_read_by_pointer_and_by_keys(opened):
    page = opened()
    canvas = page.locator("#trio canvas").first
    canvas.hover()
    readout = page.locator("#readout")
    text = readout.inner_text()
    assert all(word in text for word in ("generated", "simulated", "difference", "e-/s"))
    values = [float(each) for each in page.locator("#readout b").all_inner_texts()]
    assert values[0] - values[1] == pytest.approx(values[2], abs=0.02 * max(map(abs, values)))
    canvas.focus()
    page.keyboard.press("ArrowUp")
    expect(readout).not_to_have_text(text)
    expect(page.locator(".cross:visible")).to_have_count(3)


def test_stretch_and_colours_change_what_is_drawn(opened):
    page = opened()
    canvas = page.locator("#trio canvas").first
    seen = {canvas.screenshot()}
    for name in ("linear", "unsharp"):
        page.get_by_label(name).check()
        seen.add(canvas.screenshot())
    page.get_by_label("Colour map").select_option("viridis")
    seen.add(canvas.screenshot())
    assert len(seen) == 4


def test_a_lens_forms_step_by_step(opened):
    page = opened("watch", reduced_motion="reduce")
    moment = page.locator("#moment")
    expect(moment).to_have_text("step 0 of 30")
    page.locator("#handle").focus()
    page.keyboard.press("ArrowRight")
    expect(moment).to_have_text("step 1 of 30")
    page.keyboard.press("Space")
    expect(page.locator("#play")).to_have_text("Pause")
    page.keyboard.press("End")
    expect(moment).to_have_text("step 30 of 30")


def test_a_set_is_drawn_looked_at_and_saved(opened, tmp_path):
    page = opened("many")
    page.locator("#num").fill("5")
    page.get_by_role("button", name="Draw").click()
    page.wait_for_selector("#saves:visible")
    expect(page.locator("#tiles figure")).to_have_count(5)
    expect(page.locator("#done")).to_contain_text("5 lenses in")
    with page.expect_download() as download:
        page.get_by_role("link", name="HDF5").click()
    download.value.save_as(tmp_path / "lenses.h5")
    from gravlensdiffusion import open_set

    assert len(open_set(tmp_path / "lenses.h5")) == 5
    page.get_by_text("The same set elsewhere").click()
    codes = page.locator("#many pre").all_inner_texts()
    assert codes[0].startswith("gravlens sample --model tiny --num 5")
    assert "LensGenerator.from_pretrained('tiny')" in codes[1]
    page.get_by_role("button", name="2 axion, in full").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_own_images_stand_beside_generated_ones(opened):
    page = opened("compare")
    expect(page.locator("#own-name")).to_have_text("mine.h5")
    expect(page.locator("#own figure")).to_have_count(5)
    expect(page.locator("#others figure")).to_have_count(12)
    expect(page.locator("#place")).to_have_text("1 to 5 of 5")


def test_a_game_is_played_by_keyboard(opened):
    page = opened("guess")
    expect(page.locator("#game .main")).to_be_disabled()
    for k in range(10):
        page.locator(f"[name=image-{k}]").first.focus()
        page.keyboard.press("Space")
    page.locator("#game .main").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#score")).not_to_be_empty()
    right = page.locator(".card.right").count()
    expect(page.locator("#score")).to_have_text(f"{right} of 10")
    assert right + page.locator(".card.wrong").count() == 10


def test_rooms_are_walked_by_arrow_keys(opened):
    page = opened()
    page.locator("#tab-order").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#watch")).to_be_visible()
    expect(page.locator("#order")).to_be_hidden()
    assert page.url.endswith("#watch")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("room", ["order", "watch", "many", "compare", "guess"])
def test_a_phone_scrolls_down_alone(opened, room, scheme):
    page = opened(room, viewport=PHONE, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(each) for each in ground[4:-1].split(",")) / 3
    assert (brightness < 64) == (scheme == "dark")


def test_pictures_stay_in_sight_on_a_phone(opened):
    page = opened(viewport=PHONE)
    page.locator("#slide-signal_to_noise").scroll_into_view_if_needed()
    page.mouse.wheel(0, 300)
    box = page.locator("#trio").bounding_box()
    assert 0 <= box["y"] < 120


def test_what_is_refused_is_said_in_one_line(opened):
    page = opened("many")
    page.evaluate("document.getElementById('ask').noValidate = true")
    page.locator("#num").fill("100000")
    page.get_by_role("button", name="Draw").click()
    expect(page.locator("#trouble")).to_contain_text("at most")
    # It goes once something works.
    page.locator("#num").fill("2")
    page.get_by_role("button", name="Draw").click()
    page.wait_for_selector("#saves:visible")
    expect(page.locator("#trouble")).to_be_hidden()


def test_a_model_that_knows_little_has_a_page_too(opened):
    with served(studio(BEFORE)) as address:
        page = opened(at=address)
        expect(page.locator("#parameters")).to_be_hidden()
        expect(page.locator("#depth")).to_be_hidden()
        expect(page.locator("#trio")).to_contain_text("does not say")
        page.locator("#tab-guess").click()
        expect(page.locator("#trouble")).to_contain_text("nothing to tell apart")
        page.close()


def test_the_page_says_that_the_studio_has_ended(opened):
    with served(studio(SIMULATED)) as address:
        page = opened(at=address)
    page.get_by_role("button", name="Another seed").click()
    expect(page.locator("#trouble")).to_contain_text("has ended")
