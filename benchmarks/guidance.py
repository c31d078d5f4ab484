r"""What averages of the weights chosen after training, and guidance by a weaker model, are worth.

    gravlens simulate --preset deeplense --size 28 --num 10000 --noise-free --flux-unit e-/s --seed 3000 --out data/reference28.h5
    gravlens simulate --preset deeplense --size 28 --num 20480 --noise-free --flux-unit e-/s --seed 7001 --out data/train28.h5
    python benchmarks/guidance.py --reference data/reference28.h5 --data data/train28.h5 --work guidance

trains two short runs with the recipe of the model, one at a rate that falls to zero and one at a constant rate. Both keep
two power-function averages of their weights, of which averages of any length are mixed afterwards (Karras et al. 2024,
arXiv:2312.02696, section 3). Then it draws `--num` noise-free lenses each

- with averages of several lengths of each run,
- with the bundled model, guided by the short run and by an earlier snapshot of it (autoguidance, Karras et al. 2024,
  arXiv:2406.02507), and by itself without class and parameters,

and measures their lens Fréchet distance from the noise-free reference, and how many the encoder takes for lenses of the
class that was asked for. Runs, snapshots and rows stay in `--work`, and the same command goes on.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from running import launch
from safetensors.torch import load_file, save_file
from torch import Tensor

from gravlensdiffusion.evaluation.measure import Encoder
from gravlensdiffusion.evaluation.preparation import PreparedSource
from gravlensdiffusion.evaluation.result import EvaluationSettings
from gravlensdiffusion.evaluation.sets import Sets
from gravlensdiffusion.files import write_atomically
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.metrics.features import frechet_distance
from gravlensdiffusion.model.build import Model
from gravlensdiffusion.model.checkpoint import load_model
from gravlensdiffusion.model.folders import WEIGHTS, checkpoints
from gravlensdiffusion.presets.training import training_preset
from gravlensdiffusion.training.diffusion import DiffusionTraining, open_training

DECAYS: tuple[Literal["cosine", "constant"], ...] = ("cosine", "constant")
"""Rates of the two short runs."""
KEPT = (0.05, 0.10)
"""Lengths of the averages that are kept, as the standard deviation of their profile over the images seen."""
LENGTHS = (0.05, 0.10, 0.15)
"""Lengths that are mixed afterwards."""
NUM_SNAPSHOTS = 8
SCALES = (1.25, 1.5, 2.0)
NUM_FLOORS = 5
HEADINGS = {
    "guidance": "guidance",
    "cosine": "average, rate falling to zero",
    "constant": "average, constant rate",
}

Floats = NDArray[np.float64]
Average = dict[str, Tensor]


@dataclass(frozen=True)
class Options:
    """What to train, draw and measure."""

    reference: Path
    """Simulations of 28 pixels with noise-free twins, twice `num` at least."""
    data: Path
    """Training images of the same kind."""
    model: str = "lens28"
    """The model that is guided; the short runs see images on its scale."""
    images: int = 20_480
    """Training images of each short run."""
    num: int = 2000
    """Lenses of each row."""
    seed: int = 0
    """Seed of the lenses."""
    work: Path = Path("guidance")
    """Where runs, snapshots and rows are kept."""
    out: Path = Path("docs/benchmarks")
    """Where guidance.json and guidance.md are written."""


def main(options: Options) -> None:
    """Train, draw, measure, and write the tables."""
    torch.set_num_threads(1)
    strong = load_model(options.model)
    meter = Meter(options)
    for group, name, generator, scale in arms(options, strong):
        meter.row(group, name, generator, scale)
    report(options, meter)


def arms(options: Options, strong: Model) -> Iterator[tuple[str, str, LensGenerator, float]]:
    """Yield what is drawn: its table, its name, the model, and the scale of guidance."""
    half, whole = options.images // 2, options.images
    run = trained(options, strong, "cosine")
    short = mixed(options, run, "cosine", 0.10, whole)
    earlier = mixed(options, run, "cosine", 0.10, half)
    guided = LensGenerator(strong, weak=short)
    yield "guidance", "none", guided, 1.0
    for scale in SCALES:
        yield "guidance", f"by the short run, {scale:g}", guided, scale
    yield "guidance", "by the short run half way, 1.5", LensGenerator(strong, weak=earlier), 1.5
    yield "guidance", "classifier-free, 1.5", LensGenerator(strong), 1.5
    for decay in DECAYS:
        run = trained(options, strong, decay)
        yield decay, "last weights", LensGenerator(last(run)), 1.0
        yield decay, "half-life of the recipe", LensGenerator(load_model(run)), 1.0
        for length in LENGTHS:
            model = mixed(options, run, decay, length, whole)
            yield decay, f"{length:.2f}", LensGenerator(model), 1.0
        if decay == "cosine":
            by_itself = LensGenerator(short, weak=earlier)
            yield decay, "0.10, guided by 0.10 half way, 1.5", by_itself, 1.5


def trained(options: Options, strong: Model, decay: Literal["cosine", "constant"]) -> Path:
    """Return a short run; it is trained where it is not there, and snapshots of its averages kept."""
    folder = options.work / decay
    if checkpoints(folder):
        return folder
    recipe = training_preset("lens28")
    config = replace(
        recipe,
        total_images=options.images,
        checkpoint_images=2 * options.images,
        sample_images=0,
        model=replace(recipe.model, transform=strong.config.transform),
        optimiser=replace(recipe.optimiser, decay=decay),
    )
    source = open_set(options.data).select(np.arange(options.images))
    with open_training(config, source, folder, device="cpu", tell=print) as training:
        see_as(training, strong)
        averages = [PowerAverage(training.model, each) for each in KEPT]
        every = training.total_images // NUM_SNAPSHOTS
        for progress in training:
            for each in averages:
                each.update(training.model, progress.images_seen, training.batch_size)
            if training.due(every):
                print(
                    f"{progress.images_seen} images, {progress.images_per_s:.0f} a second",
                    flush=True,
                )
                for each in averages:
                    each.save(options.work, decay, progress.images_seen)
    return folder


def see_as(training: DiffusionTraining, strong: Model) -> None:
    """Give a run that begins the mean image of a model, so that both see a lens as the same numbers."""
    assert training.ema is not None
    for mean in (training.model.transform.mean, training.ema.state["transform.mean"]):
        mean.copy_(strong.transform.mean)


class PowerAverage:
    """An average of the weights after t images by the profile ``(tau / t)^gamma``.

    Args:
        model: The model.
        length: Standard deviation of the profile over t.
    """

    def __init__(self, model: Model, length: float) -> None:
        self.length, self.gamma = length, exponent(length)
        self.state = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: Model, images_seen: int, batch_size: int) -> None:
        """Take in the weights after one step."""
        kept = (1 - batch_size / images_seen) ** (self.gamma + 1)
        for name, value in model.named_parameters():
            self.state[name].lerp_(value, 1 - kept)

    def save(self, folder: Path, decay: str, images_seen: int) -> None:
        """Write the average in half precision."""
        path = folder / f"{decay}-{self.length:.2f}-{images_seen:06d}.safetensors"
        save_file({name: value.half().contiguous() for name, value in self.state.items()}, path)


def exponent(length: float) -> float:
    """Return the exponent gamma of the profile whose standard deviation is ``length`` (algorithm 2)."""
    t = length**-2
    return float(np.roots([1, 7, 16 - t, 12 - t]).real.max())


def product(t: Floats, gamma: Floats, s: Floats, delta: Floats) -> Floats:
    """Return the integral of the product of two profiles, that end at t and s (algorithm 3)."""
    last = np.maximum(t, s)
    ratio = np.where(t < s, (t / s) ** delta, (s / t) ** gamma)
    return (gamma + 1) * (delta + 1) * ratio / ((gamma + delta + 1) * last)


def shares(t: Floats, gamma: Floats, target: float) -> Floats:
    """Return how much of each snapshot is in the average nearest to one of exponent ``target``.

    Near is by the square of the difference of the profiles (algorithm 3), under the condition that the
    shares add to one: without it, the weights of a long average come out several per cent too small.

    Args:
        t: Images seen at each snapshot, of which the largest is the end of the average.
        gamma: Exponents of the snapshots.
        target: Exponent of the average.
    """
    num, wanted = len(t), np.array(target)
    system = np.ones((num + 1, num + 1))
    system[:num, :num] = product(t[:, None], gamma[:, None], t[None], gamma[None])
    system[num, num] = 0
    right = np.append(product(t, gamma, t.max(), wanted), 1)
    return np.asarray(np.linalg.solve(system, right)[:num])


def mixed(options: Options, run: Path, decay: str, length: float, images: int) -> Model:
    """Return the model of a run with the average of a length at a number of images."""
    paths = []
    for path in sorted(options.work.glob(f"{decay}-*.safetensors")):
        kept, seen = path.stem.removeprefix(f"{decay}-").split("-")
        if int(seen) <= images:
            paths.append((int(seen), exponent(float(kept)), path))
    t, gamma = (np.array([each[k] for each in paths], dtype=np.float64) for k in (0, 1))
    model = last(run)
    total = {name: torch.zeros(value.shape) for name, value in model.named_parameters()}
    for share, (_, _, path) in zip(shares(t, gamma, exponent(length)), paths, strict=True):
        state = load_file(path)
        for name in total:
            total[name] += share * state[name].float()
    model.load_state_dict(model.state_dict() | total)
    return model


def last(run: Path) -> Model:
    """Return a run's model with its weights as they are at the end, not averaged."""
    model = load_model(run)
    model.load_state_dict(load_file(checkpoints(run)[-1].folder / WEIGHTS))
    return model


