"""The same trajectories as diffusers, for the same network, betas and noise."""

import pytest
import torch
from torch import Tensor, nn

from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.diffusion.denoise import Denoiser, IndexedDenoiser, Prediction
from gravlensdiffusion.diffusion.noise import CosineSchedule, DDPMSchedule
from gravlensdiffusion.diffusion.randomness import Streams
from gravlensdiffusion.diffusion.sampler import Sampler, trajectory
from gravlensdiffusion.diffusion.solvers import DDIM, DDPM, DPMSolverPP, Heun

diffusers = pytest.importorskip("diffusers")
pytestmark = [
    pytest.mark.parity,
    # diffusers makes numpy arrays of tensors in a way that numpy 2 has deprecated.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

SHAPE = (3, 1, 5, 5)
LINEAR = {
    "num_train_timesteps": 1000,
    "beta_start": 1e-4,
    "beta_end": 0.02,
    "beta_schedule": "linear",
}
PREDICTIONS: dict[str, Prediction] = {"epsilon": "epsilon", "v_prediction": "v", "sample": "x0"}


class Wave(nn.Module):
    """A smooth function of image and index in place of a network."""

    def forward(self, x: Tensor, noise: Tensor, condition: Condition | None = None) -> Tensor:
        phase = (noise / 300).reshape(-1, 1, 1, 1)
        return 0.8 * torch.sin(1.3 * x + phase) + 0.3 * x.mean((1, 2, 3), keepdim=True)


class TorchStreams(Streams):
    """The noise that diffusers draws from a generator of this seed, step by step."""

    def __init__(self, seed: int, num: int) -> None:
        super().__init__(seed, range(num))
        self.source = torch.Generator().manual_seed(seed)

    def normal(self, stream: int, shape: tuple[int, ...], *, draw: int = 0) -> Tensor:
        return torch.randn((len(self), *shape), generator=self.source)


def start() -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(11))


def ours(sampler: Sampler, denoiser: Denoiser, timesteps: Tensor) -> list[Tensor]:
    times = torch.cat([(timesteps.double() + 1) / 1000, torch.zeros(1, dtype=torch.float64)])
    streams = TorchStreams(0, SHAPE[0])
    walk = trajectory(denoiser, sampler, start(), times, None, streams)
    return [x_t for _, x_t, _ in walk]


def theirs(scheduler: object, x: Tensor, **options: object) -> list[Tensor]:
    source = torch.Generator().manual_seed(0)
    if "eta" in options or isinstance(scheduler, diffusers.DDPMScheduler):
        options["generator"] = source
    frames = [x]
    for t in scheduler.timesteps:
        output = Wave()(scheduler.scale_model_input(x, t), t.float().expand(len(x)))
        x = scheduler.step(output, t, x, **options).prev_sample
        frames.append(x)
    return frames


def assert_same(first: list[Tensor], second: list[Tensor], tolerance: float = 2e-4) -> None:
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        assert (a - b).abs().max() < tolerance * max(1.0, b.abs().max().item())


def test_betas_are_the_same() -> None:
    linear = diffusers.DDPMScheduler(**LINEAR)
    assert torch.allclose(DDPMSchedule().betas.float(), linear.betas, atol=1e-8)
    cosine = diffusers.DDPMScheduler(1000, beta_schedule="squaredcos_cap_v2")
    assert torch.allclose(CosineSchedule().betas.float(), cosine.betas, atol=1e-6)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_ddpm(prediction: str) -> None:
    scheduler = diffusers.DDPMScheduler(
        **LINEAR, prediction_type=prediction, clip_sample=False, variance_type="fixed_small"
    )
    scheduler.set_timesteps(1000)
    denoiser = IndexedDenoiser(Wave(), DDPMSchedule(), PREDICTIONS[prediction])
    frames = ours(DDPM(), denoiser, scheduler.timesteps)
    assert_same(frames, theirs(scheduler, start()), tolerance=1e-3)


def test_ddpm_with_clipped_estimates() -> None:
    scheduler = diffusers.DDPMScheduler(**LINEAR, clip_sample=True, clip_sample_range=1.0)
    scheduler.set_timesteps(100)
    denoiser = IndexedDenoiser(Wave(), DDPMSchedule(), "epsilon", clip=True)
    assert_same(ours(DDPM(), denoiser, scheduler.timesteps)[:-1], theirs(scheduler, start())[:-1])


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0])
def test_ddim(prediction: str, eta: float) -> None:
    scheduler = diffusers.DDIMScheduler(
        **LINEAR,
        prediction_type=prediction,
        clip_sample=False,
        set_alpha_to_one=True,
        timestep_spacing="trailing",
    )
    scheduler.set_timesteps(50)
    denoiser = IndexedDenoiser(Wave(), DDPMSchedule(), PREDICTIONS[prediction])
    frames = ours(DDIM(eta), denoiser, scheduler.timesteps)
    assert_same(frames, theirs(scheduler, start(), eta=eta))


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("num_steps", [10, 25])
def test_dpm_solver(prediction: str, num_steps: int) -> None:
    scheduler = diffusers.DPMSolverMultistepScheduler(
        **LINEAR,
        prediction_type=prediction,
        algorithm_type="dpmsolver++",
        solver_order=2,
        solver_type="midpoint",
        final_sigmas_type="zero",
        timestep_spacing="linspace",
    )
    scheduler.set_timesteps(num_steps)
    denoiser = IndexedDenoiser(Wave(), DDPMSchedule(), PREDICTIONS[prediction])
    frames = ours(DPMSolverPP(), denoiser, scheduler.timesteps)
    assert_same(frames, theirs(scheduler, start()))


def test_heun() -> None:
    """diffusers follows ``x_t / alpha_t`` and makes two scheduler steps of one step of ours."""
    scheduler = diffusers.HeunDiscreteScheduler(**LINEAR, timestep_spacing="trailing")
    scheduler.set_timesteps(20)
    schedule = DDPMSchedule()
    indices = scheduler.timesteps[::2]
    frames = ours(Heun(), IndexedDenoiser(Wave(), schedule, "epsilon"), indices)
    alpha, _ = schedule(torch.ones(1, dtype=torch.float64))
    reference = theirs(scheduler, start() / alpha.float())
    levels, _ = schedule((indices.double() + 1) / 1000)
    expected = [a.float() * y for a, y in zip(levels, reference[:-1:2], strict=True)]
    assert_same(frames, [*expected, reference[-1]])
