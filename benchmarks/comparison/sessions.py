"""Trainings that can be stopped and taken up again: ours, and those of the peers."""

import math
import shutil
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from comparison.images import peak_scaled_set, training_images
from comparison.layouts import LAYOUTS, faster_layout
from comparison.peers import PEER_CLASSES
from comparison.settings import PEERS, Options, base_name, read_piece, write_piece
from gravlensdiffusion.formats.open import open_set
from gravlensdiffusion.model.folders import checkpoints
from gravlensdiffusion.parallel import build_accelerator
from gravlensdiffusion.presets.training import training_preset
from gravlensdiffusion.training.diffusion import DiffusionTraining
from gravlensdiffusion.training.run import TRAINING_STATE

Clock = dict[str, float]
"""Time used so far [s]: ``processor``, divided by the threads, and ``wall``."""
LOSSES_KEPT = 100
"""Losses over which the trainer takes its mean."""


class Session(Protocol):
    """A training in memory."""

    clock: Clock
    num_parameters: int
    batch_size: int

    @property
    def images_seen(self) -> int:
        """Training images seen."""

    def step(self, progress: float) -> None:
        """Train on one batch, after a share of the training time."""

    def save(self) -> None:
        """Keep everything that is needed to go on."""

    def snapshot(self, folder: Path) -> None:
        """Keep what is needed to draw in a new folder."""


class TrainerSession:
    """A run of our own trainer.

    A learning rate that decays does so with the time used, so that it ends with the training.

    Args:
        options: What is asked for.
        arm: ``reference``, ``ours`` or ours with its share.
    """

    def __init__(self, options: Options, arm: str) -> None:
        source = open_set(options.data)
        is_ours = base_name(arm) == "ours"
        config = training_preset(options.recipe if is_ours else "reference")
        self._folder = options.out / "training" / arm
        run = self._folder / "run"
        given = source if is_ours else peak_scaled_set(source)
        accelerator = build_accelerator("cpu", config.precision)
        self._trainer = DiffusionTraining(
            config, given, run, accelerator, None, writes=True, tell=print
        )
        self.batch_size = config.batch_size
        network = self._trainer.model.network
        self.num_parameters = sum(each.numel() for each in network.parameters())
        times = read_piece(self._folder / "clock.json") or {}
        self._times: dict[str, Clock] = times
        self.clock = dict(times.get(str(self.images_seen), {"processor": 0.0, "wall": 0.0}))

    @property
    def images_seen(self) -> int:
        """Training images seen."""
        return self._trainer.state.images_seen

    def step(self, progress: float) -> None:
        """Train on one batch, after a share of the training time."""
        trainer = self._trainer
        if progress > 0:
            expected = math.ceil(self.images_seen / progress)
            trainer.total_images = max(expected, self.images_seen + self.batch_size)
        trainer.step()
        del trainer.state.losses[:-LOSSES_KEPT]

    def save(self) -> None:
        """Keep everything that is needed to go on."""
        self._times[str(self.images_seen)] = dict(self.clock)
        write_piece(self._folder / "clock.json", self._times)
        self._trainer.save()

    def snapshot(self, folder: Path) -> None:
        """Keep what is needed to draw in a new folder."""
        self.save()
        last = checkpoints(self._folder / "run")[-1].folder
        shutil.copytree(last, folder, ignore=shutil.ignore_patterns(TRAINING_STATE))


class PeerSession:
    """A training of another package.

    Args:
        options: What is asked for.
        arm: Name of the peer.
    """

    def __init__(self, options: Options, arm: str) -> None:
        layout = LAYOUTS[faster_layout(options, arm, "train")]
        torch.manual_seed(options.seed)
        self._peer = PEER_CLASSES[arm](layout)
        self._images = training_images(options.data)
        self._path = options.out / "training" / arm / "state.pt"
        self.batch_size: int = self._peer.batch_size
        self.num_parameters = sum(each.numel() for each in self._peer.network.parameters())
        self.clock: Clock = {"processor": 0.0, "wall": 0.0}
        if self._path.is_file():
            state: dict[str, Any] = torch.load(self._path, weights_only=True)
            self.clock = state.pop("clock")
            self._peer.load_state(state)
        # Another part of the run has other noise.
        torch.manual_seed(options.seed + self._peer.num_steps)
        self._rng = np.random.default_rng((options.seed, self._peer.num_steps))
        self._order: list[int] = []

    @property
    def images_seen(self) -> int:
        """Training images seen."""
        return int(self._peer.num_steps * self.batch_size)

    def step(self, progress: float) -> None:
        """Train on one batch, after a share of the training time."""
        if len(self._order) < self.batch_size:
            self._order = self._rng.permutation(len(self._images)).tolist()
        chosen, self._order = self._order[: self.batch_size], self._order[self.batch_size :]
        self._peer.train_step(self._images[chosen], progress)

    def save(self) -> None:
        """Keep everything that is needed to go on."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(".tmp")
        torch.save(self._peer.state() | {"clock": self.clock}, temporary)
        temporary.replace(self._path)

    def snapshot(self, folder: Path) -> None:
        """Keep what is needed to draw in a new folder."""
        folder.mkdir()
        torch.save(self._peer.averaged(), folder / "weights.pt")


def open_session(options: Options, arm: str) -> Session:
    """Start a training, or take it up."""
    return PeerSession(options, arm) if arm in PEERS else TrainerSession(options, arm)
