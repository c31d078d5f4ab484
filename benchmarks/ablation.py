r"""One choice of `cutouts28` at a time: prediction, schedule, noise-level weighting, average, noise.

    gravlens simulate --preset deeplense --size 28 --flux-unit e-/s --noise-free \
        --num 60000 --seed 6000 --out data/ablation.h5
    gravlens simulate --preset deeplense --size 28 --flux-unit e-/s \
        --num 5000 --seed 6001 --out data/ablation_reference.h5
    gravlens simulate --preset deeplense --size 28 --flux-unit e-/s \
        --num 5000 --seed 6002 --out data/ablation_reference2.h5
    python benchmarks/ablation.py --data data/ablation.h5 --reference data/ablation_reference.h5 \
        --reference2 data/ablation_reference2.h5 --out runs/ablation --runs base,epsilon --threads 1
    python benchmarks/ablation.py --out runs/ablation --table

Each run is trained by `gravlens train` with the recipe that is written beside it, and measured as by
`gravlens evaluate`. The same command goes on where it was broken off, and two with different
`--runs` can go side by side. The run `samplers` trains nothing: it draws from `--model`.
"""

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import tyro
from steps import EVALUATIONS, RUNS, read_runs

from gravlensdiffusion.cli import train
from gravlensdiffusion.cli.options import MachineOptions
from gravlensdiffusion.codec import to_json
from gravlensdiffusion.config.model import ScheduleConfig, TransformConfig
from gravlensdiffusion.config.training import TrainingConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.evaluation.compare import compare
from gravlensdiffusion.evaluation.measure import Encoder, Team
from gravlensdiffusion.evaluation.plan import ComparisonPlan
from gravlensdiffusion.evaluation.preparation import PreparedSource
from gravlensdiffusion.evaluation.result import EvaluationSettings
from gravlensdiffusion.evaluation.sets import Sets
from gravlensdiffusion.evaluation.statistics import FRECHET, relative_shift
from gravlensdiffusion.files import write_atomically
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.model.build import Model
from gravlensdiffusion.model.checkpoint import load_model, load_weights, read_tensors
from gravlensdiffusion.model.folders import WEIGHTS, checkpoints
from gravlensdiffusion.presets.training import training_preset
from gravlensdiffusion.store.writer import write_store

TRAININGS = {
    "base": "`cutouts28`: preconditioned, log-SNR schedule, 40% of levels even, asinh, learned noise",
    "epsilon": "predicts epsilon, linear DDPM schedule",
    "v": "predicts v, cosine schedule",
    "uniform": "noise levels of training all even over the schedule",
    "split": "learns noise-free images, the instrument adds the noise",
    "clean": "as `split`, and the network gives the clean image itself",
}
"""Runs that train, and how they differ from `base`."""
INDEXED = {"epsilon": "ddpm", "v": "cosine"}
"""Predictions that go with a discrete schedule."""


@dataclass(frozen=True)
class Options:
    """What to compare."""

    out: Path
    """Folder of the runs, their samples and their numbers; nothing is written elsewhere."""
    data: Path | None = None
    """Training images of 28 pixels in e-/s with noise-free twins."""
    reference: Path | None = None
    """Simulated images in the same unit, as many as are drawn."""
    reference2: Path | None = None
    """As many again, for the floor."""
    runs: str = ",".join(TRAININGS)
    """Runs, separated by commas: base, epsilon, v, uniform, split, clean, samplers."""
    images: int = 120_000
    """Training images of each run."""
    num: int = 5000
    """Images drawn for a distance."""
    steps: int = 20
    """Steps of DPM-Solver++ for the trained runs."""
    model: str = "lens28"
    """A bundled model, a run or a checkpoint, for `samplers`."""
    threads: int = 1
    """Threads of torch."""
    table: bool = False
    """Print the table of all runs in the folder, and do nothing else."""


def main(options: Options) -> None:
    """Train and measure the runs, one after the other."""
    if options.table:
        print(table(options.out))
        return
    if options.data is None or options.reference is None or options.reference2 is None:
        raise GravLensError("--data, --reference and --reference2 are needed")
    torch.set_num_threads(options.threads)
    for name in options.runs.split(","):
        if name == "samplers":
            draw_by_sampler(options)
        elif name in TRAININGS:
            train_and_draw(options, name)
        else:
            known = ", ".join([*TRAININGS, "samplers"])
            raise GravLensError(f"unknown run '{name}'; choose from {known}")


def recipe(name: str, num_images: int) -> TrainingConfig:
    """Return the recipe of a run: that of `cutouts28` with one thing changed."""
    config = replace(
        training_preset("cutouts28"), preset=name, total_images=num_images, sample_images=0
    )
    model = config.model
    if name in INDEXED:
        model = replace(
            model,
            schedule=ScheduleConfig(kind=INDEXED[name]),
            denoiser=replace(model.denoiser, prediction=name),
            network=replace(model.network, noise_features="index"),
        )
    elif name == "uniform":
        model = replace(model, denoiser=replace(model.denoiser, uniform_fraction=1.0))
    elif name in ("split", "clean"):
        config = replace(config, noise="split")
        # Twenty times the sky noise at this size, as in the recipes of the larger models.
        model = replace(model, transform=TransformConfig(kind="asinh", scale=0.66))
    if name == "clean":
        model = replace(model, denoiser=replace(model.denoiser, skip=False, floor=0.03))
    return replace(config, model=model)


