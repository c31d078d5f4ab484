"""The other packages: their networks, how their own tutorials train them, how they draw."""

import math
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from comparison.images import PADDED, cropped, padded

NUM_TIMES = 1000
"""Noise levels of both peers, which is the default of both."""
STAND_INS = ("torchvision", "torchvision.transforms", "torchvision.utils")
"""Modules that denoising-diffusion-pytorch imports, and uses only to read folders of files."""


Walk = tuple[int, Callable[[int], Iterator[Tensor]]]
"""Steps of a sampler, and ``walk(num)``, which yields on the way; its last item is the images."""


class Diffusers:
    """The U-Net of the package's course for 32 pixels, trained as its unconditional example.

    Network: unit 1 of the diffusion models class (64, 128, 128, 256 channels, two blocks a level,
    attention at the two lowest). Training: the example `unconditional_image_generation` with the
    options of its README: AdamW 1e-4 with betas (0.95, 0.999), batch 16, 500 steps of warm-up, then
    a cosine, which ends with the training time; gradients clipped at 1; moving average with warm-up,
    power 3/4, decay at most 0.9999.
    """

    batch_size = 16

    def __init__(self, layout: torch.memory_format) -> None:
        from diffusers import DDPMScheduler, UNet2DModel
        from diffusers.training_utils import EMAModel

        network = UNet2DModel(
            sample_size=PADDED,
            in_channels=1,
            out_channels=1,
            layers_per_block=2,
            block_out_channels=(64, 128, 128, 256),
            down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        )
        self.layout = layout
        self.network = network.to(memory_format=layout)
        self.schedule = DDPMScheduler(num_train_timesteps=NUM_TIMES)
        self.optimiser = torch.optim.AdamW(
            network.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=1e-6, eps=1e-8
        )
        self.average = EMAModel(
            network.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=0.75
        )
        self.num_steps = 0

    @staticmethod
    def versions() -> dict[str, str]:
        """Return the versions of what is compared with."""
        return {"diffusers": version("diffusers")}

    def evaluate(self, x: Tensor) -> Tensor:
        """Evaluate the network once."""
        found: Tensor = self.network(x, torch.zeros(len(x), dtype=torch.long)).sample
        return found

    def train_step(self, images: Tensor, progress: float) -> None:
        """Train on images in [0, 1], ``(B, 1, 28, 28)``, after a share of the training time."""
        self.network.train()
        x = (2 * padded(images) - 1).contiguous(memory_format=self.layout)
        eps = torch.randn_like(x)
        times = torch.randint(0, NUM_TIMES, (len(x),))
        noisy = self.schedule.add_noise(x, eps, times)
        loss = functional.mse_loss(self.network(noisy, times).sample, eps)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        rise = min(1.0, (self.num_steps + 1) / 500)
        for group in self.optimiser.param_groups:
            group["lr"] = 1e-4 * rise * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.average.step(self.network.parameters())
        self.num_steps += 1

    def state(self) -> dict[str, Any]:
        """Return what is needed to go on training."""
        return {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average.shadow_params,
            "num_averaged": self.average.optimization_step,
            "num_steps": self.num_steps,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average.shadow_params = list(state["average"])
        self.average.optimization_step = state["num_averaged"]
        self.num_steps = state["num_steps"]

    def averaged(self) -> dict[str, Tensor]:
        """Return the weights to draw with."""
        names = [name for name, _ in self.network.named_parameters()]
        return dict(zip(names, self.average.shadow_params, strict=True))

    def load_averaged(self, weights: dict[str, Tensor]) -> None:
        """Take weights to draw with."""
        self.network.load_state_dict(weights)
        self.network.eval()

    def samplers(self, most_steps: int) -> dict[str, Walk]:
        """Return the samplers by name, none of more than a number of steps."""
        from diffusers import DDIMScheduler, DPMSolverMultistepScheduler

        config = self.schedule.config
        solver = DPMSolverMultistepScheduler.from_config(config, algorithm_type="dpmsolver++")
        found = {
            "dpmpp-20": (20, solver),
            "ddim-50": (50, DDIMScheduler.from_config(config)),
            "ddpm-1000": (1000, self.schedule),
        }
        walks: dict[str, Walk] = {}
        for name, (number, scheduler) in found.items():
            steps = min(number, most_steps)
            walks[name] = (steps, partial(self._walk, scheduler, steps))
        return walks

    @torch.inference_mode()
    def _walk(self, scheduler: Any, steps: int, num: int) -> Iterator[Tensor]:
        scheduler.set_timesteps(steps)
        x = torch.randn(num, 1, PADDED, PADDED).contiguous(memory_format=self.layout)
        for t in scheduler.timesteps:
            x = scheduler.step(self.network(x, t).sample, t, x).prev_sample
            yield x
        yield cropped((x / 2 + 0.5).clamp(0, 1))[:, 0]


class DenoisingDiffusionPytorch:
    """The U-Net and diffusion of the package's README, with the defaults of its trainer.

    Network: dim 64, multipliers 1, 2, 4, 8. Diffusion: 1000 steps, sigmoid schedule, predicts v.
    Training: Adam 1e-4 with betas (0.9, 0.99), batch 16, gradients clipped at 1, moving average with
    decay 0.995 every ten steps.
    """

    batch_size = 16

    def __init__(self, layout: torch.memory_format) -> None:
        import_without_torchvision()
        from denoising_diffusion_pytorch import GaussianDiffusion, Unet
        from ema_pytorch import EMA

        self.layout = layout
        self.network = Unet(dim=64, dim_mults=(1, 2, 4, 8), channels=1).to(memory_format=layout)
        self.diffusion = GaussianDiffusion(self.network, image_size=PADDED, timesteps=NUM_TIMES)
        self.optimiser = torch.optim.Adam(self.diffusion.parameters(), lr=1e-4, betas=(0.9, 0.99))
        self.average = EMA(self.diffusion, beta=0.995, update_every=10)
        self.num_steps = 0

    @staticmethod
    def versions() -> dict[str, str]:
        """Return the versions of what is compared with."""
        names = ("denoising-diffusion-pytorch", "ema-pytorch", "einops")
        return {name: version(name) for name in names}

    def evaluate(self, x: Tensor) -> Tensor:
        """Evaluate the network once."""
        found: Tensor = self.network(x, torch.zeros(len(x), dtype=torch.long))
        return found

    def train_step(self, images: Tensor, progress: float) -> None:
        """Train on images in [0, 1], ``(B, 1, 28, 28)``; the learning rate stays as it is."""
        self.diffusion.train()
        loss = self.diffusion(padded(images).contiguous(memory_format=self.layout))
        loss.backward()
        nn.utils.clip_grad_norm_(self.diffusion.parameters(), 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.average.update()
        self.num_steps += 1

    def state(self) -> dict[str, Any]:
        """Return what is needed to go on training."""
        return {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.averaged(),
            "counters": {name: getattr(self.average, name) for name in ("initted", "step")},
            "num_steps": self.num_steps,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average.ema_model.model.load_state_dict(state["average"])
        for name, value in state["counters"].items():
            getattr(self.average, name).copy_(value)
        self.num_steps = state["num_steps"]

    def averaged(self) -> dict[str, Tensor]:
        """Return the weights to draw with."""
        found: dict[str, Tensor] = self.average.ema_model.model.state_dict()
        return found

    def load_averaged(self, weights: dict[str, Tensor]) -> None:
        """Take weights to draw with."""
        self.network.load_state_dict(weights)
        self.diffusion.eval()

    def samplers(self, most_steps: int) -> dict[str, Walk]:
        """Return the samplers by name, none of more than a number of steps."""
        from denoising_diffusion_pytorch import GaussianDiffusion

        few, many = min(50, most_steps), min(NUM_TIMES, most_steps)
        fast = GaussianDiffusion(self.network, image_size=PADDED, sampling_timesteps=few)
        return {
            "ddim-50": (few, partial(self._ddim, fast)),
            "ddpm-1000": (many, partial(self._ancestral, many)),
        }

    @torch.inference_mode()
    def _ddim(self, diffusion: Any, num: int) -> Iterator[Tensor]:
        yield cropped(diffusion.sample(batch_size=num))[:, 0]

    @torch.inference_mode()
    def _ancestral(self, steps: int, num: int) -> Iterator[Tensor]:
        x = torch.randn(num, 1, PADDED, PADDED).contiguous(memory_format=self.layout)
        for t in reversed(range(steps)):
            x, _ = self.diffusion.p_sample(x, t)
            yield x
        yield cropped(self.diffusion.unnormalize(x))[:, 0]


def import_without_torchvision() -> None:
    """Import denoising-diffusion-pytorch where torchvision is missing or does not load.

    Stand-ins for what it imports are there during the import alone, so that nothing else finds them.
    """
    before = {name: sys.modules.get(name) for name in STAND_INS}
    stand_ins = {name: ModuleType(name) for name in STAND_INS}
    for name in STAND_INS[1:]:
        setattr(stand_ins[STAND_INS[0]], name.rpartition(".")[2], stand_ins[name])
    sys.modules.update(stand_ins)
    try:
        import denoising_diffusion_pytorch as package
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
    quiet = sys.modules[f"{package.__name__}.denoising_diffusion_pytorch"]
    vars(quiet)["tqdm"] = lambda steps, **_: steps


PEER_CLASSES: dict[str, type[Diffusers | DenoisingDiffusionPytorch]] = {
    "diffusers": Diffusers,
    "ddpm-pytorch": DenoisingDiffusionPytorch,
}
"""Peers by the names of their arms."""
