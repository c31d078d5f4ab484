r"""How much of what a noisy image tells does a model find: its estimates beside the exact posterior mean.

    python benchmarks/posterior.py --models lens64 lens150

The images of one lens and source differ by their substructure alone. Where that has few numbers, as the vortex of `axion`
has, simulations of that lens cover what it may be, and their mean, weighted by how well each agrees with a noisy image, is
the best estimate there is. Errors are given as shares of the variance that such images have about their mean: 1 is what an
estimate has that has found nothing but the class. Where few simulations carry the weight the exact error is less than given.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from running import launch
from torch import Tensor

from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.config.galaxies import Box
from gravlensdiffusion.config.priors import Constant
from gravlensdiffusion.config.simulation import SimulationConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.model.build import Model
from gravlensdiffusion.model.checkpoint import load_model
from gravlensdiffusion.presets.simulation import simulation_preset
from gravlensdiffusion.simulation.simulated_set import simulate

SEED = 7


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to measure."""

    models: tuple[str, ...] = ("lens64", "lens150")
    """Names or folders of models or runs, one table each."""
    preset: str = "deeplense"
    """Simulation preset, or its file: that of a training on the frame of fewer pixels, say."""
    label: str = "axion"
    """Class of the images."""
    ratios: tuple[float, ...] = (0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8)
    """Noise-to-signal ratios."""
    lenses: int = 3
    """Number of lenses, the first of the class that the preset draws."""
    num: int = 1200
    """Simulated images of each."""
    tried: int = 24
    """How many of them are noised; the others are what the images may be."""
    threads: int = 1
    """Threads of the processor."""


def main(options: Options) -> None:
    """Measure and print."""
    torch.set_num_threads(options.threads)
    if not 1 < options.tried < options.num:
        raise GravLensError("tried must be at least 2 and less than num")
    for name in options.models:
        model = load_model(name)
        shares = np.mean([shares_left(model, options, lens) for lens in lenses_of(options)], axis=0)
        print(f"| noise | simulations that carry the weight | exact | {name} |\n|---|---|---|---|")
        for ratio, (carrying, exact, own) in zip(options.ratios, shares, strict=True):
            print(f"| {ratio:g} | {carrying:.0f} | {exact:.3f} | {own:.3f} |")
        print(flush=True)


def lenses_of(options: Options) -> list[SimulationConfig]:
    """Return configurations that draw nothing but the substructure."""
    preset = simulation_preset(options.preset)
    drawn = simulate(preset, options.lenses, SEED, classes=[options.label]).parameters
    return [
        fixed(preset, {name: float(values[k]) for name, values in drawn.items()})
        for k in range(options.lenses)
    ]


def fixed(preset: SimulationConfig, known: dict[str, float]) -> SimulationConfig:
    """Return a preset of one lens and source, from the parameters of an image."""

    def constant(name: str) -> Constant:
        return Constant(known[name])

    lens = replace(
        preset.lens,
        einstein_radius=constant("theta_E"),
        e1=constant("lens_e1"),
        e2=constant("lens_e2"),
        gamma1=constant("gamma1"),
        gamma2=constant("gamma2"),
    )
    light = replace(
        preset.source.light,
        effective_radius=constant("source_R_sersic"),
        sersic_index=constant("source_n_sersic"),
        e1=constant("source_e1"),
        e2=constant("source_e2"),
    )
    place = Box(x=constant("source_x"), y=constant("source_y"))
    return replace(preset, lens=lens, source=replace(preset.source, light=light, position=place))


@torch.inference_mode()
def shares_left(model: Model, options: Options, lens: SimulationConfig) -> list[list[float]]:
    """Return of each ratio how many simulations carry the weight, and the shares of the variance left."""
    config, rows = model.config, np.arange(options.num)
    drawn = simulate(
        lens,
        options.num,
        SEED,
        classes=[options.label],
        size=config.image_size,
        noise_free=True,
        flux_unit="e-/s",
    )
    x = model.transform(torch.from_numpy(drawn.read_noise_free(rows))).float()
    own, others = x[: options.tried], x[options.tried :].flatten(1).double()
    table = np.stack([drawn.parameters[each.name] for each in config.parameters], axis=1)
    # The model is told what all images share, and not what is to be found.
    table[:, np.ptp(table, axis=0) > 0] = np.nan
    label = torch.full((options.tried,), config.class_names.index(options.label))
    condition = Condition(label=label, parameters=torch.from_numpy(table[: options.tried]))
    whole = left(others.mean(0).reshape(x.shape[1:]).float(), own)
    eps = torch.randn(own.shape, generator=torch.Generator().manual_seed(SEED))
    schedule, found = model.denoiser.schedule, []
    for ratio in options.ratios:
        noisy = own + ratio * eps
        misfit = torch.cdist(noisy.flatten(1).double(), others).square() / (2 * ratio**2)
        weight = torch.softmax(-misfit, dim=1)
        exact = (weight @ others).reshape(own.shape).float()
        t = schedule.t_from_log_snr(torch.tensor(-2 * np.log(ratio), dtype=torch.float64))
        estimate = model.denoiser((schedule(t)[0] * noisy).float(), t, condition)
        carrying = (1 / weight.square().sum(1)).mean().item()
        found.append([carrying, left(exact, own) / whole, left(estimate, own) / whole])
    return found


def left(estimate: Tensor, x: Tensor) -> float:
    """Return the mean square error of an estimate."""
    return (estimate - x).square().mean().item()


if __name__ == "__main__":
    launch(main, Options, __doc__)
