"""``UNet2DModel`` of diffusers as a network of ours, and its schedulers as a sampler."""

import copy
import inspect
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.config.model import ModelConfig
from gravlensdiffusion.config.network import UNet2DConfig
from gravlensdiffusion.diffusion.noise import DiscreteSchedule, Schedule
from gravlensdiffusion.diffusion.randomness import Stream, Streams
from gravlensdiffusion.diffusion.sampler import Sampler, State, Step
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.interop.pipeline import NUM_STEPS, PREDICTIONS, SCHEDULES


def _import_diffusers() -> Any:
    """Return the package diffusers, which is an extra."""
    try:
        import diffusers
    except ImportError:
        raise GravLensError(
            "a network of kind 'unet2d' needs diffusers: pip install diffusers"
        ) from None
    return diffusers


class UNet2D(nn.Module):
    """A ``UNet2DModel`` of diffusers.

    Args:
        config: What its constructor takes.
        image_size: Height and width [pixel].
        num_channels: Channels of an image.

    Raises:
        GravLensError: If diffusers is not installed, or takes no such configuration.
    """

    def __init__(self, config: UNet2DConfig, image_size: int, num_channels: int) -> None:
        super().__init__()
        options = asdict(config)
        del options["kind"], options["scheduler"]
        model = _import_diffusers().UNet2DModel
        try:
            self.unet: nn.Module = model(
                sample_size=image_size,
                in_channels=num_channels,
                out_channels=num_channels,
                **options,
            )
        except (ValueError, TypeError, AttributeError, RuntimeError, ZeroDivisionError) as error:
            raise GravLensError(f"diffusers makes no such UNet2DModel: {error!s:.200}") from None
        self._is_learned = config.time_embedding_type == "learned"

    def forward(self, x: Tensor, noise: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the prediction for noisy images, both of shape ``(B, C, H, W)``.

        ``noise`` is the index of the noise level, shape ``(B,)``; the condition is ignored, as the network
        knows no classes.
        """
        timestep = noise.round().long() if self._is_learned else noise
        output: Tensor = self.unet(x, timestep, return_dict=False)[0]
        return output


def build_scheduler(config: ModelConfig) -> Any:
    """Return the scheduler of diffusers that goes with a model, which has a network of kind ``unet2d``.

    Raises:
        GravLensError: If the network is another, or diffusers takes no such settings.
    """
    if not isinstance(config.network, UNet2DConfig):
        raise GravLensError("sampler 'scheduler' is for networks of kind 'unet2d'")
    own, schedule = config.network.scheduler, config.schedule
    theirs = {ours: name for name, ours in (PREDICTIONS | SCHEDULES).items()}
    scheduler = getattr(_import_diffusers(), own.kind)
    # Like diffusers, which leaves out what an other scheduler had.
    known = inspect.signature(scheduler.__init__).parameters
    try:
        return scheduler(
            num_train_timesteps=schedule.num_steps,
            beta_schedule=theirs[schedule.kind],
            beta_start=schedule.beta_min,
            beta_end=schedule.beta_max,
            prediction_type=theirs[config.denoiser.prediction],
            **{name: value for name, value in own.settings.items() if name in known},
        )
    except (ValueError, TypeError, NotImplementedError) as error:
        raise GravLensError(f"diffusers makes no such {own.kind}: {error!s:.200}") from None


@dataclass(frozen=True, slots=True)
class _State(State):
    """A scheduler on its way, which remembers the steps before."""

    scheduler: Any = None


class SchedulerSampler(Sampler):
    """Draws as a pipeline of diffusers does: step by step as its scheduler, held in [-1, 1] at the end where images are.

    The scheduler takes what the network puts out, which follows from ``x_hat``. The noise that it
    adds comes from a generator for each image and step.

    Args:
        config: A model with a network of kind ``unet2d``.
    """

    def __init__(self, config: ModelConfig) -> None:
        self.scheduler = build_scheduler(config)
        assert isinstance(config.network, UNet2DConfig)
        self.prediction = config.denoiser.prediction
        self.is_signed = config.transform.is_signed
        self.default_num_steps = min(  # type: ignore[misc]
            NUM_STEPS[config.network.scheduler.kind], config.schedule.num_steps
        )

    def times(self, schedule: Schedule, num_steps: int) -> Tensor:
        """Return the times of the scheduler's steps, and set it to them; see `Sampler.times`."""
        assert isinstance(schedule, DiscreteSchedule)
        if not 1 <= num_steps <= schedule.num_steps:
            raise GravLensError(
                f"the model has {schedule.num_steps} steps of noise, {num_steps} were asked for"
            )
        try:
            self.scheduler.set_timesteps(num_steps)
        except (ValueError, IndexError) as error:
            raise GravLensError(f"the model's scheduler: {error!s:.200}") from None
        indices = torch.as_tensor(self.scheduler.timesteps, dtype=torch.float64)
        return torch.cat([(indices + 1) / schedule.num_steps, torch.zeros(1, dtype=torch.float64)])

    def init(self) -> State:
        """Return the state before the first of the steps that `times` has set."""
        return _State(scheduler=copy.deepcopy(self.scheduler))

    def _x_s(self, at: Step) -> Tensor:
        assert isinstance(at.state, _State)
        alpha_t, sigma_t = at.denoiser.schedule(at.t)
        output = at.x_hat
        if self.prediction == "epsilon":
            output = (at.x_t - alpha_t * at.x_hat) / sigma_t
        elif self.prediction == "v":
            output = (alpha_t * at.x_t - at.x_hat) / sigma_t
        scheduler, step = at.state.scheduler, at.state.step
        sources = None if at.streams is None else _generators(at.streams, step)
        moved = scheduler.step(output, scheduler.timesteps[step], at.x_t, generator=sources)
        x_s: Tensor = moved.prev_sample
        return x_s.clamp(-1, 1) if at.s == 0 and self.is_signed else x_s


def _generators(streams: Streams, step: int) -> list[torch.Generator]:
    """Return a generator for each image of a batch, for the noise of one step."""
    seeds = (streams.uniform(Stream.SAMPLER, draw=step) * 2**53).long()
    return [torch.Generator().manual_seed(int(seed)) for seed in seeds]
