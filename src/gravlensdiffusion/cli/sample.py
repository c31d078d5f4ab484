"""``gravlens sample``: images, a grid and a GIF from a model."""

import math
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gravlensdiffusion.cli.parts import Parts
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.parallel import Processes
from gravlensdiffusion.progress import shown_progress, tell
from gravlensdiffusion.store.layout import GIF, GRID, SET_ENTRIES

if TYPE_CHECKING:
    from gravlensdiffusion.cli.drawing import Drawing
    from gravlensdiffusion.generation.generator import LensGenerator
    from gravlensdiffusion.generation.ordering import Order, Span

DEFAULT_NUM = 100
ORDERED_BY = ("theta_E", "source_x", "source_y", "gamma1", "gamma2", "signal_to_noise")
"""Parameters that have a flag of their own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Draw images from a model, with a grid of the first hundred.

    Image k depends on the seed, on k, what it is asked to be and the sampler; not on how many are
    drawn. Each parameter takes a value or a range that values are drawn from: 1.2, or 1.0:1.4. What
    is left out of an order is left to the model; where nothing is ordered, the images take the
    parameters of training images.
    """

    out: Path
    """Folder to write to; it is made where it does not exist."""
    model: str = "lens150"
    """A bundled model, a run, a checkpoint folder, or a model_checkpoint.pth of the earlier
    project."""
    num: int | None = None
    """Number of images; 100 by default, or one for each row of --conditions."""
    label: str | None = None
    """A class, or several separated by commas that are gone through in turn; 'any' leaves the
    class to the model. By default all classes in turn."""
    theta_E: str | None = None  # noqa: N815  lenstronomy's name
    """Einstein radius [arcsec]."""
    source_x: str | None = None
    """Source position along x, from the middle of the image [arcsec]."""
    source_y: str | None = None
    """Source position along y, from the middle of the image [arcsec]."""
    gamma1: str | None = None
    """External shear along the axes."""
    gamma2: str | None = None
    """External shear along the diagonals."""
    signal_to_noise: str | None = None
    """Signal-to-noise ratio of the whole image, at the depth of the training set."""
    conditions: Path | None = None
    """A CSV file with one row per image: columns label and parameters of the model, in any order;
    an empty cell leaves a value to the model."""
    seed: int = 0
    """Seed of the noise that the images start from."""
    quality: Literal["draft", "standard", "best"] | None = None
    """A measured number of steps instead of --steps: draft for the fastest images, best for the
    closest ones, standard for the model's own; `gravlens models` lists them."""
    sampler: Literal["dpmpp", "ddim", "ddpm", "heun", "consistency"] | None = None
    """How noise is undone: dpmpp (DPM-Solver++ 2M), ddim, ddpm (1000 random steps), heun, or
    consistency, by distilled weights. By default distilled weights where the model has some for
    that number of steps, else the model's own."""
    steps: int | None = None
    """Number of steps; by default what suits model and sampler."""
    batch_size: int = 100
    """Images at a time; it bounds the memory."""
    guidance: float = 1.0
    """How strongly class and parameters are insisted on; 1 is the model as it was trained."""
    exposure: float | None = None
    """Exposure time that sets the Poisson noise of the galaxies [s], of a model that leaves the
    noise to the instrument; that of the training set by default."""
    sky_rms: float | None = None
    """Noise of sky and read-out in a native pixel [e-/s], of such a model; likewise."""
    noise_free: bool = False
    """Keep the images of such a model without noise too, in lenses.h5."""
    flux_unit: Literal["peak"] | None = None
    """peak: shift and scale each image to [0, 1], as DeepLense files are; by default the images
    stay in the flux unit of the model."""
    format: str = "h5"
    """What to write, separated by commas: h5 (lenses.h5), npy, fits, png."""
    shard_size: int | None = None
    """Write lenses-00000.h5, lenses-00001.h5, ... of that many images each to a folder of their
    own, without pictures; the same command again makes only those that are missing."""
    gif: bool = False
    """Write denoising.gif too: the first hundred images on their way from noise. It takes at least
    30 steps: where the images take fewer, it shows a run of 30 steps from the same noise, by the
    weights that are not distilled."""
    dry_run: bool = False
    """Say what would be drawn, and stop."""
    overwrite: bool = False
    """Replace a set that exists, in all its formats; of shards, those that are damaged or of another request."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute."""
    threads: int | None = None
    """Threads to compute with; by default what OMP_NUM_THREADS says, else as many as there are free
    cores."""


