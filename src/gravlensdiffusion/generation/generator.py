"""From a checkpoint to lens images in physical units."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from gravlensdiffusion import __version__
from gravlensdiffusion.codec import to_json
from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.config.bounds import require_guidance
from gravlensdiffusion.diffusion.denoise import Denoiser
from gravlensdiffusion.diffusion.randomness import Stream, Streams, generator
from gravlensdiffusion.diffusion.samplers.base import prior, trajectory
from gravlensdiffusion.diffusion.wrap import GuidedDenoiser
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.generation.instrument import UNITS, Observer, Observing
from gravlensdiffusion.generation.ordering import Order, cycle_labels, parameter_table
from gravlensdiffusion.generation.samples import Frame, LensSamples
from gravlensdiffusion.model.build import FEW_STEPS, Model, build_sampler
from gravlensdiffusion.model.checkpoint import load_few_steps, load_model
from gravlensdiffusion.progress import shown_progress
from gravlensdiffusion.sets.records import SetHeader

Quality = Literal["draft", "standard", "best"]

AS_TRAINED = Observing()
"""The noise of the training set and the model's own flux unit."""


class LensGenerator:
    """A trained model that makes lens images.

    Args:
        model: The model.
        name: What it is called in the files it makes.
        few_steps: The same model, distilled; None where there is none. It draws the numbers of
            steps that it was made for, where no sampler is asked for.

    Example:
        >>> generator = LensGenerator.from_pretrained("lens28")  # doctest: +SKIP
        >>> generator.sample(100, label="cdm", seed=0).images.shape  # doctest: +SKIP
        (100, 1, 28, 28)
    """

    def __init__(self, model: Model, name: str = "model", few_steps: Model | None = None) -> None:
        self.model = model.eval()
        self.config = model.config
        self.name = name
        if few_steps is None and model.config.sampling.few_steps:
            few_steps = model
        self.few_steps = None if few_steps is None else few_steps.eval()

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, device: str = "auto") -> "LensGenerator":
        """Load a bundled model, a run, a checkpoint, or a checkpoint of the reference project.

        Args:
            name_or_path: See `checkpoint.load_model`.
            device: ``cpu``, ``cuda`` or ``auto``.

        Raises:
            GravLensError: If there is no such model or no such device.
        """
        if device == "cuda" and not torch.cuda.is_available():
            raise GravLensError("no CUDA device here; use --device cpu or auto")
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        few_steps = load_few_steps(name_or_path, device)
        return cls(load_model(name_or_path, device), Path(name_or_path).name, few_steps)

    @property
    def device(self) -> torch.device:
        """The device that the model is on."""
        return self.model.transform.mean.device

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """``(C, H, W)``."""
        size = self.config.image_size
        return (self.config.num_channels, size, size)

    def order(
        self,
        num: int,
        *,
        label: str | Sequence[str] | None = None,
        parameters: Mapping[str, ArrayLike] | None = None,
    ) -> Order:
        """Return what each of a number of images is asked to be.

        Args:
            num: Number of images N.
            label: A class for all; or a list of classes that is gone through again and again;
                ``any`` leaves the class to the model; None goes through all classes in turn.
            parameters: Physical parameters by name: numbers, or arrays of shape ``(N,)``; NaN, or
                no entry, leaves a value out.

        Raises:
            GravLensError: If the model does not know a class, a parameter or a value.
        """
        labels = cycle_labels(self.config, num, label, self.name)
        return Order(labels, parameter_table(self.config, num, parameters or {}, self.name))

    def sample(
        self,
        num: int,
        *,
        label: str | Sequence[str] | None = None,
        parameters: Mapping[str, ArrayLike] | None = None,
        seed: int = 0,
        sampler: str | None = None,
        num_steps: int | None = None,
        batch_size: int = 100,
        guidance: float = 1.0,
        observing: Observing = AS_TRAINED,
        progress: bool = False,
    ) -> LensSamples:
        """Generate images.

        Image k depends on (seed, k), on what it is asked to be and on the sampler alone.

        Args:
            num: Number of images N.
            label: See `order`.
            parameters: See `order`. An image of which none is given takes those of a training image
                of its class, drawn at random, where the model has kept any.
            seed: Seed.
            sampler: ``ddpm``, ``ddim``, ``dpmpp`` or ``heun``; None for the model's own.
            num_steps: Number of steps; None for the model's own, or the sampler's.
            batch_size: Images at a time.
            guidance: Scale of classifier-free guidance; 1 is none.
            observing: Noise and scale of the images.
            progress: Whether to show on stderr how far it is.

        Raises:
            GravLensError: If a value is not allowed or a class not known.
        """
        if num < 1 or batch_size < 1:
            raise GravLensError("the number of images and the batch size must be at least 1")
        order = self.filled(self.order(num, label=label, parameters=parameters), seed)
        observer = Observer(self.config, observing, self.name)
        images = np.empty((num, *self.image_shape), dtype=np.float32)
        noise_free = None if observer.observation is None else np.empty_like(images)
        _, steps = self.sampling(sampler, num_steps)
        with shown_progress(num, steps=steps, is_shown=progress) as shown:
            for start in range(0, num, batch_size):
                indices = range(start, min(start + batch_size, num))
                for frame in self.trajectory(
                    indices,
                    order[start : indices.stop],
                    seed=seed,
                    sampler=sampler,
                    num_steps=num_steps,
                    guidance=guidance,
                ):
                    shown.update(start * steps + frame.step * len(indices))
                images[start : indices.stop], clean = observer.take(
                    self.to_flux(frame.x_t), indices, seed
                )
                if noise_free is not None and clean is not None:
                    noise_free[start : indices.stop] = clean
        return LensSamples(
            images=images,
            labels=order.labels,
            parameters=self.stored_parameters(order, observer),
            noise_free=noise_free,
            header=self.header(seed, observer),
            clipped_share=observer.clipping.share,
        )

    @torch.inference_mode()
    def trajectory(
        self,
        indices: Sequence[int],
        order: Order,
        *,
        seed: int = 0,
        sampler: str | None = None,
        num_steps: int | None = None,
        guidance: float = 1.0,
    ) -> Iterator[Frame]:
        """Yield the way of images from noise to lens, in model space.

        Args:
            indices: Numbers k of the images, length B.
            order: What each of them is asked to be.
            seed: Seed.
            sampler: See `sample`.
            num_steps: See `sample`.
            guidance: See `sample`.

        Yields:
            One frame before each step, the first the noise itself, and the images as the last one.
        """
        name, steps = self.sampling(sampler, num_steps)
        streams = Streams(seed, indices)
        condition = self._condition(order)
        model = self.drawn_by(name)
        denoiser: Denoiser = model.denoiser
        self.check_guidance(guidance)
        if guidance != 1.0:
            denoiser = GuidedDenoiser(denoiser, guidance)
        noise = streams.normal(Stream.PRIOR, self.image_shape)
        noise = noise.to(self.device, memory_format=torch.channels_last)
        x_1 = prior(denoiser.schedule, noise)
        solver = build_sampler(name, model.config.sampling.levels)
        times = solver.times(denoiser.schedule, steps)
        alphas, _ = denoiser.schedule(times)
        walk = trajectory(denoiser, solver, x_1, steps, condition, streams, times=times)
        for i, x_t, x_hat in walk:
            alpha_t = float(alphas[i])
            yield Frame(step=i, num_steps=steps, alpha_t=alpha_t, x_t=x_t, x_hat=x_hat)

    def check_guidance(self, guidance: float) -> None:
        """Refuse a scale of guidance that the model cannot be drawn with.

        Raises:
            GravLensError: If it is out of range, or not 1 where the model knows neither classes nor
                parameters.
        """
        require_guidance(guidance)
        if guidance != 1.0 and not (self.config.class_names or self.config.parameters):
            raise GravLensError(f"model '{self.name}' knows nothing to guide by")

    def sampling(self, sampler: str | None, num_steps: int | None) -> tuple[str, int]:
        """Return the sampler and number of steps that stand for what was left out.

        Raises:
            GravLensError: If this model cannot be drawn so.
        """
        own, short = self.config.sampling, self.num_few_steps
        name = sampler or (FEW_STEPS if num_steps in short else own.sampler)
        if name == FEW_STEPS and not short:
            raise GravLensError(
                f"model '{self.name}' is not distilled, which sampler '{FEW_STEPS}' needs"
            )
        if name != FEW_STEPS and own.sampler == FEW_STEPS:
            raise GravLensError(
                f"model '{self.name}' is distilled; it has sampler '{FEW_STEPS}' only"
            )
        if num_steps is None:
            default = max(short) if name == FEW_STEPS else build_sampler(name).default_num_steps
            num_steps = own.num_steps if name == own.sampler else default
        if num_steps < 1:
            raise GravLensError(f"the number of steps must be at least 1, got {num_steps}")
        if name == FEW_STEPS and num_steps not in short:
            allowed = ", ".join(map(str, short))
            raise GravLensError(
                f"model '{self.name}' is distilled to draw in {allowed} steps, not in {num_steps}"
            )
        model = self.drawn_by(name)
        # A schedule of few steps has no more of them.
        solver = build_sampler(name, model.config.sampling.levels)
        solver.times(model.denoiser.schedule, num_steps)
        return name, num_steps

    def steps_of(self, quality: Quality) -> int:
        """Return the number of steps that was measured to give a quality with this model."""
        own = self.config.sampling
        steps = {"draft": own.draft_steps, "standard": 0, "best": own.best_steps}[quality]
        return steps or own.num_steps

    @property
    def num_few_steps(self) -> tuple[int, ...]:
        """Numbers of steps that the distilled weights draw in; none where there are no such."""
        return () if self.few_steps is None else self.few_steps.config.sampling.few_steps

    def drawn_by(self, sampler: str) -> Model:
        """Return the weights that go with a sampler."""
        is_short = sampler == FEW_STEPS and self.few_steps is not None
        return self.few_steps if is_short and self.few_steps is not None else self.model

    def filled(self, order: Order, seed: int, indices: Sequence[int] | None = None) -> Order:
        """Return an order in which no image is left without parameters.

        An image of which none is given takes all of those of one training image, of its class where
        it has one. Which one depends on (seed, k) and the class. A model that has kept no such
        table leaves the order as it is.

        Args:
            order: What each of N images is asked to be.
            seed: Seed.
            indices: Numbers k of the images, length N; None for 0 to N - 1.
        """
        open_rows = np.flatnonzero(np.isnan(order.parameters).all(axis=1))
        if not self.config.prior_size or not len(open_rows):
            return order
        table = self.model.prior.cpu().numpy().astype(np.float64)
        # Rounding to single precision may have led out of a range.
        low, high = ([getattr(p, end) for p in self.config.parameters] for end in ("low", "high"))
        table[:, 1:] = np.clip(table[:, 1:], low, high)
        own = {label: np.flatnonzero(table[:, 0] == label) for label in set(order.labels.tolist())}
        parameters = order.parameters.copy()
        for k in open_rows:
            of_class = own[int(order.labels[k])]
            rows = of_class if len(of_class) else np.arange(len(table))
            number = int(k) if indices is None else indices[int(k)]
            u = generator(seed, number, Stream.CONDITION).random()
            parameters[k] = table[rows[int(u * len(rows))], 1:]
        return Order(order.labels, parameters)

    def stored_parameters(self, order: Order, observer: Observer) -> dict[str, NDArray[np.float64]]:
        """Return what the images were asked to be, and their noise, as the store keeps it.

        A signal-to-noise ratio is that at the depth of the training set; at another depth it is not
        known.
        """
        found = {}
        for each, values in zip(self.config.parameters, order.parameters.T, strict=True):
            is_known = each.name != "signal_to_noise" or observer.is_as_trained
            found[each.name] = values if is_known else np.full(len(order), np.nan)
        return found | {n: np.full(len(order), value) for n, value in observer.values.items()}

    def _condition(self, order: Order) -> Condition | None:
        """Return an order as the network takes it; None for a model that takes none."""
        if not (self.config.class_names or self.config.parameters):
            return None
        label = torch.as_tensor(order.labels.astype(np.int64))
        parameters = torch.as_tensor(order.parameters) if self.config.parameters else None
        return Condition(label=label, parameters=parameters).to(self.device)

    def to_flux(self, x: Tensor) -> NDArray[np.float32]:
        """Map images from model space ``(B, C, H, W)`` to flux."""
        flux = self.model.transform.inverse(x).contiguous().float().cpu().numpy()
        return np.asarray(flux, dtype=np.float32)

    def to_display(self, frame: Frame) -> NDArray[np.float32]:
        """Map noisy images to the stretched scale of the transform, for pictures.

        Noise stays finite and lenses visible on it, where flux would span orders of magnitude. The
        mean image, which is no part of model space, comes back as the noise goes: what is shown is
        ``alpha_t z + sigma_t eps / gain`` for a stretched image z.

        Returns:
            Shape ``(B, C, H, W)``.
        """
        transform = self.model.transform
        shown = frame.x_t / transform.config.gain + frame.alpha_t * transform.mean
        return np.asarray(shown.contiguous().float().cpu().numpy(), dtype=np.float32)

    def header(self, seed: int, observer: Observer) -> SetHeader:
        """Describe a set of images made by this model."""
        units = {each.name: each.unit for each in self.config.parameters}
        return SetHeader(
            class_names=self.config.class_names,
            pixel_scale_arcsec=self.config.pixel_scale_arcsec,
            flux_unit=observer.flux_unit,
            config=to_json(self.config),
            seed=seed,
            parameter_units=units | {name: UNITS[name] for name in observer.values},
            resize=self.config.resize,
            software=f"gravlensdiffusion {__version__}, model {self.name}",
        )
