"""Labelled sets that tests balance, and a model of 8 pixels that fits them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from gravlensdiffusion.config.model import ModelConfig
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.sets.records import LensRecord, SetHeader
from gravlensdiffusion.store.reader import LensStore
from gravlensdiffusion.store.writer import write_store
from tests.models import ORDERED, awake

HEADER = SetHeader(
    class_names=("axion", "cdm", "no_sub"),
    pixel_scale_arcsec=0.25,
    flux_unit="e-/s",
    preset="deeplense",
    config='{"seed": 3}',
    seed=3,
    parameter_units={"theta_E": "arcsec", "axion_mass": "eV"},
    software="gravlensdiffusion 0.1",
)
"""The classes of the tiny model, in another order."""

LABELS = (2, 2, -1, 1, 2, 0, 2, 1)
"""One axion, two cdm, four no_sub, and one without a label."""


def tiny(config: ModelConfig = ORDERED, **changes: object) -> LensGenerator:
    """Return a model with random weights."""
    return LensGenerator(awake(replace(config, **changes)), "tiny")


def save_set(
    path: Path,
    labels: Sequence[int] = LABELS,
    *,
    size: int = 8,
    has_twins: bool = False,
    **changes: object,
) -> LensStore:
    """Write a set of noise, with parameters and subhaloes, and open it."""
    random = np.random.default_rng(len(labels))
    records = []
    for k, label in enumerate(labels):
        image = random.normal(1, 1, (1, size, size)).astype(np.float32)
        # Bits that arithmetic would not keep.
        image[0, 0, :2] = -0.0, 1e-42
        mass = {"axion_mass": 1e-23} if label == 0 else {}
        records.append(
            LensRecord(
                image=image,
                label=label,
                parameters={"theta_E": random.uniform(0.9, 1.5)} | mass,
                subhaloes=random.random((k, 3)) if label == 1 else None,
                noise_free=image / 3 if has_twins else None,
            )
        )
    return LensStore(write_store(path, records, replace(HEADER, **changes)))
