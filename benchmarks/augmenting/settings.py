"""What the study varies: scarcity, arms, seeds; and the files that hold its pieces."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from running import read_numbers

from gravlensdiffusion.config.classifier import ClassifierTraining
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.files import write_atomically

CLASSES = ("no_sub", "cdm", "axion")
RARE = "axion"
"""The class that is rare where the mix is unbalanced."""
RECIPE = ClassifierTraining(total_images=100_000, patience=100)
"""How every classifier of the study is trained, but for augmentation, weights and seed.

None is stopped early: from few images some learn nothing for half of the training, and then
do. The weights that did best on held-out images count all the same."""


@dataclass(frozen=True)
class Options:
    """What to run."""

    out: Path = Path("runs/augmentation")
    """Folder of the simulated sets, the generators and the pieces."""
    docs: Path | None = None
    """Folder of the documentation: writes benchmarks/augmentation.md, benchmarks/augmentation.json
    and images/augmentation.png there, from the pieces of all seeds."""
    seeds: str = "0,1,2"
    """Seeds, separated by commas: each has real images, generators and classifiers of its own."""
    regimes: str = "n100,n1000,rare"
    """Which of the scarce sets."""
    arms: str = ""
    """Which arms, separated by commas; all of them by default."""
    model: str = "lens28"
    """The bundled generator, drawn in its own few steps."""
    guided_model: str = "lens28"
    """The bundled generator that is drawn with guidance."""
    guidance: str = "1,2,3,4"
    """Guidance scales at which the guided generator's classes are looked at."""
    size: int = 28
    """Pixels a side."""
    num_test: int = 9000
    """Images of the test set, a third of each class."""
    num_pool: int = 60_000
    """Images that the scarce sets, the fresh simulations and the upper bound come from."""
    jobs: int = 2
    """Processes of the simulation."""
    threads: int = 1
    """Threads of torch."""
    quick: bool = False
    """A rehearsal in minutes with sets, generators and classifiers that are far too small."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Regime:
    """A scarce set of real images.

    Attributes:
        name: What it is called.
        title: What tables call it.
        real: Real images of each class.
        target: Images of each class after generated or fresh ones are added.
        generator_images: Images after which the training of its generator ends at the latest.
    """

    name: str
    title: str
    real: tuple[int, int, int]
    target: int
    generator_images: int

    @property
    def added(self) -> tuple[int, ...]:
        """Images of each class that are added."""
        return tuple(max(0, self.target - num) for num in self.real)


REGIMES = {
    each.name: each
    for each in (
        Regime(
            name="n100",
            title="100 real images of each class",
            real=(100, 100, 100),
            target=1000,
            generator_images=40_000,
        ),
        Regime(
            name="n1000",
            title="1,000 real images of each class",
            real=(1000, 1000, 1000),
            target=2000,
            generator_images=70_000,
        ),
        Regime(
            name="rare",
            title=f"1,000 : 1,000 : 30, {RARE} rare",
            real=(1000, 1000, 30),
            target=1000,
            generator_images=50_000,
        ),
    )
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Arm:
    """What a classifier is trained on.

    Attributes:
        name: What it is called.
        title: What tables call it.
        extra: What is added to the real images: ``honest``, ``transfer``, ``guided``, ``fresh`` or
            nothing.
        has_real: Whether the real images are among them.
        augment: Symmetries that training images are turned by.
        balance: What is done about unequal classes.
        even: Whether equally many images of each class are added, as many as the rarest lacks.
        only_rare: Whether the arm is for unequal classes alone.
    """

    name: str
    title: str
    extra: str = ""
    has_real: bool = True
    augment: str = "half_turn"
    balance: str = "none"
    even: bool = False
    only_rare: bool = False


ARMS = {
    each.name: each
    for each in (
        Arm(name="real", title="real images alone", augment="none"),
        Arm(name="turned", title="+ half turns"),
        Arm(name="weights", title="+ half turns, class weights", balance="weights", only_rare=True),
        Arm(
            name="oversample",
            title="+ half turns, oversampling",
            balance="oversample",
            only_rare=True,
        ),
        Arm(name="honest", title="+ half turns, generated (honest)", extra="honest"),
        Arm(
            name="honest_even",
            title="+ half turns, generated (honest), as many of each class",
            extra="honest",
            even=True,
            only_rare=True,
        ),
        Arm(name="transfer", title="+ half turns, generated (transfer)", extra="transfer"),
        Arm(
            name="transfer_even",
            title="+ half turns, generated (transfer), as many of each class",
            extra="transfer",
            even=True,
            only_rare=True,
        ),
        Arm(name="guided", title="+ half turns, generated (guided transfer)", extra="guided"),
        Arm(
            name="guided_even",
            title="+ half turns, generated (guided transfer), as many of each class",
            extra="guided",
            even=True,
            only_rare=True,
        ),
        Arm(
            name="honest_only",
            title="generated (honest) alone, half turns",
            extra="honest",
            has_real=False,
        ),
        Arm(
            name="transfer_only",
            title="generated (transfer) alone, half turns",
            extra="transfer",
            has_real=False,
        ),
        Arm(
            name="guided_only",
            title="generated (guided transfer) alone, half turns",
            extra="guided",
            has_real=False,
        ),
        Arm(name="fresh", title="+ half turns, fresh simulations", extra="fresh"),
    )
}


def chosen(text: str, known: dict[str, Any], flag: str) -> list[Any]:
    """Return what a list of names stands for; all of it where it is empty.

    Raises:
        GravLensError: If a name is not known.
    """
    names = [name.strip() for name in text.split(",") if name.strip()] or list(known)
    for name in names:
        if name not in known:
            raise GravLensError(f"{flag}: no '{name}'; choose from {', '.join(known)}")
    return [known[name] for name in names]


def seeds_of(options: Options) -> list[int]:
    """Return the seeds.

    Raises:
        GravLensError: If they are no whole numbers.
    """
    return read_numbers(options.seeds, "--seeds", int)


def guidances_of(options: Options) -> list[float]:
    """Return the guidance scales, in order.

    Raises:
        GravLensError: If they are no positive numbers.
    """
    found = sorted(set(read_numbers(options.guidance, "--guidance", float)))
    if any(not 0 < value < 100 for value in found):
        raise GravLensError(f"--guidance must lie between 0 and 100, got {options.guidance}")
    return found


def piece_path(options: Options, name: str) -> Path:
    """Return the file of a piece."""
    return options.out / "pieces" / f"{name}.json"


def read_piece(options: Options, name: str) -> dict[str, Any] | None:
    """Return a piece, or None where it is still to be made."""
    path = piece_path(options, name)
    found: dict[str, Any] | None = None
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))
    return found


def write_piece(options: Options, name: str, piece: dict[str, Any]) -> None:
    """Keep a piece."""
    path = piece_path(options, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(piece, indent=2) + "\n")
