"""Take the picture of a report that README.md shows.

    edgekd build --device pixel8
    python scripts/picture_report.py artifacts/latest/report.html docs/report.png

Needs chromium and edgekd[dev]. The page is shown in light mode, 1,200 pixels wide; what is taken is its top: the
verdict and the table of checks.
"""

from __future__ import annotations

import argparse
import io
import shutil
from pathlib import Path

WIDTH_PIXELS = 1200
COLOURS = 128  # a page of plain colours looks the same with so few, in a third of the bytes
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


def shot(page: Path, height_pixels: int) -> bytes:
    """The top of the page as a browser shows it, as PNG."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("error: found no chromium on the path; install it: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=OPTIONS)
        window = {"width": WIDTH_PIXELS, "height": height_pixels}
        opened = browser.new_page(viewport=window, color_scheme="light")  # type: ignore[arg-type]
        opened.goto(page.resolve().as_uri())
        taken = opened.screenshot()
        browser.close()
    return taken


def compressed(png: bytes) -> bytes:
    """The same picture with a palette."""
    from PIL import Image

    out = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(
        out, "png", optimize=True
    )
    return out.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--height", type=int, default=1500, metavar="PIXELS")
    given = parser.parse_args()
    if not given.page.is_file():
        parser.error(f"found no file {given.page}, expected a report.html")
    given.picture.write_bytes(compressed(shot(given.page, given.height)))
    print(f"{given.picture}: {given.picture.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
