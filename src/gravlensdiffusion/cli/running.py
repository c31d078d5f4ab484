"""What the command line says, and a long run: a progress bar, and signals that save before they end it."""

import re
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from gravlensdiffusion import progress
from gravlensdiffusion.errors import GravLensError, one_line
from gravlensdiffusion.files import FULL, unwritable
from gravlensdiffusion.parallel import Processes

if TYPE_CHECKING:
    from gravlensdiffusion.training.counters import Progress
    from gravlensdiffusion.training.fit import Training

TrainingT = TypeVar("TrainingT", bound="Training")


def in_flags(text: str) -> str:
    """Return a text of the library with its parameters, which stand in backticks, as flags."""
    return re.sub(r"`(\w+)`", lambda name: "--" + name[1].replace("_", "-"), text)


def tell(*lines: str) -> None:
    """Say on stderr, in one line each, what the user should know."""
    progress.tell(*map(in_flags, lines))


def say(*lines: str) -> None:
    """Print what was asked for, in one line each."""
    for line in lines:
        print(one_line(in_flags(line)))


def run_shown(
    out: Path,
    opening: AbstractContextManager[TrainingT],
    after_step: Callable[[TrainingT], None] = lambda _: None,
) -> "Progress":
    """Train, and show on stderr how far it is.

    Args:
        out: Where the run is saved.
        opening: Opens the training.
        after_step: Called after each step.

    Raises:
        SystemExit: With code 130 or 143 after a signal, once the run is saved.
    """
    from gravlensdiffusion.training.fit import shown

    stopped: list[int] = []
    has_begun = False

    def note(received: int, _: object) -> None:
        stopped.append(received)
        if not has_begun and Processes.launched().num == 1:
            # Nothing is lost before the first step, and preparing a large set takes long. Several
            # processes stop together, and so only after a step.
            raise SystemExit(128 + received)

    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with opening as training:
            for _ in shown(training):
                has_begun = True
                if stopped:
                    training.stop()
                else:
                    after_step(training)
            reached = training.progress
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise GravLensError(f"{unwritable(out, error)}; {_kept(out)}") from error
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise GravLensError(
            f"out of memory; {_kept(out)}: run the same command where there is more of it or with "
            "`precision` bf16, or choose another `out` and a smaller `batch_size`"
        ) from error
    except SystemExit:
        tell(f"stopped; {_kept(out)}")
        raise
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    is_cut = reached.images_seen < reached.total_images and not reached.ended_early
    if stopped or is_cut:
        # Without a signal of its own, a process stops because another has had one.
        received = stopped[0] if stopped else signal.SIGTERM
        print(
            f"saved {out} at {reached.images_seen:,} of {reached.total_images:,} images; "
            "run the same command to go on",
            file=sys.stderr,
        )
        raise SystemExit(128 + received)
    return reached


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the memory of a GPU or of the machine is used up."""
    if isinstance(error, MemoryError):
        return True
    torch = sys.modules.get("torch")
    is_gpu = torch is not None and isinstance(error, torch.OutOfMemoryError)
    return is_gpu or "DefaultCPUAllocator" in str(error)


def _kept(out: Path) -> str:
    """Say what is left of a run."""
    from gravlensdiffusion.model.folders import checkpoints

    found = checkpoints(out)
    if not found:
        return "nothing was saved yet"
    return f"the checkpoint of {found[-1].images_seen:,} images is kept"