def train_and_draw(options: Options, name: str) -> None:
    """Train a run as `gravlens train` does, then measure what it draws."""
    folder = options.out / name
    folder.mkdir(parents=True, exist_ok=True)
    preset, run = folder / "recipe.json", folder / "run"
    config = recipe(name, options.images)
    write_atomically(preset, to_json(config))
    machine = MachineOptions(device="cpu")
    train.Options(data=options.data, out=run, preset=str(preset), machine=machine).run()
    weights = {"averaged weights": load_model(run)}
    if name == "base":
        weights["weights without average"] = without_average(run)
    for kind, model in weights.items():
        what = f"{TRAININGS[name]}; {kind}"
        path = folder / f"{kind.split()[0]}-{options.num}-{options.steps}.h5"
        measure(options, LensGenerator(model, name), ("dpmpp", options.steps), path, what)


def without_average(run: Path) -> Model:
    """Return the last weights of a run, not their moving average."""
    model, path = load_model(run), checkpoints(run)[-1].folder / WEIGHTS
    load_weights(model, read_tensors(path), source=path)
    return model


def draw_by_sampler(options: Options) -> None:
    """Measure what one model draws with each sampler and number of steps."""
    generator = LensGenerator.from_pretrained(options.model, device="cpu")
    for sampler, numbers in read_runs(RUNS):
        for steps in numbers:
            path = options.out / "samplers" / f"{generator.name}-{sampler}-{options.num}-{steps}.h5"
            cost = steps * EVALUATIONS.get(sampler, 1)
            what = f"`{generator.name}`, {sampler}, {steps} steps, {cost} evaluations"
            measure(options, generator, (sampler, steps), path, what)


def measure(
    options: Options, generator: LensGenerator, sampling: tuple[str, int], path: Path, what: str
) -> None:
    """Draw images into a file, compare them, and keep the numbers beside it; both only once."""
    if path.with_suffix(".json").exists():
        return
    if not path.exists():
        sampler, steps = sampling
        samples = generator.sample(options.num, seed=0, sampler=sampler, num_steps=steps)
        if not np.isfinite(samples.images).all():
            print(f"{what}: some of its images are not finite, nothing is measured", flush=True)
            return
        write_store(path, samples.records(), samples.header, num=options.num)
    words = [Path(sys.argv[0]).name, *sys.argv[1:]]
    numbers = {"what": what, "num": options.num, **compared(options, path)}
    numbers["command"] = " ".join(["python", f"benchmarks/{words[0]}", *words[1:]])
    write_atomically(path.with_suffix(".json"), json.dumps(numbers, indent=2))
    print(line(numbers), flush=True)


def compared(options: Options, path: Path) -> dict[str, float | str]:
    """Return the first row of `gravlens evaluate`, and the sky rms, of the images of a file.

    Images on the scale of their peak are compared with the reference brought to that scale.
    """
    found, reference, second = (
        PreparedSource(open_set(each), each.name)
        for each in (path, options.reference, options.reference2)
    )
    rescale = "none" if found.flux_unit == reference.flux_unit else "peak"
    settings = EvaluationSettings(rescale=rescale)
    sizes = [len(each) for each in (found, reference, second)]
    plan = ComparisonPlan.of(*sizes, num_seeds=settings.num_seeds, seed=settings.seed)
    sets = Sets(generated=found, reference=reference, reference2=second).prepared(settings)
    encoder = Encoder(sets.reference.preparation.size)
    team = Team(sets.measured, encoder)
    ours, theirs, more = map(team.measure, (sets.generated, *sets.real))
    rows = compare([FRECHET], ours, theirs.joined(more), plan, seed=settings.seed)
    return {
        "distance": rows[0].value,
        "floor": rows[0].floor,
        "floor_spread": rows[0].floor_spread,
        "sky_rms": 1 + relative_shift("sky_rms", ours, theirs),
        "scale": found.flux_unit,
        "encoder": encoder.digest,
    }


def table(out: Path) -> str:
    """Return a Markdown table of all numbers in the folder, in the order of the runs."""
    lines = [
        "| run | what | lens Fréchet distance | floor | over floor | sky rms ratio | images | scale |",
        "|---|---|---|---|---|---|---|---|",
    ]
    commands = []
    for name in (*TRAININGS, "samplers"):
        paths = sorted((out / name).glob("*.json"), key=lambda path: path.stat().st_mtime)
        for path in paths:
            if path.name != "recipe.json":
                numbers = json.loads(path.read_text(encoding="utf-8"))
                lines.append(f"| {name} {line(numbers)}")
                commands.append(f"{name}: {numbers['command']}")
    return "\n".join([*lines, "", *dict.fromkeys(commands)])


def line(numbers: dict[str, float | str]) -> str:
    """Return the cells of one line."""
    distance, floor = numbers["distance"], numbers["floor"]
    return (
        f"| {numbers['what']} | {distance:.3f} | {floor:.3f} ± {numbers['floor_spread']:.3f} "
        f"| {distance / floor:.2f} | {numbers['sky_rms']:.3f} | {numbers['num']:,} "
        f"| {numbers['scale']} |"
    )


if __name__ == "__main__":
    try:
        main(tyro.cli(Options, description=__doc__))
    except GravLensError as error:
        sys.exit(f"ablation.py: {error}")