class Meter:
    """Draws lenses and holds them against the noise-free reference; what was measured is kept.

    Attributes:
        rows: What was found, by table and name.
        floor: Mean and scatter of the distance between as many simulations and the others.
        recognised: Share of the reference whose class the encoder sees.
    """

    def __init__(self, options: Options) -> None:
        self._options, self._path = options, options.work / "rows.json"
        options.work.mkdir(parents=True, exist_ok=True)
        self.rows: dict[str, dict[str, Any]] = (
            json.loads(self._path.read_bytes()) if self._path.exists() else {}
        )
        given = PreparedSource(open_set(options.reference).twins(), options.reference.name)
        self._source = (
            Sets(generated=given, reference=given).prepared(EvaluationSettings()).reference
        )
        self._encoder = Encoder(self._source.stored_size)
        blocks = [self._encoded(each) for each in self._source.pixel_blocks()]
        real, classes = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
        self.recognised = float((classes == open_set(options.reference).labels).mean())
        num, floors = options.num, []
        for seed in range(NUM_FLOORS):
            order = np.random.default_rng(seed).permutation(len(real))
            floors.append(frechet_distance(real[order[:num]], real[order[num:]]))
        self.floor = (float(np.mean(floors)), float(np.std(floors, ddof=1)))
        self._real = real

    def row(self, group: str, name: str, generator: LensGenerator, scale: float) -> None:
        """Draw and measure, where that is not done."""
        if name in self.rows.get(group, {}):
            return
        num = self._options.num if group == "guidance" else self._options.num // 2
        samples = generator.sample(num, seed=self._options.seed, guidance=scale)
        assert samples.noise_free is not None
        features, classes = self._encoded(samples.noise_free[:, 0])
        found = {
            "distance": frechet_distance(features, self._real),
            "recognised": float((classes == samples.labels).mean()),
        }
        self.rows.setdefault(group, {})[name] = found
        write_atomically(self._path, json.dumps(self.rows, indent=1))
        print(group, name, found, flush=True)

    def _encoded(self, images: NDArray[np.float32]) -> tuple[Floats, NDArray[np.int64]]:
        """Return features of noise-free images ``(N, H, W)``, and the classes that the encoder sees."""
        scaled = self._source.preparation.on_peak_scale(images, self._encoder.levels)
        features, _, logits = self._encoder(scaled)
        return features, logits.argmax(1)


def report(options: Options, meter: Meter) -> None:
    """Write the figures and their tables."""
    known = {"num": options.num, "images": options.images, "recognised": meter.recognised}
    figures = {**known, "floor": meter.floor, **meter.rows}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "guidance.json").write_text(json.dumps(figures, indent=1) + "\n")
    text = "\n\n".join(markdown(meter, group, what) for group, what in HEADINGS.items())
    (options.out / "guidance.md").write_text(text + "\n")
    print(text)


def markdown(meter: Meter, group: str, what: str) -> str:
    """Return a table."""
    floor, scatter = meter.floor
    distances = f"lens Fréchet distance (floor {floor:.3f} ± {scatter:.3f})"
    seen = f"class as asked (simulations {100 * meter.recognised:.1f}%)"
    lines = [f"| {what} | {distances} | in floors | {seen} |", "|---|---|---|---|"]
    for name, row in meter.rows[group].items():
        distance = row["distance"]
        lines.append(
            f"| {name} | {distance:.3f} | {distance / floor:.1f} | {100 * row['recognised']:.1f}% |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    launch(main, Options, __doc__)
