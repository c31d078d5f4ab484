"""The way of a model's images from noise to lens, as a GIF."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.config.model import CONSISTENCY
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.generation.request import Request
from gravlensdiffusion.generation.samples import Frame
from gravlensdiffusion.reports.drawing import spared
from gravlensdiffusion.reports.gif import save_gif

NUM_SHOWN = 100
"""Images in a grid and in a GIF, at most."""
MIN_STEPS = 30
MAX_FRAMES = 100
DURATION_MS = 5000
"""Time from noise to images [ms]."""


def shown_request(generator: LensGenerator, request: Request, batch_size: int) -> Request:
    """Return the request whose way a GIF shows: whole batches, in steps enough to show it."""
    num = -(-NUM_SHOWN // batch_size) * batch_size
    own, sampler, steps = generator.config.sampling.sampler, request.sampler, request.num_steps
    if sampler != CONSISTENCY:
        steps = max(steps, MIN_STEPS)
    elif own != CONSISTENCY:
        # A distilled model has no long way; the one that it was distilled from has.
        sampler, steps = own, MIN_STEPS
    return replace(request[:num], sampler=sampler, num_steps=steps)


def save_animation(
    path: Path,
    generator: LensGenerator,
    request: Request,
    batch_size: int,
    *,
    advance: Callable[[int], object],
    tell: Callable[[str], object],
) -> list[Frame]:
    """Draw images, all batches in step, and write their way as a GIF.

    Returns:
        The last frame of each batch.
    """
    last: list[Frame] = []
    failed: list[Exception] = []
    kept = kept_steps(request.num_steps)

    def frames() -> Iterator[NDArray[np.float32]]:
        batches = list(request.batches(batch_size))
        try:
            for moments in zip(*map(generator.trajectory, batches), strict=True):
                last[:] = moments
                if moments[0].step:
                    advance(len(request))
                if moments[0].step in kept:
                    shown = [to_display(generator, moment) for moment in moments]
                    yield np.concatenate(shown)[:NUM_SHOWN]
        except Exception as error:
            failed.append(error)
            raise

    # An asinh is a stretch already.
    stretch = "linear" if generator.config.transform.kind == "asinh" else "sqrt"
    moments = frames()
    with spared(path.name, tell):
        save_gif(moments, path, duration_ms=DURATION_MS // len(kept), stretch=stretch)
    # The images are drawn to their end, whatever has become of the picture.
    deque(moments, maxlen=0)
    if failed:
        raise failed[0]
    return last


def to_display(generator: LensGenerator, frame: Frame) -> NDArray[np.float32]:
    """Map noisy images to the stretched scale of the transform, shape ``(B, C, H, W)``.

    Noise stays finite and lenses visible on it, where flux would span orders of magnitude. The mean
    image, which is no part of model space, comes back as the noise goes: what is shown is
    ``alpha_t z + sigma_t eps / gain`` for a stretched image z.
    """
    transform = generator.model.transform
    shown = frame.x_t / transform.config.gain + frame.alpha_t * transform.mean
    return np.asarray(shown.contiguous().float().cpu().numpy(), dtype=np.float32)


def kept_steps(num_steps: int) -> frozenset[int]:
    """Return the steps that a GIF shows, evenly spread, the first and the last among them."""
    num = min(num_steps, MAX_FRAMES - 1)
    return frozenset(round(k * num_steps / num) for k in range(num + 1))
