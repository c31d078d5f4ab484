"""Images from HDF5 files that hold the arguments of lenstronomy's ``ImageData`` and ``PSF`` by their names.

Such a file holds `IMAGE`, the pixels, beside what it takes to fit them: the exposure time, the noise of the
sky or of each pixel, and the matrix from pixels to angles [arcsec]. One with `PSF` alone is that of an image
beside it.
"""

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.errors import BadImageError, GravLensError
from gravlensdiffusion.formats.fits_header import side_of_pixel
from gravlensdiffusion.formats.image import Facts, as_image, check_dtype, image_shape
from gravlensdiffusion.formats.pixel_maps import TIME, USED, with_maps
from gravlensdiffusion.formats.units import BACKGROUND_RMS, EXPOSURE_TIME
from gravlensdiffusion.sets.naming import NOISE
from gravlensdiffusion.store.schema import Checker
from gravlensdiffusion.store.trial import JUDGE as SET_JUDGE
from gravlensdiffusion.store.trial import check_storage
from gravlensdiffusion.untrusted import probe_file, refuse_bad, verdict

IMAGE = "image_data"
PSF = "kernel_point_source"
NOISE_MAP, MASK = "noise_map", "likelihood_mask"
EXPOSURE = (EXPOSURE_TIME, "exposure_map")
"""What the exposure time is called, that of all pixels or of each."""
BESIDE = {
    **dict.fromkeys(EXPOSURE, "exposure time"),
    NOISE_MAP: "noise map",
    MASK: "mask",
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
            rms = _finite(_array(file, BACKGROUND_RMS, (), path))
            matrix = _finite(_array(file, MATRIX, (2, 2), path))
            noise = _array(file, NOISE_MAP, dataset.shape, path)
            mask = _mask(file, dataset.shape, path)
            time = _exposure(file, dataset.shape, path)
    except GravLensError as error:
        raise BadImageError(str(error).removeprefix(f"{path}: ")) from error
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise BadImageError(f"is no readable HDF5 file ({reason:.100})") from error
    parameters = {} if rms is None else {BACKGROUND_RMS: float(rms)}
    if time is not None:
        parameters[EXPOSURE_TIME] = float(np.median(time[_exposed(time)]))
    units = {BACKGROUND_RMS: "", EXPOSURE_TIME: "s"}
    used = {NOISE_MAP: noise, MASK: mask, **dict.fromkeys(EXPOSURE, time)}
    beside = [
        f"{name} ({kind})"
        for name, kind in BESIDE.items()
        if name in names and used.get(name) is None
    ]
    facts = Facts(
        pixel_scale_arcsec=None if matrix is None else side_of_pixel(matrix),
        parameters=parameters,
        parameter_units={name: units[name] for name in parameters},
        taken=f"of HDF5 files {IMAGE} taken, {', '.join(beside)} left" if beside else "",
        has_mask=True,
    )
    exposure = time if time is not None and time.ndim else None
    maps = {NOISE: noise, USED: mask, TIME: exposure}
    shown = {kind: as_image(values) for kind, values in maps.items() if values is not None}
    return with_maps(pixels, facts, shown)


def is_lenstronomy(path: Path) -> bool:
    """Return whether an HDF5 file is no set of ours, and has the names of lenstronomy."""
    return probe_file(path, SET_JUDGE) is not None and probe_file(path, _NAMES_JUDGE) is None


def _judge_names(path: Path) -> str | None:
    """Return None for a file with an image or a PSF; called in a process of its own."""

    def look() -> None:
        with h5py.File(path, "r") as file:
            if not {IMAGE, PSF} & set(file):
                raise BadImageError("has other names")

    return verdict(look)


def judge(path: Path) -> str | None:
    """Return what is wrong with a file, or None; called in a process of its own."""
    return verdict(lambda: _read(path))


def _checked(file: h5py.File, name: str, path: Path) -> h5py.Dataset:
    """Return a data set that lies in the file as it should."""
    dataset = Checker(path).dataset(file, name, f"/{name}")
    if name != MASK or dataset.dtype != np.bool_:
        check_dtype(dataset.dtype)
    check_storage(dataset, name, path)
    return dataset


def _exposure(file: h5py.File, shape: tuple[int, ...], path: Path) -> NDArray[np.float64] | None:
    """Return the exposure time of an image or of each of its pixels, or None where the file tells none."""
    for name in EXPOSURE:
        for own in ((), shape):
            time = _array(file, name, own, path)
            if time is not None and _exposed(time).any():
                return time
    return None


def _exposed(time: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.isfinite(time) & (time > 0)


def _array(
    file: h5py.File, name: str, shape: tuple[int, ...], path: Path
) -> NDArray[np.float64] | None:
    """Return an array, or None where the file does not hold one of that shape."""
    if name not in sorted(file):
        return None
    dataset = _checked(file, name, path)
    return np.asarray(dataset[()], np.float64) if dataset.shape == shape else None


def _mask(file: h5py.File, shape: tuple[int, ...], path: Path) -> NDArray[np.float64] | None:
    """Return the mask of the pixels that are used, or None where the file holds none."""
    mask = _array(file, MASK, shape, path)
    if mask is None and MASK in sorted(file):
        raise BadImageError(f"has {MASK} of shape {file[MASK].shape} for {IMAGE} of shape {shape}")
    return mask


def _finite(values: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
    return values if values is not None and np.isfinite(values).all() else None
