from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gravlensdiffusion.reports.mosaics import save_gif


def saved(frames: Iterable[np.ndarray], path: Path, **how: object) -> Path:
    save_gif(frames, path, **how)
    return path


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as gif:
        return gif.size


def denoising(num_frames: int, num_images: int = 4) -> list[np.ndarray]:
    """Return frames from unit noise to an image that is -0.5 but for a bright half of 2."""
    noise = np.random.default_rng(0).normal(size=(num_images, 1, 16, 16))
    image = np.full((1, 16, 16), -0.5)
    image[:, :8] = 2.0
    return [t * noise + (1 - t) * image for t in np.linspace(1, 0, num_frames)]


def test_gif_has_a_frame_for_each_array_and_holds_the_last(tmp_path):
    path = saved(denoising(35), tmp_path / "g.gif", duration_ms=50)
    with Image.open(path) as gif:
        assert gif.n_frames == 35
        assert gif.info["loop"] == 0
        assert gif.info["duration"] == 50
        gif.seek(34)
        assert gif.info["duration"] == 2000


def test_frames_that_are_alike_stay_apart(tmp_path):
    frame = denoising(2)[1]
    path = saved([frame] * 7, tmp_path / "g.gif")
    with Image.open(path) as gif:
        assert gif.n_frames == 7


def test_gif_shows_both_the_noise_and_the_images(tmp_path):
    path = saved(iter(denoising(5)), tmp_path / "g.gif")
    with Image.open(path) as gif:
        first = np.asarray(gif.convert("L"), dtype=float)
        gif.seek(4)
        last = np.asarray(gif.convert("L"), dtype=float)
    assert first.std() > 50
    assert (first == 0).mean() < 0.2
    # The bright half is that of the first rows, which lie at the bottom.
    assert last[50, 50] == 255
    assert 20 < last[10, 10] < 60


def test_large_gif_is_averaged_down(tmp_path):
    frames = [np.random.default_rng(k).normal(size=(36, 1, 150, 150)) for k in range(2)]
    path = saved(frames, tmp_path / "g.gif")
    assert max(size_of(path)) <= 807


def test_gif_of_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no frames"):
        save_gif([], tmp_path / "g.gif")
