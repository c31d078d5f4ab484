"""Images from a model: labels, parameters, seeds, batches, units."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gravlensdiffusion.config.model import (
    DenoiserConfig,
    ModelConfig,
    ScheduleConfig,
    TransformConfig,
)
from gravlensdiffusion.config.network import UNetConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.generation.request import Asked, Request
from gravlensdiffusion.model.build import SAMPLERS, Model, build_model
from gravlensdiffusion.model.transform import Transform
from tests.models import PRIOR


def model(class_names: tuple[str, ...] = ("a", "b", "c")) -> Model:
    """Return an untrained model that puts out something."""
    config = ModelConfig(
        image_size=8,
        class_names=class_names,
        pixel_scale_arcsec=0.1,
        flux_unit="e-/s",
        transform=TransformConfig(kind="asinh", scale=0.1, gain=1.5),
        schedule=ScheduleConfig(kind="log_snr", sigma_min=0.01, sigma_max=50),
        denoiser=DenoiserConfig(prediction="preconditioned"),
        network=UNetConfig(channels=(8, 16), attention_levels=(1,), num_heads=2, embedding_dim=16),
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        built = build_model(config, Transform(config.transform, torch.full((1, 8, 8), 0.3)))
        for parameter in built.network.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    return built


@pytest.fixture(scope="module")
def generator() -> LensGenerator:
    """A generator of three classes."""
    return LensGenerator(model(), name="tiny")


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_image_k_does_not_depend_on_the_batch(generator: LensGenerator, sampler: str) -> None:
    whole = generator.sample(7, seed=3, sampler=sampler, num_steps=6).images
    peak = np.abs(whole).max()
    for batch_size in (1, 3):
        parts = generator.sample(
            7, seed=3, sampler=sampler, num_steps=6, batch_size=batch_size
        ).images
        assert np.abs(parts - whole).max() < 1e-5 * peak
    fewer = generator.sample(2, seed=3, sampler=sampler, num_steps=6).images
    assert np.abs(fewer - whole[:2]).max() < 1e-5 * peak


def test_the_same_call_gives_the_same_bits_and_another_seed_other_images(
    generator: LensGenerator,
) -> None:
    first, second = generator.sample(4, seed=1), generator.sample(4, seed=1)
    assert np.array_equal(first.images, second.images)
    other = generator.sample(4, seed=2).images
    assert np.abs(first.images - other).max() > 0.01


def test_the_global_random_state_is_left_alone(generator: LensGenerator) -> None:
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    generator.sample(2, sampler="ddpm", num_steps=3)
    assert torch.equal(torch.rand(1), expected)


def test_labels_go_round_unless_asked_for(generator: LensGenerator) -> None:
    assert generator.sample(4, num_steps=2).labels.tolist() == [0, 1, 2, 0]
    assert generator.sample(3, num_steps=2, label="b").labels.tolist() == [1, 1, 1]
    assert generator.sample(3, num_steps=2, label=["c", "a"]).labels.tolist() == [2, 0, 2]
    left_out = generator.sample(3, num_steps=2, label="any")
    assert left_out.labels.tolist() == [-1, -1, -1]
    asked = generator.sample(3, num_steps=2, label="a")
    assert np.abs(asked.images - left_out.images).max() > 1e-4


def test_guidance_of_one_is_none_and_more_pushes_away(generator: LensGenerator) -> None:
    plain, guided, more = (
        generator.sample(2, label="a", num_steps=3, guidance=g).images for g in (1.0, 1.5, 3.0)
    )
    assert np.array_equal(plain, generator.sample(2, label="a", num_steps=3).images)
    assert np.abs(more - plain).mean() > np.abs(guided - plain).mean() > 1e-5


def test_images_come_in_flux_units(generator: LensGenerator) -> None:
    samples = generator.sample(3, num_steps=3)
    assert samples.images.shape == (3, 1, 8, 8)
    assert samples.images.dtype == np.float32
    assert samples.header.flux_unit == "e-/s"
    assert samples.header.pixel_scale_arcsec == 0.1
    assert samples.header.class_names == ("a", "b", "c")
    frames = list(generator.trajectory(generator.request(3, num_steps=3)))
    assert [frame.step for frame in frames] == [0, 1, 2, 3]
    z = frames[-1].x_t.numpy() / 1.5 + 0.3
    assert np.allclose(samples.images, 0.1 * np.sinh(z), rtol=1e-5, atol=1e-6)
    assert np.allclose(generator.to_display(frames[-1]), z, rtol=1e-5, atol=1e-6)
    records = list(samples.records())
    assert [record.label for record in records] == [0, 1, 2]
    assert np.array_equal(records[1].image, samples.images[1])
    part = samples.select([2, 0]).resized(4)
    assert part.labels.tolist() == [2, 0]
    assert part.header.pixel_scale_arcsec == pytest.approx(0.2)
    assert np.allclose(part.read(slice(None)).sum((1, 2, 3)), samples.images[[2, 0]].sum((1, 2, 3)))


def test_a_trajectory_starts_from_unit_noise_with_no_lens_in_it(generator: LensGenerator) -> None:
    first = next(generator.trajectory(generator.request(200, label="a", num_steps=2)))
    assert first.x_t.std().item() == pytest.approx(1, abs=0.03)
    assert first.alpha_t == pytest.approx(1 / 50, rel=1e-3)
    # The mean image of 0.3 would stand out thirty times over the scatter of the mean.
    assert np.abs(generator.to_display(first).mean()) < 0.03


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num": 0}, "at least 1"),
        ({"num": 2, "batch_size": 0}, "at least 1"),
        ({"num": 2, "label": "halo"}, "no class 'halo'; it has: a, b, c, any"),
        ({"num": 2, "sampler": "euler"}, "unknown sampler 'euler'; choose from"),
        ({"num": 2, "num_steps": 0}, "at least 1"),
        ({"num": 2, "guidance": -1.0}, "guidance"),
        (
            {"num": 2, "guidance": 50.0},
            "`guidance` must lie between 0 and 10, beyond which no lenses",
        ),
        ({"num": 2, "seed": -1}, "seed"),
        ({"num": 2, "flux_unit": "mJy"}, "`flux_unit` is peak or left out, got mJy"),
    ],
)
def test_what_cannot_be_sampled(
    generator: LensGenerator, options: dict[str, object], message: str
) -> None:
    with pytest.raises(GravLensError, match=message):
        generator.sample(**options)  # type: ignore[arg-type]


def test_a_bar_is_shown_on_request_alone(
    generator: LensGenerator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gravlensdiffusion.progress.FIRST_S", 0.0)
    monkeypatch.setattr("gravlensdiffusion.progress.GROWTH", 0.0)
    generator.sample(5, num_steps=2, batch_size=3)
    assert capsys.readouterr().err == ""
    generator.sample(5, num_steps=2, batch_size=3, progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(" images")[0] for line in lines] == [
        f"gravlens: {done} of 5" for done in (1, 3, 4, 5)
    ]


def test_a_model_without_classes() -> None:
    generator = LensGenerator(model(class_names=()))
    assert generator.sample(2, num_steps=2).labels.tolist() == [-1, -1]
    with pytest.raises(GravLensError, match="only 'any'"):
        generator.sample(2, label="a")
    with pytest.raises(GravLensError, match="has nothing to guide by: no class or parameter"):
        generator.sample(2, guidance=2.0)


@pytest.mark.parametrize("label", [None, "a", ["a", "any"]])
def test_guidance_changes_images_that_are_of_a_class(label: str | list[str] | None) -> None:
    generator = LensGenerator(model())
    asked: Asked = {"label": label, "num_steps": 2}
    plain = generator.sample(2, **asked).images
    assert not np.array_equal(plain, generator.sample(2, guidance=3.0, **asked).images)


def test_guidance_of_images_of_any_class_is_refused() -> None:
    with pytest.raises(GravLensError, match="has nothing to guide by: no class or parameter"):
        LensGenerator(model()).sample(2, label="any", guidance=3.0)


def test_no_such_device(tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        with pytest.raises(GravLensError, match="no CUDA device"):
            LensGenerator.from_pretrained(tmp_path, device="cuda")


def test_parameters_are_numbers_or_one_for_each_image(ordering: LensGenerator) -> None:
    radii = np.array([0.9, np.nan, 1.5])
    samples = ordering.sample(3, parameters={"theta_E": radii, "source_x": 0.25}, seed=2)
    assert samples.parameters["theta_E"][[0, 2]].tolist() == [0.9, 1.5]
    assert samples.parameters["theta_E"][1] in [row[1] for row in PRIOR]
    assert samples.parameters["source_x"].tolist() == [0.25] * 3
    assert np.isnan(samples.parameters["signal_to_noise"]).all()
    assert samples.parameters["background_rms"].tolist() == [0.1] * 3
    assert samples.header.parameter_units == {
        "theta_E": "arcsec",
        "source_x": "arcsec",
        "signal_to_noise": "",
        "background_rms": "e-/s",
    }
    assert samples.noise_free is not None
    record = list(samples.records())[2]
    assert record.parameters["theta_E"] == 1.5
    assert np.array_equal(record.noise_free, samples.noise_free[2])


def test_a_parameter_changes_its_own_image_alone(ordering: LensGenerator) -> None:
    def images(second: float) -> np.ndarray:
        radii = np.array([0.9, second, 1.5])
        return ordering.sample(3, parameters={"theta_E": radii}, seed=2).images

    first, other, left_out = images(1.0), images(1.4), images(np.nan)
    assert np.abs(first[1] - other[1]).max() > 1e-3
    assert np.abs(first[1] - left_out[1]).max() > 1e-3
    for k in (0, 2):
        assert np.array_equal(first[k], other[k])
        assert np.array_equal(first[k], left_out[k])


def test_ordered_images_do_not_depend_on_the_batch(ordering: LensGenerator) -> None:
    asked = {"theta_E": np.linspace(0.8, 1.6, 7)}
    whole = ordering.sample(7, parameters=asked, seed=3)
    parts = ordering.sample(7, parameters=asked, seed=3, batch_size=3)
    assert whole.noise_free is not None
    assert parts.noise_free is not None
    peak = whole.noise_free.max()
    assert np.abs(parts.noise_free - whole.noise_free).max() < 1e-5 * peak
    assert np.abs(parts.images - whole.images).max() < 1e-5 * peak


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"gamma1": 0.1}, "no parameter 'gamma1'; it has: theta_E, source_x, signal_to_noise"),
        ({"theta_E": 1.7}, "theta_E 1.7 is outside .* 0.8 to 1.6 arcsec"),
        ({"theta_E": [1.0, np.nan, 0.7]}, "theta_E 0.7 is outside"),
        ({"source_x": np.inf}, "source_x inf is outside"),
        ({"theta_E": [1.0, 1.1]}, r"a number or 3 numbers, .* shape \(2,\)"),
    ],
)
def test_what_cannot_be_ordered(
    ordering: LensGenerator, parameters: dict[str, object], message: str
) -> None:
    with pytest.raises(GravLensError, match=message):
        ordering.sample(3, parameters=parameters)  # type: ignore[arg-type]


def test_guidance_insists_on_parameters_too(ordering: LensGenerator) -> None:
    def last(request: Request, guidance: float) -> np.ndarray:
        walk = list(ordering.trajectory(replace(request, guidance=guidance)))
        return walk[-1].x_t.numpy()

    asked = ordering.request(2, label="any", parameters={"theta_E": 1.5}, num_steps=3)
    plain, guided, more = (last(asked, g) for g in (1.0, 1.5, 3.0))
    assert np.abs(more - plain).mean() > np.abs(guided - plain).mean() > 1e-4
    nothing = replace(asked, parameters=np.full_like(asked.parameters, np.nan))
    np.testing.assert_allclose(last(nothing, 3.0), last(nothing, 1.0), atol=1e-4)
    # Without the order, guidance of nought is what a free lens gets.
    np.testing.assert_allclose(last(asked, 0.0), last(nothing, 1.0), atol=1e-4)
