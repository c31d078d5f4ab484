r"""Does a more real simulation make a better lens finder? Trained on simulations, tried on real lenses.

    python benchmarks/finder.py --slacs real/slacs --desi real/desi_hst --galaxies real/cosmos \
        --drawn drawn/slacs96 --adapted adapted/drawn-0.h5 --adapted adapted/drawn-1.h5 \
        --adapted-no-lens adapted/no_lens-0 --adapted-no-lens adapted/no_lens-1

trains finders of ``lens`` and ``no_lens`` (the network of `gravlens classify`) at 96 pixels of 0.05
arcsec, each on as many images, half of them lenses:

- ``plain``: the preset `slacs` with all that made surveys real taken out of it: smooth galaxies alone
  in the field, a Gaussian point spread function, a white sky of one depth.
- ``slacs``: the preset as it is.
- ``drawn``: half from the preset, half drawn by a model.
- ``adapted``: from the preset, but up to half of the lenses drawn by models that were adapted
  to real lenses. Model k of n has not seen the real lenses k, k + n, k + 2 n and so on, and these
  alone are asked of the finder that was trained on its images.
- ``adapted, both``: the same, with images of `no_lens` of these models among those without a lens, so that
  the look of their galaxies tells nothing.

A finder calls a lens what one in a hundred of 2,000 simulated ``no_lens`` images of `slacs` is not
(`--num-test`). Counted are real lenses, simulated ones, and real galaxies of another survey field,
which are none. Finders are kept as numbers in `--work`; a second run goes on.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from augmenting.classifiers import Together
from numpy.typing import NDArray
from running import launch
from scipy.ndimage import zoom
from sklearn.metrics import roc_auc_score

from gravlensdiffusion.classification.scores import wilson
from gravlensdiffusion.config.classifier import ClassifierTraining
from gravlensdiffusion.config.galaxies import GalaxyLight, Source
from gravlensdiffusion.config.instrument import Camera, ObservationConfig
from gravlensdiffusion.config.simulation import SimulationConfig
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.presets.simulation import ACS_F814W, WFC3_F140W, simulation_preset
from gravlensdiffusion.sets.flux import resize
from gravlensdiffusion.sets.lens_set import middle
from gravlensdiffusion.simulation.observe import observe
from gravlensdiffusion.simulation.simulated_set import simulate
from gravlensdiffusion.training.classifier import predict_logits, train_classifier

SIZE, SCALE = 96, ACS_F814W.pixel_scale
NAMES = ("no_lens", "lens")
PLAIN_SCENES = ("early_type", "pair", "empty")
"""What the presets of surveys had for `no_lens` before they had spirals, rings and mergers."""
PLAIN_FWHM, PLAIN_RMS = 0.12, 0.0085
"""Point spread function [arcsec] and sky rms [e- / s] of the plain arm: the medians of the preset."""
FALSE_POSITIVES = 0.01
SNAPSHOT_RMS = 0.0134
"""Sky rms of what surrounds the stamp of a real galaxy [e- / s]."""
TEST_SEED = 900_000

Images = NDArray[np.float32]
Pictures = tuple[Images, NDArray[np.int64]]


@dataclass(frozen=True)
class Options:
    """What to train on, and what to try on."""

    slacs: Path
    """Real lenses of HST ACS F814W, 0.05 arcsec a pixel."""
    desi: Path
    """Real lenses of HST WFC3 F140W, 0.08 arcsec a pixel."""
    galaxies: Path
    """Real galaxies of HST ACS F814W, 0.03 arcsec a pixel."""
    drawn: Path | None = None
    """Images of a model of `slacs`, all classes."""
    adapted: Annotated[tuple[Path, ...], tyro.conf.UseAppendAction] = ()
    """Lenses of each of the adapted models, in their order."""
    adapted_no_lens: Annotated[tuple[Path, ...], tyro.conf.UseAppendAction] = ()
    """Images without a lens of each of these models."""
    num: int = 4000
    """Training images of each finder."""
    num_test: int = 2000
    """Simulated lenses, and as many images without, that finders are tried on."""
    images: int = 60_000
    """Images that a finder sees in its training."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of the finders, and of the simulations that they learn from."""
    work: Path = Path("finder-work")
    """Where the results of each finder are kept."""
    out: Path = Path("docs/benchmarks")
    """Where finder.json and finder.md are written."""


