"""Whether a model's images go into a set, what is seen of the set, and what has to be done to them first."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.balancing.settings import BalanceSettings
from gravlensdiffusion.diffusion.randomness import Stream
from gravlensdiffusion.diffusion.randomness import generator as random_numbers
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.generation.noise import UNITS, known_noise
from gravlensdiffusion.generation.request import Request
from gravlensdiffusion.generation.samples import LensSamples
from gravlensdiffusion.sets.flux import (
    FULL_SCALE,
    PEAK,
    SAME_SCALE,
    UNKNOWN,
    bring_to_size,
    default_method,
    is_per_pixel,
    is_same_scale,
    peak_scaled,
)
from gravlensdiffusion.sets.lens_set import LensSet
from gravlensdiffusion.sets.records import FilledClass

SILENT = (UNKNOWN, FULL_SCALE)
"""Flux units of files that do not say theirs; the second is that of a grey PNG."""
_SLACK = 0.01
"""How far the extremes of a peak-scaled image may lie out of 0 and 1 after rounding."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What was seen of a set."""

    digest: str  # SHA-256 of all that the set holds
    lows: NDArray[np.float32]  # faintest pixel of each image, shape `(N,)` [flux unit]
    highs: NDArray[np.float32]  # brightest pixel of each image, likewise
    source: LensSet  # the set

    @classmethod
    def of(cls, source: LensSet) -> Self:
        """Read a set once, with flat memory."""
        digest = hashlib.sha256(json.dumps(asdict(source.header), sort_keys=True).encode())
        digest.update(
            json.dumps([len(source), *source.image_shape, source.has_noise_free]).encode()
        )
        digest.update(np.ascontiguousarray(source.labels).tobytes())
        for name, values in sorted(source.parameters.items()):
            digest.update(name.encode() + np.ascontiguousarray(values).tobytes())
        digest.update(np.ascontiguousarray(source.subhaloes).tobytes())
        lows, highs = np.empty(len(source), np.float32), np.empty(len(source), np.float32)
        for block in source.slices():
            images = source.read(block)
            digest.update(np.ascontiguousarray(images).tobytes())
            if source.has_noise_free:
                digest.update(np.ascontiguousarray(source.read_noise_free(block)).tobytes())
            lows[block], highs[block] = images.min((1, 2, 3)), images.max((1, 2, 3))
        return cls(digest=digest.hexdigest(), lows=lows, highs=highs, source=source)

    def check_peak(self) -> None:
        """Refuse images of which somebody said that each was scaled to [0, 1], there or at a larger size."""
        wrong = np.maximum(-self.lows, self.highs - 1) > _SLACK
        if wrong.any():
            k = int(np.argmax(wrong))
            raise GravLensError(
                f"the flux unit is no peak: image {k} runs from {self.lows[k]:.4g} to "
                f"{self.highs[k]:.4g}, out of 0 to 1"
            )

    @property
    def note(self) -> str:
        """What the user should know of a set that is scaled to [0, 1] and does not reach its ends."""
        if not self.lows.any() and (self.highs == 1).all():
            return ""
        return (
            "the images of the set do not reach from 0 to 1, as if they were scaled at another size "
            f"(brightest pixel {self.highs.mean():.3g} on average): each image that is made takes the "
            "faintest and the brightest pixel of an original of its class, drawn at random"
        )

    def examples(self, label: int) -> NDArray[np.intp]:
        """Return the originals of a class, or all of them where it has none."""
        is_original = ~self.source.is_generated
        for chosen in (is_original & (self.source.labels == label), is_original):
            if chosen.any():
                return np.flatnonzero(chosen)
        return np.arange(len(self.source))


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """What makes a model's images fit into a set."""

    flux_unit: str  # unit of the set's images
    is_scaled: bool  # whether generated images are shifted and scaled as the set's were
    # Brings them, `(B, C, H, W)`, to the pixels of the set; None where they have them.
    resample: "partial[NDArray[Any]] | None"
    has_twins: bool  # whether the balanced set has noise-free twins
    stored: dict[str, str]  # units of the parameters kept of a generated image, by name
    notes: tuple[str, ...]  # what the user should know, one line each

    @classmethod
    def of(
        cls,
        source: LensSet,
        generator: LensGenerator,
        classes: Sequence[FilledClass],
        settings: BalanceSettings,
    ) -> Self:
        """Return what makes a model's images fit into a set.

        Raises:
            GravLensError: If the model lacks a class that is to be filled, or its images have another
                number of channels, another flux unit, size or pixel scale than can be made to fit.
        """
        _check_classes(generator, classes)
        config, name = generator.config, generator.name
        channels = source.image_shape[0]
        if channels != config.num_channels:
            raise GravLensError(
                f"model '{name}' makes images of {config.num_channels} channels, those of the set have "
                f"{channels}"
            )
        unit = _flux_unit(source, settings.flux_unit, generator)
        notes: list[str] = []
        resample = _resampling(source, generator, settings.resample, notes)
        resizes = {source.header.resize, config.resize} - {None}
        if resample is None and len(resizes) > 1:
            notes.append(
                f"the set was reduced by resize {source.header.resize}, the training images of "
                f"'{name}' by {config.resize}"
            )
        makes_twins = config.observation is not None
        if source.has_noise_free and not makes_twins:
            notes.append(
                f"noise-free twins are left out: model '{name}' has learned its noise with its lenses"
            )
        own = source.header.parameter_units
        units = {each.name: each.unit for each in config.parameters}
        units |= {name: UNITS[name] for name in known_noise(config.observation)}
        stored = {name: unit for name, unit in units.items() if own.get(name, unit) == unit}
        other = [each.name for each in config.parameters if each.name not in stored]
        if other:
            notes.append(
                f"not stored with generated images, the set has another unit: {', '.join(other)}"
            )
        return cls(
            flux_unit=unit,
            is_scaled=unit == PEAK and (config.flux_unit != PEAK or resample is not None),
            resample=resample,
            has_twins=source.has_noise_free and makes_twins,
            stored=stored,
            notes=tuple(notes),
        )

    @property
    def resampling(self) -> str:
        """How they are resampled, or an empty text."""
        if self.resample is None:
            return ""
        return "{method}, middle {window:.6g} pixels to {size}".format(**self.resample.keywords)

    def __call__(
        self, samples: LensSamples, request: Request, seen: Seen, label: int
    ) -> LensSamples:
        """Return images of one class, by its number in the set, in the pixels and on the scale of the set.

        In a peak-scaled set each takes the extremes of an original, drawn at random by its number.
        """
        images, clean = samples.images, samples.noise_free
        if self.resample is not None:
            images = self.resample(images)
            clean = None if clean is None else self.resample(clean)
        if self.is_scaled:
            images, clean = peak_scaled(images, clean)
            examples = seen.examples(label)
            streams = (random_numbers(request.seed, k, Stream.EXTREMES) for k in request.numbers)
            drawn = np.array([stream.random() for stream in streams])
            rows = examples[(drawn * len(examples)).astype(int)]
            low = seen.lows[rows][:, None, None, None]
            span = seen.highs[rows][:, None, None, None] - low
            images = images * span + low
            clean = None if clean is None else clean * span + low
        labels = np.full(len(images), label, dtype=np.int16)
        return replace(samples, images=images, noise_free=clean, labels=labels)


