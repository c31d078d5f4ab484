"""What the numbers of files without a unit are taken for."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.evaluation.preparation import PreparedSource
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.sets.flux import peak_scaled, resize, resize_flux
from gravlensdiffusion.sets.training_set import prepare
from tests.evaluation.sets import prepared
from tests.sets.files import save_folder

GREYS = np.random.default_rng(0).integers(0, 256, (6, 12, 12)).astype(np.uint8)
GREYS[:, 3, 4] = 255
PEAK = np.random.default_rng(1).random((5, 12, 12))
PEAK[:, 6, 5], PEAK[:, 0, 0] = 1, 0


def opened(path: Path, images: np.ndarray, form: str = "npy", **options: object) -> object:
    if form == "folder":
        save_folder(path, images)
        return open_set(path, **options)
    path = path.with_suffix(f".{form}")
    if form == "npy":
        np.save(path, images)
    else:
        np.savez_compressed(path, images=images)
    return open_set(path, **options)


@pytest.mark.parametrize("form", ["npy", "npz", "folder"])
def test_whole_numbers_are_the_same_greys_in_any_type_and_every_command(
    form: str, tmp_path: Path
) -> None:
    stored = [GREYS, GREYS.astype(np.uint16) * 257, GREYS.astype(np.int64), GREYS / np.float32(1)]
    expected = GREYS[:, None] / np.float32(255)
    for k, images in enumerate(stored):
        source = opened(tmp_path / f"set{k}", images, form)
        assert source.header.flux_unit == "full scale"
        (note,) = source.notes
        white = 65535 if k == 1 else 255
        assert note.startswith(f"6 images have whole numbers up to {white}: divided by that")
        evaluated = prepared([PreparedSource(source, "a")] * 2)[0]
        for seen in (
            source.read(slice(None)),
            evaluated.read(slice(None)),
            prepare(source, tmp_path / f"run{k}", 12, "area").images[:],
        ):
            np.testing.assert_allclose(seen, expected, rtol=1e-6)
        # Greys are a brightness: their mean is kept.
        reduced = source.resized(4).read(np.arange(6))
        np.testing.assert_allclose(reduced.mean((1, 2, 3)), expected.mean((1, 2, 3)), rtol=1e-5)


@pytest.mark.parametrize("crop", [None, 6])
def test_images_that_run_from_0_to_1_are_peak_also_where_they_are_cropped(
    crop: int | None, tmp_path: Path
) -> None:
    source = opened(tmp_path / "set", PEAK, crop=crop)
    assert source.header.flux_unit == "peak"
    (note,) = source.notes
    assert note.startswith("5 images have no unit and values exactly from 0 to 1")


@pytest.mark.parametrize("form", ["npy", "npz", "folder"])
@pytest.mark.parametrize("method", ["bilinear", "area"])
def test_images_that_were_reduced_after_they_were_scaled_are_peak(
    method: str, form: str, tmp_path: Path
) -> None:
    reduced = resize(blobs(), 24, method)
    assert (reduced.max((1, 2)) < 1).all()
    source = opened(tmp_path / "set", reduced, form)
    assert source.header.flux_unit == "peak"
    (note,) = source.notes
    highest = reduced.max((1, 2)).mean()
    assert note.startswith(
        "6 images have no unit and values within 0 and 1, the brightest pixel at "
        f"{highest:.3g} on average"
    )
    assert np.array_equal(source.read(slice(None))[:, 0], reduced)


def test_the_pixels_that_a_reduction_kept_may_reach_0_and_1(tmp_path: Path) -> None:
    reduced = resize(blobs(), 12, "bilinear")  # every fifth pixel as it was
    assert reduced[0].max() == 1 > reduced[1].max()
    assert opened(tmp_path / "set", reduced).header.flux_unit == "peak"


@pytest.mark.parametrize("size", [60, 40, 20])
@pytest.mark.parametrize("are_noisy", [False, True])
def test_fluxes_are_not_taken_for_peak(size: int, are_noisy: bool, tmp_path: Path) -> None:
    """Of stars up to five magnitudes apart, with their sky taken off."""
    flux = blobs(noise=0.002 if are_noisy else 0, are_scaled=False)
    source = opened(tmp_path / "set", resize_flux(flux, size, "area"))
    assert source.header.flux_unit == "unknown"


def blobs(noise: float = 0.002, *, are_scaled: bool = True) -> np.ndarray:
    """Return blobs of 60 pixels in noise, each scaled to [0, 1] or of a brightness of its own."""
    rng = np.random.default_rng(2)
    rows = np.arange(60)[:, None] - np.array([32, 29, 31, 28, 30.5, 27])[:, None, None]
    images = np.exp(-(rows**2 + rows.transpose(0, 2, 1) ** 2) / 40)
    if not are_scaled:
        images *= 10 ** rng.uniform(-1.7, 0.3, 6)[:, None, None]
    images += noise * rng.normal(size=images.shape)
    return peak_scaled(images.astype(np.float32))[0] if are_scaled else images


@pytest.mark.parametrize(
    "images",
    [
        PEAK * 0.6,
        PEAK + 1e-3,
        PEAK - 1e-3,
        PEAK / 2 + 0.4,
        PEAK * np.array([1, 0.5, 0.5, 0.5, 0.5])[:, None, None],
        GREYS / np.float32(2),
        GREYS.astype(float) - 1,
        np.vstack([PEAK, GREYS]),
    ],
)
def test_all_other_numbers_stay_as_they_are(images: np.ndarray, tmp_path: Path) -> None:
    source = opened(tmp_path / "set", images)
    assert (source.header.flux_unit, source.notes) == ("unknown", ())
    assert np.array_equal(source.read(slice(None))[:, 0], images.astype(np.float32))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
def test_whole_numbers_of_fits_are_counts(dtype: type, tmp_path: Path) -> None:
    counts = (GREYS[0] // 2).astype(dtype)
    fits.PrimaryHDU(counts).writeto(tmp_path / "image.fits")
    source = open_set(tmp_path / "image.fits")
    assert (source.header.flux_unit, source.notes) == ("unknown", ())
    assert np.array_equal(source.read([0])[0, 0], counts)


def test_types_that_are_not_on_one_scale_make_no_set(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    save_folder(folder, GREYS)
    np.save(folder / "z.npy", PEAK[0].astype(np.float32))
    with pytest.raises(GravLensError, match="flux unit 'peak' where most have flux unit 'full"):
        open_set(folder)


def test_greys_are_not_compared_with_numbers_far_out_of_their_scale(tmp_path: Path) -> None:
    sets = [
        PreparedSource(opened(tmp_path / "bytes", GREYS), "bytes"),
        PreparedSource(opened(tmp_path / "floats", GREYS * np.float32(0.99)), "floats"),
    ]
    with pytest.raises(GravLensError, match=r"images of floats reach far beyond 1.*`rescale` peak"):
        prepared(sets)
    assert len(prepared(sets, rescale="peak")) == 2
