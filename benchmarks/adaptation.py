r"""What adapting a model to a few real lenses is worth, on real lenses that it has not seen.

    python benchmarks/adaptation.py real/slacs --init slacs96 --work adapted --out docs/benchmarks

adapts the model (`gravlens train --init`) to the real lenses, but for one in three, three times,
and draws `--num` lenses from each of the three adapted models, an even mix of the classes of lenses. Asked of
the lenses that a model has not seen:

- its loss on them, beside that of the model it started from;
- whether its lenses are nearer to them than simulated lenses are, and than those of the model
  it started from: by the kernel distance of KID on the features of an ImageNet network, whose
  difference is a mean over real lenses and has a standard error from them;
- whether it copies: the share of its lenses whose nearest real lens is one that it has seen.

The models and their lenses stay in `--work` (``0``, ``1``, ``2``; ``drawn-0.h5`` and so on), and a
second run goes on.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from realism.efficientnet import efficientnet_features, find_efficientnet_weights, load_efficientnet
from realism.measure import Stretch, turned
from running import launch

from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.model.build import Model
from gravlensdiffusion.model.checkpoint import load_model
from gravlensdiffusion.presets.simulation import learned_preset, simulation_preset
from gravlensdiffusion.reports.mosaics import save_grid
from gravlensdiffusion.sets.lens_set import LensSet
from gravlensdiffusion.sets.training_set import prepare
from gravlensdiffusion.simulation.simulated_set import simulate
from gravlensdiffusion.training.adapt import adapt
from gravlensdiffusion.training.diffusion import train
from gravlensdiffusion.training.validation import ValidationLoss

NO_LENS = "no_lens"
SEED = 800_000
NUM_DRAWS = 96
"""Noise levels at which the loss of a lens is measured."""
NUM_SHOWN = 12
"""Lenses of each kind on the picture."""

Floats = NDArray[np.float64]
Images = NDArray[np.float32]


@dataclass(frozen=True)
class Options:
    """What to adapt, and to what."""

    real: tyro.conf.Positional[Path]
    """Real lenses: what `gravlens inspect` reads."""
    init: str = "slacs96"
    """The model."""
    classes: bool = True
    """Whether the real lenses are called by the classes of lenses in turn, since nobody knows theirs; else by none."""
    folds: int = 3
    """Parts of the real lenses, each of which is held out once."""
    num: int = 300
    """Lenses of each kind."""
    images: int | None = None
    """Images that each model sees, instead of those that the recipe says."""
    work: Path = Path("adapted")
    """Where models and lenses are kept."""
    out: Path = Path("docs/benchmarks")
    """Where adaptation.json, adaptation.md and adaptation.png are written."""


def main(options: Options) -> None:
    """Adapt, draw, and measure."""
    known = load_model(options.init)
    size = known.config.image_size
    real = open_set(options.real, mixed=True, any_unit=True, skip_bad=True).crop(size)
    images = real.read(np.arange(len(real)))[:, 0].astype(np.float32)
    parts = [np.arange(k, len(real), options.folds) for k in range(options.folds)]
    preset = learned_preset(known.config.training_data)
    assert preset is not None, "the model does not say which simulation it has learned"
    lensed = [each.name for each in simulation_preset(preset).classes if each.name != NO_LENS]
    if options.classes:
        real = real.labelled(np.arange(len(real)) // options.folds % len(lensed), lensed)
    stretch, network = Stretch.of(images), load_efficientnet(find_efficientnet_weights())

    def features(of: Images) -> Floats:
        return efficientnet_features(network, stretch(of)[:, None]).astype(np.float64)

    views = features(turned(images).reshape(-1, size, size)).reshape(len(images), 8, -1)
    fresh = simulate(preset, options.num, SEED, classes=lensed, flux_unit="e-/s")
    kinds = {"simulated": features(fresh.read(np.arange(options.num))[:, 0].astype(np.float32))}
    own = LensGenerator.from_pretrained(options.init, device="cpu")
    kinds["not adapted"] = features(own.sample(options.num, label=lensed, seed=0).images[:, 0])
    losses: list[Floats] = []
    nearness: dict[str, list[Floats]] = {name: [] for name in (*kinds, "adapted")}
    copied = []
    for k, unseen in enumerate(parts):
        seen = np.setdiff1d(np.arange(len(real)), unseen)
        model = adapted(options, real.select(seen), k)
        lenses = own_lenses(options, model, lensed, k)
        losses.append(np.array([loss_of(known, model, real, int(each)) for each in unseen]))
        each = kinds | {"adapted": features(lenses)}
        for name, found in each.items():
            nearness[name].append(distance_parts(found, views[unseen]))
        if k == 0:
            picture(options.out / "adaptation.png", stretch(images[unseen]), stretch(lenses))
        nearest = nearest_of(lenses, images)
        copied.append((float(np.isin(nearest, seen).mean()), len(seen) / len(real)))
    report(options, losses, nearness, copied)


def picture(path: Path, real: Images, lenses: Images) -> None:
    """Save some of the real lenses above as many drawn ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_grid(
        np.concatenate([real[:NUM_SHOWN], lenses[:NUM_SHOWN]]),
        path,
        num_columns=NUM_SHOWN,
        stretch="linear",
        limits=(0.0, 1.0),
    )


