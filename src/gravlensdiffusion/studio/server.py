"""The page over HTTP: what it asks as JSON, what it gets, and from whom it takes questions."""

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Generator
from functools import partial
from pathlib import Path
from typing import IO, Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gravlensdiffusion.codec import from_json
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.studio.drawing import KINDS, Studio
from gravlensdiffusion.studio.guess import Answers, Games
from gravlensdiffusion.studio.order import Busy, Left, Order, Turns, Wanted

HOST = "127.0.0.1"
OWN_NAMES = frozenset({HOST, "localhost", "[::1]"})
"""What this machine is called by a browser on it."""
MAX_BODY = 2**16
"""Size of a question [byte]."""
CHUNK = 2**16
"""Bytes of a file that are sent at a time."""
PAGE = Path(__file__).parent / "page"
TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
OWN_ONLY = "default-src 'self'; img-src 'self' data:; frame-ancestors 'self'; form-action 'none'"
"""What the page may load: nothing but itself."""
REPORT_ONLY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox"
"""What a report may load: nothing, and it runs nothing."""

Work = Callable[[Wanted], Generator[Any]]


class _TooLong(GravLensError):
    """A question is longer than any of the page's."""


def build_app(studio: Studio, turns: Turns | None = None) -> Starlette:
    """Return the application that shows a studio; ``turns`` draws, by default a new one."""
    server = _Server(studio, turns or Turns())
    routes = [
        Route("/", server.page),
        Route("/page/{name}", server.page),
        Route("/report", server.report),
        Route("/api/about", server.about),
        Route("/api/lens", server.lens, methods=["POST"]),
        Route("/api/watch", server.watch, methods=["POST"]),
        Route("/api/many", server.many, methods=["POST"]),
        Route("/api/file", server.file),
        Route("/api/set", server.own),
        Route("/api/guess", server.guess, methods=["POST"]),
        Route("/api/answer", server.answer, methods=["POST"]),
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(_OwnPageOnly)],
        exception_handlers=dict.fromkeys((GravLensError, Busy, Left, Exception), _failed),
    )


class _Server:
    """Answers to the page, one method a question."""

    def __init__(self, studio: Studio, turns: Turns) -> None:
        self._studio, self._turns, self._games = studio, turns, Games(studio)
        self._files = {
            path.name: Response(path.read_bytes(), media_type=TYPES[path.suffix])
            for path in PAGE.iterdir()
            if path.suffix in TYPES
        }

    async def page(self, request: Request) -> Response:
        name = request.path_params.get("name", "index.html")
        return self._files.get(name) or Response(status_code=404)

    async def report(self, request: Request) -> Response:
        if self._studio.report is None:
            return Response(status_code=404)
        headers = {"Content-Security-Policy": REPORT_ONLY}
        return Response(self._studio.report, media_type="text/html", headers=headers)

    async def about(self, request: Request) -> Response:
        return await self._one(request, lambda _: self._studio.about())

    async def lens(self, request: Request) -> Response:
        order = await _read_order(request)
        return await self._one(request, partial(self._studio.lens, order))

    async def watch(self, request: Request) -> Response:
        order = await _read_order(request)
        return await self._one(request, partial(self._studio.watch, order))

    async def own(self, request: Request) -> Response:
        first, num = (
            _whole(request, name, default) for name, default in (("first", 0), ("num", 1))
        )
        return await self._one(request, lambda _: self._studio.own(first, num))

    async def guess(self, request: Request) -> Response:
        return await self._one(request, self._games.begin)

    async def answer(self, request: Request) -> Response:
        answers = from_json(Answers, await _body(request), source="the answers")
        return JSONResponse(self._games.end(answers))

    async def many(self, request: Request) -> Response:
        order = await _read_order(request)
        self._studio.checked(order)
        items = self._items(request, partial(self._studio.many, order))
        # What is refused is refused before the first line.
        first = await anext(items)

        async def lines() -> AsyncIterator[bytes]:
            yield _line(first)
            try:
                async for item in items:
                    yield _line(item)
            except Left:
                return
            except GravLensError as error:
                yield _line({"error": str(error)})
            finally:
                await items.aclose()

        return StreamingResponse(lines(), media_type="application/x-ndjson")

    async def file(self, request: Request) -> Response:
        kind = request.query_params.get("kind", "")
        if kind not in KINDS:
            raise GravLensError(
                f"unknown kind of file '{kind:.20}'; choose from {', '.join(KINDS)}"
            )
        order = from_json(Order, request.query_params.get("order", "{}"), source="the order")
        work = partial(self._saved, order, kind)
        [file] = [file async for file in self._items(request, work) if file is not None]
        name, media_type = KINDS[kind]
        headers = {
            "Content-Disposition": f'attachment; filename="{name}"',
            "Content-Length": str(file.tell()),
        }
        file.seek(0)
        return StreamingResponse(_chunks(file), media_type=media_type, headers=headers)

    def _saved(self, order: Order, kind: str, wanted: Wanted) -> Generator[IO[bytes] | None]:
        """Draw a set, and yield a nameless file with it at the end; None before."""
        with tempfile.TemporaryDirectory(prefix="gravlens-studio-") as folder:
            for path in self._studio.save(order, kind, Path(folder), wanted):
                if path is None:
                    yield None
                    continue
                file = tempfile.TemporaryFile()  # noqa: SIM115  closed once it is sent
                with path.open("rb") as made:
                    shutil.copyfileobj(made, file)
                try:
                    yield file
                except GeneratorExit:
                    file.close()
                    raise

    async def _one(self, request: Request, work: Callable[[Wanted], dict[str, Any]]) -> Response:
        """Return the one answer of a piece of work."""
        items = self._items(request, lambda wanted: (work(wanted) for _ in range(1)))
        found = [item async for item in items]
        return JSONResponse(found[0])

    def _items(self, request: Request, work: Work) -> Any:
        return self._turns.items(work, lambda: asyncio.ensure_future(_gone(request)))


