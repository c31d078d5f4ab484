"""Sets in shards at the command line: what their images depend on, and making the missing ones."""

import hashlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from gravlensdiffusion import __version__
from gravlensdiffusion.codec import to_json
from gravlensdiffusion.parallel import Processes
from gravlensdiffusion.progress import shown_progress

if TYPE_CHECKING:
    from gravlensdiffusion.cli.drawing import Drawing
    from gravlensdiffusion.sets.records import SetHeader
    from gravlensdiffusion.store.shards import Shards

Request = Callable[[range], Mapping[str, Any]]
"""Says all that images, named by their numbers, depend on, by the names of messages."""


def missing(
    shards: "Shards", which: range, request: Request, *, overwrite: bool, removes: bool = True
) -> list[int]:
    """Return the shards that are still to be made.

    Args:
        shards: The set.
        which: Numbers of the shards to look at.
        request: Says what the images of a shard depend on.
        overwrite: Whether shards that are damaged or of another request make way.
        removes: Whether these are removed at once.

    Raises:
        GravLensError: If one is damaged or of another request.
    """

    def has(k: int) -> bool:
        asked = request(shards.images(k))
        return shards.has(k, asked, overwrite=overwrite, removes=removes)

    return [k for k in which if not has(k)]


def foretold(shards: "Shards", request: Request, *, overwrite: bool) -> str:
    """Say in a few words which shards would be made, after the checks that come before; see `missing`."""
    shards.check_folder(overwrite=overwrite)
    numbers = missing(shards, range(len(shards)), request, overwrite=overwrite, removes=False)
    return summary(shards, len(numbers))


def draw_set(shards: "Shards", drawing: "Drawing", processes: Processes, *, overwrite: bool) -> str:
    """Draw the shards that are not there, and say in a line what was written.

    Args:
        shards: The set.
        drawing: The drawing of all images.
        processes: The processes; number i of P makes the shards i, i + P, ...
        overwrite: Whether shards that are damaged or of another request make way.

    Raises:
        GravLensError: If something else is in the folder, or a shard cannot be written.
    """

    def begin() -> None:
        if processes.is_main:
            shards.check_folder(overwrite=overwrite)
            shards.clean()

    def work() -> int:
        own = range(processes.index, len(shards), processes.num)
        return draw_missing(shards, own, drawing, overwrite=overwrite)

    processes.main_first(begin)
    num_made = sum(processes.gather(processes.together(work)))
    images = f"{shards.num:,} images of {drawing.generator.name}"
    return f"wrote {images} to {shards.folder}: {summary(shards, num_made)}"


def draw_missing(shards: "Shards", which: range, drawing: "Drawing", *, overwrite: bool) -> int:
    """Draw the shards that are not there, and return how many those are.

    Args:
        shards: The set.
        which: Numbers of the shards that may be drawn.
        drawing: The drawing of all images.
        overwrite: Whether shards that are damaged or of another request make way.

    Raises:
        GravLensError: If one is damaged or of another request, or cannot be written.
    """
    request = drawn_request(drawing)
    header = drawing.generator.header(drawing.settings.seed, drawing.observer)
    numbers = missing(shards, which, request, overwrite=overwrite)
    num_images = sum(len(shards.images(k)) for k in numbers)
    with shown_progress(num_images, steps=drawing.settings.steps) as shown:
        drawing.advance = shown.advance
        for k in numbers:
            images = shards.images(k)
            shards.write(k, drawing.part(images).records(), header, request(images))
    return len(numbers)


def drawn_request(drawing: "Drawing") -> Request:
    """Return what says all that drawn images depend on.

    What hardware and batches do to the last digits is no part of it.
    """
    from gravlensdiffusion.model.checkpoint import fingerprint

    settings, observer = drawing.settings, drawing.observer
    model = drawing.generator.drawn_by(settings.sampler)
    noise = observer.observation
    common = {
        "model": [fingerprint(model), _digest(to_json(model.config).encode())],
        "seed": settings.seed,
        "sampler": settings.sampler,
        "number of steps": settings.steps,
        "guidance": settings.guidance,
        "noise": None if noise is None else to_json(noise, indent=None),
        "choice of noise-free images": settings.noise_free,
        "flux unit": observer.flux_unit,
        "version": __version__,
    }

    def request(images: range) -> Mapping[str, Any]:
        order = drawing.order[images.start : images.stop]
        return {**common, "order": _digest(order.labels.tobytes(), order.parameters.tobytes())}

    return request


def simulated_request(header: "SetHeader") -> Request:
    """Return what says all that simulated images depend on."""
    common = {
        "configuration": _digest(header.config.encode()),
        "seed": header.seed,
        "version": header.software,
    }
    return lambda _: common


def summary(shards: "Shards", num_made: int) -> str:
    """Say in a few words which shards were made, and which were there."""
    there = len(shards) - num_made
    return f"{num_made} of {len(shards)} shards" + (", the others were there" if there else "")


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
