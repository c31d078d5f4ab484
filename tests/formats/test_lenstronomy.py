"""HDF5 files with the names of lenstronomy's arguments, as DESI lenses come."""

from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.formats import hdf5
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.store.writer import write_store
from gravlensdiffusion.untrusted.probe import verdict
from tests.sets.files import HEADER, lens_images, lens_records

NAMES = ("DESIJ0132-1600", "DESIJ2158+0257")
ANGLE = 0.3
TURNED = 0.08 * np.array([[-np.cos(ANGLE), np.sin(ANGLE)], [np.sin(ANGLE), np.cos(ANGLE)]])


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try files out here and not in a child process, whose start takes its time."""

    for module in ("formats.hdf5", "untrusted.probe"):
        monkeypatch.setattr(f"gravlensdiffusion.{module}.probe_file", verdict)


def save(path: Path, **data: object) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    with h5py.File(path, "w") as file:
        for name, values in data.items():
            file[name] = values
    return path


def desi_folder(root: Path) -> Path:
    """Write a folder for each lens, with an image and a PSF in each."""
    for name, image in zip(NAMES, lens_images(2), strict=True):
        save(
            root / name / f"{name}_F140W.h5",
            image_data=image.astype(np.float64),
            exposure_time=np.full(image.shape, 2400.0),
            background_rms=0.015,
            transform_pix2angle=TURNED,
        )
        psf = lens_images(1, size=7)[0].astype(">f4")
        save(root / name / "psf_F140W.h5", kernel_point_source=psf)
    return root


def test_each_lens_once_with_what_its_file_knows(tmp_path: Path) -> None:
    source = open_set(desi_folder(tmp_path / "desi"))
    np.testing.assert_array_equal(source.read(slice(None))[:, 0], lens_images(2))
    assert source.header.class_names == ()
    assert source.header.pixel_scale_arcsec == pytest.approx(0.08)
    assert source.parameters["background_rms"].tolist() == [0.015, 0.015]
    assert source.notes == (
        "folders of one object each, whose names are no classes: 2",
        "named like PSFs, left alone: 2; psf_F140W.h5 first",
    )


def test_depth_and_flagged_pixels(tmp_path: Path) -> None:
    image = lens_images(1)[0].astype(np.float64)
    time, noise = np.full(image.shape, 2400.0), np.full(image.shape, 0.02)
    time[0, :2], noise[1, :3] = (0.0, np.nan), (1e8, np.nan, 0.0)
    time[-1] = 1200.0
    both = open_set(save(tmp_path / "a.h5", image_data=image, exposure_time=time, noise_map=noise))
    assert both.read_masked([0])[0, 0].sum(axis=1)[:3].tolist() == [2, 3, 0]
    assert both.parameters["exposure_time"].tolist() == [2400.0]
    assert both.parameters["background_rms"] == pytest.approx([0.02])
    assert both.header.parameter_units["exposure_time"] == "s"
    assert both.notes[0].startswith("masked pixels")
    # What the file states counts before its map; of one number there is nothing to flag.
    stated = {"background_rms": 0.015, "exposure_map": 600.0}
    source = open_set(save(tmp_path / "b.h5", image_data=image, noise_map=noise, **stated))
    assert source.parameters["background_rms"].tolist() == [0.015]
    assert source.parameters["exposure_time"].tolist() == [600.0]
    assert source.read_masked([0]).sum() == 3


def test_maps_of_another_size_and_times_of_nothing_are_left(tmp_path: Path) -> None:
    image = lens_images(1)[0].astype(np.float64)
    maps = {"noise_map": np.ones((4, 4)), "exposure_time": np.zeros(image.shape)}
    source = open_set(save(tmp_path / "a.h5", image_data=image, **maps))
    assert not source.has_masked
    assert not source.parameters
    assert "exposure_time (exposure time), noise_map (noise map) left" in source.notes[0]


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.float64])
def test_pixels_that_the_likelihood_leaves_out(tmp_path: Path, dtype: type) -> None:
    image = lens_images(1)[0].astype(np.float64)
    mask = np.ones(image.shape, dtype)
    mask[0, :3] = 0
    image[0, 0] = np.nan
    source = open_set(save(tmp_path / "a.h5", image_data=image, likelihood_mask=mask))
    assert source.read_masked([0]).sum() == 3
    assert source.notes == (
        (
            "masked pixels, 3 in 1 of 1 images (1 NaN or BLANK, 2 by likelihood mask): each looks like those "
            "beside it; a.h5 first"
        ),
    )
    path = save(tmp_path / "b.h5", image_data=image, likelihood_mask=mask[1:])
    with pytest.raises(
        GravLensError,
        match=r"b.h5: has a likelihood mask of 7 x 8 pixels in 1 for an image of 8 x 8",
    ):
        open_set(path)


def test_one_file_and_the_folder_of_one_lens(tmp_path: Path) -> None:
    folder = desi_folder(tmp_path) / NAMES[1]
    for path in (folder, folder / f"{NAMES[1]}_F140W.h5"):
        np.testing.assert_array_equal(open_set(path).read([0])[0, 0], lens_images(2)[1])
    with pytest.raises(GravLensError, match=r"holds a PSF \(kernel_point_source\), and no image"):
        open_set(folder / "psf_F140W.h5")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"image_data": "text"}, "no real numbers"),
        ({"image_data": 1.0}, "has shape"),
        ({"image_data": np.eye(8), "transform_pix2angle": np.ones((2, 2))}, "not a scale"),
        (
            {"image_data": np.eye(8), "transform_pix2angle": np.diag([0.1, 0.2])},
            "0.1 x 0.2 arcsec, not square",
        ),
        ({"image_data": h5py.ExternalLink("other.h5", "image_data")}, "is a link"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, data: dict[str, object], message: str) -> None:
    save(tmp_path / "other.h5", image_data=np.eye(8))
    with pytest.raises(GravLensError, match=message):
        open_set(save(tmp_path / "a.h5", **data))


def test_our_own_sets_stay_sets(tmp_path: Path) -> None:
    path = write_store(tmp_path / "image_data.h5", lens_records(3), HEADER)
    assert open_set(path).header == HEADER


@pytest.mark.parametrize(
    "trial",
    [hdf5._read_lenstronomy, hdf5._check_names, hdf5._try_out],
    ids=["file", "names", "other"],
)
@pytest.mark.parametrize("error", [KeyError, OSError, RuntimeError, ValueError, MemoryError])
def test_whatever_the_library_raises_is_a_verdict(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trial: Callable[[Path], object],
    error: type[Exception],
) -> None:
    class Damaged(h5py.File):
        def __iter__(self) -> Iterator[str]:
            raise error("unable to determine object type")

        def __len__(self) -> int:
            raise error("unable to determine object type")

    path = save(tmp_path / "a.h5", image_data=np.eye(8))
    monkeypatch.setattr(h5py, "File", Damaged)
    assert isinstance(verdict(path, trial), str)
