r"""Quality against cost: one model with several samplers and numbers of steps.

    gravlens simulate --preset deeplense --num 10000 --size 28 --seed 3000 --out data/reference.h5
    python benchmarks/steps.py --model lens28 --reference data/reference.h5 --num 2000 \
        --json docs/steps.json --plot docs/images/steps.png

    python benchmarks/steps.py --model lens28 --runs "dpmpp:4,8 consistency:1,2,4" \
        --reference data/reference28.h5

All runs start from the same noise. ``consistency`` draws with distilled weights, those beside the
model or those of `--few-steps`. The lens Fréchet distance is that of `num` generated images
against as many real ones; its floor is real against real at the same numbers.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from curves import save_curve
from running import launch, read_numbers

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.evaluation.measure import Encoder, Measurements, measure_images
from gravlensdiffusion.evaluation.preparation import PreparedSource
from gravlensdiffusion.evaluation.result import EvaluationSettings
from gravlensdiffusion.evaluation.sets import Sets
from gravlensdiffusion.evaluation.statistics import relative_shift
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.metrics.features import frechet_distance, scaled_wasserstein
from gravlensdiffusion.model.checkpoint import load_model

RUNS = "dpmpp:5,8,12,20,40 ddim:10,20,50 heun:6,10,20 ddpm:100"
"""Samplers and their numbers of steps."""
HEADER = (
    "| sampler | steps | evaluations | ms per image | lens Fréchet distance | in floors | sky rms "
    "| flux | brightest pixel | Einstein radius | scatter of theta_E |\n" + "|---" * 11 + "|"
)
EVALUATIONS = {"heun": 2}
"""Network evaluations of a step, where it is not one."""


@dataclass(frozen=True)
class Options:
    """What to compare."""

    reference: Path
    """Real images, or simulations that stand for them; at least twice `num`."""
    model: str = "lens28"
    """A bundled model, a run or a checkpoint."""
    runs: str = RUNS
    """Samplers and their numbers of steps."""
    few_steps: Path | None = None
    """A distillation to draw with, instead of the weights beside the model."""
    num: int = 2000
    """Images of each run."""
    seed: int = 0
    """Seed of the noise."""
    threads: int = 2
    """Threads of the processor."""
    json: Path | None = None
    """Where to write the figures, too."""
    plot: Path | None = None
    """Where to draw distance against evaluations."""


def main(options: Options) -> None:
    """Draw with each sampler, measure, print a table."""
    torch.set_num_threads(options.threads)
    generator = LensGenerator.from_pretrained(options.model, device="cpu")
    if options.few_steps is not None:
        student = load_model(options.few_steps)
        generator = LensGenerator(generator.model, generator.name, student)
    given = PreparedSource(open_set(options.reference), options.reference.name)
    if given.flux_unit != generator.config.flux_unit:
        raise GravLensError(
            f"{options.reference} is in {given.flux_unit}, the model's images are in "
            f"{generator.config.flux_unit}; make the set with that `gravlens simulate --flux-unit`"
        )
    source = Sets(generated=given, reference=given).prepared(EvaluationSettings()).reference
    encoder = Encoder(source.stored_size)
    blocks = [measure_images(block, source, encoder) for block in source.pixel_blocks()]
    real = blocks[0]
    for block in blocks[1:]:
        real = real.joined(block)
    floors = []
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(real))
        one, two = order[: options.num], order[options.num : 2 * options.num]
        floors.append(frechet_distance(real.features[one], real.features[two]))
    floor = {"mean": float(np.mean(floors)), "std": float(np.std(floors, ddof=1))}
    print(f"floor at {options.num} against {options.num}: {floor['mean']:.4f} ± {floor['std']:.4f}")
    rows = []
    print(HEADER)
    for sampler, numbers in read_runs(options.runs):
        for steps in numbers:
            rows.append(one_run(options, generator, (sampler, steps), source, encoder, real))
            print(table_row(rows[-1], floor["mean"]), flush=True)
    report = {"model": options.model, "num": options.num, "floor": floor, "runs": rows}
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    if options.plot is not None:
        draw(rows, floor["mean"], options.plot)


def read_runs(text: str) -> list[tuple[str, tuple[int, ...]]]:
    """Return samplers and numbers of steps; ``dpmpp:4,8 ddim:50`` is two samplers."""
    found = []
    for word in text.split():
        sampler, _, numbers = word.partition(":")
        found.append((sampler, tuple(read_numbers(numbers, f"--runs: {sampler}", int))))
    return found


def one_run(
    options: Options,
    generator: LensGenerator,
    run: tuple[str, int],
    source: PreparedSource,
    encoder: Encoder,
    real: Measurements,
) -> dict[str, float | str]:
    """Sample with one sampler and number of steps, and compare."""
    sampler, steps = run
    start = time.process_time()
    samples = generator.sample(options.num, seed=options.seed, sampler=sampler, num_steps=steps)
    seconds = (time.process_time() - start) / options.threads
    found = measure_images(samples.images[:, 0], source, encoder)
    real_part = real[np.random.default_rng(0).permutation(len(real))[: options.num]]
    return {
        "sampler": sampler,
        "steps": steps,
        "evaluations": steps * EVALUATIONS.get(sampler, 1),
        "ms_per_image": 1000 * seconds / options.num,
        "frechet": frechet_distance(found.features, real_part.features),
        "sky_rms_shift": relative_shift("sky_rms", found, real_part),
        "flux_shift": relative_shift("total_flux", found, real_part),
        **{
            f"{name}_wasserstein": scaled_wasserstein(found.physics[name], real_part.physics[name])
            for name in ("maximum", "einstein_radius")
        },
        "theta_E_scatter": scatter(found, samples.parameters),
    }


def scatter(found: Measurements, parameters: dict[str, np.ndarray]) -> float:
    """Return how far Einstein radii, by the encoder, scatter about those ordered [arcsec]."""
    if "theta_E" not in found.estimates or "theta_E" not in parameters:
        return float("nan")
    return float(np.nanstd(found.estimates["theta_E"] - parameters["theta_E"]))


def table_row(row: dict[str, float | str], floor: float) -> str:
    """Return one line of a Markdown table."""
    return (
        f"| {row['sampler']} | {row['steps']} | {row['evaluations']} "
        f"| {row['ms_per_image']:.1f} | {row['frechet']:.3f} | {row['frechet'] / floor:.2f} "
        f"| {100 * row['sky_rms_shift']:+.1f}% | {100 * row['flux_shift']:+.1f}% "
        f"| {row['maximum_wasserstein']:.3f} | {row['einstein_radius_wasserstein']:.3f} "
        f"| {row['theta_E_scatter']:.4f} |"
    )


def draw(rows: list[dict[str, float | str]], floor: float, path: Path) -> None:
    """Draw the distance against the number of evaluations."""
    curves = {}
    for sampler in dict.fromkeys(str(row["sampler"]) for row in rows):
        points = [row for row in rows if row["sampler"] == sampler]
        curves[sampler] = (
            [row["evaluations"] for row in points],
            [row["frechet"] for row in points],
        )
    numbers = [row["evaluations"] for row in rows]
    distances = [float(row["frechet"]) for row in rows]
    curves["floor"] = ([min(numbers), max(numbers)], [floor, floor])
    save_curve(
        curves,
        path,
        x_label="network evaluations per image",
        y_label="lens Fréchet distance",
        log_y=max(distances) > 10 * floor,
    )


if __name__ == "__main__":
    launch(main, Options, __doc__)
