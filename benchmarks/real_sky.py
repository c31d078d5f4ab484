r"""How far simulated and generated lenses are from real cutouts, image by image.

    python benchmarks/real_sky.py FOLDER --simulated runs/real-sky/euclid.h5 \
        --generated runs/real-sky/drawn/lenses.h5 \
        --out docs/benchmarks/real_sky.json --figure docs/images/real_sky.png

The folder holds FITS cutouts of VIS, with noise maps and PSFs beside some of them. A few real images
are no population: no distance between sets is taken. Each number of each real image stands beside
the range of the same number in the simulated and the generated set instead, and the table has the
share of the simulated images with a smaller value in brackets. Fluxes are brought to the zero point
of the simulation.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import tyro
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, maximum_filter
from scipy.optimize import curve_fit

from gravlensdiffusion.formats.companions import sort_files
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.metrics.physics import measure
from gravlensdiffusion.metrics.profiles import radial_profile
from gravlensdiffusion.metrics.sky import measure_sky
from gravlensdiffusion.presets.simulation import simulation_preset
from gravlensdiffusion.sets.lens_set import LensSet
from gravlensdiffusion.simulation.instrument import build_instrument

mpl.use("Agg")
import matplotlib.pyplot as plt

Floats = NDArray[np.float64]

BAND = "vis"
"""Band of the real images."""
APERTURE = 2.5
"""Radius within which a lens is taken to be [arcsec]."""
RADII = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5)
"""Where the profile is told [arcsec]."""
LEVELS = (0.05, 0.5, 0.95)
"""Quantiles of a set that are told."""
NOTHING = 1e-3
"""Share of the range of a set below which its median is written as zero."""
NEIGHBOUR = 10.0
"""How far a neighbour stands out of the smoothed sky, in units of its rms."""
CREDIT = "Real images: ESA/Euclid/Euclid Consortium/NASA (Q1 and Early Release Observations 2024)"
LABELS = {
    "sky_rms": ("sky rms", " [e-/s]"),
    "sky_correlation": ("sky correlation", ""),
    "magnitude": ("magnitude", " [mag]"),
    "brightest_pixel": ("brightest pixel", " [e-/s]"),
    "half_light_radius": ("half-light radius", " [arcsec]"),
    "einstein_radius": ("Einstein radius", " [arcsec]"),
    "asymmetry": ("asymmetry", ""),
} | {f"profile_{r:g}": (f"flux at {r:g} arcsec", "") for r in RADII}
"""What the statistics are called in the table, and their units."""


@dataclass(frozen=True)
class Options:
    """What to compare."""

    folder: tyro.conf.Positional[Path]
    """Real cutouts."""
    simulated: Path
    """A set of the preset euclid in e-/s, at the size to compare at."""
    out: Path
    """The numbers, as JSON; the table goes beside them, as Markdown."""
    figure: Path
    """The picture."""
    generated: Path | None = None
    """Images of a model that was adapted to it."""
    zero_point: float = 24.6
    """Magnitude of one unit of flux of the real images that do not state theirs."""


def main(options: Options) -> None:
    """Measure, write the numbers and the picture."""
    instrument = build_instrument(simulation_preset("euclid").imaging)
    sets = {"simulated": open_set(options.simulated)}
    if options.generated is not None:
        sets["generated"] = open_set(options.generated)
    size = sets["simulated"].image_shape[-1]
    real = {
        path.stem: RealImage(path, size, options.zero_point, instrument.zero_point)
        for path in real_files(options.folder)
    }
    report: dict[str, Any] = {
        "pixels": size,
        "zero_point": instrument.zero_point,
        "assumed_zero_point_of_real": options.zero_point,
        "real": {name: image.facts() for name, image in real.items()},
        "sets": {},
        "psf": psf_facts(options.folder),
    }
    shown = {}
    for name, source in sets.items():
        images = lenses_of(source)
        shown[name] = images
        values = statistics(images, source.header.pixel_scale_arcsec)
        report["sets"][name] = {
            "num": len(images),
            "quantiles": {
                key: [round_off(v) for v in np.nanquantile(value, LEVELS)]
                for key, value in values.items()
            },
        }
        for image in report["real"].values():
            image.setdefault("rank", {})[name] = {
                key: round_off(np.nanmean(value < image["values"][key]))
                for key, value in values.items()
                if image["values"][key] is not None
            }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=2) + "\n")
    draw({"real": np.stack([each.image for each in real.values()])} | shown, options.figure)
    beside = options.out.with_suffix(".md")
    beside.write_text(table(report) + "\n")
    print(table(report))
    print(f"wrote {options.out}, {beside} and {options.figure}")


def real_files(folder: Path) -> list[Path]:
    """Return the VIS images of a folder: no noise maps, no PSFs, no other bands."""
    return list(sort_files(sorted(folder.glob("*.fits")), BAND).images)


class RealImage:
    """One cutout, its middle at the size of the simulation, in the simulation's flux.

    Args:
        path: The file.
        size: Size of the middle [pixel].
        zero_point: Its zero point, where it states none [mag].
        target: Zero point to bring it to [mag].
    """

    def __init__(self, path: Path, size: int, zero_point: float, target: float) -> None:
        whole = open_set(path, band=BAND)
        middle = open_set(path, band=BAND, crop=size)
        stated = whole.parameters.get("zero_point")
        self.zero_point = zero_point if stated is None else float(stated[0])
        self.states_zero_point = stated is not None
        self.factor = 10 ** (0.4 * (target - self.zero_point))
        self.scale = middle.header.pixel_scale_arcsec or 0.1
        self.whole: Floats = whole.read([0])[0, 0].astype(np.float64) * self.factor
        self.image: Floats = middle.read([0])[0, 0].astype(np.float64) * self.factor
        # The corners of the whole cutout show more sky than those of its middle.
        self.image -= measure_sky(self.whole[None].astype(np.float32)).level[0]
        noise = path.with_name(path.name.replace("_data", "_noise_map"))
        has_noise = noise != path and noise.is_file()
        self.noise = open_set(noise).read([0])[0, 0] * self.factor if has_noise else None

    def facts(self) -> dict[str, Any]:
        """Return what is known and measured of it."""
        sky = measure_sky(self.whole[None].astype(np.float32))
        values = {
            name: round_off(value[0])
            for name, value in statistics(self.image[None], self.scale).items()
        }
        values["sky_rms"] = round_off(sky.rms[0])
        values["sky_correlation"] = round_off(sky.whiteness[0])
        return {
            "zero_point": self.zero_point,
            "states_zero_point": self.states_zero_point,
            "cutout_pixels": list(self.whole.shape),
            "neighbours_in_cutout": num_neighbours(self.whole, self.scale),
            "noise_map_median": None if self.noise is None else round_off(np.median(self.noise)),
            "values": values,
        }


def lenses_of(source: LensSet) -> Floats:
    """Return the images of a set that are lenses, shape ``(N, H, H)``."""
    names = source.header.class_names
    labels = source.labels
    kept = [k for k in range(len(source)) if names[labels[k]] != "no_lens"]
    return source.read(kept)[:, 0].astype(np.float64)


def statistics(images: Floats, scale: float | None) -> dict[str, Floats]:
    """Measure images ``(N, H, H)`` [e-/s], sky subtracted, each on its own."""
    scale = scale or 0.1
    measured = measure(images, scale)
    radius = distances(images.shape[-1], scale)
    inside = radius < APERTURE
    flux = (images * inside).sum((1, 2))
    order = np.argsort(radius[inside])
    growth = np.cumsum(images[:, inside][:, order], axis=1) / flux[:, None]
    half = radius[inside][order][np.argmax(growth > 0.5, axis=1)]
    zero_point = build_instrument(simulation_preset("euclid").imaging).zero_point
    found = {
        "sky_rms": measured["sky_rms"],
        "sky_correlation": measured["sky_whiteness"],
        "magnitude": zero_point - 2.5 * np.log10(np.maximum(flux, 1e-9)),
        "brightest_pixel": images.max((1, 2)),
        "half_light_radius": half,
        "einstein_radius": measured["einstein_radius"],
        "asymmetry": measured["asymmetry"],
    }
    profile = radial_profile(images, scale)
    for r in RADII:
        nearest = int(np.argmin(np.abs(profile.centres - r)))
        found[f"profile_{r:g}"] = profile.values[:, nearest]
    return found


def num_neighbours(image: Floats, scale: float) -> int:
    """Count peaks outside of `APERTURE` that stand out of the smoothed sky."""
    smooth = gaussian_filter(image, 1.0)
    noise = 1.4826 * np.median(np.abs(smooth - np.median(smooth)))
    peaks = (smooth == maximum_filter(smooth, 9)) & (smooth > np.median(smooth) + NEIGHBOUR * noise)
    rows, columns = np.nonzero(peaks)
    middle = (np.array(image.shape) - 1) / 2
    away = np.hypot(rows - middle[0], columns - middle[1]) * scale
    return int((away > APERTURE).sum())


def distances(size: int, scale: float) -> Floats:
    """Return the distance of each pixel from the middle [arcsec]."""
    axis = (np.arange(size) - (size - 1) / 2) * scale
    return np.hypot(axis, axis[:, None])


def psf_facts(folder: Path) -> dict[str, Any]:
    """Measure the PSF files of a folder, and the simulation's PSF on its pixels."""
    config = replace(simulation_preset("euclid").imaging, num_pixels=21)
    instrument = build_instrument(config)
    x, y = instrument.numerics.coordinates_evaluate
    light = np.zeros_like(x)
    light[np.argmin(np.hypot(x, y))] = 1.0
    ours = np.asarray(instrument.numerics.re_size_convolve(light))
    found = {"simulated": psf_values(ours, instrument.pixel_scale)}
    for path in sorted(folder.glob("*_psf.fits")):
        source = open_set(path)
        image = source.read([0])[0, 0].astype(np.float64)
        found[path.stem] = psf_values(image, source.header.pixel_scale_arcsec or 0.1)
    return found


