"""From a checkpoint to lens images in physical units."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, Unpack

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from gravlensdiffusion import __version__
from gravlensdiffusion.codec import to_json
from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.config.sampling import CONSISTENCY
from gravlensdiffusion.diffusion.denoise import Denoiser
from gravlensdiffusion.diffusion.guidance import GuidedDenoiser
from gravlensdiffusion.diffusion.randomness import Stream, Streams
from gravlensdiffusion.diffusion.sampler import conditional_prior, trajectory
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.generation.noise import (
    UNITS,
    Clipping,
    add_noise,
    asked_noise,
    known_noise,
    noise_of_images,
)
from gravlensdiffusion.generation.pretrained import Pretrained
from gravlensdiffusion.generation.prior import draw_missing_parameters
from gravlensdiffusion.generation.request import (
    Asked,
    Request,
    Span,
    check_guided,
    class_indices,
    parameter_table,
)
from gravlensdiffusion.generation.samples import Frame, LensSamples
from gravlensdiffusion.model.build import build_sampler
from gravlensdiffusion.model.checkpoint import fingerprint
from gravlensdiffusion.progress import shown_progress
from gravlensdiffusion.sets.flux import PEAK, peak_scaled
from gravlensdiffusion.sets.records import SetHeader


class LensGenerator(Pretrained):
    """A trained model that makes lens images.

    Args:
        model: The model.
        name: What it is called in the files it makes.
        few_steps: The same model, distilled; None where there is none. It draws the numbers of
            steps that it was made for, where no sampler is asked for.
        weak: A weaker model of the same images, an earlier checkpoint of the same run, say, that
            guidance goes by; None for guidance by the model itself, free of class and parameters.

    Raises:
        GravLensError: If the weaker model is one of other images.

    Example:
        >>> generator = LensGenerator.from_pretrained("lens28")  # doctest: +SKIP
        >>> generator.sample(100, label="cdm", seed=0).images.shape  # doctest: +SKIP
        (100, 1, 28, 28)
    """

    def request(
        self,
        num: int,
        *,
        label: str | Sequence[str] | None = None,
        parameters: Mapping[str, ArrayLike | Span] | None = None,
        seed: int = 0,
        first: int = 0,
        sampler: str | None = None,
        num_steps: int | None = None,
        guidance: float = 1.0,
        exposure_s: float | None = None,
        sky_rms: float | None = None,
        flux_unit: Literal["peak"] | None = None,
        noise_free: bool | None = None,
    ) -> Request:
        """Return what a number of images is asked to be, and how they are drawn.

        Args:
            num: Number of images N.
            label: A class for all; or a list of classes that is gone through again and again;
                ``any`` leaves the class to the model; None goes through all classes in turn.
            parameters: Physical parameters by name: numbers, arrays of shape ``(N,)``, or ranges
                that values are drawn from; NaN, or no entry, leaves a value out. It is then drawn
                as the training images have it, given the others, where the model knows how.
            seed: Seed.
            first: Number k of the first image.
            sampler: ``ddpm``, ``ddim``, ``dpmpp``, ``heun``, ``consistency`` or ``scheduler``; None
                for the model's own.
            num_steps: Number of steps; None for the model's own, or the sampler's.
            guidance: Scale of guidance, by the weaker model where there is one, else classifier-free;
                1 is none.
            exposure_s: Exposure time that sets the Poisson noise of the galaxies [s], of a model
                that leaves the noise to the instrument; None for that of the training set.
            sky_rms: Noise of sky and read-out in a native pixel [e- / s], of such a model; likewise.
            flux_unit: ``peak`` to shift and scale each image to [0, 1]; None for the model's unit.
            noise_free: Whether images of such a model are kept without noise too; by default they are.

        Raises:
            GravLensError: If a value is not allowed, or the model does not know or cannot do it.
        """
        if num < 1:
            raise GravLensError(f"the number of images must be at least 1, got {num}")
        if flux_unit not in (None, PEAK, self.config.flux_unit):
            raise GravLensError(f"`flux_unit` is {PEAK} or left out, got {flux_unit}")
        numbers = range(first, first + num)
        labels = class_indices(self.config, num, label, self.name)
        table = parameter_table(self.config, numbers, parameters or {}, seed, self.name)
        name, steps = self.sampling(sampler, num_steps)
        observation = asked_noise(self.config, exposure_s, sky_rms, self.name)
        if noise_free and observation is None:
            raise GravLensError(
                f"model '{self.name}' has learned its noise with its lenses, so that it has no "
                "noise-free images"
            )
        weak = None if guidance == 1.0 else self.weak
        if weak is not None and name == CONSISTENCY:
            raise GravLensError(
                f"model '{self.name}' draws {steps} steps by distilled weights, which no weaker model "
                "guides; choose another `sampler`"
            )
        draw_missing_parameters(self.model, labels, table, numbers, seed)
        if guidance != 1.0 and weak is None:
            check_guided(labels, None if self.model.expected else table, self.name)
        return Request(
            labels=labels,
            parameters=table,
            seed=int(seed),
            sampler=name,
            num_steps=steps,
            guidance=float(guidance),
            observation=observation,
            flux_unit=flux_unit or self.config.flux_unit,
            noise_free=observation is not None if noise_free is None else noise_free,
            first=first,
            weak=None if weak is None else fingerprint(weak),
        )

    def sample(
        self, num: int, *, batch_size: int = 100, progress: bool = False, **asked: Unpack[Asked]
    ) -> LensSamples:
        """Generate images.

        Image k depends on (seed, k), on what it is asked to be and on the sampler alone.

        Args:
            num: Number of images N.
            batch_size: Images at a time.
            progress: Whether to show on stderr how far it is.
            asked: What they are asked to be; see `request`.

        Raises:
            GravLensError: If a value is not allowed, or the model does not know or cannot do it.
        """
        request = self.request(num, **asked)
        images = np.empty((num, *self.image_shape), dtype=np.float32)
        twins = np.empty_like(images) if request.noise_free else None
        done, clipping = 0, Clipping()
        with shown_progress(num, steps=request.num_steps, is_shown=progress) as shown:
            for batch in self.generate(request, batch_size=batch_size, advance=shown.advance):
                images[done : done + len(batch)] = batch.images
                if twins is not None:
                    twins[done : done + len(batch)] = batch.noise_free
                clipping += batch.clipping
                done += len(batch)
        return self._samples(request, images, twins, clipping)

    def generate(
        self,
        request: Request,
        *,
        batch_size: int = 100,
        advance: Callable[[int], object] = lambda num: num,
    ) -> Iterator[LensSamples]:
        """Yield the images of a request batch by batch.

        Args:
            request: What is asked, from `request`.
            batch_size: Images at a time.
            advance: Called after each step of a batch with its number of images.

        Raises:
            GravLensError: If the batch size is not positive, or pixels are not finite.
        """
        if batch_size < 1:
            raise GravLensError(f"the batch size must be at least 1, got {batch_size}")
        for batch in request.batches(batch_size):
            for frame in self.trajectory(batch):
                if frame.step:
                    advance(len(batch))
            yield self.finished(batch, frame.x_t)

    @torch.inference_mode()
    def trajectory(self, request: Request) -> Iterator[Frame]:
        """Yield the way of images in model space, all at once: a frame before each step, and the images."""
        streams = Streams(request.seed, request.numbers)
        model = self.drawn_by(request.sampler)
        denoiser: Denoiser = model.sampled
        if request.guidance != 1.0:
            assert request.weak is None or self.weak, "the request is that of another generator"
            worse = self.weak.sampled if request.weak and self.weak else None
            keeps = model.expected is not None
            denoiser = GuidedDenoiser(denoiser, request.guidance, worse, keeps_parameters=keeps)
        noise = streams.normal(Stream.PRIOR, self.image_shape)
        noise = noise.to(self.device, memory_format=torch.channels_last)
        solver = build_sampler(request.sampler, model.config)
        times = solver.times(denoiser.schedule, request.num_steps)
        alphas, _ = denoiser.schedule(times)
        condition = None
        if self.is_conditional:
            label = torch.as_tensor(request.labels.astype(np.int64))
            parameters = torch.as_tensor(request.parameters) if self.config.parameters else None
            condition = Condition(label=label, parameters=parameters).to(self.device)
        x_1 = conditional_prior(denoiser, noise, condition)
        for i, x_t, x_hat in trajectory(denoiser, solver, x_1, times, condition, streams):
            yield Frame(step=i, alpha_t=float(alphas[i]), x_t=x_t, x_hat=x_hat)

    def finished(self, request: Request, x: Tensor) -> LensSamples:
        """Return the images at the end of a trajectory as they are handed out.

        Args:
            request: What was asked of them.
            x: The images in model space, shape ``(B, C, H, W)``.

        Raises:
            GravLensError: If pixels are not finite.
        """
        images, clean, clipping = self.to_flux(x), None, Clipping()
        if not np.isfinite(images).all():
            raise GravLensError(
                f"model '{self.name}' draws pixels that are not finite in {request.num_steps} steps of "
                f"sampler '{request.sampler}'; take more steps, or another `sampler`"
            )
        if request.observation is not None:
            clipping = Clipping.of(images, self.config)
            # No pixel of a lens is darker than the sky, whatever the network leaves there.
            clean = np.maximum(images, 0)
            images = add_noise(clean, request.observation, request.numbers, request.seed)
        if request.flux_unit != self.config.flux_unit:
            images, clean = peak_scaled(images, clean)
        return self._samples(request, images, clean if request.noise_free else None, clipping)

    def _samples(
        self,
        request: Request,
        images: NDArray[np.float32],
        noise_free: NDArray[np.float32] | None,
        clipping: Clipping,
    ) -> LensSamples:
        """Return images with what they were asked to be, and their noise."""
        asked, names = request.observation, [each.name for each in self.config.parameters]
        parameters = dict(zip(names, request.parameters.T, strict=True))
        # A signal-to-noise ratio is that at the depth of the training set, if that has one.
        has_depths = asked is not None and bool(asked.depths)
        if "signal_to_noise" in parameters and (asked != self.config.observation or has_depths):
            parameters["signal_to_noise"] = np.full(len(request), np.nan)
        return LensSamples(
            images=images,
            labels=request.labels,
            parameters=parameters | noise_of_images(asked, request.numbers, request.seed),
            noise_free=noise_free,
            header=self.header(request),
            clipping=clipping,
        )

    def to_flux(self, x: Tensor) -> NDArray[np.float32]:
        """Map images from model space ``(B, C, H, W)`` to flux."""
        flux = self.model.transform.inverse(x)
        return np.asarray(flux.contiguous().float().cpu(), dtype=np.float32)

    def to_display(self, frame: Frame) -> NDArray[np.float32]:
        """Map noisy images to the stretched scale of the transform, shape ``(B, C, H, W)``.

        Noise stays finite and lenses visible on it, where flux would span orders of magnitude. The mean
        image, which is no part of model space, comes back as the noise goes: what is shown is
        ``alpha_t z + sigma_t eps / gain`` for a stretched image z.
        """
        transform = self.model.transform
        shown = frame.x_t / transform.config.gain + frame.alpha_t * transform.mean
        return np.asarray(shown.contiguous().float().cpu(), dtype=np.float32)

    def header(self, request: Request) -> SetHeader:
        """Describe a set of images made by this model."""
        units = {each.name: each.unit for each in self.config.parameters}
        return SetHeader(
            class_names=self.config.class_names,
            pixel_scale_arcsec=self.config.pixel_scale_arcsec,
            flux_unit=request.flux_unit,
            config=to_json(self.config),
            seed=request.seed,
            parameter_units=units | {n: UNITS[n] for n in known_noise(request.observation)},
            resize=self.config.resize,
            software=f"gravlensdiffusion {__version__}, model {self.name}{request.guided_by}",
        )
