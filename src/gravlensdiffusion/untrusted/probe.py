"""How much a file may ask for, and files tried out in a process of its own before this one opens them.

HDF5 and the unpacking of compressed FITS images are written in C, and a damaged file can make them
crash or loop for ever. A child process therefore does first all that opening such a file does: it calls a
trial, a function of the module that reads the format. What ends the child is refused here in one line.
docs/security.md says what this guarantees.

The child reads questions from standard input, a line of JSON each, and answers each with a line: ``null``
or what is wrong. It may crash, take too long or run out of memory; its parent is prepared.
"""

import atexit
import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from queue import Empty, Queue
from typing import Any, cast

from gravlensdiffusion.errors import AmbiguousImageError, BadImageError, GravLensError

Trial = Callable[..., object]
"""Does all that opening a file does, at the top of its module: takes the file, and what else it is told. What it
raises is wrong with the file, but that the user has to choose an image first."""

MAX_UNPACKING = 100
"""Bytes that one byte of a compressed file may stand for; images compress by far less."""
SMALL_BYTES = 2**26
"""What any file may unpack to, however small it is."""
START_S = 60.0
"""How long the child may take to start [s]; it takes a fifth of a second on an idle machine."""
FILE_S = 5.0
"""How long the child may take for a file, besides the time for its bytes [s]."""
BYTES_PER_S = 10e6
"""Speed at which the bytes of a file are granted more time [bytes / s]."""
MEMORY_BYTES = 2**30 + 2**29
"""Address space that a file may take in the child."""
CHILD = "gravlensdiffusion.untrusted.probe"
# The child imports what this process would, and nothing that lies in the current folder.
_START = (
    "import sys, json, importlib; sys.path[:] = json.loads(sys.argv[1]); "
    "importlib.import_module(sys.argv[2]).main()"
)

_verdicts: dict[tuple[tuple[int, ...], str, tuple[Any, ...]], str | None] = {}
"""What trials found wrong with files, as they were when tried out or written by this process."""


def check_unpacked(declared: int, held: int) -> None:
    """Refuse data that declare far more bytes in memory than they hold in the file."""
    if declared > SMALL_BYTES + MAX_UNPACKING * held:
        raise BadImageError(
            f"declares {declared} bytes of data, of which it holds {held}: more than the limit of "
            f"{MAX_UNPACKING} times as much"
        )


def held_bytes(path: Path) -> int:
    """Return the size of a file without its holes, where the system tells and they are under 1000 [bytes].

    The number of blocks would not do: some file systems count those of a new file seconds later.
    """
    size = path.stat().st_size
    if not hasattr(os, "SEEK_DATA"):
        return size
    held = start = 0
    with path.open("rb", buffering=0) as stream, suppress(OSError):  # no more data
        for _ in range(1000):
            start = os.lseek(stream.fileno(), start, os.SEEK_DATA)
            end = os.lseek(stream.fileno(), start, os.SEEK_HOLE)
            held, start = held + end - start, end
        return size
    return held


@contextmanager
def readable(kind: str) -> Iterator[None]:
    """Tell the damage that a library finds in a ``FITS file``, say, in any way, as a `BadImageError`."""
    try:
        yield
    except (BadImageError, GravLensError, MemoryError):
        raise
    except Exception as error:
        reason = (str(error) or type(error).__name__).partition("\n")[0]
        raise BadImageError(f"is no readable {kind} ({reason:.100})") from error


def probe_files(paths: Sequence[Path], trial: Trial) -> dict[Path, str]:
    """Return what is wrong with files, of those that must not be opened, and end the child; see `probe_file`."""
    found = {path: probe_file(path, trial) for path in paths}
    release()
    return {path: wrong for path, wrong in found.items() if wrong is not None}


def probe_file(path: Path, trial: Trial, *arguments: Any) -> str | None:
    """Try a file out in a child process and return what is wrong with it, or None.

    The child stays for the next file, of any thread; see `release`. A file that has been tried out before
    and has not changed since is not tried again.

    Args:
        path: The file; one that is empty or no regular file is left to the caller.
        trial: What is done with it there.
        arguments: What else the trial is told, as which image of the file counts; they go as JSON.

    Raises:
        GravLensError: If there is no child to be had.
    """
    identity = _identity(path)
    if identity is None:
        return None
    known = (identity, _name(trial), arguments)
    if known not in _verdicts:
        with _alone():
            wrong = _child().judge(path, _name(trial), arguments)
        if identity != _identity(path):
            return wrong
        _verdicts[known] = wrong
    return _verdicts[known]


def refuse_bad(path: Path, trial: Trial, *arguments: Any) -> None:
    """Refuse a file with which `probe_file` finds something wrong."""
    wrong = probe_file(path, trial, *arguments)
    if wrong is not None:
        raise BadImageError(wrong)


def trust_file(path: Path, trial: Trial) -> None:
    """Remember a file that this process has written, so that it need not be tried out."""
    identity = _identity(path)
    if identity is not None:
        _verdicts[identity, _name(trial), ()] = None


