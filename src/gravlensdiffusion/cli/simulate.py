"""``gravlens simulate``: lens images from lenstronomy, with the truth beside them."""

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gravlensdiffusion.cli.cluster import dask_cluster
from gravlensdiffusion.cli.options import split
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.progress import shown_progress

if TYPE_CHECKING:
    from gravlensdiffusion.sets.lens_set import LensSet
    from gravlensdiffusion.simulation.simulated_set import SimulatedSet


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkOptions:
    """Who simulates.

    Attributes:
        jobs: Processes; as many as there are cores by default.
        dask: Address of the scheduler of a Dask cluster, tcp://HOST:8786 say, that makes the
            images.
    """

    jobs: int | None = None
    dask: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Simulate strong-lens images with lenstronomy.

    Image k depends on the seed and k alone, whatever the number of jobs.

    Attributes:
        out: File to write, lenses.h5 say.
        preset: Population and instrument: deeplense, deeplense-wide, deeplense-sim, euclid, hst or
            slacs, or a .json file like the configuration that a set keeps, changed as you like.
        num: Number of images.
        size: Pixels a side after a reduction that keeps the field of view; native size by default.
        pixels: Native pixels a side, which sets the field of view; the preset's by default.
        flux_unit: Unit of the pixels: peak (each image scaled to [0, 1]) or e-/s; by default the
            preset's.
        noise_free: Store each image without its noise too, as /images_noise_free.
        classes: Classes, separated by commas: no_sub, cdm, axion, and no_lens in euclid, hst and slacs;
            by default all of the preset's.
        mix: Weight of each class, separated by commas; by default the preset's, or equal ones where
            classes are named.
        sources: Folder of images of real galaxies that take the place of the preset's sources: a
            RealGalaxyCatalog of GalSim, deconvolved by its PSFs, or cutouts with a galaxy in the middle.
        seed: Seed of all images.
        shard_size: Write lenses-00000.h5, lenses-00001.h5, ... of that many images each to the
            folder --out; the same command again makes only those that are missing.
        overwrite: Replace an existing file; of shards, those that are damaged or of another
            request.
        dry_run: Say what would be written, and stop.
    """

    out: Path
    preset: str = "deeplense"
    num: int = 1000
    size: int | None = None
    pixels: int | None = None
    flux_unit: Literal["peak", "e-/s"] | None = None
    noise_free: bool = False
    classes: str | None = None
    mix: str | None = None
    sources: Path | None = None
    seed: int = 0
    shard_size: int | None = None
    overwrite: bool = False
    dry_run: bool = False
    work: WorkOptions = WorkOptions()


def run(options: Options) -> None:
    """Simulate and write one file."""
    if options.work.dask is not None and options.work.jobs is not None:
        raise GravLensError("`jobs` is for this machine and `dask` for a cluster; leave one out")
    _check_out(options)
    from joblib import cpu_count

    from gravlensdiffusion.simulation.simulated_set import simulate
    from gravlensdiffusion.store.reader import write_store

    jobs = cpu_count() if options.work.jobs is None else options.work.jobs
    lenses = simulate(
        options.preset,
        options.num,
        options.seed,
        num_jobs=jobs if options.work.dask is None else None,
        progress=options.shard_size is None,
        classes=None if options.classes is None else split(options.classes),
        mix=None if options.mix is None else [_number(word) for word in split(options.mix)],
        size=options.size,
        num_pixels=options.pixels,
        noise_free=options.noise_free or None,
        flux_unit=options.flux_unit,
        sources=None if options.sources is None else _open_galaxies(options.sources),
    )
    done = "would write" if options.dry_run else "wrote"
    told = f"{done} {_describe(lenses)} to {options.out}"
    with nullcontext() if options.work.dask is None else dask_cluster(options.work.dask):
        if options.shard_size is not None:
            told += f": {_simulate_shards(options, lenses)}"
        elif not options.dry_run:
            write_store(options.out, lenses, overwrite=options.overwrite)
    print(told)


def _simulate_shards(options: Options, lenses: "SimulatedSet") -> str:
    """Simulate the shards that are not there, unless it is a dry run, and say which those are."""
    import hashlib

    from gravlensdiffusion.store.shards import Shards

    header = lenses.header
    identity = {
        "configuration": hashlib.sha256(header.config.encode()).hexdigest(),
        "seed": header.seed,
        "version": header.software,
    }
    shards = Shards.of_size(options.out, options.num, options.shard_size or 0)
    if not options.dry_run:
        shards.clean()
    missing = shards.missing(
        range(len(shards)),
        lambda _: identity,
        overwrite=options.overwrite,
        removes=not options.dry_run,
    )
    num_images = sum(len(shards.pieces[k]) for k in missing)
    with shown_progress(num_images, is_shown=not options.dry_run) as shown:
        for k in [] if options.dry_run else missing:
            records = lenses.part(shards.pieces[k]).records()
            shards.write(k, shown.over(records), header, identity)
    return shards.summary(len(missing))


def _open_galaxies(folder: Path) -> "LensSet":
    """Open a folder of galaxies, of any size and unit."""
    from gravlensdiffusion.formats.open import open_set

    return open_set(folder, mixed=True, any_unit=True, skip_bad=True)


def _check_out(options: Options) -> None:
    """Refuse a path that cannot become the file or the shards, before anything is simulated."""
    from gravlensdiffusion.store.layout import check_store_file

    path = options.out
    if options.shard_size is not None:
        from gravlensdiffusion.store.shards import Shards

        shards = Shards.of_size(path, options.num, options.shard_size)
        shards.check_folder(overwrite=options.overwrite)
    else:
        check_store_file(path, overwrite=options.overwrite)


def _describe(lenses: "SimulatedSet") -> str:
    num, size, header = len(lenses), lenses.image_shape[1], lenses.header
    noun = "image" if num == 1 else "images"
    resized = f" ({header.resize} resize)" if header.resize else ""
    twins = " with noise-free twins," if lenses.has_noise_free else ""
    return (
        f"{num:,} {noun} of {size}x{size} pixels{resized}, "
        f"{header.pixel_scale_arcsec:.4g} arcsec each, flux unit {header.flux_unit},{twins} "
        f"classes {', '.join(header.class_names)}, preset {header.preset}, seed {header.seed}"
    )


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise GravLensError(f"mix: '{word}' is not a number") from None
