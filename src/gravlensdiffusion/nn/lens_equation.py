"""What the lens equation says of an image that is ordered, as channels for a network."""

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gravlensdiffusion.config.model import ParameterConfig
from gravlensdiffusion.config.network import LensEquationConfig

FAINTEST = 0.02
"""Brightness, in that of the mean source's centre, below which the asinh channel is linear."""
CORE = 1e-4
"""Radius within which lens and source are flat [arcsec]."""
ABSENT = {
    "theta_E": 1.0,
    "lens_x": 0.0,
    "lens_y": 0.0,
    "lens_e1": 0.0,
    "lens_e2": 0.0,
    "gamma1": 0.0,
    "gamma2": 0.0,
    "source_x": 0.0,
    "source_y": 0.0,
    "source_e1": 0.0,
    "source_e2": 0.0,
    "source_R_sersic": 0.5,
    "source_n_sersic": 1.0,
    "source_magnitude": 0.0,
}
"""What enters, and the value of what neither the model nor its training set has."""


class LensEquation(nn.Module):
    r"""The source plane behind each pixel, and a smooth source in it.

    For a singular isothermal ellipsoid with external shear,

    .. math:: \beta = \theta - \alpha_{SIE}(\theta) - \Gamma \theta

    The channels are beta minus the centre of the source along x and y [arcsec], the brightness of a
    Sersic source there in units of that of a mean source's centre, the same on an asinh scale, and
    a one. A parameter that is left out takes its middle value; an image of which no Einstein radius
    is given has zeros.

    Args:
        parameters: The parameters of the model, theta_E among them.
        config: Pixel scale, sampling, and the values of what is no parameter.

    References:
        Kormann et al. 1994, A&A 284, 285 (ellipsoid); Birrer and Amara 2018, arXiv:1803.09746
        (conventions).
    """

    NUM_CHANNELS = 5

    mean_centre: Tensor

    def __init__(self, parameters: Sequence[ParameterConfig], config: LensEquationConfig) -> None:
        super().__init__()
        self._columns = {each.name: k for k, each in enumerate(parameters)}
        self._config = config
        given = ABSENT | dict(config.values) | {each.name: _middle(each) for each in parameters}
        self._middle = {name: given[name] for name in ABSENT}
        mean = {name: torch.tensor(value) for name, value in self._middle.items()}
        self.register_buffer("mean_centre", _centre(mean), persistent=False)

    @staticmethod
    def is_known(parameters: Sequence[ParameterConfig], config: LensEquationConfig | None) -> bool:
        """Whether a model has what it takes: an Einstein radius and a pixel scale."""
        names = {each.name for each in parameters}
        return config is not None and config.pixel_scale_arcsec > 0 and "theta_E" in names

    def forward(self, parameters: Tensor, size: int) -> Tensor:
        """Return the channels ``(B, 5, size, size)`` of parameters ``(B, P)``, NaN where left out."""
        values = self.values(parameters)
        finer = self._config.supersampling
        x, y = _grid(size * finer, self._config.pixel_scale_arcsec / finer, parameters.device)
        beta_x, beta_y = _source_plane(x, y, values)
        light = _brightness(beta_x, beta_y, values) / self.mean_centre
        beta_x, beta_y = beta_x - values["source_x"], beta_y - values["source_y"]
        stretched = torch.asinh(light / FAINTEST) / math.asinh(1 / FAINTEST)
        channels = torch.stack([beta_x, beta_y, light, stretched, torch.ones_like(light)], dim=1)
        if finer > 1:
            channels = F.avg_pool2d(channels, finer)
        known = torch.isfinite(parameters[:, self._columns["theta_E"], None, None, None])
        return torch.where(known, channels, 0.0).contiguous(memory_format=torch.channels_last)

    def values(self, parameters: Tensor) -> dict[str, Tensor]:
        """Return what enters the lens equation, each of shape ``(B, 1, 1)``."""
        return {name: self._value(parameters, name) for name in ABSENT}

    def are_given(self, parameters: Tensor) -> Tensor:
        """Whether all that enters is given, of each image, shape ``(B,)``."""
        columns = [column for name, column in self._columns.items() if name in ABSENT]
        return torch.isfinite(parameters[:, columns]).all(dim=1)

    def _value(self, parameters: Tensor, name: str) -> Tensor:
        """Return one parameter of each image, shape ``(B, 1, 1)``."""
        if name not in self._columns:
            return self.mean_centre.new_full((len(parameters), 1, 1), self._middle[name])
        column = parameters[:, self._columns[name], None, None].to(self.mean_centre.dtype)
        return torch.where(torch.isfinite(column), column, self._middle[name])


