"""How a classifier's work is shown while it goes on."""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gravlensdiffusion.classification.training import Look

LINE_S = 10.0
"""Time between two lines where there is no bar [s]."""


@contextmanager
def ending() -> Iterator[None]:
    """Let SIGTERM end a block as Ctrl-C does, so that nothing half-written is left behind."""

    def stop(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


@contextmanager
def looks_bar(total: int) -> Iterator[Callable[["Look"], None]]:
    """Yield a function that shows how training stands: a bar on a terminal, else a line at times.

    Args:
        total: Images after which training ends at the latest.
    """
    with _bar(total, "loss {task.fields[loss]}") as update:

        def show(look: "Look") -> None:
            loss = f"{look.loss:.4f}, held out {look.held_out_loss:.4f}"
            update(look.images_seen, loss)

        yield show


@contextmanager
def images_bar(total: int) -> Iterator[Callable[[int], None]]:
    """Yield a function that shows how many images are done, likewise.

    Args:
        total: Images in all.
    """
    with _bar(total, "") as update:
        yield lambda done: update(done, "")


@contextmanager
def _bar(total: int, text: str) -> Iterator[Callable[[int, str], None]]:
    if not sys.stderr.isatty():
        yield _Lines(total).update
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.completed:,.0f}/{task.total:,.0f} images"),
        BarColumn(),
        TextColumn(text),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("classify", total=total, loss="-")
        yield lambda done, loss: bar.update(task, completed=min(done, total), loss=loss)


class _Lines:
    """Writes a line on stderr from time to time."""

    def __init__(self, total: int) -> None:
        self._total, self._last = total, time.monotonic()

    def update(self, done: int, loss: str) -> None:
        """Write how far it is, if that was a while ago."""
        now = time.monotonic()
        if now - self._last < LINE_S:
            return
        self._last = now
        tail = f", loss {loss}" if loss else ""
        line = f"gravlens: {min(done, self._total):,} of {self._total:,} images{tail}"
        print(line, file=sys.stderr, flush=True)
