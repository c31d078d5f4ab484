"""What happens in a process that is to be killed: one command, and perhaps its end on the way.

Everything heavy is imported, and a lens simulated, when this module is: a fork server does so once,
and each process that it forks starts at once.
"""

import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gravlensdiffusion.cli.main import main
from gravlensdiffusion.model import checkpoint
from gravlensdiffusion.presets.simulation import simulation_preset
from gravlensdiffusion.simulation.generate import simulate_one

simulate_one(simulation_preset("deeplense"), 0, 0)

CHANGES = frozenset(
    {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "shutil.rmtree"}
)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclass(frozen=True, kw_only=True)
class Fate:
    """What a process meets on its way.

    Attributes:
        file_step: The change in its folder (a file opened for writing, a name given, something
            removed) just before which it is killed; 0 for none.
        torn_file: The file of a checkpoint of which it writes half before it is killed; 0 for none.
        file_limit: Bytes that a file may have [B]; 0 for any number.
        num_steps_file: Where to write how many changes there were, or None.
    """

    file_step: int = 0
    torn_file: int = 0
    file_limit: int = 0
    num_steps_file: Path | None = None


def run(words: Sequence[str], folder: Path, log: Path, fate: Fate) -> None:
    """Run a command in a folder, with all that it says in a log."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(folder)
    num_steps = _watch_files(str(folder), fate.file_step)
    if fate.torn_file:
        _tear(fate.torn_file)
    if fate.file_limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (fate.file_limit, fate.file_limit))
    code = main(words)
    if fate.num_steps_file is not None:
        fate.num_steps_file.write_text(str(num_steps()))
    sys.exit(code)


def die() -> None:
    """End this process as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


def _watch_files(folder: str, last: int) -> Callable[[], int]:
    """Count the changes in a folder, and die before one of them."""
    num = 0

    def see(event: str, values: tuple[object, ...]) -> None:
        nonlocal num
        if event == "open":
            path, _, flags = values
            if not isinstance(flags, int) or not flags & WRITING:
                return
        elif event in CHANGES:
            path = values[0]
        else:
            return
        # The command works in its folder, so that a relative path lies in it.
        if not isinstance(path, str | bytes | os.PathLike) or os.fsdecode(path).startswith("/dev"):
            return
        name = os.path.join(folder, os.fsdecode(path))  # noqa: PTH118  a hook may not make objects
        if name.startswith(folder):
            num += 1
            if num == last:
                die()

    sys.addaudithook(see)
    return lambda: num


def _tear(number: int) -> None:
    """Let a file of a checkpoint be the last that this process writes, and half of it at that."""
    num = 0
    plain = checkpoint._write_bytes

    def write(path: Path, content: bytes | memoryview) -> None:
        nonlocal num
        num += 1
        if num == number:
            path.write_bytes(content[: len(content) // 2])
            die()
        plain(path, content)

    checkpoint._write_bytes = write
