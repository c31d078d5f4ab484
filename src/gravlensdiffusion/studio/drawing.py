"""What the page shows, from the same functions that a notebook calls."""

import base64
import zipfile
from collections.abc import Generator, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.formats.writers import write_images
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.generation.noise import add_noise, known_noise
from gravlensdiffusion.generation.request import Request
from gravlensdiffusion.generation.samples import LensSamples
from gravlensdiffusion.generation.saving import kept_steps, shown_request
from gravlensdiffusion.presets.simulation import learned_preset, simulation_preset
from gravlensdiffusion.sets.flux import PEAK, is_same_scale
from gravlensdiffusion.sets.lens_set import LensSet
from gravlensdiffusion.simulation.population import pinned
from gravlensdiffusion.simulation.simulated_set import simulate
from gravlensdiffusion.studio.order import MAX_STEPS, Order, Wanted

MAX_IMAGES = 256
"""Images that a page may ask for at once."""
MAX_PIXELS = 6_000_000
"""Pixels of all of them together."""
BATCH_PIXELS = 40_000
"""Pixels that are drawn before others have their turn, at most, but for a single image."""
KINDS = {
    "h5": ("lenses.h5", "application/x-hdf5"),
    "npz": ("lenses.npz", "application/octet-stream"),
    "png": ("lenses.png", "image/png"),
    "fits": ("lenses-fits.zip", "application/zip"),
}
"""Name and type of the file of each kind that a browser saves; ``fits`` is one file an image, packed."""


