"""The processes that a launcher started for one command: which one this is, and how they agree.

``torchrun`` and ``accelerate launch`` tell each process its place in the environment. Without them
there is one process, and nothing here imports torch or waits.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Self, TypeVar

from gravlensdiffusion.errors import GravLensError

T = TypeVar("T")

PATIENCE = timedelta(hours=2)
"""How long a process waits for another: as long as a large set may take to be prepared."""


class OtherFailed(GravLensError):
    """Another process has failed, and says itself why."""


def partition(num: int, batch_size: int, num_processes: int, index: int) -> range:
    """Return the images of one process: whole batches, in order, the same number within one.

    Batches stay those of a single process, so that an image has the same neighbours in its batch.

    Args:
        num: Number of images.
        batch_size: Images in a batch.
        num_processes: Number of processes.
        index: Which of them.

    Returns:
        Numbers of images, without a gap between one process and the next; it may be empty.
    """
    num_batches = -(-num // batch_size)
    first, stop = (-(-num_batches * k // num_processes) for k in (index, index + 1))
    return range(min(first * batch_size, num), min(stop * batch_size, num))


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes of one command, as one of them sees them.

    Attributes:
        index: Which one this is; 0 is the main one, which writes and speaks.
        num: How many there are, on all machines.
        local_index: Which one this is on its machine.
    """

    index: int = 0
    num: int = 1
    local_index: int = 0

    @classmethod
    def launched(cls) -> Self:
        """Return what the launcher has put into the environment.

        Without both ``RANK`` and ``WORLD_SIZE`` there is none: ``LOCAL_RANK`` alone is a rest of
        something else.

        Raises:
            GravLensError: If that makes no sense.
        """
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
        if not (os.environ.get("RANK") and os.environ.get("WORLD_SIZE")):
            return cls()
        texts = [
            os.environ.get(name) or default for name, default in zip(names, "010", strict=True)
        ]
        try:
            index, num, local_index = map(int, texts)
        except ValueError:
            index, num, local_index = 0, 0, 0
        if not 0 <= index < num or local_index < 0:
            told = ", ".join(f"{n} {t}" for n, t in zip(names, texts, strict=True))
            raise GravLensError(
                f"the launcher has set {told} in the environment: no place for a process"
            )
        return cls(index, num, local_index)

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.index == 0

    def share(self, num: int, batch_size: int) -> range:
        """Return the images of this process; see `partition`."""
        return partition(num, batch_size, self.num, self.index)

    def join(self) -> None:
        """Meet the other processes, and take this one's GPU where its machine has any."""
        if self.num == 1:
            return
        import torch
        from torch import distributed

        if torch.cuda.is_available():
            torch.cuda.set_device(self.local_index % torch.cuda.device_count())
        if not distributed.is_initialized():
            distributed.init_process_group("gloo", timeout=PATIENCE)

    def leave(self) -> None:
        """Part from the other processes, once all is done."""
        if self.num == 1:
            return
        from torch import distributed

        if distributed.is_initialized():
            distributed.destroy_process_group()

    def broadcast(self, value: T) -> T:
        """Return what the main process gives here; all processes must have joined."""
        if self.num == 1:
            return value
        from torch import distributed

        values = [value]
        distributed.broadcast_object_list(values, src=0)
        return values[0]

    def gather(self, value: T) -> list[T]:
        """Return what the processes give here, in their order; on all but the main one nothing."""
        if self.num == 1:
            return [value]
        from torch import distributed

        values: list[T] | None = [value] * self.num if self.is_main else None
        distributed.gather_object(value, values, dst=0)
        return values or []

    def main_first(self, work: Callable[[], T]) -> T:
        """Do something on the main process, and then on the others, which find it done.

        Raises:
            OtherFailed: On the others, where it failed on the main process.
        """
        if self.num == 1:
            return work()
        if not self.is_main:
            if not self.broadcast(False):
                raise OtherFailed("the main process has failed")
            return work()
        has_worked = False
        try:
            done = work()
            has_worked = True
        finally:
            self.broadcast(has_worked)
        return done

    def together(self, work: Callable[[], T]) -> T:
        """Do something on all processes, and go on once it is done on all of them.

        Raises:
            GravLensError: On the main process, with what another one has to say.
            OtherFailed: On the others, where it failed on another one.
        """
        if self.num == 1:
            return work()
        failure: str | None = "stopped"
        try:
            done = work()
            failure = None
        except GravLensError as error:
            failure = str(error)
            if self.is_main:
                raise
        finally:
            failures = self.broadcast(self.gather(failure))
        failed = [k for k, each in enumerate(failures) if each is not None]
        if failed and self.is_main:
            raise GravLensError(f"process {failed[0] + 1} of {self.num}: {failures[failed[0]]}")
        if failed:
            raise OtherFailed("the main process says what has failed")
        return done