def adapted(options: Options, seen: LensSet, k: int) -> Model:
    """Return the model that has seen some of the real lenses; it is trained where it is not there."""
    folder = options.work / str(k)
    recipe = adapt(options.init, seen)
    config = recipe.config
    if options.images is not None:
        config = replace(config, total_images=options.images)
    for note in recipe.notes if k == 0 else ():
        print(note)
    train(config, seen, folder, device="cpu", init=options.init)
    return load_model(folder)


def own_lenses(options: Options, model: Model, lensed: list[str], k: int) -> Images:
    """Return lenses of an adapted model, ``(N, H, W)``, drawn where they are not there."""
    path = options.work / f"drawn-{k}.h5"
    if not path.exists():
        LensGenerator(model, f"adapted-{k}").sample(options.num, label=lensed, seed=k).save(path)
    lenses = open_set(path)
    return lenses.read(np.arange(len(lenses)))[:, 0].astype(np.float32)


def loss_of(known: Model, model: Model, real: LensSet, index: int) -> list[float]:
    """Return the loss of a real lens before and after, at the noise that both are told it has."""
    with TemporaryDirectory() as folder:
        data = prepare(real.select([index]), Path(folder), known.config.image_size, "area")
        found = []
        for each in (known, model):
            own: Any = each.denoiser
            kept = own.noise, own.keeps_noise
            own.noise, own.keeps_noise = model.denoiser.noise, False
            validation = ValidationLoss(data, 0, is_conditional=True, num_draws=NUM_DRAWS)
            with torch.no_grad():
                found.append(float(validation.total(each)) / validation.num_draws)
            own.noise, own.keeps_noise = kept
    return found


def distance_parts(found: Floats, views: Floats) -> Floats:
    """Return for each real lens its part of the kernel distance, less what holds real lenses alone."""
    among = kernel(found, found)
    own = (among.sum() - np.trace(among)) / (len(found) * (len(found) - 1))
    return own - 2 * np.array([kernel(each, found).mean() for each in views])


def kernel(x: Floats, y: Floats) -> Floats:
    """Return ``(x . y / D + 1)^3`` for every pair."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def nearest_of(lenses: Images, real: Images) -> NDArray[np.int64]:
    """Return which real lens is nearest to each drawn one, in any of its eight views."""
    scale = float(np.median(np.abs(real)))

    def flat(of: Images) -> Floats:
        return np.arcsinh(of / scale).reshape(len(of), -1).astype(np.float64)

    views = np.stack([flat(each) for each in turned(real)])
    return np.array([np.argmin(((views - one) ** 2).sum(2).min(1)) for one in flat(lenses)])


def report(
    options: Options,
    losses: list[Floats],
    nearness: dict[str, list[Floats]],
    copied: list[tuple[float, float]],
) -> None:
    """Write the numbers."""
    before, after = np.concatenate(losses).T
    parts = {name: np.concatenate(each) for name, each in nearness.items()}
    rows: dict[str, Any] = {"loss": mean_error(after / before - 1)}
    for name in ("simulated", "not adapted"):
        rows[f"against {name}"] = mean_error(parts["adapted"] - parts[name])
    rows["not adapted against simulated"] = mean_error(parts["not adapted"] - parts["simulated"])
    rows["copied"] = copied
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "adaptation.json").write_text(json.dumps(rows, indent=1) + "\n")
    text = markdown(rows, len(before))
    (options.out / "adaptation.md").write_text(text + "\n")
    print(text)


def mean_error(values: Floats) -> list[float]:
    """Return the mean and its standard error."""
    return [float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))]


def markdown(rows: dict[str, Any], num: int) -> str:
    """Return the table."""
    lines = [f"| asked of {num} real lenses, each not seen by its model | value |", "|---|---|"]
    value, error = rows["loss"]
    lines.append(f"| loss against that before | {100 * value:+.1f}% ± {100 * error:.1f} |")
    for name in ("against simulated", "against not adapted", "not adapted against simulated"):
        value, error = rows[name]
        what = name if name.startswith("not") else f"adapted {name}"
        lines.append(f"| kernel distance, {what} | {value:+.3f} ± {error:.3f} |")
    shares = ", ".join(f"{100 * a:.0f}% ({100 * b:.0f}%)" for a, b in rows["copied"])
    lines.append(f"| nearest real lens is a seen one (by chance) | {shares} |")
    return "\n".join(lines)


if __name__ == "__main__":
    launch(main, Options, __doc__)
