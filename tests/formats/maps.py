"""The size of images, flagged pixels and flat maps, for the tests of maps of pixels."""

import numpy as np

SIZE = 32
FLAGGED = (slice(20, 30), slice(2, 12))


def flat(level, *flagged):
    """Return noise that is everywhere the same but at flagged places."""
    noise = np.full((SIZE, SIZE), float(level))
    for place in flagged:
        noise[place] = 1e16
    return noise
