"""``UNet2DModel`` of diffusers as a network of ours."""

from dataclasses import asdict
from typing import Any

from torch import Tensor, nn

from gravlensdiffusion.conditioning import Condition
from gravlensdiffusion.config.unet2d import UNet2DConfig
from gravlensdiffusion.errors import GravLensError


def import_diffusers() -> Any:
    """Return the package diffusers, which is an extra.

    Raises:
        GravLensError: If it is not installed.
    """
    try:
        import diffusers
    except ImportError:
        raise GravLensError(
            "a network of kind 'unet2d' needs diffusers: pip install 'gravlensdiffusion[diffusers]'"
        ) from None
    return diffusers


class UNet2D(nn.Module):
    """A ``UNet2DModel`` of diffusers.

    Args:
        config: What its constructor takes.
        image_size: Height and width [pixel].
        num_channels: Channels of an image.

    Attributes:
        unet: The module of diffusers.

    Raises:
        GravLensError: If diffusers is not installed, or takes no such configuration.
    """

    def __init__(self, config: UNet2DConfig, image_size: int, num_channels: int) -> None:
        super().__init__()
        options = asdict(config)
        del options["kind"], options["scheduler"]
        model = import_diffusers().UNet2DModel
        try:
            self.unet: nn.Module = model(
                sample_size=image_size,
                in_channels=num_channels,
                out_channels=num_channels,
                **options,
            )
        except (ValueError, TypeError, AttributeError, RuntimeError, ZeroDivisionError) as error:
            raise GravLensError(f"diffusers makes no such UNet2DModel: {error!s:.200}") from None
        self._is_learned = config.time_embedding_type == "learned"

    def forward(self, x: Tensor, noise: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the prediction.

        Args:
            x: Noisy images, shape ``(B, C, H, W)``.
            noise: Index of the noise level, shape ``(B,)``.
            condition: Ignored: the network knows no classes.

        Returns:
            Shape ``(B, C, H, W)``.
        """
        timestep = noise.round().long() if self._is_learned else noise
        output: Tensor = self.unet(x, timestep, return_dict=False)[0]
        return output