def _check_classes(generator: LensGenerator, classes: Sequence[FilledClass]) -> None:
    known = generator.config.class_names
    missing = [each.name for each in classes if each.num and each.name not in known]
    if missing:
        names = ", ".join(f"'{name}'" for name in missing)
        has = ", ".join(known) or "none"
        plural = "es" if len(missing) > 1 else ""
        raise GravLensError(
            f"model '{generator.name}' has no class{plural} {names}; it has: {has}; `map` says "
            "which of them are meant by other names"
        )


def _flux_unit(source: LensSet, stated: str | None, generator: LensGenerator) -> str:
    """Return the unit of the set's images, which the model must make, or which is peak."""
    unit, made, name = source.header.flux_unit, generator.config.flux_unit, generator.name
    if stated not in (None, unit):
        if source.states_unit and unit not in SILENT:
            raise GravLensError(f"the set says that its flux unit is '{unit}', not '{stated}'")
        unit = stated
    if unit in (made, PEAK):
        return unit
    if unit in SILENT:
        raise GravLensError(
            f"the files of the set do not say their flux unit, and model '{name}' makes images in "
            f"'{made}'; where each image was scaled to [0, 1], `flux_unit` peak says so"
        )
    raise GravLensError(
        f"the images of the set are in '{unit}', those of model '{name}' in '{made}'"
    )


def _resampling(
    source: LensSet, generator: LensGenerator, is_allowed: bool, notes: list[str]
) -> "partial[NDArray[Any]] | None":
    """Return the way from the model's pixels to the set's; None where they are the same."""
    config, name = generator.config, generator.name
    _, height, width = source.image_shape
    scale, made = source.header.pixel_scale_arcsec, config.pixel_scale_arcsec
    if height != width:
        raise GravLensError(
            f"model '{name}' makes square images, those of the set have {height} x {width} pixels"
        )
    is_same_size = height == config.image_size
    has_scale = scale is None or made is None or is_same_scale(scale, made)
    if scale is None or made is None:
        who = "the set does" if scale is None else f"model '{name}' does"
        taken = "pixel scale" if is_same_size else "field of view"
        notes.append(f"{who} not say its pixel scale: the {taken} is taken to be the same")
    if is_same_size and has_scale:
        return None
    here, there = _describe(height, scale), _describe(config.image_size, made)
    different = f"the images of the set have {here}, those of model '{name}' {there}"
    window = float(config.image_size)
    if scale is not None and made is not None:
        field = height * scale / made
        if field / window - 1 > SAME_SCALE:
            raise GravLensError(f"{different}: what lies outside of its images cannot be resampled")
        window = field if field / window - 1 < -SAME_SCALE else window
    if not is_allowed:
        raise GravLensError(f"{different}; `resample` brings those that are made to the others")
    method = "bilinear" if height > window else source.header.resize or default_method(height)
    part = "" if window == config.image_size else f", of which the middle {window:.4g} are taken"
    kept = "flux in a pixel" if is_per_pixel(config.flux_unit) else "surface brightness"
    notes.append(
        f"resampled to the set's {here}: what '{name}' makes, {there}{part} ({method}), as {kept}"
    )
    unit = config.flux_unit
    return partial(bring_to_size, size=height, method=method, window=window, flux_unit=unit)


def _describe(size: int, scale: float | None) -> str:
    return f"{size} pixels" + ("" if scale is None else f" of {scale:.4g} arcsec")
