"""``gravlens studio``: the page on this machine."""

import errno
import os
import socket
import sys
import webbrowser
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from gravlensdiffusion.cli.evaluate import HTML
from gravlensdiffusion.cli.options import FileOptions, MachineOptions
from gravlensdiffusion.cli.running import tell
from gravlensdiffusion.config.bounds import Range
from gravlensdiffusion.errors import GravLensError

if TYPE_CHECKING:
    import uvicorn
    from starlette.applications import Starlette

MAX_CONNECTIONS = 200
MAX_REPORT = 2**27
"""Size of a report that is shown [byte]."""

Port = Annotated[int, Range(at_least=0, at_most=65535)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Open a page on this machine to order lenses, watch them form, draw many, compare and guess.

    It is shown to this machine alone, asks nothing of the network, and ends with Ctrl+C.

    Attributes:
        model: A bundled model, a run, a checkpoint folder, or a model_checkpoint.pth of the earlier
            project.
        data: A set of yours to show beside generated images; whatever `gravlens inspect` reads.
        report: A report of `gravlens evaluate` to show: its folder, or the report.html.
        port: Port of the page; 0 for any that is free.
        no_browser: Say where the page is, and leave the browser alone.
    """

    model: str = "lens64"
    data: Path | None = None
    report: Path | None = None
    port: Port = 8421
    no_browser: bool = False
    files: FileOptions = FileOptions()
    machine: MachineOptions = MachineOptions()

    def run(self) -> None:
        """Serve the page until it is interrupted."""
        try:
            import starlette  # noqa: F401
            import uvicorn  # noqa: F401
        except ModuleNotFoundError:
            raise GravLensError(
                "the studio needs more packages; pip install starlette uvicorn brings them"
            ) from None
        if self.data is None:
            self.files.refuse("a page without `data`")
        from gravlensdiffusion.generation.generator import LensGenerator
        from gravlensdiffusion.studio.drawing import Studio
        from gravlensdiffusion.studio.server import HOST, build_app

        with _listen(HOST, self.port) as listener:
            report = None if self.report is None else _read_report(self.report)
            generator = LensGenerator.from_pretrained(self.model, device=self.machine.device)
            studio = Studio(generator=generator, model=self.model, report=report)
            if self.data is not None:
                studio.name = self.data.name
                studio.lenses = self.files.open(self.data, known=generator.config.class_names)
            server = serve(build_app(studio))
            address = f"http://{HOST}:{listener.getsockname()[1]}/"
            print(f"the studio is at {address} (Ctrl+C ends it)", flush=True)
            if not self.no_browser and _has_screen():
                webbrowser.open(address)
            # Whether the server hands Ctrl+C on or returns depends on what it was doing.
            with suppress(KeyboardInterrupt):
                server.run(sockets=[listener])
            tell("the studio has ended")


def serve(app: "Starlette") -> "uvicorn.Server":
    """Return a server of the page that has yet to be run; it writes no log."""
    import uvicorn

    return uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="error",
            access_log=False,
            lifespan="off",
            ws="none",
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=1,
        )
    )


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on a port."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # A port that a studio has just left is free at once.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise GravLensError(
                f"port {port} is taken, by another studio perhaps; name another `port`, or 0 for "
                "any that is free"
            ) from None
        raise GravLensError(f"port {port} cannot be used ({error.strerror})") from None
    return listener


def _read_report(path: Path) -> bytes:
    """Return the page of a report."""
    page = path / HTML if path.is_dir() else path
    try:
        if not page.is_file():
            raise GravLensError(f"{path}: no {HTML} of `gravlens evaluate` there")
        with page.open("rb") as stream:
            found = stream.read(MAX_REPORT + 1)
    except OSError as error:
        raise GravLensError(f"{page}: {error.strerror or error}") from None
    if len(found) > MAX_REPORT or not found.lstrip()[:15].lower().startswith(b"<!doctype html"):
        raise GravLensError(f"{page}: is no report of `gravlens evaluate`")
    return found


def _has_screen() -> bool:
    """Whether a browser can open a window; one in the terminal would take it over."""
    if sys.platform in ("win32", "darwin"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