def psf_values(image: Floats, scale: float) -> dict[str, float]:
    """Return the width of the core [arcsec], and the flux within distances, of that within 1 arcsec."""
    radius = distances(image.shape[0], scale)
    core = radius < 2.5 * scale

    def gaussian(r: Floats, peak: float, width: float) -> Floats:
        return np.asarray(peak * np.exp(-0.5 * (r / width) ** 2))

    (_, width), _ = curve_fit(gaussian, radius[core], image[core], p0=[image.max(), scale])
    total = image[radius < 1.0].sum()
    shares = {f"within_{r:g}": round_off(image[radius < r].sum() / total) for r in (0.2, 0.4, 0.6)}
    return {"core_fwhm": round_off(2.3548 * abs(width))} | shares


def draw(sets: dict[str, Floats], path: Path, rows: int = 3) -> None:
    """Draw real, simulated and generated images on one stretch."""
    columns = [("real", 0)] + [(name, k) for name in list(sets)[1:] for k in range(2)]
    figure, axes = plt.subplots(rows, len(columns), figsize=(1.7 * len(columns), 1.75 * rows + 0.5))
    for column, (name, part) in enumerate(columns):
        for row in range(rows):
            place, axis = part * rows + row, axes[row, column]
            axis.set_axis_off()
            if place >= len(sets[name]):
                continue
            axis.imshow(
                np.arcsinh(sets[name][place] / 0.02),
                origin="lower",
                cmap="gray",
                vmin=-1,
                vmax=5.5,
            )
            if row == 0:
                axis.set_title(name, fontsize=9)
    figure.text(0.01, 0.01, CREDIT, fontsize=7)
    figure.subplots_adjust(left=0.01, right=0.99, top=0.93, bottom=0.05, wspace=0.03, hspace=0.03)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def table(report: dict[str, Any]) -> str:
    """Return the statistics of each real image beside the ranges of the sets, in Markdown."""
    real, sets = report["real"], report["sets"]
    names = [name.partition(".")[0].removeprefix("EUCL") for name in real] + list(sets)
    lines = ["| statistic | " + " | ".join(names) + " |", "|---" * (1 + len(names)) + "|"]
    for key, (label, unit) in LABELS.items():
        cells = []
        for image in real.values():
            share = image["rank"]["simulated"].get(key)
            value = f"{image['values'][key]:.3g}"
            cells.append(value if share is None else f"{value} ({100 * share:.0f}%)")
        for found in sets.values():
            low, middle, high = found["quantiles"][key]
            middle = 0.0 if abs(middle) < NOTHING * (high - low) else middle
            cells.append(f"{middle:.3g} ({low:.3g} to {high:.3g})")
        lines.append(f"| {label}{unit} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def round_off(value: float) -> float | None:
    """Return a number with four digits, or None where there is none."""
    return float(f"{value:.4g}") if np.isfinite(value) else None


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
