"""``gravlens sample``: images, a grid and a GIF from a model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gravlensdiffusion.cli.options import MachineOptions, SamplingOptions, split
from gravlensdiffusion.cli.running import tell
from gravlensdiffusion.config.bounds import Count, ExposureTime, NoiseSeed, NonNegative
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.parallel import Processes
from gravlensdiffusion.presets.parameters import ORDERED_BY
from gravlensdiffusion.sets.naming import GIF, GRID

if TYPE_CHECKING:
    from gravlensdiffusion.generation.generator import LensGenerator
    from gravlensdiffusion.generation.request import Request, Span


@dataclass(frozen=True, kw_only=True, slots=True)
class _OrderOptions:
    """What each image is asked to be.

    A parameter takes a value or a range that values are drawn from: 1.2, or 1.0:1.4. What is left
    out is drawn as the training images have it, given what is ordered.

    Attributes:
        label: A class, or several separated by commas that are gone through in turn; 'any' leaves
            the class to the model. By default all classes in turn.
        theta_E: Einstein radius [arcsec].
        source_x: Source position along x, from the middle of the image [arcsec].
        source_y: Source position along y, from the middle of the image [arcsec].
        gamma1: External shear along the axes.
        gamma2: External shear along the diagonals.
        signal_to_noise: Signal-to-noise ratio of the whole image, at the depth of the training set.
        conditions: A CSV file with one row per image: columns label and parameters of the model, in
            any order; an empty cell leaves a value to the model.
    """

    label: str | None = None
    theta_E: str | None = None  # noqa: N815  lenstronomy's name
    source_x: str | None = None
    source_y: str | None = None
    gamma1: str | None = None
    gamma2: str | None = None
    signal_to_noise: str | None = None
    conditions: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _InstrumentOptions:
    """What the instrument makes of the images.

    Attributes:
        exposure: Exposure time that sets the Poisson noise of the galaxies [s], of a model that
            leaves the noise to the instrument; that of the training set by default.
        sky_rms: Noise of sky and read-out in a native pixel [e-/s], of such a model; likewise.
        noise_free: Keep the images of such a model without noise too, in lenses.h5.
        flux_unit: peak: shift and scale each image to [0, 1], as DeepLense files are; by default
            the images stay in the flux unit of the model.
    """

    exposure: ExposureTime | None = None
    sky_rms: NonNegative | None = None
    noise_free: bool = False
    flux_unit: Literal["peak"] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Draw images from a model, with a grid of the first hundred.

    Image k depends on the seed, on k, what it is asked to be and the sampler; not on how many are
    drawn.

    Attributes:
        out: Folder to write to; it is made where it does not exist.
        model: A bundled model, a run, a checkpoint folder, a pipeline of diffusers, owner/name on the
            hub, or a model_checkpoint.pth of the earlier project.
        weak: A weaker model of the same images, an earlier checkpoint of the run, say: --guidance then
            goes away from what it would draw.
        num: Number of images; 100 by default, or one for each row of --conditions.
        seed: Seed of the noise that the images start from.
        format: What to write, separated by commas: h5 (lenses.h5), npy, fits, png.
        shard_size: Write lenses-00000.h5, lenses-00001.h5, ... of that many images each to a folder
            of their own, without pictures; the same command again makes only those that are
            missing.
        gif: Write denoising.gif too: the first hundred images on their way from noise. It takes at
            least 30 steps: where the images take fewer, it shows a run of 30 steps from the same
            noise, by the weights that are not distilled.
        dry_run: Say what would be drawn, and stop.
        overwrite: Replace a set that exists, in all its formats; of shards, those that are damaged
            or of another request.
    """

    out: Path
    model: str = "lens64"
    weak: str | None = None
    num: Count | None = None
    seed: NoiseSeed = 0
    format: str = "h5"
    shard_size: Count | None = None
    gif: bool = False
    dry_run: bool = False
    overwrite: bool = False
    order: _OrderOptions = _OrderOptions()
    sampling: SamplingOptions = SamplingOptions()
    instrument: _InstrumentOptions = _InstrumentOptions()
    machine: MachineOptions = MachineOptions()

    def run(self) -> None:
        """Draw images and write them."""
        formats = tuple(dict.fromkeys(split(self.format)))
        processes = Processes.launched()
        processes.join()
        processes.main_first(lambda: _check(self, formats) if processes.is_main else None)
        from gravlensdiffusion.formats.writers import check_channels
        from gravlensdiffusion.generation.generator import LensGenerator
        from gravlensdiffusion.generation.saving import SampleWriter
        from gravlensdiffusion.store.shards import Shards

        device = self.machine.device
        generator = LensGenerator.from_pretrained(self.model, device=device, weak=self.weak)
        check_channels(generator.config.num_channels, formats)
        request = _read_request(self, generator)
        writer = SampleWriter(
            generator=generator,
            request=request,
            batch_size=self.sampling.batch_size,
            overwrite=self.overwrite,
            processes=processes,
            tell=tell,
            progress=True,
        )
        num = str(len(request))
        if self.shard_size is not None:
            shards = Shards.of_size(self.out, len(request), self.shard_size)
            what = shards.summary(writer.write_shards(shards, dry_run=self.dry_run))
            num = f"{len(request):,}"
        elif self.dry_run:
            what = ", ".join([*formats, GRID, *[GIF] * self.gif])
        else:
            what = ", ".join(writer.write_set(self.out, formats, gif=self.gif))
        if self.dry_run:
            steps = "step" if request.num_steps == 1 else "steps"
            print(
                f"would write {len(request):,} images of {generator.name} ({request.sampler}, "
                f"{request.num_steps} {steps}, seed {request.seed}) to {self.out}: {what}"
            )
        else:
            print(f"wrote {num} images of {generator.name} to {self.out}: {what}")


