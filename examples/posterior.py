r"""What a lens prior is good for: a star or a bad column filled in, a noisy lens cleaned, with error bars.

    pip install --no-deps azula einops
    python examples/posterior.py --task star --out posterior.png

Lenses are simulated, so that the truth is known: part of each is hidden, or noise is added to it. What the model and
the rest of the image say together is drawn several times; the picture shows truth, observation, mean, spread and two
draws. Then ranks say whether the spread can be trusted: among its draws, the truth should have each rank as
often as any other.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from scipy.stats import chisquare
from torch import Tensor

from gravlensdiffusion import LensGenerator, simulate
from gravlensdiffusion.diffusion.randomness import Stream, Streams
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.files import check_picture, whole_file
from gravlensdiffusion.progress import shown_progress
from gravlensdiffusion.reports.mosaics import save_grid

try:
    from gravlensdiffusion.interop.azula import draw_posterior
except GravLensError as error:
    print(f"posterior.py: {error}", file=sys.stderr)
    raise SystemExit(2) from None

NUM_SHOWN = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Draw what hidden pixels may have held, and say whether the spread of the draws can be trusted.

    Attributes:
        out: Picture to write.
        task: star: a disc beside the middle is hidden. column: three columns are. noise: none is.
        model: A model that leaves its noise to the instrument.
        noise: Standard deviation of the noise in a pixel [e-/s].
        num: Lenses.
        draws: Draws of each.
        steps: Steps of each draw.
        seed: Seed of lenses and draws.
    """

    out: Path
    task: Literal["star", "column", "noise"] = "star"
    model: str = "lens28"
    noise: float = 0.1
    num: int = 40
    draws: int = 15
    steps: int = 16
    seed: int = 0


def main(options: Options) -> None:
    """Draw, print the ranks, write the picture."""
    check_picture(options.out, overwrite=False)
    generator = LensGenerator.from_pretrained(options.model, device="cpu")
    size = generator.config.image_size
    lenses = simulate(
        "deeplense", options.num, options.seed, size=size, flux_unit="e-/s", noise_free=True
    )
    truth = lenses.read_noise_free(range(options.num))
    random = np.random.default_rng(options.seed)
    observed = truth + random.normal(0, options.noise, truth.shape).astype(np.float32)
    seen = mask(options.task, size)
    draws = np.empty((options.num, options.draws, *truth.shape[1:]), dtype=np.float32)
    with shown_progress(options.num, is_shown=True) as shown:
        for k, image in enumerate(observed):
            draws[k] = posterior(generator, image, seen, options, k)
            shown.advance(1)
    region = np.ones_like(seen) if options.task == "noise" else ~seen
    tell(truth[..., region], draws[..., region])
    shown_observed = np.where(seen, observed, 0)
    rows = [
        (truth[k], shown_observed[k], draws[k].mean(0), draws[k].std(0), *draws[k, :2])
        for k in range(min(NUM_SHOWN, options.num))
    ]
    with whole_file(options.out, overwrite=False) as temporary:
        save_grid(
            np.concatenate(rows),
            temporary,
            num_columns=6,
            stretch="asinh",
            limits=(0, float(np.median(truth.max((1, 2, 3))))),
            titles=["truth", "observed", "mean", "spread", "a draw", "another", *[""] * 18][
                : 6 * len(rows)
            ],
        )
    print(f"wrote {options.out}")


def mask(task: str, size: int) -> NDArray[np.bool_]:
    """Return which pixels are seen, shape ``(size, size)``."""
    rows, columns = np.mgrid[:size, :size] - (size - 1) / 2
    radius = size / 4  # where rings are
    if task == "star":
        return np.hypot(rows - 0.6 * radius, columns - 0.8 * radius) > 0.11 * size
    if task == "column":
        return np.abs(columns - 0.5 * radius) > 1.6
    return np.ones((size, size), dtype=bool)


@torch.no_grad()
def posterior(
    generator: LensGenerator,
    observed: NDArray[np.float32],
    seen: NDArray[np.bool_],
    options: Options,
    number: int,
) -> NDArray[np.float32]:
    """Return draws of one lens, shape ``(draws, C, H, W)`` [e-/s].

    The network sees a stretched image, in which noise is larger where the lens is faint. To first order
    it stays Gaussian.
    """
    transform = generator.model.transform
    slope = torch.func.jvp(
        transform, (torch.from_numpy(observed)[None],), (torch.ones(1, *observed.shape),)
    )[1]
    pixels = torch.from_numpy(seen.ravel())

    def observe(x: Tensor) -> Tensor:
        return x.flatten(1)[:, pixels]

    streams = Streams(options.seed + number, range(options.draws))
    drawn = draw_posterior(
        generator.model.denoiser,
        streams.normal(Stream.PRIOR, generator.image_shape),
        observe(transform(torch.from_numpy(observed)[None])).expand(options.draws, -1),
        observe,
        observe((options.noise * slope) ** 2)[0],
        num_steps=options.steps,
    )
    return generator.to_flux(drawn)


def tell(truth: NDArray[np.float32], draws: NDArray[np.float32]) -> None:
    """Say how far the mean is off, and how the truth ranks among the draws.

    Args:
        truth: Pixels in question, shape ``(N, C, D)``.
        draws: Draws of them, shape ``(N, L, C, D)``.
    """
    error = draws.mean(1) - truth
    print(f"error of the mean, rms in a pixel: {np.sqrt(np.mean(error**2)):.3f} e-/s")
    print(f"spread of the draws, rms in a pixel: {np.sqrt(draws.var(1, ddof=1).mean()):.3f} e-/s")
    print(f"pixels of the truth, rms: {np.sqrt(np.mean(truth**2)):.3f} e-/s")
    num = draws.shape[1] + 1
    for name, of in (("sum", np.sum), ("brightest", np.max)):
        drawn, true = of(draws, axis=(2, 3)), of(truth, axis=(1, 2))
        ranks = (drawn < true[:, None]).sum(1)
        bins = np.histogram(ranks, bins=4, range=(0, num))[0]
        inside = np.mean((ranks >= num // 6) & (ranks < num - num // 6))
        print(
            f"{name} of the pixels: ranks by quarters {bins.tolist()}, chance of the like "
            f"{chisquare(bins).pvalue:.2g}; {inside:.0%} lie within the middle {1 - 2 * (num // 6) / num:.0%}"
        )


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
