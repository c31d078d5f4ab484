"""How structured the built-in sources are, beside real galaxies.

    python benchmarks/galaxy_structure.py FOLDER --out docs/benchmarks/galaxy_structure.md

measures Gini coefficient, M20, concentration, asymmetry and smoothness, as statmorph does, of the galaxies
of a RealGalaxyCatalog of GalSim in FOLDER, as far as they are bright enough for that,
and of sources of the presets, not lensed. Each source has the flux and the half-light radius of a real
galaxy, and is seen through its point spread function, in its noise.
"""

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import statmorph
import tyro
from astropy.io import fits
from numpy.typing import NDArray
from running import launch
from scipy.ndimage import gaussian_filter, label
from scipy.signal import fftconvolve
from scipy.stats import ks_2samp

from gravlensdiffusion.config.instrument import NoiseLevel, SkyCorrelation
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.presets.simulation import simulation_preset
from gravlensdiffusion.simulation.gallery import half_light_radius
from gravlensdiffusion.simulation.light import LIGHT
from gravlensdiffusion.simulation.observe import draw_noise
from gravlensdiffusion.simulation.population import SOURCE, draw_source
from gravlensdiffusion.simulation.render import components

MEASURES = {
    "gini": "Gini coefficient",
    "m20": "M20",
    "concentration": "concentration",
    "asymmetry": "asymmetry",
    "smoothness": "smoothness",
}
"""What statmorph calls a measure, and what the table does."""
GRAIN = SkyCorrelation(table=((1.0, 0.477, 0.051), (0.477, 0.23, 0.029), (0.051, 0.029, 0.01)))
"""Correlation of the noise of COSMOS, from the file `acs_I_unrot_sci_20_cf.fits` beside the catalogue."""
MIN_SIGNAL = 2.5
"""Signal-to-noise ratio per pixel below which shapes are noise, after statmorph's authors."""
MIN_RADIUS = 4.0
"""Half-light radius below which they are those of the point spread function, whose full width that is [pixel]."""
SUBPIXELS = 3
"""Points of a source in a pixel, along each axis."""
MAX_FLAG = 1
"""What statmorph calls a measurement that can be used."""
LEVELS = (0.16, 0.5, 0.84)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Options:
    """What to measure."""

    folder: tyro.conf.Positional[Path]
    """Folder with a RealGalaxyCatalog."""
    out: Path
    """The table, in Markdown."""
    presets: tuple[str, ...] = ("slacs",)
    """Presets whose sources are measured."""
    repeats: int = 3
    """Sources for each real galaxy."""
    seed: int = 0
    """Seed of the sources and of their noise."""


@dataclass(frozen=True)
class Observed:
    """A real galaxy and how it was seen.

    Attributes:
        image: The pixels without the sky, shape ``(H, W)``.
        psf: The point spread function, of sum 1.
        noise: Standard deviation of the sky in a pixel.
    """

    image: Floats
    psf: Floats
    noise: float


def main(options: Options) -> None:
    """Measure, and write the table."""
    galaxies = list(read(options.folder))
    every = [(each, morphology(each.image, each.noise)) for each in galaxies]
    usable = [(each, found) for each, found in every if found is not None]
    real = table(found for _, found in usable)
    heads = ["", f"{len(real)} real galaxies"]
    columns = [[shown(each) for each in real.T]]
    for name in options.presets:
        rng = np.random.default_rng(options.seed)
        source = simulation_preset(name).source
        drawn = (
            morphology(seen(draw_source(source, rng), each, found, rng), each.noise)
            for each, found in usable
            for _ in range(options.repeats)
        )
        ours = table(each for each in drawn if each is not None)
        heads += [f"{len(ours)} sources of `{name}`", "KS p"]
        p_values = [ks_2samp(*each).pvalue for each in zip(ours.T, real.T, strict=True)]
        columns += [[shown(each) for each in ours.T], [f"{each:.2g}" for each in p_values]]
    rows = [heads, ["---"] * len(heads), *map(list, zip(MEASURES.values(), *columns, strict=True))]
    text = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(f"{text}\n")
    print(f"{text}\nwrote {options.out}")


def read(folder: Path) -> Iterator[Observed]:
    """Yield the galaxies of a catalogue."""
    galaxies = open_set(folder, mixed=True, any_unit=True, skip_bad=True)
    (path,) = galaxies.files
    rows = fits.getdata(path, 1)
    for k in range(len(galaxies)):
        image = galaxies.read_whole(k)[0].astype(np.float64)
        edge = np.concatenate([image[0], image[-1], image[1:-1, 0], image[1:-1, -1]])
        sky = float(np.median(edge))
        psf = fits.getdata(folder / rows["PSF_FILENAME"][k], rows["PSF_HDU"][k]).astype(float)
        noise = 1.4826 * float(np.median(np.abs(edge - sky)))
        yield Observed(image - sky, psf / psf.sum(), noise)


def seen(values: dict[str, float], real: Observed, like: Any, rng: np.random.Generator) -> Floats:
    """Return a source as bright and as large as a real galaxy, seen as that, shape ``(H, W)``.

    Args:
        values: Its parameters.
        real: The real galaxy.
        like: Its morphology.
        rng: Source of the noise.
    """
    middle = [(side - 1) / 2 for side in real.image.shape]
    blurred, radius = real.image, like.rhalf_circ
    for _ in range(2):
        # The bulge makes a galaxy smaller than its disc, and the point spread function larger.
        blurred = fftconvolve(
            rendered(values, radius, like.flux_circ, real.image.shape), real.psf, "same"
        )
        radius *= like.rhalf_circ / half_light_radius(blurred, *middle)
    return np.asarray(
        blurred + draw_noise(blurred, NoiseLevel(background_rms=real.noise), rng, GRAIN)
    )


def rendered(
    values: dict[str, float], radius: float, flux: float, shape: tuple[int, ...]
) -> Floats:
    """Return the light of a source in the middle of an image."""
    values = values | {f"{SOURCE}_x": 0.0, f"{SOURCE}_y": 0.0, f"{SOURCE}_R_sersic": radius}
    fine = [side * SUBPIXELS for side in shape]
    y, x = (np.indices(fine) - (np.array(fine) - 1)[:, None, None] / 2) / SUBPIXELS
    light = np.zeros(x.size)
    for each in components(values, lambda _: flux)[1]:
        light += LIGHT[each.name, each.quick](x.ravel(), y.ravel(), **each.arguments)
    return light.reshape(shape[0], SUBPIXELS, shape[1], SUBPIXELS).mean(axis=(1, 3))


def morphology(image: Floats, noise: float) -> Any:
    """Return what statmorph measures of the galaxy in the middle, or None where it cannot be trusted."""
    regions, _ = label(gaussian_filter(image, 1.5) > noise)
    number = regions[tuple(side // 2 for side in image.shape)]
    if number == 0:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = statmorph.source_morphology(
            image,
            (regions == number).astype(int),
            mask=(regions > 0) & (regions != number),
            weightmap=np.full(image.shape, noise),
        )[0]
    is_seen = found.sn_per_pixel >= MIN_SIGNAL and found.rhalf_circ >= MIN_RADIUS
    return found if is_seen and found.flag <= MAX_FLAG else None


def table(found: Iterable[Any]) -> Floats:
    """Return the measures of galaxies, a row for each."""
    return np.array([[getattr(each, name) for name in MEASURES] for each in found])


def shown(values: Floats) -> str:
    """Return the median and, in brackets, the middle two thirds."""
    low, middle, high = np.quantile(values, LEVELS)
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    launch(main, Options, __doc__)
