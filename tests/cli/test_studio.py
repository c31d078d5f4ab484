"""``gravlens studio``: what stops it, told in one line, and that nothing is loaded for it before."""

import os
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from gravlensdiffusion.cli import studio
from gravlensdiffusion.model.checkpoint import save_model
from tests.models import awake

starlette = pytest.importorskip("starlette", reason="the extra `studio` is not installed")
HOST = "127.0.0.1"
here_alone = pytest.mark.allow_hosts([HOST])


@pytest.fixture
def model(tmp_path):
    save_model(tmp_path / "tiny", awake())
    return tmp_path / "tiny"


@here_alone
def test_a_port_that_is_taken(gravlens):
    with socket.create_server((HOST, 0)) as taken:
        ran = gravlens("studio", "--port", taken.getsockname()[1], "--no-browser")
    assert ran.returncode == 2
    assert "is taken" in ran.stderr
    assert "--port" in ran.stderr
    assert ran.stderr.count("\n") == 1


@here_alone
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model", "no-such"], "no model 'no-such'"),
        (["--data", "no-such.h5"], "no such file"),
        (["--report", "no-such"], "no report.html"),
        (["--port", "70000"], "--port"),
        (["--port", "-1"], "--port"),
    ],
)
def test_what_cannot_be_opened(gravlens, model, words, said):
    given = [] if "--model" in words else ["--model", model]
    ran = gravlens("studio", "--port", 0, "--no-browser", *given, *words)
    assert ran.returncode == 2
    assert said in ran.stderr
    assert ran.stderr.count("\n") == 1


@here_alone
def test_a_page_that_is_no_report(gravlens, tmp_path):
    (tmp_path / "report.html").write_text("MZ")
    ran = gravlens("studio", "--port", 0, "--no-browser", "--report", tmp_path)
    assert ran.returncode == 2
    assert "is no report" in ran.stderr


def test_without_the_extra_it_says_how_to_get_it(gravlens, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    ran = gravlens("studio")
    assert ran.returncode == 2
    assert ran.stderr == (
        "gravlens: error: the studio needs more packages; "
        "pip install starlette uvicorn brings them\n"
    )


def test_a_browser_is_opened_where_it_has_a_window(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert not studio._has_screen()
    monkeypatch.setenv("DISPLAY", ":0")
    assert studio._has_screen()


def test_the_help_loads_no_server():
    code = (
        "import sys; from gravlensdiffusion.cli.main import main; main(['studio', '--help']);"
        "print(sorted({'starlette', 'uvicorn', 'torch'} & sys.modules.keys()))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.endswith("[]\n")


@here_alone
@pytest.mark.skipif(os.name == "nt", reason="needs signals")
@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 0), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.faults)],
)
def test_it_serves_until_it_is_stopped(model, number, code):
    """Starts a process, since a signal ends it."""
    words = ["studio", "--model", model, "--port", "0", "--no-browser"]
    command = [sys.executable, "-m", "gravlensdiffusion", *words]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        line = process.stdout.readline()
        assert line.startswith(f"the studio is at http://{HOST}:")
        with urllib.request.urlopen(line.split()[4], timeout=60) as answer:
            assert b"gravlens studio" in answer.read()
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == code
    assert said == ("gravlens: the studio has ended\n" if number == signal.SIGINT else "")