class SmoothLens(nn.Module):
    """The noise-free image of a Sersic source behind the smooth lens, as an instrument sees it.

    One ray goes through the centre of each native pixel, as in lenstronomy; a Gaussian point spread
    function and a resize follow.

    Args:
        equation: What makes parameters values of the lens equation.
        config: Scale of the images, and the instrument.
        resize: Matrix that makes rows of native pixels rows of the image, shape ``(N, num_pixels)``, flux
            kept.
    """

    resize: Tensor
    blur: Tensor

    def __init__(self, equation: LensEquation, config: LensEquationConfig, resize: Tensor) -> None:
        super().__init__()
        assert config.smooth is not None
        self.equation = equation
        num = config.smooth.num_pixels
        self._num_pixels = num
        self._pixel_scale = config.pixel_scale_arcsec * len(resize) / num
        self._unit = 10 ** (0.4 * config.smooth.zero_point) * self._pixel_scale**2
        blur = _gaussian(num, config.smooth.psf_fwhm_arcsec / self._pixel_scale)
        self.register_buffer("blur", blur.float(), persistent=False)
        self.register_buffer("resize", resize.float(), persistent=False)

    def forward(self, parameters: Tensor) -> Tensor:
        """Return images ``(B, 1, N, N)`` [flux of the zero point's unit] of parameters ``(B, P)``."""
        return (self.resize @ self.native(parameters) @ self.resize.T)[:, None]

    def native(self, parameters: Tensor) -> Tensor:
        """Return the images before the resize, shape ``(B, num_pixels, num_pixels)``."""
        values = self.equation.values(parameters)
        x, y = _grid(self._num_pixels, self._pixel_scale, parameters.device)
        light = self._unit * _brightness(*_source_plane(x, y, values), values)
        return self.blur @ light @ self.blur.T


def _gaussian(num: int, fwhm: float) -> Tensor:
    """Return the matrix that blurs a row of pixels by a full width [pixel], its ends repeated, to five sigma."""
    if not fwhm:
        return torch.eye(num, dtype=torch.float64)
    sigma = fwhm / math.sqrt(8 * math.log(2))
    reach = int(min(5 * sigma + 0.5, num))
    offsets = torch.arange(-reach, reach + 1)
    kernel = torch.exp(-0.5 * (offsets.double() / sigma) ** 2)
    kernel = kernel / kernel.sum()
    taken = (torch.arange(num)[:, None] + offsets).clamp(0, num - 1)
    return torch.zeros(num, num, dtype=torch.float64).scatter_add(1, taken, kernel.expand(num, -1))


def _source_plane(x: Tensor, y: Tensor, values: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return where rays seen at x and y, ``(H, W)``, come from, ``(B, H, W)`` each [arcsec]."""
    dx, dy = x - values["lens_x"], y - values["lens_y"]
    cos, sin, q = _axes(values["lens_e1"], values["lens_e2"])
    along, across = cos * dx + sin * dy, cos * dy - sin * dx
    # Near a circle both quotients tend to their limit; a square root of less would lose digits.
    root = (1 - q * q).clamp(min=1e-6).sqrt()
    radius = (q * q * along * along + across * across).sqrt().clamp(min=CORE)
    scale = values["theta_E"] * q.sqrt() / root
    alpha_along = scale * torch.atan(root * along / radius)
    alpha_across = scale * torch.atanh((root * across / radius).clamp(-1 + 1e-6, 1 - 1e-6))
    alpha_x = cos * alpha_along - sin * alpha_across
    alpha_y = sin * alpha_along + cos * alpha_across
    gamma1, gamma2 = values["gamma1"], values["gamma2"]
    return (x - alpha_x - gamma1 * x - gamma2 * y, y - alpha_y - gamma2 * x + gamma1 * y)


def _brightness(x: Tensor, y: Tensor, values: Mapping[str, Tensor]) -> Tensor:
    """Return the brightness of the source, a Sersic ellipse [flux of magnitude 0 / arcsec^2]."""
    dx, dy = x - values["source_x"], y - values["source_y"]
    cos, sin, q = _axes(values["source_e1"], values["source_e2"])
    along, across = cos * dx + sin * dy, cos * dy - sin * dx
    square = (q * along * along + across * across / q).clamp(min=CORE**2)
    index = values["source_n_sersic"]
    power = (square / values["source_R_sersic"] ** 2) ** (0.5 / index)
    return _centre(values) * torch.exp(-_b(index) * power)


def _centre(values: Mapping[str, Tensor]) -> Tensor:
    """Return the surface brightness of the source's centre."""
    index = values["source_n_sersic"]
    b = _b(index)
    area = 2 * math.pi * index * values["source_R_sersic"] ** 2
    shape = torch.exp(2 * index * torch.log(b) - torch.lgamma(2 * index))
    return 10 ** (-0.4 * values["source_magnitude"]) * shape / area


def _b(index: Tensor) -> Tensor:
    """Return Sersic's b, by lenstronomy's approximation."""
    return (1.9992 * index - 0.3271).clamp(min=1e-5)


def _axes(e1: Tensor, e2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return cosine and sine of the position angle, and the axis ratio, of an ellipticity."""
    angle = torch.atan2(e2, e1) / 2
    size = torch.hypot(e1, e2).clamp(max=0.99)
    return angle.cos(), angle.sin(), (1 - size) / (1 + size)


def _grid(size: int, pixel_scale: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return x and y of the pixel centres, shape ``(size, size)`` each [arcsec]."""
    axis = (torch.arange(size, device=device) - (size - 1) / 2) * pixel_scale
    return axis[None, :].expand(size, size), axis[:, None].expand(size, size)


def _middle(parameter: ParameterConfig) -> float:
    if parameter.scale == "log":
        return math.sqrt(parameter.low * parameter.high)
    return (parameter.low + parameter.high) / 2
