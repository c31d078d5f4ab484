"""Which symmetries each preset has, by its priors and by what is drawn from them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from gravlensdiffusion.config.galaxies import Box
from gravlensdiffusion.config.priors import Constant, Normal, TruncatedNormal, Uniform
from gravlensdiffusion.config.simulation import LensClass, Scene, SimulationConfig, symmetries
from gravlensdiffusion.presets.simulation import SIMULATION_PRESETS, simulation_preset
from gravlensdiffusion.simulation.population import draw_lens, draw_source

EXACT = {
    "deeplense": ("half_turn",),
    "deeplense-wide": ("half_turn", "flips", "d4"),
    "deeplense-sim": ("half_turn",),
    "euclid": ("half_turn", "flips", "d4"),
    "hst": ("half_turn", "flips", "d4"),
    "slacs": ("half_turn", "flips", "d4"),
}
"""The table of docs/training.md."""

# What changes its sign under the symmetry that each kind adds to the one before; y stands for
# both coordinates, which the presets draw alike.
SIGNS = {
    "half_turn": ("source_x", "source_y", "lens_x", "lens_y"),
    "flips": ("gamma2", "lens_e2", "source_e2", "lens_light_e2"),
    "d4": ("gamma1", "lens_e1", "source_e1", "lens_light_e1"),
}


def drawn(preset: str, num: int = 4000) -> dict[str, NDArray[np.float64]]:
    config, rng = simulation_preset(preset), np.random.default_rng(0)
    rows = [draw_lens(config.lens, rng) | draw_source(config.source, rng) for _ in range(num)]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def asymmetry(values: NDArray[np.float64]) -> float:
    """Return the KS distance of values from their negatives, half of them each."""
    half = len(values) // 2
    return float(stats.ks_2samp(values[:half], -values[half:]).statistic)


@pytest.mark.parametrize("preset", EXACT)
def test_the_priors_say_what_the_draws_show(preset: str) -> None:
    assert symmetries(simulation_preset(preset)) == EXACT[preset]
    values = drawn(preset)
    # One in a thousand of symmetric parameters would be off by more than this.
    limit = 1.95 * np.sqrt(2 / (len(values["theta_E"]) // 2))
    holds = True
    for kind, names in SIGNS.items():
        off = [asymmetry(values[name]) for name in names if name in values]
        holds = holds and max(off) < limit
        assert holds == (kind in EXACT[preset]), (kind, off)
    if "d4" in EXACT[preset]:
        x, y = np.split(values["source_x"], 2)[0], np.split(values["source_y"], 2)[1]
        assert stats.ks_2samp(x, y).statistic < limit


def test_every_preset_is_in_the_table() -> None:
    assert set(EXACT) == set(SIMULATION_PRESETS)


def test_how_far_deeplense_is_from_its_mirror_image() -> None:
    values = drawn("deeplense")
    assert asymmetry(values["lens_e2"]) < 0.06
    assert asymmetry(values["gamma2"]) == pytest.approx(0.6, abs=0.06)
    assert asymmetry(values["source_e2"]) == pytest.approx(0.53, abs=0.06)
    for name in ("gamma1", "source_e1"):
        assert asymmetry(values[name]) == 1


def with_scene(config: SimulationConfig, **galaxies: Any) -> SimulationConfig:
    """Return a configuration with a class that does not lens and shows these galaxies."""
    scene = Scene(name="scene", weight=1.0, **galaxies)
    no_lens = LensClass(name="no_lens", lensed=False, scenes=(scene,))
    return replace(config, classes=(*config.classes, no_lens), mix=(*config.mix, 1.0))


def test_each_prior_counts() -> None:
    wide = simulation_preset("deeplense-wide")
    lens, source = wide.lens, wide.source
    tilted, aside = Normal(mean=0.01, std=0.1), Uniform(low=0, high=0.1)
    even = Uniform(low=-0.1, high=0.1)
    leaning = TruncatedNormal(mean=0.01, std=0.1, low=-0.2, high=0.2)
    cases = {
        ("half_turn", "flips"): [
            replace(wide, lens=replace(lens, gamma1=tilted)),
            replace(wide, source=replace(source, light=replace(source.light, e1=aside))),
            replace(
                wide, source=replace(source, position=Box(x=even, y=Uniform(low=-0.2, high=0.2)))
            ),
        ],
        ("half_turn",): [
            replace(wide, lens=replace(lens, gamma2=tilted)),
            replace(wide, lens=replace(lens, e2=Constant(value=0.1))),
            replace(wide, lens=replace(lens, e2=leaning)),
            replace(wide, lens=replace(lens, light=replace(source.light, e2=aside))),
            with_scene(wide, galaxy=replace(source.light, e2=aside)),
            with_scene(wide, companion=replace(source, light=replace(source.light, e2=aside))),
        ],
        (): [
            replace(wide, lens=replace(lens, position=Box(x=even, y=aside))),
            replace(wide, source=replace(source, position=Box(x=Constant(value=0.1), y=even))),
            with_scene(wide, companion=replace(source, position=Box(x=aside, y=even))),
        ],
        ("half_turn", "flips", "d4"): [
            wide,
            with_scene(wide, galaxy=source.light, companion=source),
            replace(wide, source=replace(source, position=Box(x=even, y=even))),
            replace(wide, lens=replace(lens, gamma1=Normal(mean=0, std=0.1))),
        ],
    }
    for expected, configs in cases.items():
        for config in configs:
            assert symmetries(config) == expected
