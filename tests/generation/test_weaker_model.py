"""Guidance by a weaker model of the same images."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from gravlensdiffusion.config.model import ModelConfig, ScheduleConfig, TransformConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.model.build import Model, build_model
from gravlensdiffusion.model.checkpoint import fingerprint
from tests.models import LEARNED, ORDERED, awake


def faded(config: ModelConfig = ORDERED) -> Model:
    """Return a model whose weights are smaller."""
    weaker = awake(config)
    with torch.no_grad():
        for parameter in weaker.network.parameters():
            parameter.mul_(0.8)
    return weaker


def test_a_weaker_model_guides_from_what_it_would_draw_itself(ordering: LensGenerator) -> None:
    guided = LensGenerator(awake(), name="ordered", weak=faded())
    alone = LensGenerator(faded(), name="ordered")
    asked: dict[str, Any] = {"seed": 3, "label": ["cdm", "any"]}

    def drawn(generator: LensGenerator, guidance: float = 1.0) -> np.ndarray:
        walk = list(generator.trajectory(generator.request(4, guidance=guidance, **asked)))
        return walk[-1].x_t.numpy()

    assert np.array_equal(drawn(guided), drawn(ordering))
    np.testing.assert_allclose(drawn(guided, 0.0), drawn(alone), atol=1e-5)
    assert np.abs(drawn(guided, 2.0) - drawn(ordering)).mean() > 1e-3
    assert np.abs(drawn(guided, 2.0) - drawn(ordering, 2.0)).mean() > 1e-3


def test_a_weaker_model_guides_one_that_takes_no_order() -> None:
    config = replace(LEARNED, class_names=())
    samples = LensGenerator(awake(config), weak=faded(config)).sample(2, guidance=2.0)
    assert np.abs(samples.images - LensGenerator(awake(config)).sample(2).images).mean() > 1e-3


def test_the_weaker_model_is_named_by_its_weights_where_it_matters(
    ordering: LensGenerator,
) -> None:
    guided = LensGenerator(awake(), name="ordered", weak=faded())
    digest = fingerprint(faded())
    request = guided.request(2, guidance=1.5)
    assert request.identity()["weaker model"] == digest
    assert guided.header(request).software.endswith(
        f"model ordered, guided by weights {digest:.16}"
    )
    # As it was before there were such models.
    for plain in (guided.request(2), ordering.request(2, guidance=1.5)):
        assert "weaker model" not in plain.identity()
        assert "guided" not in guided.header(plain).software


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"image_size": 16}, "image shape"),
        ({"class_names": ("no_sub", "cdm", "vortex")}, "classes"),
        ({"parameters": ORDERED.parameters[:2]}, "parameters"),
        ({"flux_unit": "nJy"}, "flux unit"),
        ({"transform": TransformConfig(kind="linear", gain=2.0)}, "transform"),
        ({"schedule": ScheduleConfig(kind="log_snr", sigma_min=0.01, sigma_max=80)}, "schedule"),
        ({"observation": None}, "noise"),
    ],
)
def test_weights_of_other_images_are_refused_beside_a_model(
    change: dict[str, Any], what: str
) -> None:
    other = build_model(replace(ORDERED, prior_size=0, prior_draws="rows", **change))
    wrong = f" must be a model of the same images, .*; this one has another .*{what}$"
    with pytest.raises(GravLensError, match=f"`weak`{wrong}"):
        LensGenerator(awake(), weak=other)
    with pytest.raises(GravLensError, match=f"what few_steps holds{wrong}"):
        LensGenerator(awake(), few_steps=other)


def test_a_weaker_model_of_another_mean_image_is_refused() -> None:
    other = awake()
    other.transform.mean += 0.1
    with pytest.raises(GravLensError, match="has another mean image"):
        LensGenerator(awake(), weak=other)


def test_distilled_weights_are_guided_by_no_weaker_model() -> None:
    sampling = replace(ORDERED.sampling, sampler="consistency", few_steps=(1,), num_steps=1)
    few_steps = awake(replace(ORDERED, sampling=sampling))
    generator = LensGenerator(awake(), few_steps=few_steps, weak=faded())
    with pytest.raises(GravLensError, match="which no weaker model guides; choose another `sampl"):
        generator.request(2, num_steps=1, guidance=1.5)
    assert generator.request(2, num_steps=1, sampler="dpmpp", guidance=1.5).weak is not None
