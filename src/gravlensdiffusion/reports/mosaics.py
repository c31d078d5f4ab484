"""Images as grey tiles, laid out side by side, row 0 of each at the bottom as DS9 shows it; and GIFs of them.

Nothing rescales images one by one: all tiles share one grey scale.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from math import ceil, sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from gravlensdiffusion.errors import GravLensError, one_line

Tiles = NDArray[np.float32]

STRETCHES = ("linear", "sqrt", "asinh")
"""Ways from flux to grey."""
GAP = 1
"""Width of the line between two tiles [tile pixels]."""
ASINH_SOFTENING = 0.1
"""Where the asinh stretch turns from linear to logarithmic, as a fraction of the range."""
TITLE_SIZE = 11
"""Height of the letters of a title [pixels]."""
MAX_TITLE = 200
"""Letters of a title that are tried for room."""
GREY_LEVELS = 64
"""Grey levels of a GIF: fewer than 256, because noise hardly compresses."""
MIN_SIDE, MAX_SIDE = 56, 800
"""Sides below which tiles of a GIF are enlarged, and above which the whole is averaged down [pixel]."""
HOLD_LAST_MS = 2000
"""Time that the last picture of a GIF is shown [ms]."""
SKY_GREY = 0.15
"""Grey of the final sky in a GIF, so that noise below the sky can still be seen."""


@contextmanager
def spared(what: str, tell: Callable[[str], object]) -> Iterator[None]:
    """Let a picture that cannot be drawn cost itself alone, and a line.

    What a disk or a user has done wrong is no matter of the picture, and goes on.

    Args:
        what: What is drawn.
        tell: Takes the line.
    """
    try:
        yield
    except (GravLensError, OSError):
        raise
    except Exception as error:  # noqa: BLE001  whatever a drawing library may raise
        tell(one_line(f"{what} was not drawn: {type(error).__name__}: {error}"))


def picture_png(picture: Image.Image) -> bytes:
    """Return a picture as a PNG file."""
    stream = BytesIO()
    picture.save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def save_grid(
    images: NDArray[np.floating], path: Path, texts: Mapping[str, str] | None = None, **how: Any
) -> None:
    """Save images side by side as one picture.

    Args:
        images: See `grid_picture`.
        path: The file to write; its suffix names the format.
        texts: What a PNG says of itself, by keyword.
        how: The other arguments of `grid_picture`.
    """
    info = PngInfo()
    for keyword, text in (texts or {}).items():
        info.add_text(keyword, text)
    grid_picture(images, **how).save(path, pnginfo=info)


def grid_picture(
    images: NDArray[np.floating],
    *,
    num_columns: int | None = None,
    stretch: str = "sqrt",
    titles: Sequence[str] | None = None,
    limits: tuple[float, float] | None = None,
    min_side: int = MIN_SIDE,
) -> Image.Image:
    """Return images side by side as a picture.

    Args:
        images: Shape ``(N, C, H, W)`` or ``(N, H, W)``; three channels are shown as red, green
            and blue, any other number as its mean.
        num_columns: Tiles in a row; by default as many as make the grid square.
        stretch: ``linear``, ``sqrt`` or ``asinh``.
        titles: One line of text above each tile.
        limits: Values shown black and white, the same for all tiles; by default the 0.1 and 99.9
            percentiles of all finite pixels.
        min_side: Tiles smaller than this are enlarged by a whole factor [pixels].

    Raises:
        ValueError: If there is no image, the shape is none of the above, or the stretch is
            unknown.
    """
    tiles = _as_tiles(images)
    low, high = percentile_limits(tiles) if limits is None else limits
    zoom = _whole_zoom(tiles, min_side)
    grey = _to_grey(tiles, low, high, stretch).repeat(zoom, axis=1).repeat(zoom, axis=2)
    if titles is not None and len(titles) != len(grey):
        raise ValueError(f"{len(titles)} titles for {len(grey)} images")
    headroom = 0 if titles is None else TITLE_SIZE + 4
    columns = num_columns or ceil(sqrt(len(grey)))
    picture = _to_picture(_lay_out(grey, columns, headroom))
    for k, title in enumerate(titles or ()):
        corner = _corner(k, columns, grey.shape[1] + headroom, grey.shape[2])
        _write_title(picture, title, corner, grey.shape[2])
    return picture


def _write_title(picture: Image.Image, title: str, corner: tuple[int, int], width: int) -> None:
    font = ImageFont.load_default(size=TITLE_SIZE)
    title = title[:MAX_TITLE]
    draw = ImageDraw.Draw(picture)
    while title and draw.textlength(title, font=font) > width:
        title = title[:-1]
    black = 0 if picture.mode == "L" else (0, 0, 0)
    draw.text((corner[1], corner[0]), title, font=font, fill=black)


def percentile_limits(images: NDArray[np.floating]) -> tuple[float, float]:
    """Return the 0.1 and 99.9 percentiles of the finite pixels, a usable black and white point."""
    finite = images[np.isfinite(images)]
    if finite.size == 0:
        return 0.0, 1.0
    black, white = (float(v) for v in np.percentile(finite, (0.1, 99.9)))
    return (black, white) if white > black else (black, black + 1.0)


def _as_tiles(images: NDArray[np.floating]) -> Tiles:
    """Return images as ``(N, H, W)`` or, in colour, ``(N, H, W, 3)``, their row 0 as the last."""
    images = np.asarray(images, dtype=np.float32)
    if images.ndim not in (3, 4) or images.size == 0:
        raise ValueError(f"cannot show an array of shape {images.shape}, expected (N, C, H, W)")
    images = images[..., ::-1, :]
    if images.ndim == 3:
        return images
    if images.shape[1] == 3:
        return np.moveaxis(images, 1, -1)
    return np.asarray(images.mean(axis=1, dtype=np.float32))


def _to_grey(tiles: Tiles, low: float, high: float, stretch: str) -> Tiles:
    """Map values to grey from 0 to 1, by one of `STRETCHES` between two limits."""
    if stretch not in STRETCHES:
        raise ValueError(f"unknown stretch {stretch!r}, expected one of {', '.join(STRETCHES)}")
    # Pixels near the largest number leave its range, and are clipped below.
    with np.errstate(over="ignore", invalid="ignore"):
        fraction = (tiles - low) / (high - low)
    scaled = np.clip(np.nan_to_num(fraction, nan=0.0, posinf=1.0, neginf=0.0), 0.0, 1.0)
    if stretch == "sqrt":
        scaled = np.sqrt(scaled)
    elif stretch == "asinh":
        scaled = np.arcsinh(scaled / ASINH_SOFTENING) / np.arcsinh(1.0 / ASINH_SOFTENING)
    return np.asarray(scaled, dtype=np.float32)


def _whole_zoom(tiles: Tiles, min_side: int) -> int:
    """Return the whole factor that makes tiles at least so many pixels wide or high."""
    return max(1, ceil(min_side / max(tiles.shape[1], tiles.shape[2])))


def _corner(index: int, columns: int, height: int, width: int) -> tuple[int, int]:
    """Return the row and column [pixels] at which a cell of the mosaic starts."""
    return GAP + (index // columns) * (height + GAP), GAP + (index % columns) * (width + GAP)


def _lay_out(tiles: Tiles, columns: int, headroom: int = 0, fill: float = 1.0) -> Tiles:
    """Lay tiles out in rows with a line of ``fill`` between them and room above each."""
    num, height, width = tiles.shape[:3]
    bottom, _ = _corner(ceil(num / columns) * columns, columns, height + headroom, width)
    right = GAP + min(num, columns) * (width + GAP)
    canvas = np.full((bottom, right, *tiles.shape[3:]), fill, dtype=np.float32)
    for k, tile in enumerate(tiles):
        row, column = _corner(k, columns, height + headroom, width)
        canvas[row + headroom : row + headroom + height, column : column + width] = tile
    return canvas


def _to_picture(grey: Tiles) -> Image.Image:
    """Return grey from 0 to 1 in 8 bits."""
    return Image.fromarray(np.round(grey * 255.0).astype(np.uint8))


def save_gif(
    frames: Iterable[NDArray[np.floating]],
    path: Path,
    *,
    duration_ms: int = 60,
    stretch: str = "sqrt",
) -> None:
    """Save a run from noise to images as an endless GIF.

    One grey scale serves all frames: the sky of the last frame is dark grey, its brightest
    pixels are white, and the negative half of the noise takes the greys below the sky.

    Args:
        frames: Arrays of shape ``(N, C, H, W)`` or ``(N, H, W)``, from noise to images; read once,
            and kept as reduced mosaics only.
        path: The file to write.
        duration_ms: Time that each frame but the last is shown [ms].
        stretch: ``sqrt`` or ``linear``, from the sky to white.

    Raises:
        ValueError: If there is no frame, or a frame has no image.
    """
    mosaics = []
    zoom = 1
    for frame in frames:
        tiles = _as_tiles(frame)
        zoom = _whole_zoom(tiles, MIN_SIDE)
        mosaics.append(_gif_mosaic(tiles))
    if not mosaics:
        raise ValueError("no frames to show")
    levels = _noise_to_lens_levels(mosaics[0], mosaics[-1])
    pictures = [_gif_picture(_through_levels(m, levels, stretch), zoom) for m in mosaics]
    for picture in pictures[1::2]:
        # Pillow would merge frames that are alike; this keeps one frame for each array.
        picture.putpixel((0, 0), 254 if picture.mode == "L" else (254, 254, 254))
    durations = [duration_ms] * (len(pictures) - 1) + [HOLD_LAST_MS]
    pictures[0].save(
        path,
        format="GIF",
        save_all=True,
        append_images=pictures[1:],
        duration=durations,
        loop=0,
        optimize=True,
    )


def _gif_mosaic(tiles: Tiles) -> NDArray[np.float16]:
    """Lay tiles out in a square, averaged over blocks of pixels; what is left over is cut off."""
    columns = ceil(sqrt(len(tiles)))
    side = max(ceil(len(tiles) / columns) * tiles.shape[1], columns * tiles.shape[2])
    factor = min(ceil(side / MAX_SIDE), tiles.shape[1], tiles.shape[2])
    height, width = tiles.shape[1] // factor, tiles.shape[2] // factor
    cut = tiles[:, : height * factor, : width * factor]
    blocks = cut.reshape(len(tiles), height, factor, width, factor, *tiles.shape[3:])
    small = blocks.mean(axis=(2, 4), dtype=np.float32)
    # Half precision keeps a hundred frames small; NaN marks the lines between the tiles.
    return _lay_out(small, columns, fill=np.nan).astype(np.float16)


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
    return np.asarray(below + above, dtype=np.float32)


def _gif_picture(grey: NDArray[np.float32], zoom: int) -> Image.Image:
    picture = _to_picture(np.round(grey * (GREY_LEVELS - 1)) / np.float32(GREY_LEVELS - 1))
    size = (picture.width * zoom, picture.height * zoom)
    return picture.resize(size, Image.Resampling.NEAREST)
