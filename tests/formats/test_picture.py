"""Pictures: PNG, JPEG and TIFF files, grey and in colour."""

import json
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.formats.picture import PngCard, _read_card, _unstretch, stretch
from gravlensdiffusion.untrusted.probe import verdict

GREY = (np.arange(64).reshape(8, 8) * 4).astype(np.uint8)


def read(path: Path) -> np.ndarray:
    return open_set(path).read([0])[0, 0]


def test_8_and_16_bits_have_one_scale(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.png")
    Image.fromarray(GREY.astype(np.uint16) * 257).save(tmp_path / "b.png")
    source = open_set(tmp_path)
    assert source.header.flux_unit == "full scale"
    images = source.read(slice(None))[:, 0]
    np.testing.assert_array_equal(images[0], (GREY / 255).astype(np.float32))
    np.testing.assert_array_equal(images[1], images[0])


def test_16_bits_are_kept(tmp_path: Path) -> None:
    values = np.arange(64, dtype=np.uint16).reshape(8, 8) + 30_000
    Image.fromarray(values).save(tmp_path / "a.png")
    np.testing.assert_allclose(read(tmp_path / "a.png") * 65535, values, atol=0.01)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_grey_saved_in_colour_is_grey(tmp_path: Path, mode: str) -> None:
    Image.fromarray(GREY).convert(mode).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read(tmp_path / "a.png"), (GREY / 255).astype(np.float32))


def test_black_and_white(tmp_path: Path) -> None:
    Image.fromarray(GREY > 100).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read(tmp_path / "a.png"), GREY > 100)


def gradient(*levels: int) -> np.ndarray:
    """Smooth colours, which JPEG keeps; shape (16, 16, channels)."""
    slope = np.add.outer(np.arange(16), np.arange(16)) / 30
    return np.stack([slope * level for level in levels], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.JPEG", "a.tif", "a.tiff"])
def test_colour_is_three_channels_and_grey_is_one(tmp_path: Path, name: str) -> None:
    colours = gradient(250, 150, 50)
    Image.fromarray(colours).save(tmp_path / name, quality=100, subsampling=0)
    source = open_set(tmp_path / name)
    assert (source.image_shape, source.header.flux_unit) == ((3, 16, 16), "full scale")
    np.testing.assert_allclose(source.read([0])[0] * 255, np.moveaxis(colours, -1, 0), atol=4)
    grey = gradient(250, 250, 250)
    Image.fromarray(grey).save(tmp_path / name, quality=100)
    assert open_set(tmp_path / name).image_shape == (1, 16, 16)
    np.testing.assert_allclose(read(tmp_path / name) * 255, grey[..., 0], atol=2)


@pytest.mark.parametrize(
    ("dtype", "white", "unit"),
    [
        (np.uint8, 255, "full scale"),
        (np.uint16, 65535, "full scale"),
        (np.int32, 1, "unknown"),
        (np.float32, 1, "unknown"),
    ],
)
def test_tiff_keeps_every_depth(tmp_path: Path, dtype: type, white: int, unit: str) -> None:
    values = (np.arange(64).reshape(8, 8) * 3 + 7).astype(dtype)
    Image.fromarray(values).save(tmp_path / "a.tif")
    np.testing.assert_allclose(read(tmp_path / "a.tif") * white, values, rtol=1e-6)
    assert open_set(tmp_path / "a.tif").header.flux_unit == unit


@pytest.mark.parametrize("name", ["JPEG", "TIFF"])
def test_damage_anywhere_is_one_line(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Tried out here and not in a child process for each, whose start takes its time.
    monkeypatch.setattr("gravlensdiffusion.untrusted.probe.probe_file", verdict)
    path = tmp_path / f"a.{name.lower()}"
    Image.fromarray(gradient(250, 150, 50)).save(path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(60):
        damaged = np.frombuffer(whole, np.uint8).copy()
        damaged[rng.integers(min(300, len(whole)), size=3)] = rng.integers(256, size=3)
        path.write_bytes(damaged.tobytes()[: rng.integers(8, len(whole) + 1)])
        # It is read, or refused with a line: no other error comes out.
        with suppress(GravLensError):
            open_set(path)


@pytest.mark.parametrize("kind", ["linear", "asinh"])
def test_a_stretch_and_its_inverse(kind: str) -> None:
    card = PngCard(stretch=kind, low=-2.0, high=500.0, flux_unit="e-/s")
    flux = np.linspace(-2, 500, 101)
    grey = stretch(flux, card)
    assert grey[0] == 0
    assert grey[-1] == pytest.approx(1)
    assert (np.diff(grey) > 0).all()
    np.testing.assert_allclose(_unstretch(grey, card), flux, rtol=1e-12, atol=1e-10)
    np.testing.assert_array_equal(stretch(np.array([-9.0, 900.0]), card), grey[[0, -1]])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "not JSON",
        '{"stretch": "power", "low": 0, "high": 1, "flux_unit": "a"}',
        '{"stretch": "linear", "low": 1, "high": 0, "flux_unit": "a"}',
        '{"stretch": "linear", "low": 0, "high": 1e999, "flux_unit": "a"}',
        '{"stretch": "linear", "low": 0, "high": "x", "flux_unit": "a"}',
        '{"stretch": "linear", "low": 0, "high": 1, "flux_unit": 3}',
        '{"stretch": "linear", "low": 0, "high": 1, "flux_unit": "a", "pixel_scale_arcsec": -1.0}',
        '{"stretch": "linear", "low": 0, "high": 1, "flux_unit": "a", "other": 1}',
    ],
)
def test_text_that_states_nothing_sensible_is_passed_over(text: str) -> None:
    assert _read_card({"gravlens": text}) is None


def test_a_card_comes_back() -> None:
    card = PngCard(
        stretch="asinh",
        low=-1.0,
        high=9.5,
        flux_unit="e-/s",
        pixel_scale_arcsec=0.1,
        class_name="cdm",
        label=1,
        image=7,
        seed=3,
        model="lens28",
        software="x",
    )
    assert _read_card({"gravlens": json.dumps(asdict(card))}) == card
