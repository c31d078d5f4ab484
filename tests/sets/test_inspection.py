"""A data set in numbers."""

from pathlib import Path

import numpy as np
import pytest

from gravlensdiffusion.config.model import TransformConfig
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.model.transform import fit_transform
from gravlensdiffusion.sets.inspection import inspect_lenses
from gravlensdiffusion.sets.records import LensRecord
from gravlensdiffusion.store.writer import write_store
from tests.sets.files import HEADER, lens_images, lens_records, save_folder
from tests.sources import in_blocks


def test_numbers_are_those_of_the_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Blocks of two images: what is added up over blocks must come out the same.
    monkeypatch.setattr("gravlensdiffusion.sets.images.BLOCK", 2)
    images = lens_images(7) * 5 + 1000
    summary = inspect_lenses(open_set(save_folder(tmp_path, images)))
    pixels = summary
    assert pixels.mean == pytest.approx(images.mean(dtype=float), rel=1e-9)
    assert pixels.std == pytest.approx(images.std(dtype=float), rel=1e-6)
    assert pixels.lows == (images.min((1, 2)).min(), images.min((1, 2)).max())
    assert pixels.highs == (images.max((1, 2)).min(), images.max((1, 2)).max())
    assert pixels.num_quantile_pixels == images.size
    for level, value in pixels.quantiles.items():
        assert value == pytest.approx(np.quantile(images, level), rel=1e-6)


def test_quantiles_of_a_large_set_come_from_evenly_spread_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gravlensdiffusion.sets.inspection.NUM_QUANTILE_PIXELS", 5000)
    monkeypatch.setattr("gravlensdiffusion.sets.images.BLOCK", 3)
    images = lens_images(30, size=33)
    summary = inspect_lenses(open_set(save_folder(tmp_path, images)))
    # A step of 6 has a factor in common with 33 pixels a side, and would see a third of the columns.
    assert images.size // 5000 == 6
    kept = images.ravel()[::7]
    assert summary.num_quantile_pixels == len(kept)
    assert summary.quantiles[0.5] == pytest.approx(np.quantile(kept, 0.5))


def test_classes_parameters_and_subhaloes(tmp_path: Path) -> None:
    records = [*lens_records(7), LensRecord(image=lens_images(1, seed=8))]
    path = write_store(tmp_path / "lenses.h5", records, HEADER)
    summary = inspect_lenses(open_set(path))
    assert summary.class_counts == {"no_sub": 3, "cdm": 2, "axion": 2, "unlabelled": 1}
    assert summary.parameters == {
        "theta_E": (1.0, 1.6, "arcsec", 7),
        "axion_mass": (1e-23, 1e-23, "eV", 2),
    }


def test_duplicates_are_found_by_content(tmp_path: Path) -> None:
    images = lens_images(6)[[0, 1, 0, 2, 1, 0]]
    images[4] += 1e-6 * images[4].max()
    save_folder(tmp_path, images)
    # The same pixels as another type are the same image.
    np.save(tmp_path / "sample2.npy", images[1].astype(float))
    summary = inspect_lenses(open_set(tmp_path))
    names = [[Path(name).stem for name in group] for group in summary.duplicates]
    assert names == [["sample1", "sample3", "sample6"], ["sample2", "sample5"]]


def sky_and_star(peak: float, level: float) -> np.ndarray:
    sky = level + np.random.default_rng(1).normal(size=(20, 8, 8))
    sky[:, 4, 4] = peak
    return sky


class TestChoiceOfTransform:
    def test_asinh_with_the_constants_that_training_measures(self, tmp_path: Path) -> None:
        images = sky_and_star(5000, 100).astype(np.float32)
        summary = inspect_lenses(open_set(save_folder(tmp_path, images)))
        assert summary.transform == "asinh"
        fitted = fit_transform(
            TransformConfig(kind="asinh", fit=True), in_blocks(images[:, None], 3), (1, 8, 8)
        ).config
        assert f"{fitted.scale:.3g} above {fitted.offset:.3g}" in summary.transform_reason
        assert not summary.in_unit_range

    def test_linear_where_the_sky_is_cut_off(self, tmp_path: Path) -> None:
        images = np.maximum(sky_and_star(5000, 0), 2.5)
        summary = inspect_lenses(open_set(save_folder(tmp_path, images)))
        assert summary.transform == "linear"

    def test_unit_range(self, tmp_path: Path) -> None:
        images = lens_images(5)
        images = (images - images.min()) / (images.max() - images.min())
        source = open_set(save_folder(tmp_path / "a", images))
        assert inspect_lenses(source).in_unit_range
        source = open_set(save_folder(tmp_path / "b", images + 0.01))
        assert not inspect_lenses(source).in_unit_range