def _read_request(options: Options, generator: "LensGenerator") -> "Request":
    from gravlensdiffusion.generation.conditions import read_conditions

    num = 100 if options.num is None else options.num
    labels = None if options.order.label is None else split(options.order.label)
    parameters: Mapping[str, Any] = _spans(options)
    if options.order.conditions is not None:
        labels, parameters = read_conditions(
            options.order.conditions, generator.config, generator.name
        )
        num = len(labels)
    quality = options.sampling.quality
    return generator.request(
        num,
        label=labels,
        parameters=parameters,
        seed=options.seed,
        sampler=options.sampling.sampler,
        num_steps=options.sampling.steps if quality is None else generator.steps_of(quality),
        guidance=options.sampling.guidance,
        exposure_s=options.instrument.exposure,
        sky_rms=options.instrument.sky_rms,
        flux_unit=options.instrument.flux_unit,
        noise_free=options.instrument.noise_free,
    )


def _spans(options: Options) -> dict[str, "Span"]:
    """Return the values and ranges that are asked for, by the names of parameters."""
    from gravlensdiffusion.generation.request import Span

    asked = {each: getattr(options.order, each) for each in ORDERED_BY}
    return {each: Span.parse(text, each) for each, text in asked.items() if text is not None}


def _check(options: Options, formats: Sequence[str]) -> None:
    from gravlensdiffusion.formats.writers import check_set

    options.sampling.check()
    if options.weak is not None and options.sampling.guidance == 1:
        raise GravLensError("`weak` is what `guidance` goes by, so give `guidance` too, 1.5 say")
    if options.instrument.noise_free and "h5" not in formats:
        raise GravLensError("`noise_free` writes to lenses.h5, so `format` must name h5")
    _spans(options)
    if options.order.conditions is not None:
        orders = [
            each for each in ("label", *ORDERED_BY) if getattr(options.order, each) is not None
        ]
        if others := ["num"] * (options.num is not None) + orders:
            raise GravLensError(
                f"`conditions` says all about each image, so leave out `{others[0]}`"
            )
    if options.shard_size is None:
        check_set(options.out, formats, overwrite=options.overwrite)
    elif tuple(formats) != ("h5",):
        raise GravLensError("`shard_size` writes HDF5 files alone, so leave out `format`")
    elif options.gif:
        raise GravLensError("`shard_size` writes no pictures, so leave out `gif`")
