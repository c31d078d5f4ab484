"""``gravlens distill``: a model that draws in a few steps, from one that takes many."""

from dataclasses import dataclass, replace
from pathlib import Path

from gravlensdiffusion.cli.options import MachineOptions
from gravlensdiffusion.cli.running import run_shown, say, tell
from gravlensdiffusion.config.bounds import Count, Positive, Precision, Seed
from gravlensdiffusion.errors import GravLensError


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Teach a copy of a model to draw in a few steps what the model draws in many.

    No data are needed: classes and parameters come from the table that the model keeps of its
    training set. Running the same command again resumes from the last checkpoint; Ctrl-C and
    SIGTERM save first. `gravlens sample --model RUN --steps 1` draws with the result.

    Attributes:
        teacher: The model to learn from: a bundled name, a run or a checkpoint.
        out: Run directory: configuration, log, checkpoints.
        steps: Numbers of steps to learn, separated by commas; each divides the largest.
        images: Images to learn from; 40,000 by default.
        batch_size: Images per step; 64 by default.
        learning_rate: Peak learning rate; 6e-4 by default.
        seed: Seed of all noise; 0 by default.
        precision: Arithmetic; bf16 is faster on GPUs and CPUs that multiply in it. fp32 by default.
        dry_run: Say what would be distilled, and stop.
    """

    teacher: str
    out: Path
    steps: str = "1,2,4"
    images: Count | None = None
    batch_size: Count | None = None
    learning_rate: Positive | None = None
    seed: Seed | None = None
    precision: Precision | None = None
    dry_run: bool = False
    machine: MachineOptions = MachineOptions()

    def run(self) -> None:
        """Distill as asked; a signal ends it with code 130 or 143 once the run is saved."""
        from gravlensdiffusion.config.training import DistillationConfig

        config = DistillationConfig(teacher=self.teacher, steps=_read_steps(self.steps))
        names = ("batch_size", "seed", "precision")
        asked = {name: getattr(self, name) for name in names} | {"total_images": self.images}
        if self.learning_rate is not None:
            asked["optimiser"] = replace(config.optimiser, learning_rate=self.learning_rate)
        config = replace(config, **{k: value for k, value in asked.items() if value is not None})
        from gravlensdiffusion.model.checkpoint import load_model
        from gravlensdiffusion.training.distill import open_distillation

        teacher = load_model(self.teacher)
        opening = open_distillation(
            config,
            teacher,
            self.out,
            device=self.machine.device,
            writes=not self.dry_run,
            tell=tell,
        )
        if self.dry_run:
            with opening as training:
                length, note = training.length, training.note
            steps = ", ".join(map(str, sorted(set(config.steps))))
            print(
                f"would distill {self.teacher} to {steps} steps by {config.method} on "
                f"{length}, batch {config.batch_size}"
            )
            say(*[f"note: {note}"] * bool(note))
            return
        progress = run_shown(self.out, opening)
        skipped = f", {progress.num_skipped} steps skipped" if progress.num_skipped else ""
        print(
            f"distilled {self.teacher} into {self.out} on {progress.images_seen:,} images{skipped}"
        )


def _read_steps(text: str) -> tuple[int, ...]:
    """Return the numbers that stand between commas."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise GravLensError(f"`steps` must be whole numbers like 1,2,4, got '{text}'") from None