@dataclass(kw_only=True)
class Studio:
    """A model, and what stands beside it.

    Attributes:
        generator: The model.
        model: What the user called it.
        lenses: A set of the user's, or None.
        name: What that is called.
        report: A report of `gravlens evaluate` as HTML, or None.
    """

    generator: LensGenerator
    model: str
    lenses: LensSet | None = None
    name: str = ""
    report: bytes | None = None

    @cached_property
    def preset(self) -> str | None:
        """The simulation that the model was trained on, where it says so and makes such images."""
        name = learned_preset(self.generator.config.training_data)
        if name is None:
            return None
        try:
            made = self.simulated(name).header.pixel_scale_arcsec
        except GravLensError:
            return None
        own = self.generator.config.pixel_scale_arcsec
        is_same = own and made and is_same_scale(made, own)
        return name if is_same else None

    @property
    def max_num(self) -> int:
        """Images that may be asked for at once."""
        return max(1, min(MAX_IMAGES, MAX_PIXELS // int(np.prod(self.generator.image_shape))))

    @property
    def batch_size(self) -> int:
        """Images that are drawn at a time."""
        return max(1, BATCH_PIXELS // int(np.prod(self.generator.image_shape)))

    def about(self) -> dict[str, Any]:
        """Return what the page has to know of model, set and limits."""
        config, own = self.generator.config, self.generator.config.sampling
        observation = config.observation
        return {
            "name": self.generator.name,
            "size": config.image_size,
            "pixel_scale": config.pixel_scale_arcsec,
            "flux_unit": config.flux_unit,
            "classes": list(config.class_names),
            "parameters": [
                asdict(each)
                | dict(zip(("low", "high"), map(float, each.shown_ends()), strict=True))
                for each in config.parameters
            ],
            "observation": known_noise(observation) or None,
            "is_conditional": self.generator.is_conditional,
            "steps": own.num_steps,
            "max_steps": MAX_STEPS,
            "max_num": self.max_num,
            "preset": self.preset,
            "set": None
            if self.lenses is None
            else {
                "name": self.name,
                "num": len(self.lenses),
                "classes": list(self.lenses.header.class_names),
                "flux_unit": self.lenses.header.flux_unit,
                "pixel_scale": self.lenses.header.pixel_scale_arcsec,
            },
            "has_report": self.report is not None,
        }

    def lens(self, order: Order, wanted: Wanted) -> dict[str, Any]:
        """Return one lens, and what the simulation makes of the same parameters."""
        request = replace(order, num=1).request(self.generator)
        (drawn,) = self.drawn(request, wanted)
        names = [each.name for each in self.generator.config.parameters]
        values = dict(zip(names, request.parameters[0].tolist(), strict=True))
        label = int(request.labels[0])
        twin = None if drawn.noise_free is None else packed(drawn.noise_free[0])
        known = {name: value for name, value in values.items() if np.isfinite(value)}
        return {
            "generated": {"image": packed(drawn.images[0]), "noise_free": twin},
            "simulated": self._simulation(request, known, label) if self.preset else None,
            "parameters": known,
            "label": label,
            "steps": request.num_steps,
            "shell": order.in_shell(self.model, self.generator.config.class_names),
            "python": order.in_python(self.model),
        }

    def _simulation(
        self, request: Request, values: Mapping[str, float], label: int
    ) -> dict[str, Any]:
        """Return what lenstronomy makes of the values of a request, with the noise of its image."""
        names = self.generator.config.class_names
        name = names[label] if label >= 0 else None
        made = self.simulated(values=values or None, label=name, seed=request.seed)
        facts = {"is_same": "theta_E" in values}
        observation = request.observation
        if observation is None:
            return facts | {"image": packed(made.read([0])[0]), "noise_free": None}
        clean = made.read_noise_free([0])
        noisy = add_noise(clean, observation, request.numbers, request.seed)
        return facts | {"image": packed(noisy[0]), "noise_free": packed(clean[0])}

    def simulated(
        self,
        preset: str | None = None,
        values: Mapping[str, float] | None = None,
        *,
        label: str | None = None,
        num: int = 1,
        seed: int = 0,
    ) -> LensSet:
        """Return simulated lenses of the size and unit of the model.

        Args:
            preset: What to simulate; None for what the model was trained on.
            values: Parameters that all of them have [their units]; None for those of the preset.
            label: Their class; None for all in the mix of the preset.
            num: Number of images.
            seed: Seed.
        """
        config = self.generator.config
        simulation = simulation_preset(preset or self.preset or "")
        return simulate(
            simulation if values is None else pinned(simulation, values),
            num,
            seed,
            classes=None if label is None else [label],
            size=config.image_size,
            num_pixels=None if config.observation is None else config.observation.num_pixels,
            noise_free=True,
            flux_unit="peak" if config.flux_unit == PEAK else "e-/s",
        )

    def watch(self, order: Order, wanted: Wanted) -> dict[str, Any]:
        """Return the way of one lens from noise, in the stretched scale of the model."""
        request = shown_request(self.generator, replace(order, num=1).request(self.generator), 1)
        kept = kept_steps(request.num_steps)
        frames = []
        for frame in self.generator.trajectory(request):
            wanted.check()
            if frame.step in kept:
                guess = replace(frame, x_t=frame.x_hat, alpha_t=1.0)
                frames.append(
                    {
                        "step": frame.step,
                        "noisy": packed(self.generator.to_display(frame)[0]),
                        "guess": packed(self.generator.to_display(guess)[0]),
                    }
                )
        return {"frames": frames, "num_steps": request.num_steps}

    def many(self, order: Order, wanted: Wanted) -> Generator[dict[str, Any]]:
        """Yield lenses batch by batch, and at the end the commands that make the same set."""
        request = self.checked(order)
        names = self.generator.config.class_names
        yield {"total": len(request)}
        for batch in self.drawn(request, wanted):
            yield {
                "images": [packed(image) for image in batch.images],
                "labels": [names[k] if k >= 0 else "" for k in batch.labels.tolist()],
            }
        yield {
            "shell": order.in_shell(self.model, self.generator.config.class_names),
            "python": order.in_python(self.model),
        }

    def save(self, order: Order, kind: str, folder: Path, wanted: Wanted) -> Generator[Path | None]:
        """Draw a set to a file of an empty folder, and yield its path at the end; None before."""
        request = self.checked(order)
        batches = []
        for batch in self.drawn(request, wanted):
            batches.append(batch)
            yield None
        samples, path = joined(batches), folder / KINDS[kind][0]
        if kind != "fits":
            yield samples.save(path)
            return
        name = self.generator.name
        write_images(folder / "set", samples.records(), samples.header, ("fits",), model=name)
        with zipfile.ZipFile(path, "x", zipfile.ZIP_DEFLATED) as archive:
            for image in sorted((folder / "set" / "fits").iterdir()):
                archive.write(image, image.name)
        yield path

    def checked(self, order: Order) -> Request:
        """Return the request of a set; one that is too large is refused."""
        if order.num > self.max_num:
            raise GravLensError(
                f"this page draws at most {self.max_num} images at a time, {order.num} were asked "
                "for; `gravlens sample` draws any number"
            )
        return order.request(self.generator)

    def drawn(self, request: Request, wanted: Wanted) -> Iterator[LensSamples]:
        """Yield the images of a request batch by batch, as long as they are wanted."""
        return self.generator.generate(
            request, batch_size=self.batch_size, advance=lambda _: wanted.check()
        )

    def own(self, first: int, num: int) -> dict[str, Any]:
        """Return images of the user's set."""
        if self.lenses is None:
            raise GravLensError("no set was named when the studio was started")
        last = min(first + min(num, self.max_num), len(self.lenses))
        if not 0 <= first < last:
            raise GravLensError(f"the set has images 0 to {len(self.lenses) - 1}")
        names = self.lenses.header.class_names
        return {
            "first": first,
            "images": [packed(image) for image in self.lenses.read(range(first, last))],
            "labels": [names[k] if k >= 0 else "" for k in self.lenses.labels[first:last].tolist()],
        }


def packed(image: NDArray[np.floating]) -> dict[str, Any]:
    """Return an image ``(C, H, W)`` as JSON holds it, several channels as their mean."""
    grey = np.ascontiguousarray(image.mean(axis=0), dtype="<f4")
    return {"shape": list(grey.shape), "data": base64.b64encode(grey.tobytes()).decode()}


def joined(batches: list[LensSamples]) -> LensSamples:
    """Return batches as one set."""
    first = batches[0]
    twins = [each.noise_free for each in batches if each.noise_free is not None]
    return replace(
        first,
        images=np.concatenate([each.images for each in batches]),
        labels=np.concatenate([each.labels for each in batches]),
        parameters={
            name: np.concatenate([each.parameters[name] for each in batches])
            for name in first.parameters
        },
        noise_free=np.concatenate(twins) if twins else None,
    )
