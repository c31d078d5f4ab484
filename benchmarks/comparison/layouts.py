"""Which memory layout is faster for a peer, in training and in drawing."""

import time
from collections.abc import Callable
from typing import Any

import torch

from comparison.images import PADDED
from comparison.peers import PEER_CLASSES
from comparison.settings import SIZE, Options, read_piece, write_piece

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
"""Layouts by name."""
NUM_EVALUATED = 32
"""Images of an evaluation that is timed."""


def faster_layout(options: Options, arm: str, use: str) -> str:
    """Return the faster layout of a peer for ``train`` or ``sample``, measured once.

    Both layouts take turns; processor time counts, and of each the least.
    """
    path = options.out / "layout" / f"{arm}.json"
    found = read_piece(path)
    if found is None:
        found = measure(arm, 1, 2) if options.quick else measure(arm, 4, NUM_EVALUATED)
        write_piece(path, found)
    return str(found[use]["faster"])


def measure(arm: str, rounds: int, num: int) -> dict[str, Any]:
    """Return the seconds of a training step and of an evaluation in both layouts."""
    peers = {name: PEER_CLASSES[arm](layout) for name, layout in LAYOUTS.items()}
    images = torch.rand(next(iter(peers.values())).batch_size, 1, SIZE, SIZE)
    x = torch.randn(num, 1, PADDED, PADDED)

    def draw(name: str) -> None:
        with torch.inference_mode():
            peers[name].evaluate(x.contiguous(memory_format=LAYOUTS[name]))

    def train(name: str) -> None:
        peers[name].train_step(images, 0.0)

    uses: dict[str, Callable[[str], None]] = {"train": train, "sample": draw}
    found: dict[str, Any] = {}
    for use, run in uses.items():
        seconds: dict[str, list[float]] = {name: [] for name in LAYOUTS}
        for k in range(rounds + 1):
            for name in LAYOUTS:
                started = time.process_time()
                run(name)
                if k:
                    seconds[name].append(time.process_time() - started)
        least = {name: min(times) for name, times in seconds.items()}
        found[use] = {"faster": min(least, key=least.__getitem__), "processor_seconds": least}
    return found
