"""Configuration of how images are drawn with a model."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, Literal

from gravlensdiffusion.config.bounds import LATER, MAX_STEPS, Bounded, Count, NonNegative, Range

CONSISTENCY = "consistency"
"""Sampler of distilled models, which no other model can be drawn with."""
SCHEDULER = "scheduler"
"""Sampler of networks of diffusers: the scheduler that goes with them."""
EpsilonScaling = Annotated[float, Range(at_least=0.5, at_most=2)]
Steps = Annotated[int, Range(at_least=1, at_most=MAX_STEPS)]


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplingConfig(Bounded):
    """What `gravlens sample` does with the model where nothing is asked for.

    Attributes:
        num_steps: Number of steps; network evaluations per image where the order is one.
        draft_steps: Number of steps of quality ``draft``; 0 for `num_steps`.
        best_steps: Number of steps of quality ``best``; 0 for `num_steps`.
        few_steps: Numbers of steps that a distilled model draws in, which ``consistency`` takes;
            empty for a model that has not been distilled.
        levels: Noise-to-signal ratios of the steps of ``consistency`` after the first, falling,
            where the most are made.
        epsilon_scaling: What the noise that steps take off is divided by; 1 for none. A little more
            than 1 gives images back the variety that estimates of their mean lack.
        epsilon_scaling_from: Noise-to-signal ratio from which on it is [model units].
    """

    sampler: Literal["ddpm", "ddim", "dpmpp", "heun", "consistency", "scheduler"] = "dpmpp"
    num_steps: Steps = 20
    draft_steps: Annotated[int, Range(at_least=0, at_most=MAX_STEPS)] = 0
    best_steps: Annotated[int, Range(at_least=0, at_most=MAX_STEPS)] = 0
    few_steps: tuple[Count, ...] = ()
    levels: tuple[float, ...] = ()
    epsilon_scaling: EpsilonScaling = field(default=1.0, metadata=LATER)
    epsilon_scaling_from: NonNegative = field(default=0.0, metadata=LATER)

    def _faults(self) -> Iterator[str]:
        if len(self.levels) > MAX_STEPS:
            yield f"sampling has at most {MAX_STEPS} levels"
        if not all(a > b for a, b in pairwise((*self.levels, 0.0))):
            yield "sampling levels must fall, and be positive"
        if (self.sampler == CONSISTENCY) != bool(self.few_steps):
            yield "sampler 'consistency' and few_steps go together"
        if any((len(self.levels) + 1) % number for number in self.few_steps):
            yield "few_steps must be divisors of the number of levels and one"
        if self.epsilon_scaling != 1 and self.sampler in (CONSISTENCY, SCHEDULER):
            yield f"sampler '{self.sampler}' takes no epsilon_scaling"
        if self.epsilon_scaling_from and self.epsilon_scaling == 1:
            yield "epsilon_scaling_from is for an epsilon_scaling other than 1"
