"""``gravlens train``: a diffusion model from a set of images."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gravlensdiffusion.cli.options import FileOptions, MachineOptions, tell_absent
from gravlensdiffusion.cli.running import run_shown, say, tell
from gravlensdiffusion.config.bounds import (
    Augmentation,
    Count,
    HeldOut,
    Positive,
    Precision,
    Seed,
    Side,
    Whole,
)
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.parallel import Processes

if TYPE_CHECKING:
    from gravlensdiffusion.config.training import TrainingConfig
    from gravlensdiffusion.generation.generator import LensGenerator
    from gravlensdiffusion.sets.lens_set import LensSet
    from gravlensdiffusion.training.counters import Progress
    from gravlensdiffusion.training.diffusion import DiffusionTraining


@dataclass(frozen=True, kw_only=True, slots=True)
class _RecipeOptions:
    """What is changed in the recipe; by default, nothing.

    Attributes:
        batch_size: Images per step.
        learning_rate: Peak learning rate, of Muon (0.02 in recipes that have it) or of Adam. Where Muon
            leaves some weights to Adam, their rate changes in proportion.
        transform: How flux is scaled for the network: linear or asinh with constants measured on
            the data, or peak (each image to [0, 1], which forgets its flux).
        augment: Turn training images at random, and their parameters with them: half_turn (by 180
            degrees), flips (mirror images too), d4 (quarter turns too). Which of them a population
            allows is in docs/training.md.
        held_out: Share of the images of each class that is never trained on. Their loss is measured
            on the way, ends the run when it falls no longer, and says which checkpoint counts. 0
            for none. Recipes have 0, but 0.1 where a model is adapted.
        precision: Arithmetic; bf16 is faster on GPUs and CPUs that multiply in it, and for all but
            the last part of a training. Recipes have fp32.
        compile: Compile the network for training: the first step waits for it, which pays in long
            runs on a GPU.
        prefetch: Batches that threads assemble ahead, for a GPU that waits for its images; the
            images stay the same. Recipes have 0.
    """

    batch_size: Count | None = None
    learning_rate: Positive | None = None
    transform: Literal["linear", "asinh", "peak"] | None = None
    augment: Augmentation | None = None
    held_out: HeldOut | None = None
    precision: Precision | None = None
    compile: bool = False
    prefetch: Whole | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Train a diffusion model, or go on with a run that was broken off.

    Running the same command again resumes from the last checkpoint. Ctrl-C and SIGTERM save first.

    Attributes:
        data: Training images: a lenses.h5, a folder of shards, .npy, FITS or picture files, or an .npz;
            or preset:deeplense, say, for images that are simulated on the way, none of them twice.
        out: Run directory: configuration, log, sample grids, checkpoints.
        preset: Recipe: cutouts28 (images as they come, by class), lens28, lens64 and
            lens150 and slacs96 (classes and physical parameters, of a set with noise-free twins), ddpm (Ho et
            al. 2020), unet2d (a network of diffusers, which it can be exported to), reference (the
            earlier project, to the letter), or a .json file like a run's config.json, changed as you
            like. By default cutouts28, or with --init a recipe that adapts
            that model to your images.
        size: Train at this many pixels a side; the recipe's own by default.
        epochs: Passes over the training set, instead of the number of images that the recipe sees.
        init: Start from the weights of this model: a bundled name, a run or a checkpoint.
            Without --preset the model is adapted to your images, some dozens or more: network and
            size are the model's, scaling is measured, and classes that it never saw are learned.
        seed: Seed of weights, order and noise; the recipe's own, 0, by default.
        dry_run: Say what would be trained, and stop.
    """

    data: Path
    out: Path
    preset: str | None = None
    size: Side | None = None
    epochs: Count | None = None
    init: str | None = None
    seed: Seed | None = None
    dry_run: bool = False
    recipe: _RecipeOptions = _RecipeOptions()
    files: FileOptions = FileOptions()
    machine: MachineOptions = MachineOptions()

    def run(self) -> None:
        """Train as asked; a signal ends it with code 130 or 143 once the run is saved."""
        from gravlensdiffusion.generation.generator import LensGenerator
        from gravlensdiffusion.model.checkpoint import load_model
        from gravlensdiffusion.training.batches import PREFIX
        from gravlensdiffusion.training.diffusion import begun_recipe, open_training

        begun = None if self.init is None else begun_recipe(self.out, self.init)
        # A mistake in a recipe or a name is told before a long folder is read.
        known: tuple[str, ...] = ()
        if self.init is not None:
            # A run that goes on has what it needs of the model that it started from.
            known = load_model(self.out if begun else self.init).config.class_names
        # A model is adapted by the recipe that follows it.
        is_adaptation = self.init is not None and self.preset is None
        config = None
        if begun is not None or not is_adaptation:
            config = _configure(self, begun if is_adaptation else None)

        if str(self.data).startswith(PREFIX):
            source = _simulated(self, config)
        else:
            source = self.files.open(self.data, known=known)
            tell_absent(source)
            source = source.with_present_classes()
        if config is None:
            config = _adapted(self, source)
        opening = open_training(
            config,
            source,
            self.out,
            device=self.machine.device,
            init=self.init,
            writes=not self.dry_run,
            tell=tell,
        )
        if self.dry_run:
            with opening as training:
                planned, note = _describe(config, source, training), training.note
            say(planned, *[f"note: {note}"] * bool(note))
            return

        def draw_due(training: "DiffusionTraining") -> None:
            if training.is_sample_due:
                with training.averaged() as model:
                    _save_samples(LensGenerator(model), self.out, training.state.images_seen)

        progress = run_shown(self.out, opening, draw_due)
        if progress.best_images and config.sample_images and Processes.launched().is_main:
            generator = LensGenerator.from_pretrained(self.out, self.machine.device)
            _save_samples(generator, self.out, progress.best_images)
        print(f"trained {self.out} on {_told(progress)}")
        if progress.doubt:
            tell(f"note: {progress.doubt}")


