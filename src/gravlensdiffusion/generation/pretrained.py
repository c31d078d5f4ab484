"""A trained model by its name: how it is loaded, kept and shared, and which weights draw how many steps."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, Self

import torch
from torch import Tensor

from gravlensdiffusion import __version__
from gravlensdiffusion.codec import to_json
from gravlensdiffusion.config.sampling import CONSISTENCY
from gravlensdiffusion.diffusion.noise import DiscreteSchedule
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.interop.hub import card, push
from gravlensdiffusion.model.build import Model, build_sampler
from gravlensdiffusion.model.checkpoint import fingerprint, load_model, model_files, save_model
from gravlensdiffusion.model.folders import CARD, CONFIG, FEW_STEPS, find_model
from gravlensdiffusion.parallel import find_device


class Pretrained:
    """The weights of a model, those that draw in few steps, and a weaker one; see `LensGenerator`."""

    def __init__(
        self,
        model: Model,
        name: str = "model",
        few_steps: Model | None = None,
        weak: Model | None = None,
    ) -> None:
        self.model = model.eval()
        self.config = model.config
        self.name = name
        if few_steps is None and model.config.sampling.few_steps:
            few_steps = model
        for other, called in ((weak, "`weak`"), (few_steps, f"what {FEW_STEPS} holds")):
            if other is not None:
                model.check_alike(other, called)
        self.few_steps = few_steps and few_steps.eval()
        self.weak = weak and weak.eval()

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        device: str = "auto",
        *,
        weak: str | Path | None = None,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        token: str | bool | None = None,
    ) -> Self:
        """Load a model: bundled, of a run, on the hub, of diffusers, or of the reference project.

        Args:
            name_or_path: See `checkpoint.load_model`.
            device: ``cpu``, ``cuda`` or ``auto``.
            weak: The weaker model that guidance goes by, on this machine; see the class.
            revision: Branch, tag or commit of a model on the hub.
            cache_dir: The hub's cache; by default that of ``HF_HOME``.
            local_files_only: Whether the hub is not asked; ``HF_HUB_OFFLINE`` does the same.
            token: Of a repository that is not public; by default the one that is logged in.

        Raises:
            GravLensError: If there is no such model or no such device.
        """
        device = find_device(device)
        folder = find_model(
            name_or_path,
            revision=revision,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            token=token,
        )
        short = folder / FEW_STEPS
        few_steps = load_model(short, device) if (short / CONFIG).is_file() else None
        weaker = None if weak is None else load_model(weak, device)
        return cls(load_model(folder, device), Path(name_or_path).name, few_steps, weaker)

    def save_pretrained(
        self, folder: str | Path, *, name: str | None = None, license_name: str | None = None
    ) -> Path:
        """Write the model so that `from_pretrained` reads it: safetensors, JSON and a card.

        Args:
            folder: Where to; what is in it is kept.
            name: What the card calls it; its own name by default.
            license_name: Licence of the weights, as the hub writes it (``mit``); None to say none.

        Returns:
            The folder.

        Raises:
            GravLensError: If the folder is not empty, or cannot be written.
        """
        text = card(self.config, name or self.name, license_name)
        files: dict[str, bytes | Mapping[str, Tensor]] = {CARD: text.encode()}
        if self.few_steps is not None and self.few_steps is not self.model:
            own = model_files(self.few_steps)
            files |= {f"{FEW_STEPS}/{name}": content for name, content in own.items()}
        save_model(Path(folder), self.model, files=files)
        return Path(folder)

    def push_to_hub(
        self, repository: str, *, license_name: str | None = None, **options: Any
    ) -> str:
        """Put the model into a repository of the hub, which is made where there is none.

        Args:
            repository: ``owner/name``.
            license_name: See `save_pretrained`.
            options: ``private``, ``token``, ``revision``, ``commit_message``, ``create_pr``; see
                `hub.push`.

        Returns:
            The address of the commit.

        Raises:
            GravLensError: If the hub does not take it.
        """
        with TemporaryDirectory() as temporary:
            folder = Path(temporary) / "model"
            self.save_pretrained(folder, name=repository, license_name=license_name)
            return push(folder, repository, **options)

    @property
    def device(self) -> torch.device:
        """The device that the model is on."""
        return self.model.transform.mean.device

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """``(C, H, W)``."""
        size = self.config.image_size
        return (self.config.num_channels, size, size)

    @property
    def is_conditional(self) -> bool:
        """Whether the model knows classes or parameters."""
        return bool(self.config.class_names or self.config.parameters)

    def sampling(self, sampler: str | None, num_steps: int | None) -> tuple[str, int]:
        """Return the sampler and number of steps that stand for what was left out.

        Raises:
            GravLensError: If this model cannot be drawn so.
        """
        own, short = self.config.sampling, self.num_few_steps
        name = sampler or (CONSISTENCY if num_steps in short else own.sampler)
        if name == CONSISTENCY and not short:
            raise GravLensError(
                f"model '{self.name}' is not distilled, which sampler '{CONSISTENCY}' needs"
            )
        if name != CONSISTENCY and own.sampler == CONSISTENCY:
            raise GravLensError(
                f"model '{self.name}' is distilled; it has sampler '{CONSISTENCY}' only"
            )
        model = self.drawn_by(name)
        solver = build_sampler(name, model.config)
        if num_steps is None:
            default = max(short) if name == CONSISTENCY else solver.default_num_steps
            default = own.num_steps if name == own.sampler else default
            num_steps = self.at_most(default, name)
        if name == CONSISTENCY and num_steps not in short:
            allowed = ", ".join(map(str, short))
            raise GravLensError(
                f"model '{self.name}' is distilled to draw in {allowed} steps, not in {num_steps}"
            )
        # A schedule of few steps has no more of them.
        solver.times(model.denoiser.schedule, num_steps)
        return name, num_steps

    def at_most(self, num_steps: int, sampler: str) -> int:
        """Return a number of steps that nobody asked for, or as many as the schedule of a sampler's model has."""
        schedule = self.drawn_by(sampler).denoiser.schedule
        most = schedule.num_steps if isinstance(schedule, DiscreteSchedule) else num_steps
        return min(num_steps, most)

    def steps_of(self, quality: Literal["draft", "standard", "best"]) -> int:
        """Return the number of steps that was measured to give a quality with this model."""
        own = self.config.sampling
        steps = {"draft": own.draft_steps, "standard": 0, "best": own.best_steps}[quality]
        return steps or own.num_steps

    @property
    def num_few_steps(self) -> tuple[int, ...]:
        """Numbers of steps that the distilled weights draw in; none where there are no such."""
        return () if self.few_steps is None else self.few_steps.config.sampling.few_steps

    def drawn_by(self, sampler: str) -> Model:
        """Return the weights that go with a sampler."""
        return (self.few_steps or self.model) if sampler == CONSISTENCY else self.model

    def identity(self, sampler: str) -> dict[str, Any]:
        """Return what images depend on beside their `Request`, by the names of messages."""
        model = self.drawn_by(sampler)
        config = hashlib.sha256(to_json(model.config).encode()).hexdigest()
        return {"model": [fingerprint(model), config], "version": __version__}
