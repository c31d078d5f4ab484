"""Measuring a set with several processes: the main one asks, and all measure their share."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.evaluation.cache import Arrays
from gravlensdiffusion.evaluation.preparation import BLOCK, PreparedSource
from gravlensdiffusion.parallel import Processes
from gravlensdiffusion.progress import shown_progress

if TYPE_CHECKING:
    from gravlensdiffusion.evaluation.measure import Encoder

Task = Callable[[PreparedSource, "Encoder", range], Arrays]
"""Measures some images of a set: arrays by name, one row per image. A function of a module, by whose
name the others find it."""

STRIDE = 4 * BLOCK
"""Images after which it is told how far the measuring is; whole blocks, some of them at a time."""


class Team:
    """The processes that share the measuring of an evaluation.

    Args:
        sources: The sets, the same on all processes.
        encoder: The encoder of the report.
        processes: The processes.
        progress: Whether the main one shows on stderr how far its own share is.
    """

    def __init__(
        self,
        sources: Sequence[PreparedSource],
        encoder: "Encoder",
        processes: Processes,
        *,
        progress: bool = False,
    ) -> None:
        self._sources = tuple(sources)
        self._processes = processes
        self._is_shown = progress
        self.encoder = encoder

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let the others go."""
        self._processes.broadcast(None)

    def measure(self, task: Task, source: PreparedSource) -> Arrays:
        """Measure all images of a set, from the main process.

        Raises:
            GravLensError: If a process cannot.
        """
        number = next(k for k, each in enumerate(self._sources) if each is source)
        self._processes.broadcast((task, number))
        return joined(self._parts(task, number))

    def serve(self) -> None:
        """Measure what the main process asks for, until it lets this one go."""
        while True:
            request: tuple[Task, int] | None = self._processes.broadcast(None)
            if request is None:
                return
            # The main process hears of it, and says it.
            with suppress(GravLensError):
                self._parts(*request)

    def _parts(self, task: Task, number: int) -> list[Arrays]:
        """Return the shares of all processes, in their order, on the main one."""
        source = self._sources[number]
        share = self._processes.share(len(source), BLOCK)
        parts = self._processes.together(lambda: self._own(task, source, share))
        return [each for some in self._processes.gather(parts) for each in some]

    def _own(self, task: Task, source: PreparedSource, share: range) -> list[Arrays]:
        """Return the parts of a share."""
        parts = []
        with shown_progress(len(share), is_shown=self._is_shown) as shown:
            for low in range(0, len(share), STRIDE):
                parts.append(task(source, self.encoder, share[low : low + STRIDE]))
                shown.update(min(low + STRIDE, len(share)))
        return parts


def joined(parts: Sequence[Arrays]) -> Arrays:
    """Return the arrays of parts that follow each other."""
    return {name: _joined([part[name] for part in parts]) for name in parts[0]}


def _joined(arrays: Sequence[NDArray[np.generic]]) -> NDArray[np.generic]:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
