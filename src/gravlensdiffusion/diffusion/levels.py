"""How often training visits each noise level."""

import math

import torch
from torch import Tensor

from gravlensdiffusion.errors import GravLensError


class NoiseLevelMixture:
    """The distribution of ``log r`` in training: uniform, mixed with a truncated normal.

    Uniform alone spends much on levels that are easily learned, the normal alone never sees the
    extremes: the low end sets the noise of the sky, the high end the total flux.

    Args:
        lowest: Lower end of ``log r``.
        highest: Upper end of ``log r``.
        uniform_fraction: Weight of the uniform part, in [0, 1].
        p_mean: Mean of the normal part before truncation to the range.
        p_std: Its standard deviation.
    """

    def __init__(
        self,
        lowest: float,
        highest: float,
        uniform_fraction: float,
        p_mean: float,
        p_std: float,
    ) -> None:
        if not 0 <= uniform_fraction <= 1:
            raise GravLensError(f"uniform_fraction must lie in [0, 1], got {uniform_fraction}")
        if not 0 < p_std < math.inf:
            raise GravLensError(f"p_std must be positive, got {p_std}")
        self._log_ratios = torch.linspace(lowest, highest, 4097, dtype=torch.float64)
        uniform = torch.linspace(0, 1, 4097, dtype=torch.float64)
        normal = torch.special.ndtr((self._log_ratios - p_mean) / p_std)
        mass = (normal[-1] - normal[0]).item()
        if mass < 1e-6:
            raise GravLensError(
                f"p_mean={p_mean} lies too far outside of the noise levels, whose log r goes from "
                f"{lowest:.3g} to {highest:.3g}"
            )
        normal = (normal - normal[0]) / mass
        self._cdf = uniform_fraction * uniform + (1 - uniform_fraction) * normal

    def quantile(self, u: Tensor) -> Tensor:
        """Return ``log r`` below which the fraction `u` lies, float64 of the shape of `u`."""
        cdf, log_ratios = self._cdf.to(u.device), self._log_ratios.to(u.device)
        u = u.to(torch.float64).clamp(0, 1).contiguous()
        right = torch.searchsorted(cdf, u).clamp(1, len(cdf) - 1)
        # Far out in the normal's tails neighbouring values of the cdf may be equal.
        weight = (u - cdf[right - 1]) / (cdf[right] - cdf[right - 1]).clamp(min=1e-300)
        return torch.lerp(log_ratios[right - 1], log_ratios[right], weight.clamp(0, 1))
