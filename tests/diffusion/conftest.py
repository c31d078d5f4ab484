"""Images that the tests of denoisers share."""

import pytest
import torch
from torch import Tensor


@pytest.fixture
def images() -> tuple[Tensor, Tensor, Tensor]:
    """Clean images, noise and times."""
    source = torch.Generator().manual_seed(3)
    x, eps = torch.randn(2, 5, 1, 4, 4, generator=source, dtype=torch.float64)
    t = torch.tensor([0.001, 0.1, 0.5, 0.9, 1.0], dtype=torch.float64)
    return x, eps, t
