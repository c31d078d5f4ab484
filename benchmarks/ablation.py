r"""One choice of `lens28` at a time: optimiser, decoder, average, lens equation, scale of the flux.

    gravlens simulate --preset deeplense --size 28 --noise-free --flux-unit e-/s \
        --num 4000 --seed 3000 --out data/ablation_reference.h5
    gravlens simulate --preset deeplense --size 28 --noise-free --flux-unit e-/s \
        --num 4000 --seed 3001 --out data/ablation_reference2.h5
    python benchmarks/ablation.py --reference data/ablation_reference.h5 \
        --reference2 data/ablation_reference2.h5 --out runs/ablation --precision bf16
    python benchmarks/ablation.py --out runs/ablation --table

Each arm is trained on images that are simulated on the way, with the recipe that is written beside it,
for as much processor time as `base` takes for `--images`: what a step of each arm costs is measured
first, in turns. Then noise-free lenses are drawn and compared with the reference as by
`gravlens evaluate`. The same command goes on where it was broken off.
"""

import json
import shlex
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import torch
from running import launch

from gravlensdiffusion import evaluate
from gravlensdiffusion.codec import to_json
from gravlensdiffusion.config.model import ScheduleConfig, TransformConfig
from gravlensdiffusion.config.network import LensEquationConfig
from gravlensdiffusion.config.training import TrainingConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.evaluation.result import Evaluation, EvaluationSettings
from gravlensdiffusion.files import write_atomically
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.model.build import Model
from gravlensdiffusion.model.checkpoint import load_model, load_weights, read_tensors
from gravlensdiffusion.model.folders import WEIGHTS, checkpoints
from gravlensdiffusion.presets.training import training_preset
from gravlensdiffusion.training.batches import FreshSet
from gravlensdiffusion.training.diffusion import open_training, train

ARMS = {
    "base": "`lens28`",
    "adamw": "AdamW for all weights, at the rate that Muon leaves to Adam",
    "decoder": "no convolutions behind the patches",
    "whole": "the whole lens, not what differs from the smooth one",
    "plain": "the whole lens, and no lens equation as input",
    "bend": "asinh bends at a tenth of the flux",
    "linear": "no asinh",
}
"""Arms that are trained, and how they differ from `base`."""
WHOLE = {"p_mean": -0.2, "p_std": 1.6, "floor": 0.03}
"""Noise levels that suit whole lenses, whose scatter is nine times that about the smooth lens."""
SIMULATED = "preset:deeplense"
NUM_WARM, NUM_TIMED, NUM_TURNS = 3, 8, 5
"""Steps before the clock runs, steps of a turn, and turns."""
SETTINGS = EvaluationSettings(protocol="none", pixel_test=False)
COLUMNS = {
    "distance": "lens Fréchet distance",
    "ratio": "over its floor",
    "area": "AUC",
    "classes": "least class difference",
    "pits": "pits of `cdm`",
    "fine": "fine structure of arcs",
    "seams": "seams",
    "negative": "negative pixels",
}


@dataclass(frozen=True)
class Options:
    """What to compare."""

    out: Path
    """Folder of the runs, their samples and their numbers; nothing is written elsewhere."""
    reference: Path | None = None
    """Simulated images of 28 pixels in e-/s with noise-free twins."""
    reference2: Path | None = None
    """As many again, for the floor."""
    arms: str = ",".join(ARMS)
    """Arms, separated by commas: base, adamw, decoder, whole, plain, bend, linear."""
    images: int = 48_000
    """Training images of `base`."""
    num: int = 4000
    """Lenses drawn for a comparison."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Arithmetic of the trainings."""
    threads: int = 1
    """Threads of torch."""
    table: bool = False
    """Print the table of all arms in the folder, and do nothing else."""


def main(options: Options) -> None:
    """Train and measure the arms, one after the other."""
    if options.table:
        print(table(options.out))
        return
    if options.reference is None or options.reference2 is None:
        raise GravLensError("--reference and --reference2 are needed")
    torch.set_num_threads(options.threads)
    names = options.arms.split(",")
    for name in names:
        if name not in ARMS:
            raise GravLensError(f"unknown arm '{name}'; choose from {', '.join(ARMS)}")
    costs = measure_costs(options)
    for name in names:
        train_and_draw(options, name, costs["base"] / costs[name])


def recipe(name: str, options: Options) -> TrainingConfig:
    """Return the recipe of an arm: that of `lens28` with one thing changed."""
    config = replace(
        training_preset("lens28"),
        preset=name,
        total_images=options.images,
        checkpoint_images=options.images,
        sample_images=0,
        precision=options.precision,
    )
    model, optimiser = config.model, config.optimiser
    if name == "adamw":
        adam = replace(optimiser, kind="adamw", learning_rate=optimiser.adam_learning_rate)
        return replace(config, optimiser=adam)
    if name == "decoder":
        model = replace(model, network=replace(model.network, refine_channels=0))
    elif name in ("whole", "plain"):
        equation = LensEquationConfig() if name == "whole" else None
        model = replace(
            model,
            schedule=ScheduleConfig(kind="log_snr", sigma_min=0.02, sigma_max=160.0),
            denoiser=replace(model.denoiser, **WHOLE),
            network=replace(model.network, lens_equation=equation),
        )
    elif name == "bend":
        scale = model.transform.scale / 10
        model = replace(model, transform=TransformConfig(kind="asinh", scale=scale))
    elif name == "linear":
        model = replace(model, transform=TransformConfig(kind="linear"))
    return replace(config, model=model)


