r"""Measure the skies, depths and point spread functions that the presets of surveys state.

    python benchmarks/instruments.py FOLDER --out docs/benchmarks/instruments.json

The folder holds `slacs`, `desi_hst`, `euclid_q1` and `hst_psf`, or some of them. Correlations are taken
from differences between pixels, 1 - D(lag) / D(far), which a smooth background leaves alone. Point spread
functions are fitted with sums of three Moffat profiles, averaged over pixels, of which the widest falls
with the third power of the distance, as diffraction does.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tyro
from astropy.io import fits
from numpy.typing import NDArray
from running import launch
from scipy.ndimage import binary_dilation, gaussian_filter
from scipy.optimize import least_squares

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

REACH = 3
"""Largest distance at which a correlation is told [pixel]."""
FAR = 6
"""Distance at which noise is taken to be independent [pixel]."""
FLAG = 1e6
"""Noise of a pixel that is not to be used."""
WING_BETA = 1.5
SUBPIXELS = 5
RING_WEIGHT = 10.0
"""How much the light within a distance counts, beside that of single pixels over its root."""


@dataclass(frozen=True)
class Options:
    """What to measure."""

    folder: tyro.conf.Positional[Path]
    """Folder of real images."""
    out: Path
    """The numbers, as JSON."""


@dataclass(frozen=True)
class Cutout:
    """A real image.

    Attributes:
        name: Its name.
        image: The pixels, shape ``(H, H)``.
        good: Which of them count.
        noise: Noise map, or None.
    """

    name: str
    image: Floats
    good: Mask
    noise: Floats | None = None


def slacs(folder: Path) -> Iterator[Cutout]:
    """Yield the SLACS images, with their noise maps."""
    for each in sorted(folder.glob("slacs/J*")):
        image, noise = (
            fits.getdata(each / f"{name}.fits").astype(float) for name in ("image", "noise")
        )
        good = np.isfinite(image) & np.isfinite(noise) & (noise > 0) & (noise < FLAG)
        yield Cutout(each.name, image, good, noise)


def desi(folder: Path) -> Iterator[Cutout]:
    """Yield the DESI images."""
    for path in sorted(folder.glob("desi_hst/DESIJ*/DESIJ*.h5")):
        with h5py.File(path) as file:
            image, time = file["image_data"][()].astype(float), file["exposure_time"][()]
            yield Cutout(path.parent.name, image, np.isfinite(image) & (time > 0))


def euclid(folder: Path) -> Iterator[Cutout]:
    """Yield the Euclid VIS images of Q1."""
    for path in sorted(folder.glob("euclid_q1/*_vis_data.fits")):
        image = fits.getdata(path).astype(float)
        noise = fits.getdata(path.with_name(path.name.replace("_data", "_noise_map")))
        yield Cutout(path.name[:14], image, np.isfinite(image), noise.astype(float))
    for path in sorted(folder.glob("euclid_q1/*_cube.fits")):
        with fits.open(path) as file:
            image = next(
                hdu.data.astype(float) for hdu in file if hdu.name in ("VIS_FLUX", "VIS_BGSUB")
            )
            yield Cutout(
                path.name[:14], image, np.isfinite(image), file["VIS_RMS"].data.astype(float)
            )


def stamps(folder: Path) -> dict[str, tuple[float, list[Floats]]]:
    """Return the pixel scale [arcsec] and the point spread functions of each instrument."""
    vis = [fits.getdata(path) for path in sorted(folder.glob("euclid_q1/*_vis_psf.fits"))]
    cubes = sorted(folder.glob("euclid_q1/*_cube.fits"))
    vis.extend(fits.getdata(path, "VIS_PSF") for path in cubes)
    acs = [fits.getdata(path) for path in sorted(folder.glob("slacs/J*/psf.fits"))]
    ir = []
    for path in sorted(folder.glob("desi_hst/*/psf_F140W.h5"))[:1]:
        with h5py.File(path) as file:
            ir.append(file["kernel_point_source"][()])
    found = {"slacs": (0.05, acs), "desi_hst": (0.08, ir), "euclid_q1": (0.1, vis)}
    return {
        name: (scale, [np.asarray(s, dtype=float) for s in each])
        for name, (scale, each) in found.items()
        if each
    }


def sky_of(cutout: Cutout, radius: float) -> tuple[Floats, Mask]:
    """Return an image without its smooth background, and the pixels that show sky alone.

    Args:
        cutout: The image.
        radius: Distance from the middle within which there is none [pixel].
    """
    height, width = cutout.image.shape
    y, x = np.indices((height, width))
    outside = cutout.good & (np.hypot(x - (width - 1) / 2, y - (height - 1) / 2) > radius)
    image = np.where(cutout.good, cutout.image, 0.0)
    sky = outside
    for _ in range(3):
        level = gaussian_filter(image * sky, 8) / np.maximum(gaussian_filter(1.0 * sky, 8), 1e-3)
        flat = np.where(cutout.good, image - level, 0.0)
        smooth = gaussian_filter(flat, 1.5)
        above = smooth > 3 * 1.4826 * np.median(np.abs(smooth[sky]))
        quiet = np.abs(flat) < 5 * 1.4826 * np.median(np.abs(flat[sky]))
        sky = outside & quiet & ~binary_dilation(above, iterations=4)
    return flat, sky


def correlation_of(image: Floats, sky: Mask) -> tuple[Floats, float]:
    """Return the correlation at i rows and j columns apart, and the rms of the noise."""

    def half_difference(i: int, j: int) -> float:
        other, both = np.roll(image, (-i, -j), (0, 1)), sky & np.roll(sky, (-i, -j), (0, 1))
        # What is rolled around the edge does not count.
        both = both[: len(both) - i, max(0, -j) : both.shape[1] - max(0, j)]
        inside = (slice(0, len(image) - i), slice(max(0, -j), image.shape[1] - max(0, j)))
        return float(np.square(image[inside] - other[inside])[both].mean() / 2)

    far = [(FAR, 0), (0, FAR), (FAR, FAR), (FAR, -FAR), (FAR, FAR // 2), (FAR // 2, FAR)]
    variance = np.mean([half_difference(*lag) for lag in far])
    table = np.ones((REACH + 1, REACH + 1))
    for i, j in np.ndindex(table.shape):
        if i or j:
            table[i, j] = 1 - (half_difference(i, j) + half_difference(i, -j)) / 2 / variance
    return (table + table.T) / 2, float(np.sqrt(variance))


def exposure_of(cutout: Cutout) -> float | None:
    """Return the exposure time by which the variance of a noise map grows with flux [s]."""
    if cutout.noise is None:
        return None
    bright = cutout.good & (cutout.image > np.quantile(cutout.image[cutout.good], 0.9))
    slope, _ = np.polyfit(cutout.image[bright], cutout.noise[bright] ** 2, 1)
    return float(1 / slope)


def skies(cutouts: Iterator[Cutout], radius: float) -> dict[str, Any]:
    """Measure the sky of each image, and what they have in common."""
    tables, rows = [], {}
    for each in cutouts:
        table, rms = correlation_of(*sky_of(each, radius))
        tables.append(table)
        rows[each.name] = {"rms": round_off(rms), "correlation": round_off(table[0, 1])}
        time = exposure_of(each)
        if each.noise is not None and time is not None:
            rows[each.name] |= {
                "noise_map": round_off(float(np.quantile(each.noise[each.good], 0.25))),
                "exposure_time": round_off(time),
            }
    return {
        "correlation": np.median(tables, axis=0).round(3).tolist(),
        "scatter": np.std(tables, axis=0).round(3).tolist(),
        "images": rows,
    }


def moffats(values: Floats, size: int, scale: float) -> Floats:
    """Return a sum of three Moffat profiles averaged over pixels, shape ``(size, size)``.

    Args:
        values: x, y of the middle [arcsec], e1, e2, logarithms of the three widths [arcsec] and of the
            three fluxes, exponents of the first two profiles.
        size: Side [pixel].
        scale: Side of a pixel [arcsec].
    """
    x0, y0, e1, e2 = values[:4]
    fine = (np.arange(size * SUBPIXELS) - (size * SUBPIXELS - 1) / 2) * scale / SUBPIXELS
    x, y = fine - x0, (fine - y0)[:, None]
    square = e1**2 + e2**2
    radius = (1 + square) * (x**2 + y**2) - 2 * e1 * (x**2 - y**2) - 4 * e2 * x * y
    radius /= 1 - square
    total = np.zeros_like(radius)
    betas = (*values[10:12], WING_BETA)
    for fwhm, flux, beta in zip(np.exp(values[4:7]), np.exp(values[7:10]), betas, strict=True):
        a2 = fwhm**2 / (4 * (2 ** (1 / beta) - 1))
        total += flux * (beta - 1) / (np.pi * a2) * (1 + radius / a2) ** -beta
    blocks = total.reshape(size, SUBPIXELS, size, SUBPIXELS).mean((1, 3))
    return np.asarray(blocks * scale**2)


def fit_psf(stamp: Floats, scale: float) -> dict[str, Any]:
    """Fit a sum of Moffat profiles to a point spread function."""
    size = len(stamp)
    stamp = stamp / stamp.sum()
    # Errors that grow with the root of the light, above a floor.
    weight = 1 / np.sqrt(np.maximum(stamp, 0) + 1e-5)
    fwhm = np.log([1.8 * scale, 4 * scale, 8 * scale])
    start = np.array([0, 0, 0, 0, *fwhm, *np.log([0.7, 0.2, 0.1]), 3.0, 3.0])
    low = np.array([-scale, -scale, -0.3, -0.3, *[np.log(0.3 * scale)] * 3, *[-9.0] * 3, 1.5, 1.5])
    high = np.array([scale, scale, 0.3, 0.3, *[np.log(20 * scale)] * 3, *[1.0] * 3, 12, 12])

    y, x = (np.indices(stamp.shape) - (size - 1) / 2) * scale
    rings = [np.hypot(x, y) < (k + 0.5) * scale for k in range(size // 2 + 1)]
    within = np.array([ring.ravel() for ring in rings], dtype=float)

    def residuals(values: Floats) -> Floats:
        off = moffats(values, size, scale) - stamp
        # Rings that no sum of Moffat profiles has must not cost light.
        return np.concatenate([(off * weight).ravel(), RING_WEIGHT * within @ off.ravel()])

    found = least_squares(residuals, start, bounds=(low, high), x_scale=0.1, max_nfev=300)
    values = found.x
    model = moffats(values, size, scale)
    flux = np.exp(values[7:10])
    return {
        "share": (flux / flux.sum()).round(4).tolist(),
        "fwhm": np.exp(values[4:7]).round(4).tolist(),
        "beta": [*values[10:12].round(3).tolist(), WING_BETA],
        "e1": round_off(values[2]),
        "e2": round_off(values[3]),
        "light_in_stamp": round_off(float(1 / flux.sum())),
        "largest_residual": round_off(float(np.abs(model - stamp).max() / stamp.max())),
        "residual": round_off(float(np.abs(model - stamp).sum())),
    }


def point_spreads(scale: float, found: list[Floats]) -> dict[str, Any]:
    """Fit the mean of the point spread functions, and measure how single ones differ."""
    widths, shapes = [], []
    for stamp in found:
        width, e1, e2 = moments(stamp / stamp.sum(), scale)
        widths.append(width)
        shapes.append((e1, e2))
    mean = np.mean([stamp / stamp.sum() for stamp in found], axis=0)
    e1, e2 = np.transpose(shapes)
    return fit_psf(mean, scale) | {
        "number": len(found),
        "width_scatter": round_off(float(np.std(widths) / np.mean(widths))),
        "ellipticity": round_off(float(np.sqrt(np.mean(e1**2 + e2**2)))),
    }


def moments(stamp: Floats, scale: float) -> tuple[float, float, float]:
    """Return the width [arcsec] and the ellipticity of the core, by moments under a Gaussian."""
    y, x = (np.indices(stamp.shape) - (len(stamp) - 1) / 2) * scale
    window = (1.2 * scale if len(stamp) > 60 else 2 * scale) ** 2
    x0 = y0 = 0.0
    for _ in range(6):
        w = stamp * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / (2 * window))
        x0, y0 = (w * x).sum() / w.sum(), (w * y).sum() / w.sum()
    inner = [[(w * a * b).sum() / w.sum() for b in (x - x0, y - y0)] for a in (x - x0, y - y0)]
    outer = np.linalg.inv(np.linalg.inv(inner) - np.eye(2) / window)
    trace = outer[0, 0] + outer[1, 1]
    # Half of the difference of the squared axes over their sum is that of the axes, nearly.
    return (
        float(2.3548 * np.linalg.det(outer) ** 0.25),
        float((outer[0, 0] - outer[1, 1]) / trace / 2),
        float(outer[0, 1] / trace),
    )


def main(options: Options) -> None:
    """Measure what there is, and write it."""
    surveys: dict[str, tuple[Callable[[Path], Iterator[Cutout]], float]] = {
        "slacs": (slacs, 70),
        "desi_hst": (desi, 50),
        "euclid_q1": (euclid, 30),
    }
    report: dict[str, Any] = {}
    for name, (scale, found) in stamps(options.folder).items():
        cutouts, radius = surveys[name]
        report[name] = {
            "sky": skies(cutouts(options.folder), radius),
            "psf": point_spreads(scale, found),
        }
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    for name, facts in report.items():
        print(name, json.dumps(facts["psf"]))
        print(*facts["sky"]["correlation"], sep="\n")
    print(f"wrote {options.out}")


def round_off(value: float) -> float:
    """Return a number with four digits."""
    return float(f"{value:.4g}")


if __name__ == "__main__":
    launch(main, Options, __doc__)
