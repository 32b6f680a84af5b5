"""Take a picture of a report.html, some of its cases opened, with the Chromium of this machine.

python scripts/screenshot_report.py --report output/predictions/report.html --output report.png --open CASE
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from crossd.errors import CrossDError
from PIL import Image

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--report", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True, help="a PNG, reduced to 256 colours")
    parser.add_argument("--open", action="append", default=[], metavar="CASE", help="may be given several times")
    parser.add_argument("--map", choices=("evidence", "saliency", "mask", "none"), help="default: the page's own")
    parser.add_argument("--scheme", choices=("light", "dark"), default="light")
    parser.add_argument("--size", type=int, nargs=2, default=(1300, 1100), metavar=("WIDTH", "HEIGHT"))
    try:
        screenshot(parser.parse_args())
    except CrossDError as error:
        sys.exit(f"error: {error}")


def screenshot(options: argparse.Namespace) -> None:
    from playwright.sync_api import sync_playwright

    browser_path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser_path is None or not options.report.is_file():
        raise CrossDError(
            f"A screenshot needs a report and one of {', '.join(BROWSERS)}: got {options.report} and "
            f"{browser_path or 'no browser'}. Install Chromium, or correct --report."
        )
    width, height = options.size
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=options.scheme)
        page.goto(options.report.absolute().as_uri())
        if options.map is not None:
            page.get_by_label("Map").select_option(options.map)
        for case in options.open:
            page.locator("button.case").get_by_text(case, exact=True).click()
        for button in filter(lambda one: one.is_visible(), page.locator("button.peak").all()):
            button.click()
        page.evaluate("window.scrollTo(0, 0)")
        page.screenshot(path=options.output)
        browser.close()
    Image.open(options.output).convert("RGB").quantize(256).save(options.output, optimize=True)


if __name__ == "__main__":
    main()
