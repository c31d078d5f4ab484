"""Reading a corpus in child processes, so that what crashes or hangs ends a child alone."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue

from gravlensdiffusion.store.writer import write_store
from tests.hostile.corpus import Case
from tests.hostile.crafted import MARKER, MARKER_FOLDER
from tests.sets.files import HEADER, lens_records

REPOSITORY = Path(__file__).parents[2]
START_S = 300.0
ANSWER_S = 30.0
"""How long the child may take for a file before it is ended; its own alarm rings long before."""
MAX_BYTES = 2**31
MAX_S = 10.0


@dataclass
class Result:
    """What came of one file; `deeds` is what `watching` saw Python do that it must not."""

    case: Case
    outcome: str
    said: str = ""
    seconds: float = 0.0
    peak_bytes: int = 0
    deeds: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether it was read, or refused in one line, within time and memory, and nothing else."""
        is_within = self.seconds <= MAX_S and self.peak_bytes <= MAX_BYTES
        return self.outcome in ("read", "refused") and is_within and not self.deeds

    def __str__(self) -> str:
        return (
            f"{self.case.kind}, {self.case.title} [{self.case.way}]: {self.outcome} in "
            f"{self.seconds:.1f} s, {self.peak_bytes / 2**20:.0f} MiB\n{self.said}"
            + "".join(f"\n{deed}" for deed in self.deeds)
        )


@dataclass
class Report:
    """What came of a corpus.

    Attributes:
        results: One for each file.
        strays: Files that appeared where nothing may be written.
        baseline_bytes: Memory of the child before the first file.
    """

    results: list[Result] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)
    baseline_bytes: int = 0

    @property
    def bad(self) -> list[Result]:
        """Return what broke a promise."""
        return [result for result in self.results if not result.is_good]


def run(cases: Sequence[Case], folder: Path) -> Report:
    """Build all files and read them."""
    corpus, desk, home = (folder / name for name in ("corpus", "desk", "home"))
    for each in (corpus, desk, home):
        each.mkdir()
    write_store(desk / "data.h5", lens_records(size=32), HEADER)
    paths = []
    for k, case in enumerate(cases):
        place = corpus / f"{k:05d}"
        place.mkdir()
        paths.append(case.build(place))
    before = listing(corpus)
    report = Report()
    while len(report.results) < len(cases):
        start = len(report.results)
        read_some(cases[start:], paths[start:], desk, home, report)
    allowed = {"data.h5", "preview.png"}
    report.strays = [f"desk/{name}" for name in listing(desk) if name not in allowed]
    report.strays += [f"home/{name}" for name in listing(home)]
    report.strays += sorted(f"corpus/{name}" for name in listing(corpus).items() ^ before.items())
    return report


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of change of everything in a folder."""
    found = {}
    for place, names, files in os.walk(folder):
        for name in (*names, *files):
            path = Path(place) / name
            status = path.lstat()
            size = status.st_size if name in files else 0
            found[str(path.relative_to(folder))] = (size, status.st_mtime_ns)
    return found


def read_some(
    cases: Sequence[Case], paths: Sequence[Path], desk: Path, home: Path, report: Report
) -> None:
    """Read files in one child until it ends or all are read."""
    environment = {
        **os.environ,
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "TMPDIR": str(home),
        "TORCHINDUCTOR_CACHE_DIR": str(home.with_name("inductor")),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *sys.path]),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        MARKER_FOLDER: str(home),
    }
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.hostile.reading"],
        cwd=desk,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None
    lines: Queue[str] = Queue()
    complaints: list[str] = []
    threads = [
        threading.Thread(target=_pass_on, args=(child.stdout, lines), daemon=True),
        threading.Thread(target=lambda: complaints.extend(child.stderr or ()), daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        ready = lines.get(timeout=START_S)
        assert ready, f"the child does not start: {''.join(complaints)[-2000:]}"
        report.baseline_bytes = json.loads(ready)["baseline_bytes"]
        for case, path in zip(cases, paths, strict=True):
            task = {"way": case.way, "path": str(path)}
            child.stdin.write(json.dumps(task) + "\n")
            child.stdin.flush()
            try:
                answer = lines.get(timeout=ANSWER_S)
            except Empty:
                report.results.append(Result(case, "hang", seconds=ANSWER_S))
                return
            if not answer:
                status = f"status {child.wait()}: {''.join(complaints)[-2000:]}"
                report.results.append(Result(case, "crash", status))
                return
            report.results.append(Result(case, **json.loads(answer)))
    finally:
        child.kill()
        child.wait()
        for thread in threads:
            thread.join()
        child.stdin.close()
        for stream in (child.stdout, child.stderr):
            if stream is not None:
                stream.close()


def _pass_on(stream: object, lines: "Queue[str]") -> None:
    for line in stream:  # type: ignore[attr-defined]
        lines.put(line)
    lines.put("")


def marker(folder: Path) -> Path:
    """Return the file that hostile code would have written."""
    return folder / "home" / MARKER
