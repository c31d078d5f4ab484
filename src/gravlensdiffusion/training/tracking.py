"""The record of a run: metrics.jsonl, TensorBoard curves, environment.json."""

import json
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from gravlensdiffusion.files import write_atomically

PACKAGES = ("gravlensdiffusion", "torch", "numpy", "accelerate", "safetensors")


class Tracker:
    """Appends one line of numbers at a time to ``metrics.jsonl`` and to TensorBoard.

    Args:
        folder: The run directory.
        images_seen: Where the run goes on; later lines, of work that was lost, are dropped, and
            all of them where it begins.
    """

    def __init__(self, folder: Path, images_seen: int) -> None:
        self.path = folder / "metrics.jsonl"
        lines = read_metrics(folder) if images_seen else []
        lines = [line for line in lines if line["images"] <= images_seen]
        write_atomically(self.path, "".join(json.dumps(line) + "\n" for line in lines))
        self._file = self.path.open("a", encoding="utf-8")
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=images_seen + 1)

    def log(self, images: int, numbers: Mapping[str, float]) -> None:
        """Append the numbers that hold after ``images`` training images."""
        self._file.write(json.dumps({"images": images, **numbers}) + "\n")
        self._file.flush()
        for name, value in numbers.items():
            self._board.add_scalar(name, value, images)

    def close(self) -> None:
        """Flush and close."""
        self._file.close()
        self._board.close()


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of ``metrics.jsonl``; a last line cut short by a crash is left out."""
    path = folder / "metrics.jsonl"
    if not path.is_file():
        return []
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines


def environment(fingerprint: str, device: str) -> dict[str, Any]:
    """Describe what a run depends on: versions, machine, and the digest of its data."""
    return {
        "data_fingerprint": fingerprint,
        "device": device,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: version(name) for name in PACKAGES},
    }
