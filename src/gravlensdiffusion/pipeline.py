"""From a checkpoint to lens images in physical units."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gravlensdiffusion import __version__
from gravlensdiffusion.build import Model, build_sampler
from gravlensdiffusion.checkpoint import load_model
from gravlensdiffusion.codec import to_json
from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.diffusion.denoise import Denoiser
from gravlensdiffusion.diffusion.randomness import Stream, Streams
from gravlensdiffusion.diffusion.samplers.base import prior, trajectory
from gravlensdiffusion.diffusion.wrap import GuidedDenoiser
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.records import UNLABELLED, LensRecord, SetHeader

ANY_LABEL = "any"
"""What to ask for where the class is left to the model."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LensSamples:
    """Generated images.

    Attributes:
        images: Float32 of shape ``(N, C, H, W)``, in ``header.flux_unit``.
        labels: Class that was asked for, int16 of shape ``(N,)``; -1 where it was left out.
        header: Classes, pixel scale, flux unit, seed.
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int16]
    header: SetHeader

    def __len__(self) -> int:
        return len(self.images)

    def records(self) -> Iterator[LensRecord]:
        """Yield one record per image, as the store takes them."""
        for image, label in zip(self.images, self.labels, strict=True):
            yield LensRecord(image=image, label=int(label))


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """One moment of sampling.

    Attributes:
        step: Steps done.
        num_steps: Steps in all.
        alpha_t: Factor on the clean image within ``x_t``: near 0 for noise, 1 at the end.
        x_t: Noisy images in model space, ``(B, C, H, W)``.
        x_hat: Estimate of the clean images in model space, ``(B, C, H, W)``.
    """

    step: int
    num_steps: int
    alpha_t: float
    x_t: Tensor
    x_hat: Tensor


class LensGenerator:
    """A trained model that makes lens images.

    Args:
        model: The model.
        name: What it is called in the files it makes.

    Example:
        >>> generator = LensGenerator.from_pretrained("lens28")  # doctest: +SKIP
        >>> generator.sample(100, label="cdm", seed=0).images.shape  # doctest: +SKIP
        (100, 1, 28, 28)
    """

    def __init__(self, model: Model, name: str = "model") -> None:
        self.model = model.eval()
        self.config = model.config
        self.name = name

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
        return cls(load_model(name_or_path, device), name=Path(name_or_path).name)

    @property
    def device(self) -> torch.device:
        """The device that the model is on."""
        return self.model.transform.mean.device

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """``(C, H, W)``."""
        size = self.config.image_size
        return (self.config.num_channels, size, size)

    def sample(
        self,
        num: int,
        *,
        label: str | Sequence[str] | None = None,
        seed: int = 0,
        sampler: str | None = None,
        num_steps: int | None = None,
        batch_size: int = 100,
        guidance: float = 1.0,
    ) -> LensSamples:
        """Generate images.

        Image k depends on (seed, k), its label and the sampler alone.

        Args:
            num: Number of images N.
            label: A class for all; or a list of classes that is gone through again and again;
                ``any`` leaves the class to the model; None goes through all classes in turn.
            seed: Seed.
            sampler: ``ddpm``, ``ddim``, ``dpmpp`` or ``heun``; None for the model's own.
            num_steps: Number of steps; None for the model's own, or the sampler's.
            batch_size: Images at a time.
            guidance: Scale of classifier-free guidance; 1 is none.

        Raises:
            GravLensError: If a value is not allowed or a class not known.
        """
        images = np.empty((max(num, 0), *self.image_shape), dtype=np.float32)
        labels = self.labels(num, label)
        done = 0
        for batch in self.stream(
            num,
            label=label,
            seed=seed,
            sampler=sampler,
            num_steps=num_steps,
            batch_size=batch_size,
            guidance=guidance,
        ):
            images[done : done + len(batch)] = batch
            done += len(batch)
        return LensSamples(images=images, labels=labels, header=self.header(seed))

    def stream(
        self,
        num: int,
        *,
        label: str | Sequence[str] | None = None,
        seed: int = 0,
        sampler: str | None = None,
        num_steps: int | None = None,
        batch_size: int = 100,
        guidance: float = 1.0,
    ) -> Iterator[NDArray[np.float32]]:
        """Yield the images of `sample` batch by batch, each of shape ``(B, C, H, W)``."""
        if num < 1 or batch_size < 1:
            raise GravLensError("the number of images and the batch size must be at least 1")
        labels = self.labels(num, label)
        for start in range(0, num, batch_size):
            indices = range(start, min(start + batch_size, num))
            frames = self.trajectory(
                indices,
                labels[start : start + batch_size],
                seed=seed,
                sampler=sampler,
                num_steps=num_steps,
                guidance=guidance,
            )
            yield self.to_flux(deque(frames, maxlen=1).pop().x_t)

    @torch.inference_mode()
    def trajectory(
        self,
        indices: Sequence[int],
        labels: Sequence[int] | NDArray[np.integer],
        *,
        seed: int = 0,
        sampler: str | None = None,
        num_steps: int | None = None,
        guidance: float = 1.0,
    ) -> Iterator[Frame]:
        """Yield the way of images from noise to lens, in model space.

        Args:
            indices: Numbers k of the images, length B.
            labels: Class index of each image; -1 where it is left out.
            seed: Seed.
            sampler: See `sample`.
            num_steps: See `sample`.
            guidance: See `sample`.

        Yields:
            One frame before each step, the first the noise itself, and the images as the last one.
        """
        name, steps = self.sampling(sampler, num_steps)
        streams = Streams(seed, indices)
        condition = None
        if self.config.class_names:
            condition = Condition(label=torch.as_tensor(np.asarray(labels), dtype=torch.long))
            condition = condition.to(self.device)
        denoiser: Denoiser = self.model.denoiser
        if guidance != 1.0:
            if condition is None:
                raise GravLensError(f"model '{self.name}' knows no classes to guide by")
            denoiser = GuidedDenoiser(denoiser, guidance)
        noise = streams.normal(Stream.PRIOR, self.image_shape)
        noise = noise.to(self.device, memory_format=torch.channels_last)
        x_1 = prior(denoiser.schedule, noise)
        solver = build_sampler(name)
        times = solver.times(denoiser.schedule, steps)
        alphas, _ = denoiser.schedule(times)
        walk = trajectory(denoiser, solver, x_1, steps, condition, streams, times=times)
        for i, x_t, x_hat in walk:
            alpha_t = float(alphas[i])
            yield Frame(step=i, num_steps=steps, alpha_t=alpha_t, x_t=x_t, x_hat=x_hat)

    def sampling(self, sampler: str | None, num_steps: int | None) -> tuple[str, int]:
        """Return the sampler and number of steps that stand for what was left out."""
        own = self.config.sampling
        name = sampler or own.sampler
        if num_steps is None:
            own_steps = name == own.sampler
            num_steps = own.num_steps if own_steps else build_sampler(name).default_num_steps
        if num_steps < 1:
            raise GravLensError(f"the number of steps must be at least 1, got {num_steps}")
        return name, num_steps

    def labels(self, num: int, label: str | Sequence[str] | None) -> NDArray[np.int16]:
        """Return the class index of image k for k from 0 to ``num - 1``, shape ``(num,)``.

        Raises:
            GravLensError: If the model does not know the class.
        """
        known = self.config.class_names
        if label is None:
            label = list(known) or ANY_LABEL
        names = [label] if isinstance(label, str) else list(label)
        for name in names:
            if name != ANY_LABEL and name not in known:
                allowed = ", ".join((*known, ANY_LABEL)) if known else f"only '{ANY_LABEL}'"
                raise GravLensError(f"model '{self.name}' has no class '{name}'; it has: {allowed}")
        cycle = [UNLABELLED if name == ANY_LABEL else known.index(name) for name in names]
        return np.resize(np.array(cycle, dtype=np.int16), max(num, 0))

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

    def header(self, seed: int) -> SetHeader:
        """Describe a set of images made by this model."""
        return SetHeader(
            class_names=self.config.class_names,
            pixel_scale_arcsec=self.config.pixel_scale_arcsec,
            flux_unit=self.config.flux_unit,
            config=to_json(self.config),
            seed=seed,
            resize=self.config.resize,
            software=f"gravlensdiffusion {__version__}, model {self.name}",
        )
