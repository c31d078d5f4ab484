"""Lens Fréchet distance, sky and flux of every set of images, at equal numbers and with floors."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from comparison.drawing import sampler_names
from comparison.sampling import curve_sampler, read_images, sample_folder
from comparison.settings import (
    Options,
    bundled_arms,
    chosen_arms,
    read_piece,
    share_name,
    shares,
    write_piece,
)
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.evaluation.measure import (
    Encoder,
    Measurements,
    Team,
    measure_images,
)
from gravlensdiffusion.evaluation.preparation import PreparedSource
from gravlensdiffusion.evaluation.result import EvaluationSettings
from gravlensdiffusion.evaluation.sets import Sets
from gravlensdiffusion.evaluation.statistics import relative_shift
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.metrics.features import frechet_distance
from gravlensdiffusion.sets.flux import EIGHT_BIT

NUM_DRAWS = 5
"""Draws of real images over which distances and floors are averaged."""


@dataclass(frozen=True, slots=True)
class Ground:
    """The real side of all scores.

    Attributes:
        source: The real images, on the scale that generated ones are brought to.
        encoder: The lens encoder.
        real: What was measured of the real images.
    """

    source: PreparedSource
    encoder: Encoder
    real: Measurements

    @classmethod
    def of(cls, options: Options, *, eight_bit: bool = False) -> "Ground":
        """Read and measure the real images.

        Raises:
            GravLensError: If they are not each scaled to [0, 1].
        """
        given = PreparedSource(open_set(options.reference), options.reference.name)
        if given.flux_unit != "peak":
            raise GravLensError(f"{options.reference} must be in peak, not {given.flux_unit}")
        settings = EvaluationSettings(rescale="peak", eight_bit=eight_bit)
        source = Sets(generated=given, reference=given).prepared(settings).reference
        encoder = Encoder(source.preparation.size)
        return cls(source, encoder, Team([source], encoder).measure(source))

    def part(self, num: int, draw: int, which: int = 0) -> Measurements:
        """Return ``num`` real images: of one draw, the first or the second part."""
        order = np.random.default_rng(draw).permutation(len(self.real))
        return self.real[order[which * num : (which + 1) * num]]

    def floor(self, num: int) -> dict[str, float]:
        """Return the distance of real from real images at a number."""
        if 2 * num > len(self.real):
            raise GravLensError(
                f"a floor at {num} images needs {2 * num} real ones, not {len(self.real)}"
            )
        pairs = [(self.part(num, k), self.part(num, k, 1)) for k in range(NUM_DRAWS)]
        return spread([frechet_distance(one.features, two.features) for one, two in pairs])

    def measure(self, images: NDArray[np.float32]) -> Measurements:
        """Measure generated images, each scaled to [0, 1] as the real ones are."""
        return measure_images(self.source.preparation(images), self.source, self.encoder)

    def score(self, found: Measurements, num: int) -> dict[str, Any]:
        """Compare the first ``num`` images with as many real ones, averaged over draws."""
        some = found[slice(0, num)]
        parts = [self.part(num, k) for k in range(NUM_DRAWS)]
        distances = [frechet_distance(some.features, part.features) for part in parts]
        return {
            "frechet": spread(distances),
            "sky_rms_shift": mean_shift("sky_rms", some, parts),
            "flux_shift": mean_shift("total_flux", some, parts),
        }


def spread(values: list[float]) -> dict[str, float]:
    """Return mean and standard deviation."""
    return {"mean": float(np.mean(values)), "std": float(np.std(values, ddof=1))}


def mean_shift(name: str, some: Measurements, parts: list[Measurements]) -> float:
    """Return the shift of one statistic, averaged over draws of real images."""
    return float(np.mean([relative_shift(name, some, part) for part in parts]))


def all_sets(options: Options) -> Iterator[tuple[str, str, float]]:
    """Yield arm, sampler and share of the training time of every set that is drawn."""
    for arm in [*chosen_arms(options), *bundled_arms(options)]:
        for name in sampler_names(options, arm):
            yield arm, name, 1.0
        for share in shares(options, arm)[:-1]:
            yield arm, curve_sampler(arm), share


def score_all(options: Options) -> None:
    """Score every set that is there; sets whose score is there already are left alone."""
    torch.set_num_threads(options.threads)
    ground = Ground.of(options)
    sizes = sorted({options.num_slow, options.num_curve, options.num})
    floors = {str(num): ground.floor(num) for num in sizes}
    write_piece(options.out / "score" / "floors.json", floors)
    for arm, name, share in all_sets(options):
        images = read_images(options, arm, name, share)
        path = options.out / "score" / f"{sample_folder(options, arm, name, share).name}.json"
        digest = hashlib.sha256(images.tobytes()).hexdigest() + ground.encoder.digest[:16]
        before = read_piece(path)
        if len(images) < sizes[0] or (before is not None and before["digest"] == digest):
            continue
        found = ground.measure(images)
        scores = {str(num): ground.score(found, num) for num in sizes if num <= len(images)}
        row = {"arm": arm, "sampler": name, "share": share, "num": len(images)}
        write_piece(path, row | {"digest": digest, "scores": scores})
        print(f"{path.stem}: {line(scores, floors)}", flush=True)
    if options.published is not None:
        score_published(options, options.published)


def score_published(options: Options, path: Path) -> None:
    """Score the images that the earlier project published, and as many of every arm.

    They have 8 bits, so that all images are rounded to 8 bits here.
    """
    source = open_set(path)
    published = source.read(slice(0, len(source)))[:, 0]
    if source.dtypes == ("uint8",):
        published = (published / EIGHT_BIT).astype(np.float32)
    ground = Ground.of(options, eight_bit=True)
    num = len(published)
    rows = {"published": ground.score(ground.measure(published), num)}
    for arm, name, share in all_sets(options):
        images = read_images(options, arm, name, share)
        if share == 1 and len(images) >= num:
            rows[f"{arm}-{name}"] = ground.score(ground.measure(images[:num]), num)
    found = {"num": num, "floor": ground.floor(num), "rows": rows}
    write_piece(options.out / "score" / "published.json", found)


def line(scores: dict[str, Any], floors: dict[str, dict[str, float]]) -> str:
    """Return what is printed of the scores of a set."""
    words = []
    for num, score in scores.items():
        distance = score["frechet"]["mean"]
        words.append(f"{distance:.3f} at {num} (floor x{distance / floors[num]['mean']:.2f})")
    return ", ".join(words)


def score_rows(options: Options) -> list[dict[str, Any]]:
    """Return the scores that are there."""
    found = []
    for arm, name, share in all_sets(options):
        folder = sample_folder(options, arm, name, share)
        row = read_piece(options.out / "score" / f"{folder.name}.json")
        if row is not None:
            found.append(row | {"share_name": share_name(share)})
    return found
