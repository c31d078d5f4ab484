"""The study of finders: what they are trained on, and how what they find is counted."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gravlensdiffusion.metrics.sky import measure_sky
from gravlensdiffusion.simulation.simulated_set import simulate
from gravlensdiffusion.store.writer import write_store


def test_the_plain_arm_is_smooth_and_alone_under_a_white_sky() -> None:
    from finder import plain, simulated

    config = plain()
    assert config.neighbours == ()
    assert config.source.light.structure is None
    assert config.imaging.sky_correlation is None
    images, labels = simulated(replace(config, mix=(0.0, 0.0, 0.0, 1.0)), 24, 0)
    assert not labels.any()
    sky = measure_sky(images[:, 0])
    assert np.median(sky.rms) == pytest.approx(0.0085, rel=0.1)
    # The preset itself has 0.25.
    assert abs(np.median(sky.whiteness)) < 0.05


@pytest.mark.parametrize("kinds", [["no_sub"], ["no_sub", "no_lens"]])
def test_half_of_the_images_are_lenses_however_they_were_made(
    tmp_path: Path, kinds: list[str]
) -> None:
    from finder import half_drawn

    paths, drawn = [], []
    for kind in kinds:
        made = simulate("slacs", 20, 7, flux_unit="e-/s", classes=[kind])
        paths.append(tmp_path / f"{kind}.h5")
        write_store(paths[-1], made.records(), made.header, num=20)
        drawn.append(made.read(np.arange(20)))
    images, labels = half_drawn(paths, 16, 0)
    assert images.shape == (16, 1, 96, 96)
    assert labels.sum() == 8
    copied = np.array([[(image == own).all((1, 2, 3)).any() for own in drawn] for image in images])
    # A quarter of each kind that was drawn, and none of it under the other's name.
    assert copied.sum(axis=0).tolist() == [4] * len(kinds)
    assert labels[copied[:, 0]].all()
    assert not labels[copied[:, 1:].any(axis=1)].any()


def test_what_passes_for_a_lens_is_counted_at_one_false_one_in_a_hundred() -> None:
    from finder import markdown, summary

    no_lens = list(np.linspace(0, 1, 1001))
    scores = {"no_lens": no_lens, "simulated": [2.0, 0.5], "galaxies": [0.0] * 10, "DESI": [2.0]}
    finders = [
        scores | {"seed": 0, "part": 0, "SLACS": [2.0, 0.0, 0.0, 0.0]},
        scores | {"seed": 0, "part": 1, "SLACS": [0.0, 2.0, 0.0, 0.0]},
    ]
    found = summary(finders, num_parts=2)
    # Each finder is asked of every second lens: one of two, twice.
    assert found["SLACS"][0] == 0.5
    assert found["simulated"][0] == 0.5
    assert found["galaxies"][0] == 0.0
    low, high = found["SLACS"][1:]
    assert 0.05 < low < 0.5 < high < 0.95
    assert "| 50.0% (15 to 85)" in markdown({"adapted": found})