def measure_costs(options: Options) -> dict[str, float]:
    """Return the processor time of a training image of each arm [s]; measured once, in turns."""
    path = options.out / "costs.json"
    if path.exists():
        found: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
        return found
    seconds: dict[str, list[float]] = {name: [] for name in ARMS}
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(TemporaryDirectory()))
        source, trainings = FreshSet.open(SIMULATED, recipe("base", options)), {}
        for name in ARMS:
            config, run = recipe(name, options), scratch / name
            opening = open_training(config, source, run, device="cpu", writes=False)
            trainings[name] = stack.enter_context(opening)
        for turn in range(NUM_TURNS + 1):
            for name, training in trainings.items():
                started = time.process_time()
                for _ in range(NUM_TIMED if turn else NUM_WARM):
                    training.step()
                if turn:
                    taken = time.process_time() - started
                    seconds[name].append(taken / NUM_TIMED / training.batch_size)
    costs = {name: float(np.median(each)) for name, each in seconds.items()}
    options.out.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(costs, indent=2))
    return costs


def train_and_draw(options: Options, name: str, share: float) -> None:
    """Train an arm as `gravlens train` does, then measure what it draws."""
    folder = options.out / name
    folder.mkdir(parents=True, exist_ok=True)
    config = recipe(name, options)
    num = round(share * options.images / config.batch_size) * config.batch_size
    config = replace(config, total_images=num)
    write_atomically(folder / "recipe.json", to_json(config))
    run = folder / "run"
    train(config, SIMULATED, run, device="cpu", tell=print)
    models = {ARMS[name]: load_model(run)}
    if name == "base":
        models["`lens28`, its last weights"] = without_average(run)
    for k, (what, model) in enumerate(models.items()):
        generator = LensGenerator(model, name)
        measure(options, generator, folder / f"{k}.json", what=what, images=num)


def without_average(run: Path) -> Model:
    """Return the last weights of a run, not their moving average."""
    model, path = load_model(run), checkpoints(run)[-1].folder / WEIGHTS
    load_weights(model, read_tensors(path), source=path)
    return model


def measure(
    options: Options,
    generator: LensGenerator,
    path: Path,
    *,
    what: str,
    images: int,
) -> None:
    """Draw noise-free lenses, compare them, and keep the numbers; only once."""
    if path.exists():
        return
    samples = generator.sample(options.num, seed=0, noise_free=True)
    if not np.isfinite(samples.images).all():
        print(f"{what}: some of its images are not finite, nothing is measured", flush=True)
        return
    assert options.reference is not None
    found = evaluate(samples, options.reference, reference2=options.reference2, settings=SETTINGS)
    command = shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    kept = {"what": what, "images": images, **numbers(found), "command": command}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(kept, indent=2))
    print(line(kept), flush=True)


def numbers(found: Evaluation) -> dict[str, float | None]:
    """Return what the table shows of a comparison."""
    rows = {row.name: row for row in found.rows}
    distance, pits = rows["lens Fréchet distance"], rows.get("pits, cdm")
    kept = [each.kept for each in found.class_pairs if each.kept is not None]
    return {
        "distance": distance.value,
        "ratio": distance.ratio,
        "area": rows["AUC, encoder features"].value,
        "classes": min(kept, default=None),
        "pits": None if pits is None else pits.shift,
        "fine": rows["fine_structure_arc"].shift,
        "seams": rows["seams"].value,
        "negative": rows["negative_flux"].value,
    }


def table(out: Path) -> str:
    """Return a Markdown table of all numbers in the folder, in the order of the arms."""
    lines = [f"| arm | images | {' | '.join(COLUMNS.values())} |", "|---" * 10 + "|"]
    commands = []
    for name in ARMS:
        for path in sorted((out / name).glob("*.json"), key=lambda path: path.stat().st_mtime):
            if path.name != "recipe.json":
                kept = json.loads(path.read_text(encoding="utf-8"))
                lines.append(line(kept))
                commands.append(kept["command"])
    return "\n".join([*lines, "", *dict.fromkeys(commands)])


def line(kept: dict[str, Any]) -> str:
    """Return one line of the table."""
    forms = ("{:.3g}", "{:.2f}", "{:.3f}", "{:.0%}", "{:+.1%}", "{:+.1%}", "{:.2f}", "{:.2%}")
    values = (
        "" if kept[key] is None else form.format(kept[key])
        for key, form in zip(COLUMNS, forms, strict=True)
    )
    return f"| {kept['what']} | {kept['images']:,} | {' | '.join(values)} |"


if __name__ == "__main__":
    launch(main, Options, __doc__)
