"""The GIF of a run from noise to images."""

from collections.abc import Iterable
from math import ceil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gravlensdiffusion.reports.mosaics import (
    as_tiles,
    default_columns,
    lay_out,
    to_bytes,
    whole_zoom,
)

GREY_LEVELS = 64
"""Grey levels of a GIF: fewer than 256, because noise hardly compresses."""

SKY_GREY = 0.15
"""Grey of the final sky in a GIF, so that noise below the sky can still be seen."""


def save_gif(
    frames: Iterable[NDArray[np.floating]],
    path: Path,
    *,
    num_columns: int | None = None,
    duration_ms: int = 60,
    hold_last_ms: int = 2000,
    min_side: int = 56,
    max_side: int = 800,
    stretch: str = "sqrt",
) -> None:
    """Save a run from noise to images as an endless GIF.

    One grey scale serves all frames: the sky of the last frame is dark grey, its brightest
    pixels are white, and the negative half of the noise takes the greys below the sky.

    Args:
        frames: Arrays of shape ``(N, C, H, W)`` or ``(N, H, W)``, from noise to images; read once,
            and kept as reduced mosaics only.
        path: The file to write.
        num_columns: Tiles in a row; by default as many as make the grid square.
        duration_ms: Time that each frame is shown [ms].
        hold_last_ms: Time that the last frame is shown [ms].
        min_side: Tiles smaller than this are enlarged by a whole factor [pixels].
        max_side: Tiles are averaged down by whole factors until the picture fits [pixels].
        stretch: ``sqrt`` or ``linear``, from the sky to white.

    Raises:
        ValueError: If there is no frame, or a frame has no image.
    """
    mosaics = []
    zoom = 1
    for frame in frames:
        tiles = as_tiles(frame)
        columns = num_columns or default_columns(len(tiles))
        zoom = whole_zoom(tiles, min_side)
        mosaics.append(_gif_mosaic(tiles, columns, max_side))
    if not mosaics:
        raise ValueError("no frames to show")
    levels = _noise_to_lens_levels(mosaics[0], mosaics[-1])
    pictures = [_gif_picture(_through_levels(m, levels, stretch), zoom) for m in mosaics]
    for picture in pictures[1::2]:
        # Pillow would merge frames that are alike; this keeps one frame for each array.
        picture.putpixel((0, 0), 254 if picture.mode == "L" else (254, 254, 254))
    durations = [duration_ms] * (len(pictures) - 1) + [hold_last_ms]
    pictures[0].save(
        path,
        format="GIF",
        save_all=True,
        append_images=pictures[1:],
        duration=durations,
        loop=0,
        optimize=True,
    )


def _gif_mosaic(tiles: NDArray[np.float32], columns: int, max_side: int) -> NDArray[np.float16]:
    rows = ceil(len(tiles) / columns)
    side = max(rows * tiles.shape[1], columns * tiles.shape[2])
    factor = min(ceil(side / max_side), tiles.shape[1], tiles.shape[2])
    # Half precision keeps a hundred frames small; NaN marks the lines between the tiles.
    return lay_out(_average_down(tiles, factor), columns, fill=np.nan).astype(np.float16)


def _average_down(tiles: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Average blocks of ``factor`` by ``factor`` pixels; what is left over is cut off."""
    height, width = tiles.shape[1] // factor, tiles.shape[2] // factor
    cut = tiles[:, : height * factor, : width * factor]
    blocks = cut.reshape(len(tiles), height, factor, width, factor, *tiles.shape[3:])
    mean: NDArray[np.float32] = blocks.mean(axis=(2, 4), dtype=np.float32)
    return mean


def _noise_to_lens_levels(
    first: NDArray[np.float16], last: NDArray[np.float16]
) -> tuple[float, float, float]:
    """Return the values shown black, as sky, and white."""
    noise = first[np.isfinite(first)].astype(np.float32)
    lens = last[np.isfinite(last)].astype(np.float32)
    if noise.size == 0 or lens.size == 0:
        return -1.0, 0.0, 1.0
    sky, white = (float(v) for v in np.percentile(lens, (20.0, 99.7)))
    black = min(float(np.percentile(noise, 5.0)), sky - 1e-3)
    return black, sky, max(white, sky + 1e-3)


def _through_levels(
    values: NDArray[np.float16], levels: tuple[float, float, float], stretch: str
) -> NDArray[np.float32]:
    """Map values to grey: linear from black to the sky, stretched from there to white."""
    black, sky, white = levels
    shown = np.nan_to_num(values.astype(np.float32), nan=np.inf)
    below = np.clip((shown - black) / (sky - black), 0.0, 1.0) * SKY_GREY
    above = np.clip((shown - sky) / (white - sky), 0.0, 1.0)
    above = (np.sqrt(above) if stretch == "sqrt" else above) * (1.0 - SKY_GREY)
    grey: NDArray[np.float32] = (below + above).astype(np.float32)
    return grey


def _gif_picture(grey: NDArray[np.float32], zoom: int) -> Image.Image:
    steps = np.round(grey * (GREY_LEVELS - 1))
    picture = Image.fromarray(to_bytes((steps / (GREY_LEVELS - 1)).astype(np.float32)))
    size = (picture.width * zoom, picture.height * zoom)
    return picture.resize(size, Image.Resampling.NEAREST)
