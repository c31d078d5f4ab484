"""The optimiser, its learning rate by images seen, and the moving average of the weights."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from gravlensdiffusion.config.training import EMAConfig, OptimiserConfig
from gravlensdiffusion.errors import GravLensError

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic iteration, which brings singular values to about 0.7 to 1.2."""
NUM_ITERATIONS = 5


def build_optimiser(
    network: nn.Module, config: OptimiserConfig, precision: str = "fp32"
) -> torch.optim.Optimizer:
    """Build the optimiser of all weights of a network, which for ``muon`` says which are hidden.

    The rate of each group of weights stands under ``share``, as a share of the learning rate. In
    ``precision`` bf16, Muon takes its iteration in it; weights and moments stay in single precision.

    Raises:
        GravLensError: If Muon does not know the hidden weights of the network.
    """
    rate = config.learning_rate
    optimiser: torch.optim.Optimizer
    if config.kind == "muon":
        find = getattr(network, "hidden_weights", None)
        if find is None:
            raise GravLensError("optimiser 'muon' does not know this network; choose 'adamw'")
        hidden = list(find())
        taken = {id(weight) for weight in hidden}
        optimiser = _Muon(
            hidden,
            [weight for weight in network.parameters() if id(weight) not in taken],
            lr=rate,
            weight_decay=config.weight_decay,
            adam_lr=config.adam_learning_rate,
            betas=(0.9, config.beta2),
            dtype=torch.bfloat16 if precision == "bf16" else torch.float32,
        )
    else:
        kind = torch.optim.AdamW if config.kind == "adamw" else torch.optim.Adam
        optimiser = kind(
            network.parameters(),
            lr=rate,
            betas=(0.9, config.beta2),
            weight_decay=config.weight_decay,
            fused=True,
        )
    for group in optimiser.param_groups:
        group["share"] = group["lr"] / rate
    return optimiser


def learning_rate(config: OptimiserConfig, images_seen: int, total_images: int) -> float:
    """Return the learning rate of the step that starts after ``images_seen`` images."""
    rate = config.learning_rate
    if images_seen < config.warmup_images:
        rate *= (images_seen + 1) / config.warmup_images
    if config.decay == "cosine":
        rate *= 0.5 * (1 + math.cos(math.pi * min(images_seen / total_images, 1)))
    return rate


class MovingAverage:
    """An exponential moving average whose decay is counted in images, not steps.

    After ``n`` images the half-life is ``min(halflife_images, ramp n)``, so that the random start
    is soon forgotten. Buffers are kept as they are.

    References:
        Karras et al. 2024, arXiv:2312.02696, section 3 (half-life in images).
    """

    def __init__(self, model: nn.Module, config: EMAConfig) -> None:
        self.config = config
        self.state = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, images_seen: int, batch_size: int) -> None:
        """Take in the weights after one step."""
        halflife = min(self.config.halflife_images, self.config.ramp * images_seen)
        decay = 0.5 ** (batch_size / halflife)
        for name, value in model.named_parameters():
            self.state[name].lerp_(value, 1 - decay)

    def load(self, state: dict[str, Tensor]) -> None:
        """Go on from a saved average."""
        for name, value in self.state.items():
            value.copy_(state[name].view_as(value))


class _Muon(torch.optim.Optimizer):
    r"""Muon for hidden weights, Adam for all others.

    A hidden weight W of shape (out, in x kernel), with gradient G, goes by

    .. math:: M \leftarrow \mu M + G, \quad
              W \leftarrow (1 - \eta \lambda) W - \eta \sqrt{\max(1, rows / columns)}\, O(G + \mu M)

    where O replaces the singular values by ones. PyTorch's own Muon takes no convolutions.

    Args:
        hidden: Weights of two or more axes that Muon takes.
        others: Weights that Adam takes.
        lr: Learning rate of Muon.
        momentum: Its momentum mu.
        weight_decay: Its decoupled weight decay lambda; Adam's weights have none.
        adam_lr: Learning rate of Adam.
        betas: Decay of Adam's moments.
        dtype: Arithmetic of the iteration that makes O; bfloat16 is enough for it.

    References:
        Jordan et al. 2024, https://kellerjordan.github.io/posts/muon; Liu et al. 2025,
        arXiv:2502.16982; Kingma and Ba 2015, arXiv:1412.6980.
    """

    def __init__(
        self,
        hidden: Iterable[nn.Parameter],
        others: Iterable[nn.Parameter],
        *,
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        adam_lr: float,
        betas: tuple[float, float] = (0.9, 0.99),
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.dtype = dtype
        muon = {"params": list(hidden), "lr": lr, "momentum": momentum, "decay": weight_decay}
        adam = {"params": list(others), "lr": adam_lr, "betas": betas}
        groups = [group for group in (muon, adam) if group["params"]]
        super().__init__(groups, {})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Take one step along the gradients at hand."""
        assert closure is None
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if "momentum" in group:
                self._muon_step(group, weights)
            else:
                self._adam_step(group, weights)

    def _muon_step(self, group: dict[str, Any], weights: list[Tensor]) -> None:
        rate, momentum = group["lr"], group["momentum"]
        updates: dict[torch.Size, list[tuple[Tensor, Tensor]]] = {}
        for weight in weights:
            gradient = weight.grad
            assert gradient is not None
            state = self.state[weight]
            if not state:
                state["momentum"] = torch.zeros_like(weight)
            state["momentum"].mul_(momentum).add_(gradient)
            update = gradient.add(state["momentum"], alpha=momentum).flatten(1)
            updates.setdefault(update.shape, []).append((weight, update))
        # Weights of one shape go through the iteration together.
        for shape, pairs in updates.items():
            stacked = torch.stack([update for _, update in pairs])
            steps = _orthogonalised(stacked.to(self.dtype))
            scale = max(1.0, shape[0] / shape[1]) ** 0.5
            for (weight, _), step in zip(pairs, steps, strict=True):
                weight.mul_(1 - rate * group["decay"])
                weight.add_(step.view(weight.shape), alpha=-rate * scale)

    def _adam_step(self, group: dict[str, Any], weights: list[Tensor]) -> None:
        beta1, beta2 = group["betas"]
        for weight in weights:
            if not self.state[weight]:
                self.state[weight]["step"] = torch.tensor(0.0)
                for name in ("mean", "square"):
                    self.state[weight][name] = torch.zeros_like(weight)
        states = [self.state[weight] for weight in weights]
        adam(
            weights,
            [weight.grad for weight in weights if weight.grad is not None],
            [state["mean"] for state in states],
            [state["square"] for state in states],
            [],
            [state["step"] for state in states],
            amsgrad=False,
            beta1=beta1,
            beta2=beta2,
            lr=group["lr"],
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )


def _orthogonalised(matrices: Tensor) -> Tensor:
    """Bring the singular values of matrices near one and leave their singular vectors."""
    a, b, c = NEWTON_SCHULZ
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.transpose(1, 2) if tall else matrices
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-12)
    for _ in range(NUM_ITERATIONS):
        gram = x @ x.transpose(1, 2)
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.transpose(1, 2) if tall else x
