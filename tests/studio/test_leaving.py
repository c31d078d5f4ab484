"""Clients that leave in the middle, and many at once, over real connections."""

import http.client
import json
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

pytest.importorskip("starlette", reason="the extra `studio` is not installed")

from gravlensdiffusion.formats.writers import write_images
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.studio.order import Turns
from gravlensdiffusion.studio.server import HOST
from tests.studio.serving import served
from tests.studio.studios import studio

pytestmark = pytest.mark.allow_hosts([HOST])


def begun(address, path, question):
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
    connection.request("POST", path, json.dumps(question))
    return connection


def answered(address, path="/api/lens", question=None):
    connection = begun(address, path, question or {})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def until(holds):
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def stuck(monkeypatch):
    """Let a set of two lenses be drawn without end; return when it is under way and when it has stopped."""
    begun, stopped = threading.Event(), threading.Event()
    generate = LensGenerator.generate

    def endless(self, request, *, batch_size, advance):
        if len(request) != 2:
            yield from generate(self, request, batch_size=batch_size, advance=advance)
            return
        begun.set()
        try:
            while True:
                advance(1)
                time.sleep(0.001)
        finally:
            stopped.set()

    monkeypatch.setattr(LensGenerator, "generate", endless)
    return begun, stopped


@pytest.mark.parametrize("path", ["/api/many", "/api/file"])
def test_what_a_client_leaves_behind_is_drawn_no_further(stuck, path):
    is_begun, is_stopped = stuck
    turns = Turns()
    with served(studio(), turns) as address:
        if path == "/api/file":
            connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
            connection.request("GET", "/api/file?kind=h5&order=%7B%22num%22:2%7D")
        else:
            connection = begun(address, path, {"num": 2})
        assert is_begun.wait(60)
        connection.close()
        assert is_stopped.wait(60)
        assert answered(address) == 200
        until(lambda: turns.num_waiting == 0)


def test_a_file_that_nobody_waits_for_leaves_nothing_on_the_disk(monkeypatch, tmp_path):
    is_begun, goes_on = threading.Event(), threading.Event()

    def slow(folder, *args, **options):
        is_begun.set()
        assert goes_on.wait(60)
        return write_images(folder, *args, **options)

    monkeypatch.setattr("gravlensdiffusion.studio.drawing.write_images", slow)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    turns = Turns()
    with served(studio(), turns) as address:
        connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
        connection.request("GET", "/api/file?kind=fits&order=%7B%22num%22:2%7D")
        assert is_begun.wait(60)
        assert list(tmp_path.iterdir())
        connection.close()
        until(lambda: turns.num_waiting == 0)
        goes_on.set()
        assert answered(address) == 200
        assert not list(tmp_path.iterdir())


def test_a_client_that_leaves_a_stream_ends_its_order():
    turns = Turns()
    shown = studio()
    with served(shown, turns) as address:
        connection = begun(address, "/api/many", {"num": shown.max_num, "steps": 100})
        answer = connection.getresponse()
        assert json.loads(answer.readline()) == {"total": shown.max_num}
        answer.close()
        connection.close()
        until(lambda: turns.num_waiting == 0)
        assert answered(address) == 200


def test_twenty_clients_at_once_are_all_answered():
    with served(studio()) as address, ThreadPoolExecutor(20) as clients:
        orders = [{"seed": k} for k in range(20)]
        found = clients.map(lambda order: answered(address, "/api/lens", order), orders)
        assert set(found) == {200}