def release() -> None:
    """End the child process, if there is one, once it has answered; another file starts a new one."""
    with _alone():
        while _children:
            _children.pop().close()


def _name(trial: Trial) -> str:
    return f"{trial.__module__}:{trial.__qualname__}"


def _identity(path: Path) -> tuple[int, ...] | None:
    """Return what changes with the content of a file, or None where there is none to read."""
    try:
        status = path.stat()
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode) or not status.st_size:
        return None
    times = (status.st_mtime_ns, status.st_ctime_ns)
    return (status.st_dev, status.st_ino, status.st_size, *times)


class _Child:
    """A process that is asked about one file after another."""

    def __init__(self) -> None:
        command = [sys.executable, "-I", "-c", _START, json.dumps(sys.path), CHILD]
        # Threads of numerical libraries only cost time and address space here.
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        self.owner = os.getpid()
        self.trials: set[str] = set()
        try:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
            )
        except OSError as error:
            raise GravLensError(
                f"files cannot be tried out in a process of their own: {error}"
            ) from error
        self.answers: Queue[str] = Queue()
        self.reader = threading.Thread(target=self._listen, daemon=True)
        self.reader.start()
        if self._next(START_S) != "ready":
            self.close()
            raise GravLensError("files cannot be tried out: the process for it does not start")

    def judge(self, path: Path, trial: str, arguments: tuple[Any, ...]) -> str | None:
        """Return what is wrong with a file, or None."""
        seconds = FILE_S + held_bytes(path) / BYTES_PER_S
        if trial not in self.trials:
            # What has to be imported is no part of what the file takes.
            self._ask(trial, None, (), START_S)
            self.trials.add(trial)
        # A link stays what it is: the reader opens it by this name as well.
        answer = self._ask(trial, os.path.abspath(path), arguments, seconds)  # noqa: PTH100
        if answer:
            return cast("str | None", json.loads(answer))
        release()
        if answer is None:
            return f"is not readable: nothing came of it in {seconds:.0f} s"
        return f"is not readable: it ends the process that reads it (status {self.process.poll()})"

    def close(self) -> None:
        """End the process and wait for it."""
        if self.process.poll() is None and self.owner == os.getpid():
            self.process.kill()
        with suppress(OSError), self.process:  # which closes its streams
            self.process.wait()
            self.reader.join()

    def _ask(
        self, trial: str, path: str | None, arguments: tuple[Any, ...], seconds: float
    ) -> str | None:
        """Return the answer, an empty one if the child ends, or None when time is over."""
        words = {"trial": trial, "path": path, "arguments": arguments}
        with suppress(OSError):  # a child that is gone says nothing
            if self.process.stdin is not None:
                self.process.stdin.write(json.dumps(words).encode() + b"\n")
                self.process.stdin.flush()
        return self._next(seconds)

    def _listen(self) -> None:
        for line in self.process.stdout or ():
            self.answers.put(line.decode("ascii", "replace").strip())
        self.process.wait()
        self.answers.put("")

    def _next(self, seconds: float) -> str | None:
        """Return the next line, an empty one at the end, or None when time is over."""
        try:
            return self.answers.get(timeout=seconds)
        except Empty:
            return None


_children: list[_Child] = []
_locks: dict[int, threading.RLock] = {}
atexit.register(release)


def _alone() -> threading.RLock:
    """Return what lets one thread at a time ask the child; that of a parent process may never be let go."""
    return _locks.setdefault(os.getpid(), threading.RLock())


def _child() -> _Child:
    if _children and _children[0].owner != os.getpid():
        # That of the parent of this process is not ours to talk to.
        _children.clear()
    if not _children:
        _children.append(_Child())
    return _children[0]


def main() -> None:
    """Answer for each file that comes, in the child."""
    _limit()
    print("ready", flush=True)
    for line in sys.stdin.buffer:
        question = json.loads(line)
        module, _, function = question["trial"].partition(":")
        trial = getattr(import_module(module), function)
        wrong = None
        if question["path"] is None:
            _limit()
        else:
            wrong = verdict(Path(question["path"]), trial, *question["arguments"])
        print(json.dumps(wrong), flush=True)


def verdict(path: Path, trial: Trial, *arguments: Any) -> str | None:
    """Return what is wrong with a file, or None; `probe_file` does it in a process of its own."""
    try:
        trial(path, *arguments)
    except AmbiguousImageError:
        return None
    except MemoryError:
        return "takes more memory than it may"
    # A damaged file fails in a library in any way.
    except Exception as error:  # noqa: BLE001
        return (str(error) or type(error).__name__).removeprefix(f"{path}: ")
    return None


def _limit() -> None:
    """Bound the memory of this process, and let it leave no core file when it crashes."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        if hard == resource.RLIM_INFINITY or hard > used + MEMORY_BYTES:
            resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, hard))