def run(options: Options) -> None:
    """Draw images and write them.

    Raises:
        GravLensError: If an option does not fit the model, or a file exists.
    """
    formats = tuple(dict.fromkeys(split(options.format)))
    processes = Processes.launched()
    processes.join()
    parts = Parts(options.out, processes)
    processes.main_first(lambda: prepare(options, formats, parts))
    from gravlensdiffusion.files import whole_folder
    from gravlensdiffusion.formats.writers import check_channels, write_images
    from gravlensdiffusion.generation.generator import LensGenerator
    from gravlensdiffusion.reports.drawing import spared
    from gravlensdiffusion.reports.mosaics import save_grid

    generator = LensGenerator.from_pretrained(options.model, device=options.device)
    check_channels(generator.config.num_channels, formats)
    order = read_order(options, generator)
    drawing = set_up(options, generator, order, processes)
    if options.dry_run:
        print(foretell(options, drawing, formats))
        return
    if options.shard_size is not None:
        from gravlensdiffusion.cli.sharding import draw_set
        from gravlensdiffusion.store.shards import Shards

        shards = Shards(options.out, len(order), options.shard_size)
        print(draw_set(shards, drawing, processes, overwrite=options.overwrite))
        tell(*drawing.observer.clipping.notes(seen=options.noise_free))
        return
    header = generator.header(options.seed, drawing.observer)
    if not processes.is_main:
        parts.write(drawing.records(), header, len(drawing.share))
        return
    with (
        closing(parts),
        whole_folder(options.out, lambda: check_names(options, formats), SET_ENTRIES) as folder,
        shown_progress(len(drawing.share), steps=drawing.steps_of_image) as shown,
    ):
        drawing.advance = shown.advance
        own = drawing.records(folder / GIF if options.gif else None, tell)
        written = write_images(
            folder,
            drawing.showing(chain(own, parts.records())),
            header,
            formats,
            model=generator.name,
            num=len(order),
        )
        with spared(GRID, tell):
            save_grid(drawing.shown(), folder / GRID)
    tell(*drawing.observer.clipping.notes(seen=options.noise_free))
    names = [path.name for path in written]
    names += [name for name in (GRID, GIF) if (options.out / name).exists()]
    print(f"wrote {len(order)} images of {generator.name} to {options.out}: {', '.join(names)}")


def foretell(options: Options, drawing: "Drawing", formats: Sequence[str]) -> str:
    """Say in one line what would be drawn.

    Raises:
        GravLensError: If a shard is damaged or of another request.
    """
    settings, num = drawing.settings, len(drawing.order)
    steps = "step" if settings.steps == 1 else "steps"
    told = (
        f"would write {num:,} images of {drawing.generator.name} ({settings.sampler}, "
        f"{settings.steps} {steps}, seed {settings.seed}) to {options.out}: "
    )
    if options.shard_size is None:
        return told + ", ".join([*formats, GRID, *[GIF] * options.gif])
    from gravlensdiffusion.cli.sharding import drawn_request, foretold
    from gravlensdiffusion.store.shards import Shards

    shards = Shards(options.out, num, options.shard_size)
    return told + foretold(shards, drawn_request(drawing), overwrite=options.overwrite)


def read_order(options: Options, generator: "LensGenerator") -> "Order":
    """Return what each image is asked to be.

    Raises:
        GravLensError: If a value cannot be read, or the model does not know it.
    """
    from gravlensdiffusion.generation.ordering import draw_order, read_conditions

    config, name = generator.config, generator.name
    if options.conditions is not None:
        order = read_conditions(options.conditions, config, name)
    else:
        labels = None if options.label is None else split(options.label)
        num = DEFAULT_NUM if options.num is None else options.num
        order = draw_order(config, num, labels, spans(options), options.seed, name)
    return generator.filled(order, options.seed)


def spans(options: Options) -> dict[str, "Span"]:
    """Return the values and ranges that are asked for, by the names of parameters.

    Raises:
        GravLensError: If one cannot be read.
    """
    from gravlensdiffusion.generation.ordering import parse_span

    asked = {each: getattr(options, each) for each in ORDERED_BY}
    return {each: parse_span(text, each) for each, text in asked.items() if text is not None}


