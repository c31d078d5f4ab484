"""Settings of balancing that are refused."""

import pytest

from gravlensdiffusion.balancing.settings import Settings
from gravlensdiffusion.errors import GravLensError


def test_settings_out_of_range_are_refused() -> None:
    for settings, message in (
        ({"seed": -1}, "`seed` must lie between 0 and 2"),
        ({"batch_size": 0}, "`batch_size` must be at least 1"),
        (
            {"guidance": float("nan")},
            "`guidance` must lie between 0 and 10, beyond which no lenses",
        ),
    ):
        with pytest.raises(GravLensError, match=message):
            Settings(**settings)
