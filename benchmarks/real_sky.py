r"""How real the simulated lenses of a preset are, beside real images of its survey.

    python benchmarks/real_sky.py slacs FOLDER --out docs/benchmarks/real_sky

measures simulations of the preset `slacs` against the images of FOLDER at their own size: every statistic
with the p-value of the Kolmogorov-Smirnov test, and the area under the ROC curve of classifiers that see
these statistics, what an ImageNet network sees, and (`--pixels`, some minutes more) pixels. Beside each
area stands that of real images against real ones, and that of simulations in place of real images, which
no preset can better. It writes PRESET.json, PRESET.md, PRESET.html (on which you can guess yourself)
and PRESET.png into the folder. `--name old-slacs` names the files otherwise, `--before FILE` puts the areas of an
earlier PRESET.json into the table, `--images SET` holds a set of your own, the samples of a model say, against the
real images instead of simulations.

Masks of real images are laid on the simulated ones too, and filled in both. Each image is cut out about its
brightest point, since cutouts of surveys are not all centred alike.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from numpy.typing import NDArray
from realism.efficientnet import find_efficientnet_weights, load_efficientnet
from realism.measure import (
    Area,
    Realism,
    Stretch,
    measure_realism,
)
from running import launch
from scipy.ndimage import gaussian_filter

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.evaluation.pictures import guess
from gravlensdiffusion.formats.image import fill_masked
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.presets.simulation import simulation_preset
from gravlensdiffusion.reports.document import Line, Section, Table, to_html, to_json
from gravlensdiffusion.reports.mosaics import save_grid
from gravlensdiffusion.reports.numbers import number, plus_minus, probability
from gravlensdiffusion.sets.lens_set import LensSet
from gravlensdiffusion.simulation.instrument import build_instrument
from gravlensdiffusion.simulation.simulated_set import simulate

NO_LENS = "no_lens"
REACH = 6
"""How far the lens galaxy may lie from the middle [pixel]."""
ALIKE = 0.01
"""P-value above which a statistic is called alike."""
NUM_SHOWN = 12
"""Images of each kind on the picture."""
MIN_SIDE = 100
"""Pixels of an image on the picture, at least."""
NUM_GUESSED = 10
"""Images of each kind to guess."""
NUM_WORST = 12
"""Statistics in the short table."""

Images = NDArray[np.float32]


@dataclass(frozen=True)
class Options:
    """What to compare."""

    preset: tyro.conf.Positional[str]
    """Name of the preset."""
    real: tyro.conf.Positional[Path]
    """Real images: what `gravlens inspect` reads."""
    out: Path
    """Folder to write to."""
    num: int = 420
    """Simulations."""
    images: Path | None = None
    """A set to compare instead of simulations; its class `no_lens` is left out."""
    seed: int = 0
    """Seed of the simulations and of all that is drawn."""
    crop: int | None = None
    """Side of what is compared [pixel]; by default that of the preset, as far as the real images
    reach."""
    band: str | None = None
    """Band of the real images where there are several."""
    zero_point: float | None = None
    """Magnitude of one unit of flux of real images that do not state theirs; by default that of the
    preset."""
    pixels: bool = False
    """Whether to train a network on pixels."""
    name: str | None = None
    """What to call the files."""
    before: Path | None = None
    """PRESET.json of an earlier preset, to stand beside this one."""
    credit: str = ""
    """Whose the real images are, for the picture and the page."""


def main(options: Options) -> None:
    """Measure, and write numbers, tables, page and picture."""
    config = simulation_preset(options.preset)
    instrument = build_instrument(config.imaging)
    own = None if options.images is None else lenses_of(options.images)
    wanted = config.imaging.num_pixels if own is None else own.image_shape[-1] - 2 * REACH
    real, masked = read_real(options, instrument.camera.zero_point, wanted)
    classes = [each.name for each in config.classes if each.name != NO_LENS]
    source = own or simulate(
        config,
        options.num,
        options.seed,
        classes=classes,
        num_pixels=real.shape[-1],
        flux_unit="e-/s",
    )
    num = min(options.num, len(source))
    simulated = source.read(np.arange(num))[:, 0].astype(np.float32)
    chosen = np.random.default_rng(options.seed).integers(len(masked), size=len(simulated))
    simulated = np.where(masked[chosen], np.float32(np.nan), simulated)
    real = centred(real)
    simulated = centred(np.concatenate([fill_masked(image[None]) for image in simulated]))
    try:
        network = load_efficientnet(find_efficientnet_weights())
    except GravLensError as error:
        network = None
        print(f"without ImageNet features: {error}")
    found = measure_realism(
        real,
        simulated,
        instrument.camera.pixel_scale,
        network=network,
        pixels=options.pixels,
        seed=options.seed,
        tell=lambda what: print(what, flush=True),
    )
    write(options, found, real, simulated)


def lenses_of(path: Path) -> LensSet:
    """Return the images of a set that are lenses."""
    source = open_set(path)
    names = np.array([*source.header.class_names, ""])[np.asarray(source.labels)]
    return source.select(np.flatnonzero(names != NO_LENS))


def read_real(options: Options, zero_point: float, wanted: int) -> tuple[Images, NDArray[np.bool_]]:
    """Return the real images in the flux of the preset, and which pixels were not observed.

    They are `REACH` pixels wider on each side than what is compared.
    """
    source = open_set(options.real, band=options.band, mixed=True, any_unit=True, skip_bad=True)
    side = source.image_shape[-1]
    size = min(options.crop or wanted, side - 2 * REACH) + 2 * REACH
    source = open_set(
        options.real, band=options.band, mixed=True, any_unit=True, skip_bad=True, crop=size
    )
    everything = np.arange(len(source))
    images = source.read(everything)[:, 0].astype(np.float32)
    masked = source.read_masked(everything)[:, 0]
    stated = source.parameters.get("zero_point", np.full(len(images), np.nan))
    own = np.where(np.isfinite(stated), stated, options.zero_point or zero_point)
    factor = 10 ** (0.4 * (zero_point - own))
    images = images * factor[:, None, None].astype(np.float32)
    print(f"{len(images)} real images of {size} pixels, {100 * masked.mean():.2g}% of them masked")
    return images, masked


def centred(images: Images) -> Images:
    """Return images cut out about their brightest point, `REACH` pixels narrower on each side."""
    size = images.shape[-1] - 2 * REACH
    middle = (images.shape[-1] - 1) // 2
    near = slice(middle - REACH, middle + REACH + 1)
    found = []
    for image in images:
        smooth = gaussian_filter(image, 1.0)[near, near]
        row, column = np.unravel_index(np.argmax(smooth), smooth.shape)
        found.append(image[row : row + size, column : column + size])
    return np.stack(found)


def write(options: Options, found: Realism, real: Images, simulated: Images) -> None:
    """Write the files and print the table."""
    name = options.name or options.preset
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"{name}.json"
    facts = {key: getattr(options, key) for key in ("preset", "num", "seed", "crop", "band")}
    facts |= {"pixels": real.shape[-1]} | asdict(found)
    path.write_bytes(to_json(facts))
    before = None if options.before is None else json.loads(options.before.read_text())
    text = markdown(found, before)
    path.with_suffix(".md").write_text(text + "\n")
    stretch = Stretch.of(real)
    num = min(NUM_SHOWN, len(real))
    shown = [stretch(each[:num]) for each in (real, simulated)]
    save_grid(
        np.concatenate(shown),
        path.with_suffix(".png"),
        num_columns=num if num < NUM_SHOWN else num // 2,
        stretch="linear",
        limits=(0.0, 1.0),
        min_side=MIN_SIDE,
        titles=["real"] * num + ["simulated"] * num,
    )
    path.with_suffix(".html").write_bytes(page(options, found, stretch, real, simulated))
    print(text)
    print(f"wrote {path} and, beside it, {name}.md, {name}.html and {name}.png")


def markdown(found: Realism, before: dict[str, Any] | None) -> str:
    """Return the areas and the statistics that differ most, as Markdown."""
    known = {each["space"]: each for each in (before or {}).get("areas", [])}
    heads = ["classifier sees", "area", "real against real", "perfect simulation"]
    rows = []
    for each in found.areas:
        cells = [each.space, *area_cells(each)]
        if known:
            old = known.get(each.space)
            cells.insert(1, "" if old is None else number(old["value"]))
        rows.append(cells)
    if known:
        heads.insert(1, "area before")
    worst = [
        [each.name, triple(each.real), triple(each.simulated), probability(each.p_value)]
        for each in found.statistics[:NUM_WORST]
    ]
    return "\n".join(
        [
            *lines(heads, rows),
            "",
            summary(found),
            "",
            *lines(["statistic", "real", "simulated", "p"], worst),
        ]
    )


def area_cells(area: Area) -> list[str]:
    """Return an area and what stands beside it."""
    return [
        plus_minus(area.value, area.standard_error),
        number(area.real) or "too few",
        plus_minus(area.perfect, area.spread) or "too few",
    ]


def summary(found: Realism) -> str:
    """Return the result in one sentence."""
    num = len(found.statistics)
    return (
        f"{found.num_simulated} simulations against {found.num_real} real images: of {num} statistics, "
        f"{num - found.num_different} have a p of {ALIKE} or more. The worst is {found.worst.name}, p "
        f"{probability(found.worst.p_value)}."
    )


def triple(levels: tuple[float, ...]) -> str:
    """Return the median and, in brackets, the range."""
    low, middle, high = levels
    return f"{middle:.3g} ({low:.3g} to {high:.3g})"


def lines(heads: list[str], rows: list[list[str]]) -> list[str]:
    """Return a table in Markdown, line by line."""
    return [f"| {' | '.join(row)} |" for row in (heads, ["---"] * len(heads), *rows)]


def page(
    options: Options, found: Realism, stretch: Stretch, real: Images, simulated: Images
) -> bytes:
    """Return the page."""
    areas = [Line(name=each.space, cells=area_cells(each)) for each in found.areas]
    statistics = [
        Line(
            name=each.name,
            cells=[
                triple(each.real),
                triple(each.simulated),
                number(each.distance),
                probability(each.p_value),
            ],
            mark="differs" if each.p_value < ALIKE else "",
        )
        for each in found.statistics
    ]
    heads = ("a classifier sees", "area", "real against real", "perfect simulation")
    columns = ("statistic", "real", "simulated", "distance", "p")
    rng = np.random.default_rng(options.seed)
    kinds = {
        "real": stretch(real[rng.permutation(len(real))[:NUM_GUESSED]]),
        "simulated": stretch(simulated[rng.permutation(len(simulated))[:NUM_GUESSED]]),
    }
    return to_html(
        "Realism",
        f"{options.preset} against {options.real.name}",
        lead=f"{found.num_simulated} simulated and {found.num_real} real lenses.",
        verdict=[summary(found)],
        notes=[options.credit] if options.credit else [],
        sections=[
            guess(kinds, options.seed),
            Section("areas", "Told apart", "", [Table(headings=heads, lines=areas)]),
            Section(
                "statistics",
                "Statistics",
                "Median and, in brackets, 5% to 95%; distance and p of the Kolmogorov-Smirnov test.",
                [Table(headings=columns, lines=statistics)],
            ),
        ],
    )


if __name__ == "__main__":
    launch(main, Options, __doc__)
