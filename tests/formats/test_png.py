"""Grey PNG files of every depth."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.formats.png import PngCard, read_card, stretch, unstretch

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


@pytest.mark.parametrize("kind", ["linear", "asinh"])
def test_a_stretch_and_its_inverse(kind: str) -> None:
    card = PngCard(stretch=kind, low=-2.0, high=500.0, flux_unit="e-/s")
    flux = np.linspace(-2, 500, 101)
    grey = stretch(flux, card)
    assert grey[0] == 0
    assert grey[-1] == pytest.approx(1)
    assert (np.diff(grey) > 0).all()
    np.testing.assert_allclose(unstretch(grey, card), flux, rtol=1e-12, atol=1e-10)
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
        '{"stretch": "linear", "low": 0, "high": "1", "flux_unit": "a"}',
        '{"stretch": "linear", "low": 0, "high": 1, "flux_unit": 3}',
        '{"stretch": "linear", "low": 0, "high": 1, "flux_unit": "a", "pixel_scale_arcsec": -1.0}',
        '{"stretch": "linear", "low": 0, "high": 1, "flux_unit": "a", "other": 1}',
    ],
)
def test_text_that_states_nothing_sensible_is_passed_over(text: str) -> None:
    assert read_card({"gravlens": text}) is None


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
    assert read_card({"gravlens": card.to_text()}) == card