class _OwnPageOnly:
    """Turns away what other sites ask a browser on this machine to ask, and says what may be loaded."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Request(scope).headers
        host = headers.get("host", "")
        origin = headers.get("origin")
        is_ours = (host.rpartition(":")[0] in OWN_NAMES or host in OWN_NAMES) and origin in (
            None,
            f"http://{host}",
        )
        if not is_ours or headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            refusal = JSONResponse({"error": "this page answers to itself alone"}, status_code=403)
            await refusal(scope, receive, send)
            return

        async def guarded(message: Any) -> None:
            if message["type"] == "http.response.start":
                names = {name for name, _ in message["headers"]}
                fixed = {
                    b"content-security-policy": OWN_ONLY.encode(),
                    b"x-content-type-options": b"nosniff",
                    b"referrer-policy": b"no-referrer",
                    b"cross-origin-resource-policy": b"same-origin",
                    b"cache-control": b"no-store",
                }
                more = [(name, text) for name, text in fixed.items() if name not in names]
                message = message | {"headers": [*message["headers"], *more]}
            await send(message)

        await self._app(scope, receive, guarded)


async def _chunks(file: IO[bytes]) -> AsyncIterator[bytes]:
    """Yield a file that goes once it is read, or whoever asked has left."""
    with file:
        while chunk := file.read(CHUNK):
            yield chunk


async def _gone(request: Request) -> None:
    """Return as soon as whoever asked has left; its question has been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _body(request: Request) -> bytes:
    found = bytearray()
    async for part in request.stream():
        found += part
        if len(found) > MAX_BODY:
            raise _TooLong(f"a question has at most {MAX_BODY} bytes")
    return bytes(found)


async def _read_order(request: Request) -> Order:
    return from_json(Order, await _body(request), source="the order")


def _whole(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise GravLensError(f"`{name}` must be a whole number")
    return int(text)


def _line(item: dict[str, Any]) -> bytes:
    return json.dumps(item).encode() + b"\n"


async def _failed(_: Request, error: Exception) -> Response:
    headers = None
    match error:
        case GravLensError():
            status, told = 413 if isinstance(error, _TooLong) else 400, str(error)
        case Busy():
            status, told = 503, "too many lenses are being drawn; try again in a moment"
            headers = {"Retry-After": "2"}
        case Left():
            status, told = 499, "whoever asked has left"
        case _:
            status, told = 500, "the studio could not do this; its terminal says why"
    return JSONResponse({"error": told}, status_code=status, headers=headers)
