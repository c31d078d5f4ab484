"""Images from HDF5 files that hold the arguments of lenstronomy's ``ImageData`` and ``PSF`` by their names.

Such a file holds `IMAGE`, the pixels, beside what it takes to fit them: the exposure time, the noise of the
sky, and the matrix from pixels to angles [arcsec]. One with `PSF` alone is that of an image beside it.
"""

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.errors import BadImageError, GravLensError
from gravlensdiffusion.formats.fits_header import side_of_pixel
from gravlensdiffusion.formats.image import Facts, as_image, check_dtype, image_shape
from gravlensdiffusion.formats.units import BACKGROUND_RMS
from gravlensdiffusion.store.schema import Checker
from gravlensdiffusion.store.trial import JUDGE as SET_JUDGE
from gravlensdiffusion.store.trial import check_storage
from gravlensdiffusion.untrusted import probe_file, refuse_bad, verdict

IMAGE = "image_data"
PSF = "kernel_point_source"
BESIDE = {
    "exposure_time": "exposure map",
    "exposure_map": "exposure map",
    "noise_map": "noise map",
    "likelihood_mask": "mask",
    PSF: "PSF",
}
"""What lies beside an image, and what it is."""
MATRIX = "transform_pix2angle"
JUDGE = f"{__name__}:judge"
_NAMES_JUDGE = f"{__name__}:_judge_names"


class LenstronomyReader:
    """Reads the one image of a file."""

    def images(self, path: Path) -> Iterator[tuple[NDArray[np.generic], Facts]]:
        """Yield the image of a file and what it says of it.

        Raises:
            BadImageError: If it holds none, or cannot be read.
        """
        refuse_bad(path, JUDGE)
        yield _read(path)

    def pixels(self, path: Path, index: int) -> NDArray[np.generic]:
        """Return the image of a file."""
        return next(self.images(path))[0]


def _read(path: Path) -> tuple[NDArray[np.generic], Facts]:
    try:
        with h5py.File(path, "r") as file:
            names = sorted(file)
            if IMAGE not in names:
                what = f"a PSF ({PSF})" if PSF in names else f"no {IMAGE}"
                raise BadImageError(f"holds {what}, and no image of a lens")
            dataset = _checked(file, IMAGE, path)
            image_shape(dataset.shape)
            pixels = as_image(dataset[()])
            rms = _small(file, BACKGROUND_RMS, (), path)
            matrix = _small(file, MATRIX, (2, 2), path)
    except GravLensError as error:
        raise BadImageError(str(error).removeprefix(f"{path}: ")) from error
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise BadImageError(f"is no readable HDF5 file ({reason:.100})") from error
    beside = ", ".join(f"{name} ({kind})" for name, kind in BESIDE.items() if name in names)
    return pixels, Facts(
        pixel_scale_arcsec=None if matrix is None else side_of_pixel(matrix),
        parameters={} if rms is None else {BACKGROUND_RMS: float(rms)},
        parameter_units={} if rms is None else {BACKGROUND_RMS: ""},
        taken=f"of HDF5 files {IMAGE} taken, {beside} left" if beside else "",
        has_mask=True,
    )


def is_lenstronomy(path: Path) -> bool:
    """Return whether an HDF5 file is no set of ours, and has the names of lenstronomy."""
    return probe_file(path, SET_JUDGE) is not None and probe_file(path, _NAMES_JUDGE) is None


def _judge_names(path: Path) -> str | None:
    """Return None for a file with an image or a PSF; called in a process of its own."""
    try:
        with h5py.File(path, "r") as file:
            return None if {IMAGE, PSF} & set(file) else "has other names"
    except (OSError, RuntimeError) as error:
        return str(error)


def judge(path: Path) -> str | None:
    """Return what is wrong with a file, or None; called in a process of its own."""
    return verdict(lambda: _read(path))


def _checked(file: h5py.File, name: str, path: Path) -> h5py.Dataset:
    """Return a data set that lies in the file as it should."""
    dataset = Checker(path).dataset(file, name, f"/{name}")
    check_dtype(dataset.dtype)
    check_storage(dataset, name, path)
    return dataset


def _small(
    file: h5py.File, name: str, shape: tuple[int, ...], path: Path
) -> NDArray[np.float64] | None:
    """Return a few numbers, or None where the file does not hold them."""
    if name not in sorted(file):
        return None
    dataset = _checked(file, name, path)
    values = np.asarray(dataset[()], np.float64) if dataset.shape == shape else None
    return values if values is not None and np.isfinite(values).all() else None
