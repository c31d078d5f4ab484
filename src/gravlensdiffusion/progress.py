"""How far long work is, on stderr: a bar on a terminal, a line now and then elsewhere."""

import math
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from gravlensdiffusion.errors import one_line

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

T = TypeVar("T")

FIRST_S = 5.0
"""Time before the first line [s]."""
GROWTH, LONGEST_S = 1.6, 60.0
"""Each wait for a line is longer than the last by this factor, up to so long [s]."""


def tell(*lines: str) -> None:
    """Say on stderr, in one line each, what the user should know."""
    for line in lines:
        print(f"gravlens: {one_line(line)}", file=sys.stderr, flush=True)  # noqa: T201


class _ProgressBar:
    """Shows how many images are done.

    Args:
        total: Images in all.
        bar: The bar; None for lines.
        steps: Steps that each image takes, of which `update` and `advance` count every one.
        wait: Time before the first line [s].
    """

    def __init__(
        self, total: int, bar: "Bar | None" = None, *, steps: int = 1, wait: float = FIRST_S
    ) -> None:
        self._total, self._bar, self._steps = total, bar, steps
        self._began = self._told = time.monotonic()
        self._first, self._done, self._wait = 0, 0, wait
        self._task = None if bar is None else bar.add_task("", total=total, note="", speed="")

    def begin(self, done: int) -> None:
        """Say what was done before: it has no part in the speed."""
        self._began = self._told = time.monotonic()
        self._first = self._done = done

    def advance(self, num: int) -> None:
        """Show that so many images, or steps of images, are done besides."""
        self.update(self._done + num)

    def update(self, done: int, note: str = "", total: int | None = None) -> None:
        """Show that so many images, or steps of images, are done in all, of a total that may have changed."""
        self._done, now = done, time.monotonic()
        if total is not None:
            self._total = total
        images = min(done // self._steps, self._total)
        speed = (done - self._first) / self._steps / max(now - self._began, 1e-9)
        if self._bar is not None and self._task is not None:
            self._bar.update(
                self._task, completed=images, total=self._total, note=note, speed=_rate(speed)
            )
        elif now - self._told >= self._wait and speed > 0:
            self._told, self._wait = now, min(self._wait * GROWTH, LONGEST_S)
            parts = [f"{images:,} of {self._total:,} images", _rate(speed)]
            if images < self._total:
                parts.append(f"{_duration((self._total - images) / speed)} left")
            tell(", ".join([*parts, note] if note else parts))

    def over(self, items: Iterable[T]) -> Iterator[T]:
        """Pass items on, each of which is an image."""
        for item in items:
            if self._done:
                self.advance(1)
            else:
                # Processes that make them have had to start first.
                self.begin(1)
            yield item


@contextmanager
def shown_progress(total: int, *, steps: int = 1, is_shown: bool = True) -> Iterator[_ProgressBar]:
    """Yield what shows how far a block is, of ``total`` images that take ``steps`` steps each."""
    if not (is_shown and sys.stderr.isatty()):
        yield _ProgressBar(total, steps=steps, wait=FIRST_S if is_shown else math.inf)
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.completed:,.0f}/{task.total:,.0f} images"),
        BarColumn(),
        TextColumn("{task.fields[speed]}  {task.fields[note]}"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True)) as bar:
        yield _ProgressBar(total, bar, steps=steps)


def _rate(speed: float) -> str:
    """Return a speed [image/s] in words."""
    if speed >= 1 or speed == 0:
        return f"{speed:,.{0 if speed >= 10 else 1}f} images/s"
    return f"{_duration(1 / speed)} an image"


def _duration(seconds: float) -> str:
    """Return a time in words, in two units at most."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
