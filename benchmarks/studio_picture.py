"""The picture of the studio that README and docs show, taken in headless Chromium.

python benchmarks/studio_picture.py --out docs/images/studio.png
"""

import shutil
import socket
import threading
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.sync_api import sync_playwright
from running import launch

from gravlensdiffusion.cli.studio import serve
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.studio.drawing import Studio
from gravlensdiffusion.studio.server import HOST, build_app


@dataclass(frozen=True)
class Options:
    """What to show."""

    out: Path
    """The picture to write."""
    model: str = "lens64"
    """A bundled model, a run or a checkpoint."""
    room: str = "order"
    """Which room is open."""
    scheme: Literal["light", "dark"] = "light"
    """Colours of the page."""
    width: int = 1280
    """Width of the window [pixel]."""
    height: int = 640
    """Height of the window [pixel]."""
    wait_ms: int = 120_000
    """How long the page may take."""


def main(options: Options) -> None:
    """Serve the page, and take the picture."""
    generator = LensGenerator.from_pretrained(options.model, device="cpu")
    with socket.create_server((HOST, 0)) as listener:
        server = serve(build_app(Studio(generator=generator, model=options.model)))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            png = photograph(f"http://{HOST}:{listener.getsockname()[1]}/", options)
        finally:
            server.should_exit = True
            thread.join()
    with Image.open(BytesIO(png)) as picture:
        picture.convert("RGB").save(options.out, optimize=True)
    print(f"wrote {options.out}, {options.out.stat().st_size / 1000:.0f} kB")


def photograph(address: str, options: Options) -> bytes:
    """Return a picture of a room of the page."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(
            viewport={"width": options.width, "height": options.height},
            color_scheme=options.scheme,
            device_scale_factor=1.5,
        )
        page.set_default_timeout(options.wait_ms)
        page.goto(f"{address}#{options.room}")
        page.wait_for_selector("html[data-ready]")
        page.wait_for_selector("#busy:not(.on)", state="attached")
        png = page.screenshot()
        browser.close()
    return png


if __name__ == "__main__":
    launch(main, Options, __doc__)
