"""The game: ten images, of which one says where they come from."""

import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gravlensdiffusion.config.bounds import Bounded
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.sets.flux import peak_scaled
from gravlensdiffusion.sets.lens_set import LensSet
from gravlensdiffusion.studio.drawing import Studio, joined, packed
from gravlensdiffusion.studio.order import Order, Wanted

NUM = 10
MAX_GAMES = 200
"""Games whose answers are remembered."""

Origin = Literal["real", "simulated", "generated"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Answers(Bounded):
    """What a player says.

    Attributes:
        game: Which game.
        origins: Where each image comes from.
    """

    game: str
    origins: tuple[Origin, ...] = field(default_factory=tuple)


class Games:
    """Games under way, with the images of a studio."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._truth: OrderedDict[str, list[str]] = OrderedDict()

    @property
    def origins(self) -> list[str]:
        """Where images may come from."""
        own = ["real"] if self._studio.lenses is not None else []
        return own + (["simulated"] if self._studio.preset else []) + ["generated"]

    def begin(self, wanted: Wanted) -> dict[str, Any]:
        """Return ten images in a random order, each scaled by its own extremes, and their game."""
        origins = self.origins
        if len(origins) < 2:
            raise GravLensError(
                "there is nothing to tell apart: the model names no simulation, and no set was "
                "named when the studio was started"
            )
        rng = np.random.default_rng()
        truth = [origins[k % len(origins)] for k in range(NUM)]
        rng.shuffle(truth)
        seed = int(rng.integers(2**31))
        counts = {name: truth.count(name) for name in origins}
        images = {name: iter(self._images(name, num, seed, wanted)) for name, num in counts.items()}
        game = secrets.token_hex(8)
        self._truth[game] = truth
        while len(self._truth) > MAX_GAMES:
            self._truth.popitem(last=False)
        shown = [packed(next(images[name])) for name in truth]
        return {"game": game, "images": shown, "origins": origins}

    def end(self, answers: Answers) -> dict[str, Any]:
        """Return where the images of a game come from, and how many were told."""
        if answers.game not in self._truth:
            raise GravLensError("this game is over; begin another")
        if len(answers.origins) != NUM:
            raise GravLensError(f"all {NUM} images need an answer")
        truth = self._truth.pop(answers.game)
        score = sum(one == two for one, two in zip(truth, answers.origins, strict=True))
        return {"truth": truth, "score": score}

    def _images(self, origin: str, num: int, seed: int, wanted: Wanted) -> NDArray[np.float32]:
        """Return images of one origin, each scaled to [0, 1]; all are brought to one size."""
        studio = self._studio
        found: LensSet
        if origin == "generated":
            request = Order(num=num, seed=seed).request(studio.generator)
            found = joined(list(studio.drawn(request, wanted)))
        elif origin == "simulated":
            found = studio.simulated(num=num, seed=seed)
        else:
            assert studio.lenses is not None
            rows = np.random.default_rng(seed).integers(len(studio.lenses), size=num)
            found = studio.lenses.select(rows)
        sizes = [min(each.image_shape[1:]) for each in (found, studio.lenses) if each is not None]
        return peak_scaled(found.resized(min(sizes)).read(range(num)))[0]