def set_up(
    options: Options, generator: "LensGenerator", order: "Order", processes: Processes
) -> "Drawing":
    """Return the drawing that the options ask for, this process's share of it.

    Raises:
        GravLensError: If the model cannot do what is asked for.
    """
    from gravlensdiffusion.cli.drawing import Drawing, Settings
    from gravlensdiffusion.generation.instrument import Observer, Observing

    observing = Observing(
        exposure_s=options.exposure, sky_rms=options.sky_rms, flux_unit=options.flux_unit
    )
    observer = Observer(generator.config, observing, generator.name)
    if options.noise_free and observer.observation is None:
        raise GravLensError(
            f"model '{generator.name}' has learned its noise with its lenses, so that it has no "
            "noise-free images"
        )
    asked = options.steps if options.quality is None else generator.steps_of(options.quality)
    sampler, steps = generator.sampling(options.sampler, asked)
    generator.check_guidance(options.guidance)
    settings = Settings(
        seed=options.seed,
        sampler=sampler,
        steps=steps,
        batch_size=options.batch_size,
        guidance=options.guidance,
        noise_free=options.noise_free,
    )
    share = processes.share(len(order), options.batch_size)
    gif = options.gif and processes.is_main
    return Drawing(generator, order, observer, settings, gif=gif, share=share)


def prepare(options: Options, formats: Sequence[str], parts: Parts) -> None:
    """See to it, on the main process, that nothing is in the way.

    Raises:
        GravLensError: If a value is out of range, a format unknown, or a file in the way.
    """
    if parts.processes.is_main:
        check(options, formats)
        if not options.dry_run:
            parts.close()


def check(options: Options, formats: Sequence[str]) -> None:
    """Refuse what can be refused before a model is loaded.

    Raises:
        GravLensError: If a value is out of range, a format unknown, or a file in the way.
    """
    for flag, value in (("--num", options.num), ("--batch-size", options.batch_size)):
        if value is not None and value < 1:
            raise GravLensError(f"{flag} must be at least 1, got {value}")
    check_quality(options.quality, options.steps, options.sampler)
    check_guidance(options.guidance)
    if options.exposure is not None and not 0 < options.exposure < math.inf:
        raise GravLensError(f"--exposure must be a positive time in s, got {options.exposure}")
    if options.sky_rms is not None and not 0 <= options.sky_rms < math.inf:
        raise GravLensError(f"--sky-rms must be a number from 0 up, got {options.sky_rms}")
    if options.noise_free and "h5" not in formats:
        raise GravLensError("--noise-free writes to lenses.h5, so --format must name h5")
    spans(options)
    if options.conditions is not None:
        others = [
            each for each in ("num", "label", *ORDERED_BY) if getattr(options, each) is not None
        ]
        if others:
            flag = "--" + others[0].replace("_", "-")
            raise GravLensError(f"--conditions says all about each image, so leave out {flag}")
    if options.shard_size is not None:
        check_shards(options, formats)
        return
    check_names(options, formats)


def check_names(options: Options, formats: Sequence[str]) -> None:
    """Refuse names that are taken.

    Raises:
        GravLensError: If a format is unknown, or a file in the way.
    """
    from gravlensdiffusion.files import refuse_existing
    from gravlensdiffusion.formats.writers import check_targets

    check_targets(options.out, formats, overwrite=options.overwrite)
    for name in (GRID, GIF):
        refuse_existing(options.out / name, overwrite=options.overwrite)


def check_shards(options: Options, formats: Sequence[str]) -> None:
    """Refuse flags that do not go with shards.

    Raises:
        GravLensError: If there are some.
    """
    if options.shard_size is not None and options.shard_size < 1:
        raise GravLensError(f"--shard-size must be at least 1, got {options.shard_size}")
    if tuple(formats) != ("h5",):
        raise GravLensError("--shard-size writes HDF5 files alone, so leave out --format")
    if options.gif:
        raise GravLensError("--shard-size writes no pictures, so leave out --gif")


def check_guidance(scale: float) -> None:
    """Refuse a scale of guidance that draws no lenses, and doubt one that changes them.

    Raises:
        GravLensError: If it is out of range.
    """
    from gravlensdiffusion.config.bounds import WISE_GUIDANCE, require_guidance

    require_guidance(scale)
    if scale > WISE_GUIDANCE:
        tell(
            f"guidance {scale:g}: beyond {WISE_GUIDANCE:g}, lenses lose their shape and their flux; "
            "look at them"
        )


def check_quality(quality: str | None, steps: int | None, sampler: str | None) -> None:
    """Refuse flags that say what the quality says.

    Raises:
        GravLensError: If there are some.
    """
    for flag, given in (("--steps", steps), ("--sampler", sampler)):
        if quality is not None and given is not None:
            raise GravLensError(f"--quality says how images are drawn, so leave out {flag}")


def split(text: str) -> list[str]:
    """Return what stands between commas."""
    return [part.strip() for part in text.split(",")]
