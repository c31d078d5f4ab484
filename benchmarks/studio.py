"""How fast the studio answers, and whether it stands fifty clients at once.

    python benchmarks/studio.py
    python benchmarks/studio.py --models lens64 --clients 50 --minutes 10

The first prints the time from an order to its answer, and what the studio computes for it, of lenses one after the
other, as the page asks for them while a slider moves (drafts) and once it rests. On a machine that is busy with
other things the second is what an idle one would take with one thread. The second lets clients order lenses and sets, save files and
leave in the middle, and prints what they got and how the memory of the studio grew.
"""

import http.client
import json
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from running import launch

ORDERS = 15
"""Lenses whose time is taken."""


@dataclass(frozen=True)
class Options:
    """What to measure."""

    models: str = "lens28,lens64,lens150"
    """Bundled models, runs or checkpoints, separated by commas."""
    clients: int = 0
    """Clients that ask at once; 0 measures speed alone."""
    minutes: float = 10.0
    """How long they ask."""
    threads: int = 2
    """Threads of the studio."""


class Studio:
    """A studio in a process of its own, as a client sees it."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process, self.port = process, port
        self.about = json.loads(self.ask("GET", "/api/about")[1])

    def ask(self, method: str, path: str, question: object = None) -> tuple[int, bytes]:
        """Return status and body of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        try:
            connection.request(method, path, None if question is None else json.dumps(question))
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def leave(self, path: str, question: object) -> None:
        """Ask, and go before the answer is there."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        connection.request("POST", path, json.dumps(question))
        time.sleep(0.05)
        connection.close()

    def order(self, rng: random.Random, **more: object) -> dict[str, object]:
        """Return an order of a random lens."""
        values = {
            each["name"]: rng.uniform(each["low"], each["high"])
            for each in self.about["parameters"]
            if each["name"] != "signal_to_noise"
        }
        label = rng.choice(self.about["classes"]) if self.about["classes"] else None
        return {"label": label, "parameters": values, "seed": rng.randrange(1000), **more}

    def cpu_s(self) -> float:
        """Return what the process has computed [s]."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mb(self) -> float:
        """Return what the process holds in memory [MB]."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in text.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024


@contextmanager
def started(model: str, threads: int) -> Iterator[Studio]:
    """Start a studio, and stop it at the end."""
    words = ["studio", "--model", model, "--port", "0", "--no-browser", "--threads", str(threads)]
    command = [sys.executable, "-m", "gravlensdiffusion", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            yield Studio(process, int(line.split(":")[-1].split("/")[0]))
        finally:
            process.terminate()


def speed(studio: Studio) -> str:
    """Return the time of drafts and of lenses, in words."""
    rng = random.Random(0)
    told = []
    for is_draft in (True, False):
        studio.ask("POST", "/api/lens", studio.order(rng, is_draft=is_draft))
        times, computed = [], studio.cpu_s()
        for _ in range(ORDERS):
            began = time.perf_counter()
            status, _ = studio.ask("POST", "/api/lens", studio.order(rng, is_draft=is_draft))
            assert status == 200
            times.append(time.perf_counter() - began)
        what = "draft" if is_draft else "lens"
        cpu = (studio.cpu_s() - computed) / ORDERS
        middle, most = statistics.median(times), max(times)
        told.append(f"{what} {middle:.3f} s (largest {most:.3f}, computed {cpu:.3f})")
    return ", ".join(told)


def client(studio: Studio, seed: int, until: float, found: Counter[str]) -> None:
    """Ask for this and that until a moment, and count what came of it."""
    rng = random.Random(seed)
    while time.monotonic() < until:
        what = rng.choices(["lens", "many", "file", "leave", "watch"], [10, 2, 1, 4, 1])[0]
        order = studio.order(rng)
        try:
            if what == "leave":
                studio.leave(rng.choice(["/api/lens", "/api/many"]), order | {"num": 20})
                found["left"] += 1
                continue
            if what == "file":
                query = urlencode({"kind": "h5", "order": json.dumps(order | {"num": 6})})
                status, _ = studio.ask("GET", f"/api/file?{query}")
            else:
                more = {"num": 6} if what == "many" else {}
                status, _ = studio.ask("POST", f"/api/{what}", order | more)
            found[f"{what} {status}"] += 1
        except (OSError, http.client.HTTPException) as error:
            found[f"{what} {type(error).__name__}"] += 1


def soak(studio: Studio, clients: int, minutes: float) -> None:
    """Print what clients got that asked at once, and the memory of the studio."""
    found: Counter[str] = Counter()
    until = time.monotonic() + 60 * minutes
    threads = [
        threading.Thread(target=client, args=(studio, k, until, found)) for k in range(clients)
    ]
    for thread in threads:
        thread.start()
    memory = []
    while time.monotonic() < until:
        time.sleep(min(30.0, 6 * minutes))
        memory.append(studio.memory_mb())
        print(f"  {memory[-1]:.0f} MB, {sum(found.values())} asked", flush=True)
    for thread in threads:
        thread.join()
    print(f"  {dict(sorted(found.items()))}")
    print(f"  memory {memory[0]:.0f} MB, {max(memory):.0f} at most, {studio.memory_mb():.0f} after")
    print(f"  then: {speed(studio)}")


def main(options: Options) -> None:
    """Measure each model."""
    for model in options.models.split(","):
        with started(model, options.threads) as studio:
            print(f"{model}: {speed(studio)}", flush=True)
            if options.clients:
                soak(studio, options.clients, options.minutes)


if __name__ == "__main__":
    launch(main, Options, __doc__)
