"""Files tried out in a process of its own before this one opens them.

HDF5 and the unpacking of compressed FITS images are written in C, and a damaged file can make them
crash or loop for ever. A child process therefore does first all that opening such a file does: it calls a
judge, a function of the module that reads the format. What ends the child is refused here in one line.
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
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from queue import Empty, Queue

from gravlensdiffusion.errors import AmbiguousImageError, BadImageError, GravLensError
from gravlensdiffusion.untrusted.limits import held_bytes

Identity = tuple[int, ...]
Arguments = tuple[str | None, ...]

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

_verdicts: dict[tuple[Identity, str, Arguments], str | None] = {}
"""What judges found wrong with files, as they were when tried out or written by this process."""


def probe_files(paths: Sequence[Path], judge: str) -> dict[Path, str]:
    """Try files out in a child process, the same one for all as long as none ends it.

    A file that has been tried out before and has not changed since is not tried again.

    Args:
        paths: The files; those that are empty or no regular files are left to the caller.
        judge: See `probe_file`.

    Returns:
        What is wrong, for each file that must not be opened.
    """
    found = {path: probe_file(path, judge) for path in paths}
    release()
    return {path: verdict for path, verdict in found.items() if verdict is not None}


def probe_file(path: Path, judge: str, *arguments: str | None) -> str | None:
    """Try one file out and return what is wrong with it, or None.

    The child stays for the next file; see `release`.

    Args:
        path: The file.
        judge: Module and function as ``module:function``, which takes the file and the arguments, and
            returns what is wrong, or None.
        arguments: What else the judge is told, as which image of the file counts.

    Raises:
        GravLensError: If there is no child to be had.
    """
    identity = _identity(path)
    if identity is None:
        return None
    known = (identity, judge, arguments)
    if known not in _verdicts:
        verdict = _child().judge(path, judge, arguments)
        if identity != _identity(path):
            return verdict
        _verdicts[known] = verdict
    return _verdicts[known]


def verdict(look: Callable[[], object], kind: str = "") -> str | None:
    """Return what is wrong with a file, or None, as a judge says it.

    That the user has to choose an image first is nothing wrong.

    Args:
        look: Does all that opening the file does.
        kind: What it should be, where `look` leaves damage to the library, as ``FITS file``.
    """
    try:
        look()
    except AmbiguousImageError:
        return None
    except MemoryError:
        return "takes more memory than it may"
    # A damaged file fails in a library in any way.
    except Exception as error:  # noqa: BLE001
        reason = str(error) or type(error).__name__
        is_told = not kind or isinstance(error, BadImageError)
        return reason if is_told else f"is no readable {kind} ({reason:.100})"
    return None


def refuse_bad(path: Path, judge: str, *arguments: str | None) -> None:
    """Refuse a file with which `probe_file` finds something wrong.

    Raises:
        BadImageError: If it does.
        GravLensError: As there.
    """
    wrong = probe_file(path, judge, *arguments)
    if wrong is not None:
        raise BadImageError(wrong)


def trust_file(path: Path, judge: str) -> None:
    """Remember a file that this process has written, so that a judge need not try it out."""
    identity = _identity(path)
    if identity is not None:
        _verdicts[identity, judge, ()] = None


def release() -> None:
    """End the child process, if there is one; another file starts a new one."""
    while _children:
        _children.pop().close()


def _identity(path: Path) -> Identity | None:
    """Return what changes with the content of a file, or None where there is none to read."""
    try:
        status = path.stat()
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode) or not status.st_size:
        return None
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


class _Child:
    """A process that is asked about one file after another."""

    def __init__(self) -> None:
        command = [sys.executable, "-I", "-c", _START, json.dumps(sys.path), CHILD]
        # Threads of numerical libraries only cost time and address space here.
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        self.owner = os.getpid()
        self.judges: set[str] = set()
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

    def judge(self, path: Path, judge: str, arguments: Arguments) -> str | None:
        """Return what is wrong with a file, or None."""
        seconds = FILE_S + held_bytes(path) / BYTES_PER_S
        if judge not in self.judges:
            # What has to be imported is no part of what the file takes.
            self._ask(judge, None, (), START_S)
            self.judges.add(judge)
        # A link stays what it is: the reader opens it by this name as well.
        answer = self._ask(judge, os.path.abspath(path), arguments, seconds)  # noqa: PTH100
        if answer:
            verdict: str | None = json.loads(answer)
            return verdict
        release()
        if answer is None:
            return f"is not readable: nothing came of it in {seconds:.0f} s"
        return f"is not readable: it ends the process that reads it (status {self.process.poll()})"

    def close(self) -> None:
        """End the process and wait for it."""
        if self.process.poll() is None and self.owner == os.getpid():
            self.process.kill()
        self.process.wait()
        self.reader.join()
        for stream in (self.process.stdin, self.process.stdout):
            with suppress(OSError):
                if stream is not None:
                    stream.close()

    def _ask(
        self, judge: str, path: str | None, arguments: Arguments, seconds: float
    ) -> str | None:
        """Return the answer, an empty one if the child ends, or None when time is over."""
        words = {"judge": judge, "path": path, "arguments": arguments}
        question = json.dumps(words).encode() + b"\n"
        with suppress(OSError):  # a child that is gone says nothing
            if self.process.stdin is not None:
                self.process.stdin.write(question)
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
atexit.register(release)


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
        module, _, function = question["judge"].partition(":")
        judge = getattr(import_module(module), function)
        verdict = None
        if question["path"] is None:
            _limit()
        else:
            verdict = judge(Path(question["path"]), *question["arguments"])
        print(json.dumps(verdict), flush=True)


def _limit() -> None:
    """Bound the memory of this process, and let it leave no core file when it crashes."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        if hard == resource.RLIM_INFINITY or hard > used + MEMORY_BYTES:
            resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, hard))
