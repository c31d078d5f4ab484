"""``gravlens simulate``: lens images from lenstronomy, with the truth beside them."""

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gravlensdiffusion import __version__
from gravlensdiffusion.cli.options import split
from gravlensdiffusion.config.bounds import Count, Seed
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.progress import shown_progress

if TYPE_CHECKING:
    from joblib._dask import DaskDistributedBackend

    from gravlensdiffusion.simulation.simulated_set import SimulatedSet
    from gravlensdiffusion.store.shards import Shards

PATIENCE_S = 30
"""How long the scheduler of a Dask cluster, and its first worker, may take to answer [s]."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _WorkOptions:
    """Who simulates.

    Attributes:
        jobs: Processes; as many as there are cores by default.
        dask: Address of the scheduler of a Dask cluster, tcp://HOST:8786 say, that makes the
            images.
    """

    jobs: Count | None = None
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
    num: Count = 1000
    size: Count | None = None
    pixels: Count | None = None
    flux_unit: Literal["peak", "e-/s"] | None = None
    noise_free: bool = False
    classes: str | None = None
    mix: str | None = None
    sources: Path | None = None
    seed: Seed = 0
    shard_size: Count | None = None
    overwrite: bool = False
    dry_run: bool = False
    work: _WorkOptions = _WorkOptions()

    def run(self) -> None:
        """Simulate and write one file."""
        if self.work.dask is not None and self.work.jobs is not None:
            raise GravLensError(
                "`jobs` is for this machine and `dask` for a cluster; leave one out"
            )
        from gravlensdiffusion.store.shards import Shards
        from gravlensdiffusion.store.writer import check_store_file

        shards = None
        if self.shard_size is not None:
            shards = Shards.of_size(self.out, self.num, self.shard_size)
            shards.check_folder(overwrite=self.overwrite)
        else:
            check_store_file(self.out, overwrite=self.overwrite)
        from joblib import cpu_count

        from gravlensdiffusion.files import check_apart
        from gravlensdiffusion.formats.open import open_set
        from gravlensdiffusion.simulation.simulated_set import simulate
        from gravlensdiffusion.store.writer import write_store

        mix = None if self.mix is None else [_number(word) for word in split(self.mix)]
        sources = None
        if self.sources is not None:
            sources = open_set(self.sources, mixed=True, any_unit=True, skip_bad=True)
            check_apart(self.out, sources.files)
        jobs = cpu_count() if self.work.jobs is None else self.work.jobs
        lenses = simulate(
            self.preset,
            self.num,
            self.seed,
            num_jobs=jobs if self.work.dask is None else None,
            progress=shards is None,
            classes=None if self.classes is None else split(self.classes),
            mix=mix,
            size=self.size,
            num_pixels=self.pixels,
            noise_free=self.noise_free or None,
            flux_unit=self.flux_unit,
            sources=sources,
        )
        done = "would write" if self.dry_run else "wrote"
        told = f"{done} {_describe(lenses)} to {self.out}"
        with nullcontext() if self.work.dask is None else _dask_cluster(self.work.dask):
            if shards is not None:
                told += f": {_simulate_shards(self, shards, lenses)}"
            elif not self.dry_run:
                write_store(self.out, lenses, overwrite=self.overwrite)
        print(told)


def _simulate_shards(options: Options, shards: "Shards", lenses: "SimulatedSet") -> str:
    """Simulate the shards that are not there, unless it is a dry run, and say which those are."""
    header = lenses.header
    identity = {
        "configuration": hashlib.sha256(header.config.encode()).hexdigest(),
        "seed": header.seed,
        "version": header.software,
    }
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
        raise GravLensError(f"`mix`: '{word}' is not a number") from None


@contextmanager
def _dask_cluster(address: str) -> Iterator[None]:
    """Let joblib send its work to the Dask cluster whose scheduler has an address.

    A worker that dies costs what it was doing: the scheduler gives that to another one.

    Raises:
        GravLensError: If Dask is not installed, no scheduler answers there, it has no workers, or
            they cannot do the work.
    """
    try:
        from distributed import Client
    except ImportError:
        raise GravLensError(
            "`dask` needs Dask, which is not installed; pip install distributed brings it"
        ) from None
    from joblib import parallel_config

    try:
        client = Client(address, timeout=PATIENCE_S)
    except (OSError, ValueError) as error:
        raise GravLensError(
            f"no Dask scheduler answers at {address}: {_first_line(error)}"
        ) from None
    with client:
        _check_workers(client, address)
        try:
            with parallel_config(backend=_backend(client, address)):
                yield
        except TimeoutError as error:
            raise GravLensError(f"{address}: {_first_line(error)}") from None


def _check_workers(client: Any, address: str) -> None:
    """Refuse workers without this package, which would die of their first work one by one."""

    def version() -> str:
        import gravlensdiffusion

        return gravlensdiffusion.__version__

    try:
        found = set(client.run(version).values()) - {__version__}
    except ImportError as error:
        raise GravLensError(
            f"{address}: a worker cannot import this package: {_first_line(error)}"
        ) from None
    if found:
        raise GravLensError(
            f"{address}: a worker has version {found.pop()} of this package, not {__version__}"
        )


def _backend(client: Any, address: str) -> "DaskDistributedBackend":
    """Return joblib's Dask backend, which here tells of work that Dask has given up."""
    from joblib._dask import DaskDistributedBackend

    class Backend(DaskDistributedBackend):  # type: ignore[misc]
        def submit(self, func: Any, callback: Callable[[Any], object] | None = None) -> Any:
            future = super().submit(func, callback)

            # Work that cannot be sent, or whose workers have died, ends without the callback, and
            # joblib would wait for it for ever.
            def tell(done: Future[Any]) -> None:
                error = done.exception()
                if error is not None and callback is not None:
                    callback(error)

            future.add_done_callback(tell)
            return future

        def retrieve_result_callback(self, out: Any) -> Any:
            if isinstance(out, BaseException):
                raise GravLensError(
                    f"{address}: a worker cannot do the work: {_first_line(out)}"
                ) from None
            return super().retrieve_result_callback(out)

    return Backend(client=client, wait_for_workers_timeout=PATIENCE_S)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
