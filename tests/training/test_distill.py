"""Distillation: what a student learns, resuming, what it asks for, what it refuses."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.config.model import ModelConfig
from gravlensdiffusion.config.training import DistillationConfig, EMAConfig, OptimiserConfig
from gravlensdiffusion.diffusion.denoise import Denoiser
from gravlensdiffusion.diffusion.noise import (
    CosineSchedule,
    DDPMSchedule,
    ScaledLinearSchedule,
    Schedule,
    VariancePreservingLogSNR,
)
from gravlensdiffusion.diffusion.randomness import Streams
from gravlensdiffusion.diffusion.sampler import prior
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.model.build import Model
from gravlensdiffusion.model.checkpoint import load_model
from gravlensdiffusion.training.distill import (
    _default_levels,
    _draw_condition,
    _Endpoint,
    open_distillation,
)
from tests.diffusion.gaussian import GaussianDenoiser
from tests.models import LEARNED, ORDERED, PRIOR, awake
from tests.training.driving import assert_ended_alike, drive

SCHEDULE = VariancePreservingLogSNR(0.02, 20.0)


def small(**changes: object) -> DistillationConfig:
    """Return a distillation of eight steps of eight images."""
    config = DistillationConfig(
        teacher="tiny",
        teacher_steps=2,
        batch_size=8,
        total_images=64,
        optimiser=OptimiserConfig(learning_rate=1e-3, weight_decay=0.0),
        ema=EMAConfig(halflife_images=16),
        log_images=16,
        checkpoint_images=24,
    )
    return replace(config, **changes)  # type: ignore[arg-type]


class Affine(Denoiser):
    """An affine map of two noisy pixels, to be learned."""

    def __init__(self) -> None:
        super().__init__()
        self.schedule, self.map = SCHEDULE, nn.Linear(2, 2)

    def forward(self, x_t: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        y: Tensor = self.map(x_t)
        return y

    def loss(self, x: Tensor, t: Tensor, eps: Tensor, condition: Condition | None = None) -> Tensor:
        raise NotImplementedError

    sample_t = loss  # type: ignore[assignment]


def test_a_student_learns_where_the_exact_flow_arrives() -> None:
    mean, covariance = torch.tensor([[[0.6, -0.4]]]), torch.tensor([[1.0, 0.5], [0.5, 0.5]])
    teacher, student = GaussianDenoiser(mean, covariance, SCHEDULE), Affine()
    endpoint = _Endpoint(student, teacher, (), 64)
    optimiser = torch.optim.Adam(student.parameters(), lr=0.05)
    random = torch.Generator().manual_seed(0)
    for _ in range(120):
        noise = torch.randn(256, 1, 1, 2, generator=random)
        optimiser.zero_grad()
        endpoint.loss(noise, None, np.random.default_rng(0)).backward()
        optimiser.step()
    x_1 = prior(SCHEDULE, torch.randn(256, 1, 1, 2, generator=random))
    exact = teacher.flow(x_1, torch.ones(()), torch.zeros(()))
    assert (student(x_1, torch.ones(())) - exact).abs().max() < 0.02 * exact.std()


def test_a_student_learns_what_its_teacher_draws_with_epsilon_scaling(tmp_path: Path) -> None:
    losses = []
    for scale in (1.0, 1.05):
        sampling = replace(ORDERED.sampling, epsilon_scaling=scale)
        teacher = awake(replace(ORDERED, sampling=sampling))
        with open_distillation(small(), teacher, tmp_path / str(scale), device="cpu") as training:
            losses.append(training.loss(0).item())
            assert training.model.config.sampling.epsilon_scaling == 1
    assert abs(losses[1] / losses[0] - 1) > 1e-3


@pytest.mark.parametrize(
    "schedule",
    [SCHEDULE, CosineSchedule(), DDPMSchedule(), ScaledLinearSchedule()],
    ids=lambda schedule: type(schedule).__name__,
)
def test_default_levels_lie_where_an_image_takes_form(schedule: Schedule) -> None:
    assert _default_levels(schedule, 1, 28) == ()
    (middle,) = _default_levels(schedule, 2, 28)
    four = _default_levels(schedule, 4, 28)
    assert len(four) == 3
    assert 10 > four[0] > four[1] > four[2] > 0.02
    assert math.isclose(middle, four[1], rel_tol=1e-4)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_broken_run_ends_with_the_same_bits_as_an_unbroken_one(
    tmp_path: Path, dropout: float
) -> None:
    def run(name: str, stop_after: int = 0) -> None:
        teacher = awake(replace(ORDERED, network=replace(ORDERED.network, dropout=dropout)))
        training = open_distillation(small(), teacher, tmp_path / name, device="cpu")
        drive(training, stop_after=stop_after)

    run("whole")
    for steps in (2, 3):
        run("broken", steps)
    run("broken")

    assert_ended_alike(tmp_path / "whole", tmp_path / "broken", 4)


def test_the_student_is_a_model_of_its_own_that_draws_in_its_steps(tmp_path: Path) -> None:
    teacher = awake()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    drive(open_distillation(small(steps=(1, 2)), teacher, tmp_path / "run", device="cpu"))
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())

    student = load_model(tmp_path / "run")
    assert student.config.sampling.few_steps == (1, 2)
    assert len(student.config.sampling.levels) == 1
    assert any(not torch.equal(value, before[name]) for name, value in student.state_dict().items())
    generator = LensGenerator.from_pretrained(tmp_path / "run", device="cpu")
    default, one, two = (generator.sample(3, num_steps=n).images for n in (None, 1, 2))
    assert np.array_equal(default, two)
    assert not np.array_equal(one, two)
    with pytest.raises(GravLensError, match="distilled to draw in 1, 2 steps, not in 3"):
        generator.sample(3, num_steps=3)
    with pytest.raises(GravLensError, match="it has sampler 'consistency' only"):
        generator.sample(3, sampler="dpmpp")


def test_a_run_does_not_go_on_with_another_teacher_or_other_settings(tmp_path: Path) -> None:
    drive(open_distillation(small(), awake(), tmp_path / "run", device="cpu"), stop_after=1)
    other = awake()
    with torch.no_grad():
        next(iter(other.network.parameters())).add_(1e-3)
    with pytest.raises(
        GravLensError, match="by another teacher than is given now; give the same `teacher`"
    ):
        drive(open_distillation(small(), other, tmp_path / "run", device="cpu"))
    with pytest.raises(GravLensError, match="another seed"):
        drive(open_distillation(small(seed=1), awake(), tmp_path / "run", device="cpu"))


def test_a_run_goes_on_elsewhere_and_longer(tmp_path: Path) -> None:
    drive(open_distillation(small(total_images=16), awake(), tmp_path, device="cpu"))
    longer = small(
        total_images=32,
        precision="bf16",
        log_images=8,
        checkpoint_images=8,
        keep_checkpoints=1,
    )
    assert drive(open_distillation(longer, awake(), tmp_path, device="cpu")).images_seen == 32


def model_with(**changes: object) -> Model:
    """Return the ordering model with another configuration."""
    model = awake()
    model.config = replace(model.config, **changes)  # type: ignore[arg-type]
    return model


def test_a_teacher_that_cannot_be_followed_is_refused(tmp_path: Path) -> None:
    drive(open_distillation(small(), awake(), tmp_path / "run", device="cpu"), stop_after=1)
    with pytest.raises(GravLensError, match="'tiny' is distilled already"):
        drive(
            open_distillation(
                small(), load_model(tmp_path / "run"), tmp_path / "again", device="cpu"
            )
        )
    denoiser = replace(ORDERED.denoiser, prediction="epsilon")
    schedule = replace(ORDERED.schedule, kind="ddpm")
    noisy = model_with(denoiser=denoiser, schedule=schedule)
    with pytest.raises(GravLensError, match="predicts the noise"):
        drive(open_distillation(small(), noisy, tmp_path / "noise", device="cpu"))
    carried = model_with(denoiser=replace(ORDERED.denoiser, skip=False, noise=0.1))
    with pytest.raises(GravLensError, match="goes past the network"):
        drive(open_distillation(small(), carried, tmp_path / "noise", device="cpu"))
    assert not (tmp_path / "noise").exists()


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    drive(open_distillation(small(total_images=8), awake(), tmp_path / "run", device="cpu"))
    broken = awake()
    with torch.no_grad():
        next(iter(broken.network.parameters())).fill_(torch.nan)
    with pytest.raises(GravLensError, match="not finite 10 times in a row"):
        drive(open_distillation(small(total_images=800), broken, tmp_path / "nan", device="cpu"))


@pytest.mark.parametrize("config", [ORDERED, LEARNED], ids=["ordered", "classes"])
def test_conditions_come_from_the_training_set_of_the_teacher(config: ModelConfig) -> None:
    settings = small(label_dropout=0.25, parameter_dropout=0.1, parameters_dropout=0.2)
    condition = _draw_condition(awake(config), settings, Streams(0, range(4000)))
    assert condition is not None
    hidden = float((condition.label == -1).float().mean())
    assert abs(hidden - 0.25) < 0.03
    if condition.parameters is None:
        assert config is LEARNED
        shares = torch.bincount(condition.label[condition.label >= 0]) / 4000
        assert (shares - 0.25).abs().max() < 0.03
        return
    known = torch.isfinite(condition.parameters)
    assert abs(float((~known).all(1).float().mean()) - (0.2 + 0.8 * 0.1**3)) < 0.03
    assert abs(float(known[:, 0].float().mean()) - 0.8 * 0.9) < 0.03
    rows = {tuple(row) for row in PRIOR}
    whole = known.all(1) & (condition.label >= 0)
    drawn = torch.cat([condition.label[whole, None], condition.parameters[whole]], dim=1)
    assert {tuple(row) for row in drawn.tolist()} == rows


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": ()}, "at least one number"),
        ({"steps": (3, 4)}, "3 does not divide 4"),
        ({"levels": (1.0,)}, "4 steps need 3 levels, got 1"),
        ({"total_images": 0}, "total_images must be at least 1"),
        ({"label_dropout": 2.0}, r"label_dropout must lie between 0 and 1, got 2.0"),
    ],
)
def test_settings_are_checked(changes: dict[str, object], message: str) -> None:
    with pytest.raises(GravLensError, match=message):
        small(**changes)