def main(options: Options) -> None:
    """Train what is not yet trained, and write the table."""
    options.work.mkdir(parents=True, exist_ok=True)
    arms: dict[str, list[Callable[[int], Pictures]]] = {
        "plain": [lambda seed: simulated(plain(), options.num, seed)],
        "slacs": [lambda seed: simulated(simulation_preset("slacs"), options.num, seed)],
    }
    if options.drawn is not None:
        arms["drawn"] = arm_of([[options.drawn]], options.num)
    if options.adapted:
        arms["adapted"] = arm_of([[each] for each in options.adapted], options.num)
    if options.adapted_no_lens:
        pairs = zip(options.adapted, options.adapted_no_lens, strict=True)
        arms["adapted, both"] = arm_of(list(pairs), options.num)
    found = []
    for arm, parts in arms.items():
        for seed in options.seeds:
            for k, make in enumerate(parts):
                path = options.work / f"{arm}-{seed}-{k}.json"
                if not path.exists():
                    path.write_text(json.dumps(scores_of(options, make, seed)))
                    print(f"trained {path.stem}", flush=True)
                found.append({"arm": arm, "seed": seed, "part": k} | json.loads(path.read_text()))
    rows = {
        arm: summary([each for each in found if each["arm"] == arm], len(parts))
        for arm, parts in arms.items()
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "finder.json").write_text(json.dumps(rows, indent=1) + "\n")
    (options.out / "finder.md").write_text(markdown(rows) + "\n")
    print(markdown(rows))


def scores_of(
    options: Options, make: Callable[[int], Pictures], seed: int
) -> dict[str, list[float]]:
    """Train a finder, and return what it says of each image that it is tried on."""
    images, labels = make(seed)
    data = Together([(images, labels)], [np.zeros(len(labels), dtype=bool)], NAMES)
    recipe = ClassifierTraining(
        total_images=options.images, augment="d4", seed=seed, learning_rate=1e-3
    )
    network = train_classifier(data, recipe, device="cpu").network
    return {
        name: np.diff(predict_logits(network, tried), axis=1)[:, 0].astype(float).tolist()
        for name, tried in trials(
            options.slacs, options.desi, options.galaxies, options.num_test
        ).items()
    }


@cache
def trials(slacs: Path, desi: Path, galaxies: Path, num: int) -> dict[str, Images]:
    """Return the images that finders are tried on, ``(N, 1, 96, 96)`` each [e- / s]."""
    lenses = open_set(slacs, mixed=True, any_unit=True, skip_bad=True).crop(SIZE)
    images, labels = simulated(simulation_preset("slacs"), 2 * num, TEST_SEED)
    return {
        "SLACS": lenses.read(np.arange(len(lenses))).astype(np.float32),
        "DESI": read_desi(desi),
        "galaxies": read_galaxies(galaxies),
        "simulated": images[labels == 1],
        "no_lens": images[labels == 0],
    }


def read_desi(folder: Path) -> Images:
    """Return lenses of WFC3 F140W as if ACS had taken them: its pixels, and its zero point."""
    field = round(SIZE * SCALE / WFC3_F140W.pixel_scale) + 4
    lenses = open_set(folder, mixed=True, any_unit=True, skip_bad=True).crop(field)
    factor = SCALE / WFC3_F140W.pixel_scale
    flux = factor**2 * 10 ** (0.4 * (ACS_F814W.zero_point - WFC3_F140W.zero_point))
    images = [zoom(image[0], 1 / factor, order=3) for image in lenses.read(np.arange(len(lenses)))]
    return np.stack([flux * middle(image, SIZE)[None] for image in images]).astype(np.float32)


def read_galaxies(folder: Path) -> Images:
    """Return stamps of real galaxies on a sky as noisy as they are, in pixels of ACS."""
    stamps = open_set(folder, mixed=True, any_unit=True, skip_bad=True)
    assert stamps.header.pixel_scale_arcsec is not None
    factor = SCALE / stamps.header.pixel_scale_arcsec
    rng = np.random.default_rng(0)
    sky = ObservationConfig(
        num_pixels=SIZE, background_rms=SNAPSHOT_RMS, sky_correlation=ACS_F814W.sky_correlation
    )
    found = []
    for k in range(len(stamps)):
        stamp = stamps.read_whole(k)[0].astype(np.float64)
        side = min(SIZE, int(min(stamp.shape) / factor))
        own = resize(stamp, side, "area", window=side * factor) * factor**2
        edge = np.concatenate([own[0], own[-1], own[:, 0], own[:, -1]])
        own -= np.median(edge)
        rms = 1.4826 * np.median(np.abs(own - np.median(edge)))
        noise = observe(np.zeros((1, SIZE, SIZE)), sky, rng)[0]
        first = (SIZE - side) // 2
        inner = (slice(first, first + side),) * 2
        noise[inner] *= np.sqrt(max(0.0, 1 - (min(rms, SNAPSHOT_RMS) / SNAPSHOT_RMS) ** 2))
        noise[inner] += own
        found.append(noise[None])
    return np.stack(found).astype(np.float32)