def _simulated(options: Options, config: "TrainingConfig | None") -> "LensSet":
    """Return the images of a simulation preset."""
    from gravlensdiffusion.training.batches import FreshSet

    options.files.refuse("a simulation, whose size and classes are those of the `preset`")
    return FreshSet.open(str(options.data), config)


def _told(progress: "Progress") -> str:
    early = ", ended early" if progress.ended_early else ""
    skipped = f", {progress.num_skipped} steps skipped" if progress.num_skipped else ""
    different = f"{progress.num_different:,} different images"
    line = f"{different}, {progress.images_seen:,} seen{early}{skipped}"
    if not progress.best_images:
        return line
    return (
        f"{line}; held-out loss {progress.best_loss:.4f} at {progress.best_images:,} images, the "
        f"checkpoint that counts, {progress.start_loss:.4f} at the start"
    )


def _adapted(options: Options, source: "LensSet") -> "TrainingConfig":
    """Return the recipe that adapts a model, and say on stderr what the set makes different."""
    from gravlensdiffusion.training.adapt import adapt

    assert options.init is not None
    adaptation = adapt(options.init, source, options.size)
    config = _configure(options, adaptation.config)
    adaptation.check(config)
    for note in adaptation.notes:
        tell(note)
    return config


def _configure(options: Options, recipe: "TrainingConfig | None" = None) -> "TrainingConfig":
    """Return the recipe with what the options change."""
    from gravlensdiffusion.presets.training import training_preset

    config = recipe or training_preset(options.preset or "cutouts28")
    asked = asdict(options.recipe)
    asked |= {name: getattr(options, name) for name in ("size", "epochs", "seed")}
    changes = {k: value for k, value in asked.items() if value is not None and value is not False}
    if "size" in changes:
        changes["resize"] = None
    if "epochs" in changes:
        changes["total_images"] = 0
    if (rate := changes.pop("learning_rate", None)) is not None:
        own = config.optimiser
        share = rate / own.learning_rate if own.kind == "muon" else 1.0
        beside = own.adam_learning_rate * share
        changes["optimiser"] = replace(own, learning_rate=rate, adam_learning_rate=beside)
    if (share := changes.pop("held_out", None)) is not None:
        changes["early_stopping"] = replace(config.early_stopping, held_out=share)
    if (kind := changes.pop("transform", None)) is not None:
        changes["model"] = config.model.measured(kind)
    return replace(config, **changes)


def _describe(config: "TrainingConfig", source: "LensSet", training: "DiffusionTraining") -> str:
    channels, height, width = source.image_shape
    size = config.size or height
    images = f"{len(source):,} images" if training.num_images else "simulated images"
    names = dict.fromkeys((*config.model.class_names, *source.header.class_names))
    classes = ", ".join(names) if config.conditional else ""
    augment = "" if config.augment == "none" else f", augment {config.augment}"
    asked = f", parameters: {', '.join(config.parameters)}" if config.parameters else ""
    noise = "" if config.noise == "learned" else f", noise {config.noise}"
    share = config.early_stopping.held_out
    held_out = f", {share:.0%} held out" if share else ""
    return (
        f"would train preset {config.preset} at {size} pixels on {images} of "
        f"{channels}x{height}x{width}, classes: {classes or 'none'}{asked}, {training.length}, "
        f"batch {config.batch_size}, transform {config.model.transform.kind}{noise}{augment}{held_out}"
    )


def _save_samples(generator: "LensGenerator", out: Path, images_seen: int) -> None:
    """Save a grid of 36 images, made in 20 quick steps whatever the model's own sampler."""
    from gravlensdiffusion.files import whole_file
    from gravlensdiffusion.reports.mosaics import save_grid, spared

    path = out / "samples" / f"{images_seen:010d}.png"
    try:
        samples = generator.sample(36, sampler="dpmpp", num_steps=20, batch_size=36)
    except GravLensError as error:
        tell(f"note: {path} was not drawn: {error}")
        return
    with spared(str(path), tell), whole_file(path, overwrite=True) as temporary:
        save_grid(samples.images, temporary, titles=samples.header.titles(samples.labels))
