"""Which models fit a set, and how others are made to fit or refused."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from gravlensdiffusion.balancing.balance import BalancePlan, balance
from gravlensdiffusion.balancing.fit import Fit
from gravlensdiffusion.balancing.settings import BalanceSettings
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.sets.lens_set import LensSet
from gravlensdiffusion.store.reader import LensStore
from tests.balancing.sets import LABELS, save_set, tiny
from tests.models import LEARNED, ORDERED
from tests.sets.files import save_folder

RESAMPLED = BalanceSettings(resample=True)


def planned(
    tmp_path: Path, source: LensSet, model: LensGenerator, settings: BalanceSettings | None = None
) -> BalancePlan:
    """Return what a balance would do."""
    out = tmp_path / "planned.h5"
    return balance(source, model, out, settings=settings or BalanceSettings(), dry_run=True)


def fit(
    tmp_path: Path,
    config: object = ORDERED,
    *,
    size: int = 8,
    settings: BalanceSettings = RESAMPLED,
    has_twins: bool = False,
    **header: object,
) -> Fit:
    """Return how a model fits a set."""
    source = save_set(tmp_path / "set.h5", size=size, has_twins=has_twins, **header)
    return planned(tmp_path, source, tiny(config), settings=settings).fit


def made(path: Path, config: object, source: LensStore, settings: BalanceSettings) -> np.ndarray:
    """Return what is made for a set."""
    balance(source, tiny(config), path, settings=settings)
    with LensStore(path) as store:
        return store.read(np.flatnonzero(store.is_generated))


@pytest.mark.parametrize(
    ("config", "header", "message"),
    [
        (
            replace(LEARNED, class_names=("no_sub", "wdm")),
            {},
            "model 'tiny' has no classes 'axion', 'cdm'; it has: no_sub, wdm; `map` says which",
        ),
        (
            replace(LEARNED, class_names=("no_sub", "cdm")),
            {},
            "model 'tiny' has no class 'axion'; it has: no_sub, cdm",
        ),
        (replace(LEARNED, class_names=()), {}, "has no classes 'axion', 'cdm'; it has: none"),
        (
            replace(LEARNED, num_channels=2),
            {},
            "model 'tiny' makes images of 2 channels, those of the set have 1",
        ),
        (LEARNED, {"flux_unit": "Jy"}, "images of the set are in 'Jy', those of model 'tiny' in"),
        (
            replace(LEARNED, flux_unit="peak"),
            {},
            "images of the set are in 'e-/s', those of model 'tiny' in 'peak'",
        ),
        (LEARNED, {"flux_unit": "unknown"}, "do not say their flux unit.* `flux_unit` peak says"),
        (
            LEARNED,
            {"size": 6},
            "have 6 pixels of 0.25 arcsec, those of model 'tiny' 8 pixels of 0.25 arcsec; `resample`",
        ),
        (
            LEARNED,
            {"pixel_scale_arcsec": 0.2465},
            "of 0.2465 arcsec, .* of 0.25 arcsec; `resample`",
        ),
        (LEARNED, {"size": 12, "pixel_scale_arcsec": None}, "the set have 12 pixels, those of"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(
    tmp_path: Path, config: object, header: dict[str, object], message: str
) -> None:
    with pytest.raises(GravLensError, match=message) as caught:
        fit(tmp_path, config, settings=BalanceSettings(), **header)
    assert "\n" not in str(caught.value)


def test_a_class_that_needs_nothing_may_be_unknown_to_the_model(tmp_path: Path) -> None:
    two = replace(LEARNED, class_names=("cdm", "axion"))
    assert fit(tmp_path, two, settings=BalanceSettings()).notes == ()


@pytest.mark.parametrize("scale", [0.2479, 0.25, 0.2521])
def test_pixels_alike_to_a_hundredth_are_the_same(tmp_path: Path, scale: float) -> None:
    assert fit(tmp_path, pixel_scale_arcsec=scale).resample is None


def test_a_set_of_equal_size_needs_no_pixel_scale(tmp_path: Path) -> None:
    found = fit(tmp_path, settings=BalanceSettings(), pixel_scale_arcsec=None)
    assert found.resample is None
    assert found.notes == (
        "the set does not say its pixel scale: the pixel scale is taken to be the same",
    )


@pytest.mark.parametrize(
    ("size", "scale", "window", "method"),
    [
        (4, 0.5, 8, "area"),
        (16, 0.125, 8, "bilinear"),
        (4, 0.25, 4, "area"),
        (8, 0.125, 4, "bilinear"),
        (6, 0.3, 7.2, "area"),
        (4, None, 8, "area"),
    ],
)
def test_resampling_keeps_the_scale_of_the_sky(
    tmp_path: Path, size: int, scale: float | None, window: float, method: str
) -> None:
    found = fit(tmp_path, size=size, pixel_scale_arcsec=scale).resample
    assert found is not None
    expected = {"size": size, "method": method, "flux_unit": "e-/s"}
    assert found.keywords == expected | {"window": pytest.approx(window)}


@pytest.mark.parametrize("settings", [BalanceSettings(), RESAMPLED])
def test_what_lies_outside_of_the_models_images_is_not_made_up(
    tmp_path: Path, settings: BalanceSettings
) -> None:
    with pytest.raises(GravLensError, match="outside of its images cannot be resampled"):
        fit(tmp_path, size=12, settings=settings)


@pytest.mark.parametrize("unit", ["e-/s", "unknown", "MJy/sr", "full scale"])
def test_resampled_images_keep_their_flux_or_their_brightness(tmp_path: Path, unit: str) -> None:
    config = replace(LEARNED, flux_unit=unit)
    native = save_set(tmp_path / "a.h5", flux_unit=unit)
    reduced = save_set(tmp_path / "b.h5", size=4, pixel_scale_arcsec=0.5, flux_unit=unit)
    large = made(tmp_path / "a_out.h5", config, native, RESAMPLED)
    small = made(tmp_path / "b_out.h5", config, reduced, RESAMPLED)
    statistic = np.sum if unit in ("e-/s", "unknown") else np.mean
    assert small.shape == (5, 1, 4, 4)
    np.testing.assert_allclose(
        statistic(small, axis=(1, 2, 3)), statistic(large, axis=(1, 2, 3)), rtol=1e-4
    )


def test_originals_are_not_resampled(tmp_path: Path) -> None:
    source = save_set(tmp_path / "a.h5", size=4, pixel_scale_arcsec=0.5)
    balance(source, tiny(), tmp_path / "out.h5", settings=RESAMPLED)
    with LensStore(tmp_path / "out.h5") as store:
        assert store.read(slice(0, 8)).tobytes() == source.read(slice(0, 8)).tobytes()
        assert store.header.pixel_scale_arcsec == 0.5
        assert store.header.fillings[0].resample == "area, middle 8 pixels to 4"


def test_twins_are_kept_where_the_model_has_them(tmp_path: Path) -> None:
    source = save_set(tmp_path / "a.h5", size=4, has_twins=True, pixel_scale_arcsec=0.5)
    balance(source, tiny(), tmp_path / "out.h5", settings=RESAMPLED)
    with LensStore(tmp_path / "out.h5") as store:
        noise = store.read(slice(8, 13)) - store.read_noise_free(slice(8, 13))
        # Four pixels of noise 0.1 in each.
        assert noise.std() == pytest.approx(0.2, rel=0.3)


def test_twins_that_the_model_lacks_are_left_out_and_it_says_so(tmp_path: Path) -> None:
    found = fit(tmp_path, LEARNED, has_twins=True)
    assert not found.has_twins
    assert found.notes == (
        "noise-free twins are left out: model 'tiny' has learned its noise with its lenses",
    )
    source = LensStore(tmp_path / "set.h5")
    balance(source, tiny(LEARNED), tmp_path / "out.h5")
    assert not LensStore(tmp_path / "out.h5").has_noise_free


def test_another_resize_of_the_training_set_is_told(tmp_path: Path) -> None:
    (note,) = fit(tmp_path, replace(ORDERED, resize="area"), resize="bilinear").notes
    assert note == ("the set was reduced by resize bilinear, the training images of 'tiny' by area")


def test_a_parameter_of_another_unit_is_not_mixed(tmp_path: Path) -> None:
    source = save_set(tmp_path / "set.h5", parameter_units={"theta_E": "deg"})
    plan = planned(tmp_path, source, tiny())
    assert plan.notes == ("not stored with generated images, the set has another unit: theta_E",)
    balance(source, tiny(), tmp_path / "out.h5")
    with LensStore(tmp_path / "out.h5") as store:
        assert np.isnan(store.parameters["theta_E"][8:]).all()
        assert np.isfinite(store.parameters["source_x"][8:]).all()


def peak_set(path: Path, *, is_exact: bool) -> LensStore:
    """Write a set each image of which was scaled to [0, 1], there or at another size."""
    source = save_set(path)
    images = source.read(slice(None))
    low, high = images.min((1, 2, 3), keepdims=True), images.max((1, 2, 3), keepdims=True)
    images = (images - low) / (high - low)
    if not is_exact:
        factor = 1 - np.arange(1, 9, dtype=np.float32)[:, None, None, None] / 32
        images = images * factor + np.float32(2**-10)
    source.close()
    with h5py.File(path, "r+") as file:
        file["images"][:] = images
        file.attrs["flux_unit"] = "peak"
    return LensStore(path)


def test_images_of_an_exact_peak_set_run_from_0_to_1(tmp_path: Path) -> None:
    source = peak_set(tmp_path / "set.h5", is_exact=True)
    assert planned(tmp_path, source, tiny()).notes == ()
    images = made(tmp_path / "out.h5", ORDERED, source, BalanceSettings())
    assert (images.min((1, 2, 3)) == 0).all()
    assert (images.max((1, 2, 3)) == 1).all()


@pytest.mark.parametrize("settings", [BalanceSettings(), RESAMPLED])
def test_images_of_a_reduced_peak_set_take_the_extremes_of_originals(
    tmp_path: Path, settings: BalanceSettings
) -> None:
    source = peak_set(tmp_path / "set.h5", is_exact=False)
    (note,) = planned(tmp_path, source, tiny(), settings=settings).notes
    assert "do not reach from 0 to 1" in note
    images = made(tmp_path / "out.h5", ORDERED, source, settings)
    old = source.read(slice(None)).max((1, 2, 3))
    new = images.max((1, 2, 3))
    # Three axion images from the one original, two cdm images from the two.
    np.testing.assert_allclose(new[:3], old[5], rtol=1e-6)
    assert all(np.isclose(value, old[[3, 7]], rtol=1e-6).any() for value in new[3:])
    np.testing.assert_allclose(images.min((1, 2, 3)), 2**-10, rtol=1e-3)
    assert LABELS[5] == 0


def test_a_peak_model_draws_peak_images_of_its_own(tmp_path: Path) -> None:
    source = peak_set(tmp_path / "set.h5", is_exact=False)
    config = replace(LEARNED, flux_unit="peak")
    assert not planned(tmp_path, source, tiny(config)).fit.is_scaled


def class_folders(tmp_path: Path) -> Path:
    """Return class folders of .npy files, each scaled to [0, 1]; there is one axion."""
    random = np.random.default_rng(0).random((5, 8, 8))
    random[:, 0, 0], random[:, 0, 1] = 0, 1
    save_folder(tmp_path / "data" / "axion", random[:1])
    save_folder(tmp_path / "data" / "cdm", random[1:])
    return tmp_path / "data"


@pytest.mark.parametrize(("highest", "unit"), [(0.9, "peak"), (0.6, "unknown")])
def test_npy_files_that_were_reduced_are_balanced_by_themselves_or_when_it_is_told(
    tmp_path: Path, highest: float, unit: str
) -> None:
    folder = class_folders(tmp_path)
    for file in folder.rglob("*.npy"):
        np.save(file, np.load(file) * highest)
    source = open_set(folder)
    assert source.header.flux_unit == unit
    settings = BalanceSettings(flux_unit="peak" if unit == "unknown" else None)
    done = balance(source, tiny(), tmp_path / "out.h5", settings=settings)
    assert done.made == {"axion": 3, "cdm": 0}
    with LensStore(tmp_path / "out.h5") as store:
        assert store.header.flux_unit == "peak"
        assert store.header.pixel_scale_arcsec is None
        assert np.array_equal(store.read(slice(0, 5)), source.read(slice(0, 5)))
        assert np.allclose(store.read(slice(5, 8)).max((1, 2, 3)), highest)


def test_a_unit_that_numbers_alone_tell_is_not_believed_against_the_user(tmp_path: Path) -> None:
    source = open_set(class_folders(tmp_path)).select([4, 3, 2, 1, 0])
    assert source.header.flux_unit == "peak"
    assert (
        planned(tmp_path, source, tiny(), settings=BalanceSettings(flux_unit="e-/s")).fit.flux_unit
        == "e-/s"
    )


def test_a_unit_that_is_not_true_is_refused(tmp_path: Path) -> None:
    folder = class_folders(tmp_path)
    np.save(folder / "cdm" / "sample3.npy", np.linspace(0, 255, 64).reshape(8, 8))
    with pytest.raises(
        GravLensError, match="is no peak: image 3 runs from 0 to 255, out of 0 to 1"
    ):
        planned(tmp_path, open_set(folder), tiny(), settings=BalanceSettings(flux_unit="peak"))
    with pytest.raises(GravLensError, match="says that its flux unit is 'e-/s', not 'peak'"):
        fit(tmp_path, settings=BalanceSettings(flux_unit="peak"))
