"""What is asked of a model, and the numbers that names, values and ranges of it stand for.

Each value is held against the range that the model has learned of its parameter. Whether values go
together is not: a source at the edge of both ranges may lie farther out than any in the training
set.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, NamedTuple, Self, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gravlensdiffusion.codec import to_json
from gravlensdiffusion.config.bounds import (
    ANY,
    UNLABELLED,
    Count,
    Guidance,
    NoiseSeed,
    check_ranges,
)
from gravlensdiffusion.config.instrument import ObservationConfig
from gravlensdiffusion.config.model import ModelConfig, ParameterConfig
from gravlensdiffusion.diffusion.randomness import Stream, generator
from gravlensdiffusion.errors import GravLensError

_TOLD = {
    "num_steps": "number of steps",
    "observation": "noise",
    "noise_free": "choice of noise-free images",
    "flux_unit": "flux unit",
    "first": "first image",
    "weak": "weaker model",
}
"""What messages, and shards, call the attributes of a request."""


class Span(NamedTuple):
    """A range of values; both ends are the same for a single value."""

    low: float
    high: float

    @classmethod
    def parse(cls, text: str, name: str) -> Self:
        """Return the range of values of a parameter that ``1.2`` or ``1.0:1.4`` stands for.

        Raises:
            GravLensError: If it is neither a number nor a range.
        """
        try:
            values = [parse_number(part) for part in text.split(":")]
        except ValueError:
            values = []
        if len(values) not in (1, 2) or not all(map(math.isfinite, values)):
            raise GravLensError(f"`{name}`: '{text}' is neither a number nor a range like 1.0:1.4")
        if values[0] > values[-1]:
            raise GravLensError(f"`{name}`: the range '{text}' ends below its start")
        return cls(values[0], values[-1])


class Asked(TypedDict, total=False):
    """The keywords of `LensGenerator.request`, which says what they mean, for those that hand them on."""

    label: str | Sequence[str] | None
    parameters: Mapping[str, ArrayLike | Span] | None
    seed: int
    first: int
    sampler: str | None
    num_steps: int | None
    guidance: float
    exposure_s: float | None
    sky_rms: float | None
    flux_unit: Literal["peak"] | None
    noise_free: bool | None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Request:
    """All that N images depend on, beside the model; `LensGenerator.request` makes one.

    Attributes:
        labels: Class indices, int16 of shape ``(N,)``; -1 where the class is left out.
        parameters: Shape ``(N, P)``, in the order of the model's parameters and in their units;
            NaN where a value is left out.
        seed: Seed.
        sampler: Name of the sampler.
        num_steps: Number of steps.
        guidance: Scale of guidance; 1 is none.
        weak: SHA-256 of the weights of the weaker model that guidance goes by; None for guidance
            by the model itself, free of class and parameters.
        observation: The noise that is added; None where the model has learned its own.
        flux_unit: Unit of the images.
        noise_free: Whether the images are kept without noise too.
        first: Number k of the first image.
    """

    labels: NDArray[np.int16]
    parameters: NDArray[np.float64]
    seed: NoiseSeed
    sampler: str
    num_steps: Count
    guidance: Guidance
    observation: ObservationConfig | None
    flux_unit: str
    noise_free: bool
    first: int = 0
    weak: str | None = None

    def __post_init__(self) -> None:
        check_ranges(self, "`{}`")

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, images: slice) -> Self:
        start, _, _ = images.indices(len(self))
        return replace(
            self,
            labels=self.labels[images],
            parameters=self.parameters[images],
            first=self.first + start,
        )

    @property
    def numbers(self) -> range:
        """Numbers k of the images."""
        return range(self.first, self.first + len(self))

    @property
    def guided_by(self) -> str:
        """What a set says, after the name of its model, of the weaker one; empty for none."""
        return "" if self.weak is None else f", guided by weights {self.weak:.16}"

    def batches(self, size: int) -> Iterator[Self]:
        """Yield the request in parts of at most ``size`` images."""
        for low in range(0, len(self), size):
            yield self[low : low + size]

    def identity(self) -> dict[str, Any]:
        """Return every attribute, by the names of messages, as JSON holds it.

        What hardware and batches do to the last digits is no part of it.
        """
        order = hashlib.sha256(self.labels.tobytes())
        order.update(self.parameters.tobytes())
        own = {each.name: getattr(self, each.name) for each in fields(self)}
        if self.observation is not None:
            own["observation"] = to_json(self.observation, indent=None)
        del own["labels"], own["parameters"]
        if self.weak is None:  # as shards of earlier versions have it
            del own["weak"]
        named = {_TOLD.get(name, name): value for name, value in own.items()}
        return named | {"order": order.hexdigest(), "number of images": len(self)}


def parse_number(text: str) -> float:
    """Return a number as people write it; Python would also take 1_0."""
    if "_" in text:
        raise ValueError
    return float(text)


def class_index(config: ModelConfig, name: str, model_name: str) -> int:
    """Return the index of a class, -1 for any.

    Raises:
        GravLensError: If the model does not know it.
    """
    known = config.class_names
    if name == ANY:
        return UNLABELLED
    if name not in known:
        allowed = ", ".join((*known, ANY)) if known else f"only '{ANY}'"
        raise GravLensError(f"model '{model_name}' has no class '{name}'; it has: {allowed}")
    return known.index(name)


def class_indices(
    config: ModelConfig, num: int, label: str | Sequence[str] | None, model_name: str
) -> NDArray[np.int16]:
    """Return the class index of each image, shape ``(num,)``; see `LensGenerator.request`.

    Raises:
        GravLensError: If the model does not know a class.
    """
    if label is None:
        label = list(config.class_names) or ANY
    names = [label] if isinstance(label, str) else label
    if not isinstance(names, Sequence) or not names or not all(isinstance(n, str) for n in names):
        allowed = ", ".join((*config.class_names, ANY))
        raise GravLensError(
            f"label must be the name of a class, or several: {allowed}; got {label!r}"
        )
    cycle = [class_index(config, name, model_name) for name in names]
    return np.resize(np.array(cycle, dtype=np.int16), num)


def parameter_table(
    config: ModelConfig,
    numbers: range,
    values: Mapping[str, ArrayLike | Span],
    seed: int,
    model_name: str,
) -> NDArray[np.float64]:
    """Return values in the order of the model's parameters, NaN where they are left out.

    What image k takes from a range depends on (seed, k) and that range alone. Values lie evenly in
    it, in the logarithm for a parameter that the model sees on a logarithmic scale.

    Args:
        config: The model.
        numbers: Numbers k of the N images.
        values: Numbers, arrays of shape ``(N,)``, or ranges, by the names of the parameters [their
            units].
        seed: Seed.
        model_name: What error messages call the model.

    Returns:
        Shape ``(N, P)``.

    Raises:
        GravLensError: If the model does not know a parameter or a value, or the shape is another.
    """
    known = [each.name for each in config.parameters]
    for name in values:
        if name not in known:
            allowed = ", ".join(known) or "none"
            raise GravLensError(
                f"model '{model_name}' has no parameter '{name}'; it has: {allowed}"
            )
    table = np.full((len(numbers), len(config.parameters)), np.nan)
    u = np.empty_like(table)
    if any(isinstance(asked, Span) and asked.low < asked.high for asked in values.values()):
        # Each parameter has its place among an image's numbers, whether it is asked for or not.
        for row, k in enumerate(numbers):
            u[row] = generator(seed, k, Stream.ORDER).random(table.shape[1])
    for place, parameter in enumerate(config.parameters):
        asked = values.get(parameter.name, np.nan)
        low, high = parameter.bounds()
        # NaN, which leaves a value out, is allowed.
        column = np.asarray(asked, dtype=np.float64)
        outside = column[(column < low) | (column > high)]
        if len(outside):
            raise GravLensError(f"{parameter.name} {complaint(parameter, outside[0], model_name)}")
        if isinstance(asked, Span):
            is_wide = asked.low < asked.high
            table[:, place] = _spread(asked, parameter, u[:, place]) if is_wide else asked.low
            continue
        if column.shape not in ((), (len(numbers),)):
            raise GravLensError(
                f"parameter '{parameter.name}' must be a number or {len(numbers)} numbers, one per "
                f"image, got an array of shape {column.shape}"
            )
        table[:, place] = column
    return table


def check_guided(
    labels: NDArray[np.int16], parameters: NDArray[np.float64] | None, model_name: str
) -> None:
    """Refuse guidance of images of which nothing is asked that it leaves out of the other estimate.

    Args:
        labels: Class of each image, shape ``(N,)``; -1 for any.
        parameters: Theirs, shape ``(N, P)``, NaN for nothing; None where both estimates have them.
        model_name: What the message calls the model.
    """
    if (labels == UNLABELLED).all() and (parameters is None or np.isnan(parameters).all()):
        what = "class" if parameters is None else "class or parameter"
        raise GravLensError(f"model '{model_name}' has nothing to guide by: no {what} is asked for")


def _spread(span: Span, parameter: ParameterConfig, u: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the values at shares u of a range, even on the scale of its parameter."""
    is_log = parameter.scale == "log"
    low, high = np.log(span) if is_log else span
    values = low + u * (high - low)
    # Rounding must not lead out of the range.
    return np.clip(np.exp(values) if is_log else values, span.low, span.high)


def complaint(parameter: ParameterConfig, value: float, model_name: str) -> str:
    """Say that a value lies outside the range of a parameter, and what the range is."""
    allowed = " to ".join(parameter.shown_ends()) + f" {parameter.unit}".rstrip()
    return f"{value:.12g} is outside what model '{model_name}' has learned, {allowed}"
