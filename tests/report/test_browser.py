"""The report as a reader uses it, in a headless Chromium: sorted, filtered, opened, leafed through, printed."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from .made import CARD, EVIL, segment

pytestmark = pytest.mark.slow  # opens Chromium

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
STROKE = CARD["class_names"][1]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install crossd[dev]"
    )
    found = next(filter(None, map(shutil.which, NAMES)), None)
    with playwright.sync_playwright() as started:
        path = found or started.chromium.executable_path
        if not Path(path).exists():
            pytest.skip("no Chromium: apt-get install chromium, or playwright install chromium")
        opened = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Any, made_report: Path) -> Iterator[Any]:
    """The report, opened."""
    yield from opened(browser, made_report)


@pytest.fixture
def mask_page(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """The report of a run that segments, opened."""
    segment(tmp_path)
    yield from opened(browser, tmp_path / "report.html")


def opened(browser: Any, report: Path) -> Iterator[Any]:
    """A page, opened from disk without network; a message, an error or a request fails the test that caused it."""
    context = browser.new_context(viewport={"width": 1300, "height": 1600}, offline=True)
    page = context.new_page()
    page.set_default_timeout(5000)
    noted: list[str] = []
    page.on("console", lambda message: noted.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: noted.append(f"error: {error}"))
    page.on("dialog", lambda dialog: noted.append(f"dialog: {dialog.message}") or dialog.dismiss())
    page.on("request", lambda request: None if request.url.startswith("data:") else noted.append(request.url))
    page.goto(report.as_uri())
    yield page
    assert noted == [report.as_uri()]
    context.close()


def shown(page: Any) -> list[str]:
    """Names of the visible cases from top to bottom."""
    return [button.inner_text() for button in page.locator("tbody:visible button.case").all()]


def pixels(locator: Any) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(locator.screenshot())).convert("RGB")).astype(float)


def case(page: Any, name: str) -> Any:
    return page.locator("tbody", has=page.get_by_role("button", name=name, exact=True))


def test_sorting(page: Any) -> None:
    assert shown(page) == ["scan_0", "scan_1", "scan_2", "scan_3", "cut", "log"]
    header = page.get_by_role("columnheader", name=f"P({STROKE})")
    values = {name: case(page, name).locator("td.p").nth(1).get_attribute("data-v") for name in shown(page)}
    known = sorted((name for name, value in values.items() if value), key=lambda name: float(values[name]))
    assert known == ["scan_0", "scan_1", "scan_2", "scan_3"]
    header.get_by_role("button").click()
    assert header.get_attribute("aria-sort") == "ascending"
    assert shown(page) == [*known, "cut", "log"]
    header.get_by_role("button").click()
    assert header.get_attribute("aria-sort") == "descending"
    assert shown(page) == [*known[::-1], "cut", "log"]  # what has no probability stays at the end
    page.get_by_role("columnheader", name="Case").get_by_role("button").press("Enter")
    assert shown(page) == ["cut", "log", "scan_0", "scan_1", "scan_2", "scan_3"]
    assert header.get_attribute("aria-sort") is None


def test_filters(page: Any) -> None:
    page.get_by_label("Find").fill("SCAN_2")
    assert shown(page) == ["scan_2"]
    assert page.locator("#count").inner_text() == "1 of 6 shown"
    page.get_by_label("Find").fill("sheared by")
    assert shown(page) == ["scan_0"]
    page.get_by_label("Find").fill("")
    for status, names in {
        "failed": ["cut"],
        "skipped": ["log"],
        "ok with warnings": ["scan_0"],
        "ok": ["scan_0", "scan_1", "scan_2", "scan_3"],
    }.items():
        page.get_by_label("Status").select_option(label=status)
        assert shown(page) == names
    page.get_by_label("Status").select_option("")
    page.get_by_label("Predicted").select_option(label=STROKE)
    stroke = shown(page)
    assert stroke[-1] == "scan_3"
    page.get_by_label("Predicted").select_option("healthy")
    assert sorted([*shown(page), *stroke]) == ["scan_0", "scan_1", "scan_2", "scan_3"]


def test_a_case_is_opened_and_its_slices_are_leafed_through(page: Any) -> None:
    one = case(page, "scan_1")
    button = one.get_by_role("button", name="scan_1")
    assert not one.locator(".detail").is_visible()
    button.click()
    assert one.locator(".detail").is_visible()
    assert button.get_attribute("aria-expanded") == "true"
    page.get_by_label("Map").select_option("none")
    figure = one.locator("figure").first
    slider = figure.get_by_role("slider", name="axial slices of scan_1")
    assert figure.locator("output").inner_text() == "slice 11 of 20"
    outside = pixels(figure.locator(".frame"))
    slider.fill("5")
    assert figure.locator("output").inner_text() == "slice 6 of 20"
    assert slider.get_attribute("aria-valuetext") == "slice 6 of 20"
    inside = pixels(figure.locator(".frame"))
    assert (inside > 250).mean() > 0.03 > (outside > 250).mean()  # the bright block lies in slices 3 to 8
    slider.press("ArrowRight")
    assert figure.locator("output").inner_text() == "slice 7 of 20"
    figure.locator(".frame").click()
    page.mouse.wheel(0, 100)
    page.wait_for_function("document.querySelectorAll('tbody.open figure output')[0].textContent == 'slice 8 of 20'")
    button.press("Enter")
    assert not one.locator(".detail").is_visible()


def test_maps_are_chosen_and_dimmed(page: Any) -> None:
    one = case(page, "scan_0")
    one.get_by_role("button", name="scan_0").click()
    frame = one.locator(".frame").first
    one.get_by_role("button", name="Go to the highest value").click()
    pictures = {}
    for kind in ("none", "evidence", "saliency"):
        page.get_by_label("Map").select_option(kind)
        pictures[kind] = pixels(frame)
    grey = pictures["none"].std(2)
    assert grey.mean() < 1  # the letters alone are not grey to the last digit
    for kind in ("evidence", "saliency"):
        assert np.abs(pictures[kind] - pictures["none"]).mean() > 2
    assert np.abs(pictures["evidence"] - pictures["saliency"]).mean() > 2
    page.get_by_label("Strength").fill("0")
    np.testing.assert_allclose(pixels(frame), pictures["none"], atol=2)


def test_masks_are_shown_sought_and_left_out(mask_page: Any) -> None:
    page = mask_page
    one = case(page, "scan_1")
    one.get_by_role("button", name="scan_1").click()
    frame = one.locator(".frame").first
    one.get_by_role("button", name="Go to where the mask is largest").click()
    assert one.locator("output").first.inner_text() in {f"slice {number} of 20" for number in range(4, 10)}
    pictures = {}
    for kind in ("mask", "none"):
        page.get_by_label("Map").select_option(kind)
        pictures[kind] = pixels(frame)
    assert pictures["none"].std(2).mean() < 1
    assert np.abs(pictures["mask"] - pictures["none"]).max() > 50
    assert not page.locator(".scale").is_visible()
    assert "The mask is empty: nothing was found." in case(page, "scan_2").locator(".detail").inner_text()
    page.get_by_label("Found").select_option(f"block {EVIL}")
    assert shown(page) == ["scan_0", "scan_1"]
    header = page.get_by_role("columnheader", name=f"block {EVIL}, ml")
    header.get_by_role("button").click()
    assert header.get_attribute("aria-sort") == "ascending"


def test_failures_say_why(page: Any) -> None:
    page.get_by_role("button", name="Open all").click()
    assert page.locator(".detail:visible").count() == 6
    assert "An image file must be whole: '…/cut.nii.gz' is cut" in case(page, "cut").locator(".detail").inner_text()
    assert EVIL in case(page, "cut").locator(".detail").inner_text()
    assert case(page, "scan_0").locator(".warnings li").count() == 2
    page.get_by_role("button", name="Close all").click()
    assert page.locator(".detail:visible").count() == 0


CONTRAST = """() => {
  const lum = (c) => c.map((v) => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const rgba = (text) => text.match(/[\\d.]+/g).map(Number);
  const style = (one) => getComputedStyle(one);
  const poor = [];
  for (const one of document.querySelectorAll("body *")) {
    const own = [...one.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !one.checkVisibility() || one.closest(".frame, .hidden, .skip, option")) continue;
    let back = one;
    while (back.parentElement && rgba(style(back).backgroundColor)[3] === 0) back = back.parentElement;
    const [a, b] = [style(one).color, style(back).backgroundColor].map((c) => lum(rgba(c).slice(0, 3)));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push(`${one.tagName}.${one.className} ${one.textContent.slice(0, 20)}: ${ratio.toFixed(1)}`);
  }
  return poor;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(page: Any, scheme: str) -> None:
    """WCAG 2.2, 1.4.3: a contrast of at least 4.5."""
    page.emulate_media(color_scheme=scheme)
    page.get_by_role("button", name="Open all").click()
    assert page.evaluate(CONTRAST) == []
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (int(background.split("(")[1].split(",")[0]) > 127) == (scheme == "light")


def test_every_control_has_a_name(page: Any) -> None:
    page.get_by_role("button", name="Open all").click()
    for role in ("button", "slider", "combobox", "searchbox"):
        found = page.get_by_role(role).count()
        assert found > 0
        assert page.get_by_role(role, name="").count() == found  # visible ones, whatever their name
        nameless = page.evaluate(
            """() => [...document.querySelectorAll("button, input, select")].filter((one) =>
                 !one.textContent.trim() && !one.ariaLabel && !(one.labels && one.labels.length)).length"""
        )
        assert nameless == 0


@pytest.mark.parametrize("width", [900, 390], ids=["tablet", "phone"])
def test_nothing_is_wider_than_the_screen(browser: Any, made_report: Path, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 700})
    page.goto(made_report.as_uri())
    page.get_by_role("button", name="Open all").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()


def test_without_scripts_everything_is_there(browser: Any, made_report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(made_report.as_uri())
    assert page.locator(".detail:visible").count() == 6
    assert page.locator("figure:visible").count() == 12
    context.close()


def test_it_prints(page: Any) -> None:
    case(page, "scan_0").get_by_role("button", name="scan_0").click()
    page.emulate_media(media="print")
    assert not page.get_by_label("Find").is_visible()
    assert page.locator(".detail:visible").count() == 1
    assert page.pdf()[:5] == b"%PDF-"


def test_a_screenshot_shows_a_page(page: Any, tmp_path: Path) -> None:
    page.get_by_role("button", name="Open all").click()
    page.screenshot(path=tmp_path / "report.png", full_page=True)
    picture = np.asarray(Image.open(tmp_path / "report.png").convert("L"))
    assert picture.shape[0] > 1500
    assert 20 < picture.std() < 120
