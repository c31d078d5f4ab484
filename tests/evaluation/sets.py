"""Small sets of simulated lenses, opened as an evaluation takes them."""

from functools import cache
from pathlib import Path

import numpy as np

from gravlensdiffusion.evaluation.preparation import PreparedSource
from gravlensdiffusion.evaluation.result import EvaluationSettings
from gravlensdiffusion.evaluation.sets import Sets
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.presets.simulation import simulation_preset
from gravlensdiffusion.sets.records import LensRecord
from gravlensdiffusion.simulation.generate import select, set_header
from gravlensdiffusion.simulation.simulated_set import simulate
from gravlensdiffusion.store.writer import write_store

CONFIG = select(simulation_preset("deeplense"), size=28)
SEED = 77


@cache
def records(num: int, start: int = 0) -> tuple[LensRecord, ...]:
    """Return images ``start`` to ``start + num - 1`` of one simulated set."""
    return tuple(simulate(CONFIG, num, SEED, start=start).records())


def pixels(of: tuple[LensRecord, ...]) -> np.ndarray:
    """Return the images, shape ``(N, 28, 28)``."""
    return np.stack([record.image[0] for record in of])


def opened(path: Path, of: tuple[LensRecord, ...], images: np.ndarray | None = None):
    """Write records, with other pixels where given, and open them for an evaluation."""
    if images is not None:
        of = tuple(
            LensRecord(image=image[None].astype(np.float32), label=record.label)
            for image, record in zip(images, of, strict=True)
        )
    write_store(path, of, set_header(CONFIG, SEED), num=len(of))
    return PreparedSource(open_set(path), path.stem)


def prepared(sets: list[PreparedSource], **how: object) -> tuple[PreparedSource, ...]:
    """Return generated and real images as an evaluation with such settings sees them."""
    return Sets(generated=sets[0], reference=sets[1]).prepared(EvaluationSettings(**how)).compared
