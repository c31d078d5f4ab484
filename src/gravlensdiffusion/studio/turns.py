"""Drawing by turns: one thread draws for all pages, a piece of work at a time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

MAX_WAITING = 64
"""Orders that are under way or wait, at most."""


class _End:
    """Comes after the last item."""


class Left(Exception):
    """Whoever asked has left."""


class Busy(Exception):
    """Too many orders wait."""


class Wanted:
    """Whether somebody still waits for what is drawn."""

    def __init__(self) -> None:
        self.is_left = False

    def check(self) -> None:
        """Stop work that nobody waits for, by raising `Left`."""
        if self.is_left:
            raise Left


class Turns:
    """Shares one drawing thread among orders.

    An order is an iterator. Each of its items is a piece of work that waits for its turn behind those of
    other orders, and that begins when the one before it has been taken: so a long order lets
    short ones pass, and nothing piles up for a page that reads slowly.

    Args:
        max_waiting: Orders that are taken at a time.
    """

    def __init__(self, max_waiting: int = MAX_WAITING) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="drawing")
        self._max_waiting, self.num_waiting = max_waiting, 0

    async def items(
        self,
        order: Callable[[Wanted], Iterator[T]],
        leaving: Callable[[], "asyncio.Future[object]"],
    ) -> AsyncIterator[T]:
        """Yield the items of an order.

        Args:
            order: Begins it; it asks now and then whether it is wanted.
            leaving: Returns what is done as soon as whoever asked has left.

        Raises:
            Busy: If too many orders wait.
            Left: If whoever asked has left.
        """
        if self.num_waiting >= self._max_waiting:
            raise Busy
        self.num_waiting += 1
        wanted, gone = Wanted(), leaving()
        waits: set[asyncio.Future[Any]] = {gone}
        try:
            steps = order(wanted)
            while True:
                loop = asyncio.get_running_loop()
                piece = loop.run_in_executor(self._thread, _next, steps, wanted)
                waits = {piece, gone}
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                if not piece.done():
                    raise Left
                item = piece.result()
                if isinstance(item, _End):
                    return
                yield item
        finally:
            wanted.is_left = True
            # Of what is still drawn nobody hears.
            for each in waits:
                each.cancel()
            self.num_waiting -= 1


def _next(steps: Iterator[T], wanted: Wanted) -> T | _End:
    wanted.check()
    return next(steps, _End())