def simulated(config: SimulationConfig, num: int, seed: int) -> Pictures:
    """Return simulated images, and 1 for a lens, half of them."""
    source = simulate(config, num, seed, flux_unit="e-/s")
    images = source.read(np.arange(num)).astype(np.float32)
    names = np.array(source.header.class_names)
    return images, (names[source.labels] != "no_lens").astype(np.int64)


def arm_of(drawn: Sequence[Sequence[Path]], num: int) -> list[Callable[[int], Pictures]]:
    """Return how the images of each finder of an arm are made, from the sets that are drawn for it."""
    return [partial(half_drawn, paths, num) for paths in drawn]


def half_drawn(paths: Sequence[Path], num: int, seed: int) -> Pictures:
    """Return simulated images and drawn ones, up to a quarter of each kind; half are lenses."""
    sets = [open_set(path) for path in paths]
    names = [np.array([*each.header.class_names, "lens"])[np.asarray(each.labels)] for each in sets]
    drawn = np.concatenate([each.read(slice(None)).astype(np.float32) for each in sets])
    is_lens = np.concatenate(names) != "no_lens"
    rng = np.random.default_rng(seed)
    images, labels = simulated(simulation_preset("slacs"), num, seed)
    parts = []
    for value in (0, 1):
        own = np.flatnonzero(is_lens == bool(value))
        own = np.sort(rng.permutation(own)[: num // 4])
        others = np.flatnonzero(labels == value)[: num // 2 - len(own)]
        parts.append(drawn[own])
        parts.append(images[others])
    sizes = [len(each) for each in parts]
    return np.concatenate(parts), np.repeat([0, 0, 1, 1], sizes)


def plain() -> SimulationConfig:
    """Return the preset without what made it real."""
    config = simulation_preset("slacs")
    camera = config.imaging.instrument
    assert isinstance(camera, Camera)

    def smooth(light: GalaxyLight) -> GalaxyLight:
        return replace(light, structure=None)

    def smooth_source(source: Source) -> Source:
        return replace(source, light=smooth(source.light))

    assert config.lens.light is not None
    *lensed, no_lens = config.classes
    scenes = tuple(
        replace(each, companion=each.companion and smooth_source(each.companion))
        for each in no_lens.scenes
        if each.name in PLAIN_SCENES
    )
    return replace(
        config,
        lens=replace(config.lens, light=smooth(config.lens.light)),
        source=smooth_source(config.source),
        neighbours=(),
        classes=(*lensed, replace(no_lens, scenes=scenes)),
        imaging=replace(
            config.imaging,
            instrument=replace(
                camera,
                psf=None,
                psf_fwhm=PLAIN_FWHM,
                background_rms=PLAIN_RMS,
                exposure_time=None,
                other_depths=(),
                sky_correlation=None,
            ),
        ),
    )


def summary(found: list[dict[str, Any]], num_parts: int) -> dict[str, list[float]]:
    """Return what finders of one arm find: the mean over seeds, and over real lenses its interval.

    Each row is the share, and the ends of its interval from the number of images.
    """
    shares: dict[str, list[float]] = {}
    for name in ("SLACS", "DESI", "simulated", "galaxies"):
        hits, num = 0.0, 0
        for each in found:
            limit = np.quantile(each["no_lens"], 1 - FALSE_POSITIVES)
            values = np.array(each[name])
            if name == "SLACS" and num_parts > 1:
                values = values[each["part"] :: num_parts]
            hits, num = hits + float((values > limit).sum()), num + len(values)
        share = hits / num
        seeds = len({each["seed"] for each in found})
        images = num / seeds / (num_parts if name != "SLACS" else 1)
        low, high = wilson(np.array([round(share * images)]), np.array([round(images)]))[0]
        shares[name] = [share, float(low), float(high)]
    areas = []
    for each in found:
        values = np.array(each["SLACS"])
        values = values[each["part"] :: num_parts] if num_parts > 1 else values
        truth = np.r_[np.ones(len(values)), np.zeros(len(each["no_lens"]))]
        areas.append(roc_auc_score(truth, np.r_[values, each["no_lens"]]))
    shares["area"] = [float(np.mean(areas)), float(np.std(areas))]
    return shares


def markdown(rows: dict[str, dict[str, list[float]]]) -> str:
    """Return the table."""
    heads = [
        "trained on",
        "SLACS lenses found",
        "DESI lenses found",
        "simulated lenses found",
        "galaxies called lenses",
        "area, SLACS against simulated `no_lens`",
    ]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for arm, row in rows.items():
        cells = [
            f"{100 * row[name][0]:.1f}% ({100 * row[name][1]:.0f} to {100 * row[name][2]:.0f})"
            for name in ("SLACS", "DESI", "simulated", "galaxies")
        ]
        lines.append(
            f"| {arm} | {' | '.join(cells)} | {row['area'][0]:.3f} ± {row['area'][1]:.3f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    launch(main, Options, __doc__)
