"""What the page orders, checked, the commands that make the same set elsewhere, and the turns by which one thread draws."""

import asyncio
import shlex
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pprint import pformat
from textwrap import indent
from typing import Annotated, Any, TypeVar

from gravlensdiffusion.config.bounds import (
    ANY,
    Bounded,
    Count,
    Guidance,
    NonNegative,
    Number,
    Positive,
    Range,
)
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.generation.request import Request
from gravlensdiffusion.presets.parameters import ORDERED_BY

T = TypeVar("T")

_END: Any = object()
"""Comes after the last item."""
MAX_WAITING = 64
"""Orders that are under way or wait, at most."""
MAX_STEPS = 100
"""Steps that a page may ask for."""
MAX_SEED = 2**53 - 1
"""Largest whole number that a browser keeps exactly."""

Steps = Annotated[int, Range(at_least=1, at_most=MAX_STEPS)]
PageSeed = Annotated[int, Range(at_least=0, at_most=MAX_SEED)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Order(Bounded):
    """What a page asks of the model.

    Attributes:
        num: Number of images.
        label: A class; ``any`` leaves it to the model; None goes through all classes in turn.
        parameters: Values by the names of the model's parameters [their units]; others are left to
            the model.
        guidance: Scale of classifier-free guidance; 1 is none.
        steps: Number of steps; None for the model's own.
        seed: Seed.
        exposure_s: Exposure time that sets the Poisson noise of the galaxies [s]; None for that of
            the training set.
        sky_rms: Noise of sky and read-out in a native pixel [e- / s]; None likewise.
        is_draft: Whether fewer steps are taken, since the next order is under way.
    """

    num: Count = 1
    label: str | None = None
    parameters: dict[str, Number] = field(default_factory=dict)
    guidance: Guidance = 1.0
    steps: Steps | None = None
    seed: PageSeed = 0
    exposure_s: Positive | None = None
    sky_rms: NonNegative | None = None
    is_draft: bool = False

    def request(self, generator: LensGenerator) -> Request:
        """Return what is asked of a model."""
        steps = self.steps
        if self.is_draft:
            steps = min(steps or generator.config.sampling.num_steps, generator.steps_of("draft"))
        return generator.request(
            self.num,
            label=self.label,
            parameters=self.parameters,
            seed=self.seed,
            num_steps=steps,
            guidance=self.guidance,
            exposure_s=self.exposure_s,
            sky_rms=self.sky_rms,
        )

    def in_python(self, model: str) -> str:
        """Return the lines of Python that draw the same set, and save it."""
        asked = self._asked({"seed": self.seed, "num_steps": self.steps, "guidance": self.guidance})
        if self.parameters:
            asked["parameters"] = dict(self.parameters)
        lines = [f"{self.num},", *(f"{name}={pformat(value)}," for name, value in asked.items())]
        return (
            "from gravlensdiffusion import LensGenerator\n\n"
            f"generator = LensGenerator.from_pretrained({model!r})\n"
            f"samples = generator.sample(\n{indent(chr(10).join(lines), '    ')}\n)\n"
            'samples.save("lenses.h5")\n'
        )

    def in_shell(self, model: str, class_names: Sequence[str]) -> str:
        """Return the command that draws the same set; shapes are ordered by a table that it writes.

        Args:
            model: Name or folder of the model.
            class_names: Those that it goes through in turn where no class is asked for.
        """
        asked = self._asked({"seed": self.seed, "steps": self.steps, "guidance": self.guidance})
        asked["exposure"] = asked.pop("exposure_s", None)
        words: dict[str, Any] = {"model": model, "num": self.num}
        table = ""
        if self.parameters.keys() <= set(ORDERED_BY):
            words |= asked | dict(self.parameters)
        else:
            label = asked.pop("label", None)
            table = self._table(class_names or [ANY] if label is None else [label])
            del words["num"]
            words |= {"conditions": "order.csv"} | asked
        words["out"] = "lenses"
        flags = (
            f"--{name.replace('_', '-')} {shlex.quote(str(value))}"
            for name, value in words.items()
            if value is not None
        )
        return f"{table}gravlens sample {' '.join(flags)}"

    def _table(self, labels: Sequence[str]) -> str:
        """Return what writes a table in a shell: as many rows as there are images, labels in turn."""
        header = ",".join(["label", *self.parameters])
        rows = "\n".join(",".join([label, *map(str, self.parameters.values())]) for label in labels)
        return (
            f"{{ echo {shlex.quote(header)}; yes {shlex.quote(rows)} | head -n {self.num}; }}"
            " > order.csv\n"
        )

    def _asked(self, numbers: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is not left at its default, by its name as a keyword."""
        named = {"label": self.label, "sky_rms": self.sky_rms, "exposure_s": self.exposure_s}
        defaults = {"seed": 0, "guidance": 1.0}
        return {
            name: value
            for name, value in (named | dict(numbers)).items()
            if value is not None and value != defaults.get(name)
        }


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
        order: Callable[[Wanted], Generator[T]],
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
        wanted = Wanted()
        steps = order(wanted)
        self.num_waiting += 1
        gone = leaving()
        waits: set[asyncio.Future[Any]] = {gone}
        try:
            while True:
                loop = asyncio.get_running_loop()
                piece = loop.run_in_executor(self._thread, _next, steps, wanted)
                waits = {piece, gone}
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                if not piece.done():
                    raise Left
                item = piece.result()
                if item is _END:
                    return
                yield item
        finally:
            wanted.is_left = True
            # Of what is still drawn nobody hears.
            for each in waits:
                each.cancel()
            # After what is still under way: where it draws, it cleans up.
            self._thread.submit(steps.close)
            self.num_waiting -= 1


def _next(steps: Iterator[T], wanted: Wanted) -> T:
    wanted.check()
    return next(steps, _END)
