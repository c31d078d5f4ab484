"""An evaluation made by hand, small enough to be drawn in a second."""

from dataclasses import replace

import numpy as np

from gravlensdiffusion.evaluation.compare import Row
from gravlensdiffusion.evaluation.conditioning import ClassPair, Requested
from gravlensdiffusion.evaluation.held_out import Neighbours
from gravlensdiffusion.evaluation.measure import Measurements
from gravlensdiffusion.evaluation.result import Evaluation
from gravlensdiffusion.evaluation.statistics import (
    COVERAGE,
    FID,
    FRECHET,
    MEASURED,
    Space,
    auc,
    nearest,
)

SIZE = 16
EVIL = "<script>alert('x')</script>&\".h5"
"""A name of a file or class that would run if it were not escaped."""
USUAL = Row(
    statistic=MEASURED["einstein_radius"],
    value=0.15,
    floor=0.1,
    floor_spread=0.02,
    ratio=1.5,
    z=2.5,
    corrected=0.11,
)
"""A distance that is 1.5 times its floor, and not far from it."""
ROWS = (
    replace(
        USUAL,
        statistic=FRECHET,
        value=2.351,
        value_spread=0.012,
        floor=1.353,
        floor_spread=0.08,
        ratio=1.738,
        z=12.5,
        equivalent="like a 6.9% flux error",
    ),
    Row(statistic=COVERAGE[0], value=0.9, floor=0.95, floor_spread=0.01, z=-5.0),
    replace(USUAL, shift=-0.012, p_value=1e-7),
    replace(USUAL, statistic=MEASURED["total_flux"], ratio=3.0, z=10.0, shift=0.091),
    Row(statistic=MEASURED["m20"], note="cannot be measured on these images"),
    Row(
        statistic=auc(Space.PIXELS),
        is_valid=False,
        value=0.71,
        floor=0.5,
        floor_spread=0.01,
        z=21.0,
        note="invalid: 0.91 on planted noise",
    ),
    Row(statistic=auc(Space.FEATURES), value=0.6, floor=0.5),
    Row(
        statistic=nearest(Space.PIXELS),
        value=0.5,
        floor=1.0,
        is_memorised=True,
        note="MEMORISED: 9%",
    ),
    Row(statistic=FID, note=f"not computed: no file {EVIL}"),
)


def measurements(num: int, seed: int, size: int) -> Measurements:
    """Return random measurements; the last image could not be measured, M20 on none."""
    rng = np.random.default_rng(seed)
    radius = rng.normal(1.2, 0.2, num)
    profiles = rng.gamma(5, size=(num, size // 2))
    radius[-1] = profiles[-1] = np.nan
    return Measurements(
        physics={
            "einstein_radius": radius,
            "total_flux": rng.gamma(9, size=num),
            "m20": np.full(num, np.nan),
        },
        profiles={"radial_profile": profiles, "power_spectrum": profiles**2},
        features=rng.normal(size=(num, 4)),
        estimates={},
        logits=np.zeros((num, 3)),
    )


def evaluation(size: int = SIZE, num_shown: int = 9, **changes: object) -> Evaluation:
    """Return an evaluation with something of everything."""
    images = np.random.default_rng(0).random((2, num_shown, size, size), dtype=np.float32)
    near = Neighbours(
        space=Space.PIXELS,
        generated=images[0, :2],
        training=images[1, :2],
        distances=np.array([0.25, np.inf]),
    )
    facts = {
        "settings": {"num_seeds": 5, "seed": 0, "size": None, "pixel_test": True},
        "preparation": {"size": size, "rescale": "none", "scale": np.float64(1)},
        "sets": {
            "generated": {
                "name": EVIL,
                "num_images": 600,
                "flux_unit": "peak",
                "origin": "unknown",
                "classes": {},
                "sha256": "ab" * 32,
            },
            "reference": {
                "name": "real.h5",
                "num_images": 1200,
                "flux_unit": "peak",
                "origin": "unknown",
                "classes": {},
            },
        },
        "pixel_scale_arcsec": 0.25,
        "num_generated": 600,
        "num_reference": 600,
        "encoder": {"name": "encoder28", "sha256": "cd" * 32},
        "odd": [np.int64(3), float("nan"), np.array([1.0, np.inf]), np.datetime64("2020-01-01")],
    }
    whole = Evaluation(
        rows=ROWS,
        class_pairs=(
            ClassPair(names=("no_sub", "axion"), generated=0.93, real=0.95, kept=0.956),
            ClassPair(names=(EVIL, "cdm"), generated=0.56, real=None, kept=None),
        ),
        requested=(
            Requested(
                name="theta_E",
                num=600,
                bias=0.0123,
                scatter=0.051,
                encoder_bias=None,
                encoder_scatter=float("nan"),
            ),
        ),
        notes=("few images",),
        facts=facts,
        generated=measurements(60, 1, size),
        real=measurements(120, 2, size),
        generated_images=images[0],
        real_images=images[1],
        neighbours=(near,),
    )
    return replace(whole, **changes)
