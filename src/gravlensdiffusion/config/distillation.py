"""Configuration of a distillation."""

import math
from dataclasses import dataclass, field
from typing import Literal

from gravlensdiffusion.config.training import EMAConfig, OptimiserConfig
from gravlensdiffusion.errors import GravLensError

Method = Literal["distribution", "consistency", "endpoint"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DistillationConfig:
    """A student that draws in a few steps what its teacher draws in many.

    Nothing but the teacher is needed: classes and parameters come from the table that it keeps of
    its training set, images from the teacher and the student themselves.

    Attributes:
        schema_version: Version of this layout.
        teacher: What the teacher is called.
        steps: Numbers of steps that the student is to draw in; each divides the largest.
        levels: Noise-to-signal ratios of the steps after the first where the most are made,
            falling; empty for ratios that suit the teacher's schedule.
        method: ``endpoint``: the student learns where the teacher's solver arrives. ``consistency``:
            it learns to say the same all along the way of that solver. ``distribution``: its images
            are to have the teacher's distribution.
        warmup_images: Images that ``distribution`` first learns by ``endpoint``.
        teacher_steps: Steps of the teacher's solver, for ``endpoint`` and ``consistency``; it stops at
            the student's levels besides.
        critic_updates: Updates of the network that learns the student's own distribution, for each
            update of the student, for ``distribution``.
        critic_rate: Learning rate of that network, in units of the student's.
        batch_size: Images per step.
        total_images: Images after which the run ends.
        label_dropout: Share of images whose label is hidden.
        parameter_dropout: Share of images of which each parameter is hidden by itself.
        parameters_dropout: Share of images of which all parameters are hidden at once.
        precision: ``fp32`` or ``bf16`` (autocast).
        seed: Seed of all noise.
        optimiser: The optimiser, of the student and of the network beside it.
        ema: The moving average of the student.
        log_images: Images between two lines of the log.
        checkpoint_images: Images between two checkpoints.
        keep_checkpoints: Number of checkpoints kept.
    """

    schema_version: Literal[1] = 1
    teacher: str = ""
    steps: tuple[int, ...] = (1, 2, 4)
    levels: tuple[float, ...] = ()
    method: Method = "endpoint"
    warmup_images: int = 0
    teacher_steps: int = 4
    critic_updates: int = 1
    critic_rate: float = 4.0
    batch_size: int = 64
    total_images: int = 40_000
    label_dropout: float = 0.1
    parameter_dropout: float = 0.1
    parameters_dropout: float = 0.1
    precision: Literal["fp32", "bf16"] = "fp32"
    seed: int = 0
    optimiser: OptimiserConfig = field(
        default_factory=lambda: OptimiserConfig(
            learning_rate=6e-4, weight_decay=0.0, warmup_images=2_000, decay="cosine"
        )
    )
    ema: EMAConfig = field(default_factory=lambda: EMAConfig(halflife_images=5_000))
    log_images: int = 2_000
    checkpoint_images: int = 20_000
    keep_checkpoints: int = 2

    def __post_init__(self) -> None:
        for name in ("teacher_steps", "batch_size", "total_images", "keep_checkpoints"):
            if getattr(self, name) < 1:
                raise GravLensError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.critic_updates < 1 or self.warmup_images < 0:
            raise GravLensError("critic_updates must be at least 1, warmup_images not negative")
        if not 0 < self.critic_rate < math.inf:
            raise GravLensError(f"critic_rate must be positive, got {self.critic_rate}")
        if not self.steps or min(self.steps) < 1:
            raise GravLensError("steps must be at least one number from 1 up")
        most = max(self.steps)
        for steps in self.steps:
            if most % steps:
                raise GravLensError(
                    f"each number of steps must divide the largest, {steps} does not divide {most}"
                )
        if self.levels and len(self.levels) != most - 1:
            raise GravLensError(f"{most} steps need {most - 1} levels, got {len(self.levels)}")
        for name in ("label_dropout", "parameter_dropout", "parameters_dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise GravLensError(f"{name} must lie in [0, 1], got {getattr(self, name)}")
        if not 0 <= self.seed < 2**63:
            raise GravLensError(f"seed must lie in [0, 2^63), got {self.seed}")
