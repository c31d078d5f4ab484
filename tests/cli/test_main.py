import errno
import os
import re
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Literal

import pytest

import gravlensdiffusion
from gravlensdiffusion.cli import classify
from gravlensdiffusion.cli import main as cli
from gravlensdiffusion.cli.main import COMMANDS, main
from gravlensdiffusion.errors import GravLensError


@dataclass(frozen=True, kw_only=True)
class Options:
    """Do nothing much."""

    out: Path
    """Where the result goes."""
    num: int = 1
    """How many."""
    guidance: float = 1.0
    """How strongly."""
    gif: bool = False
    """Whether it moves."""
    unit: Literal["peak", "e-/s"] | None = None
    """Of the pixels."""
    threads: int | None = None
    """To compute with."""

    def run(self) -> None:
        sys.stdout.write(f"{self}\n")


@pytest.fixture
def probe(monkeypatch):
    """Put a command ``probe`` in the table; the test may set its ``run``."""
    module = ModuleType("gravlensdiffusion.cli.probe")
    module.Options = Options
    monkeypatch.setitem(sys.modules, "gravlensdiffusion.cli.probe", module)
    monkeypatch.setitem(cli.COMMANDS, "probe", ("probe", "Try."))
    # What a test sets comes off again.
    monkeypatch.setattr(Options, "run", Options.run)
    return Options


def failing(error: BaseException):
    def run(options: Options) -> None:
        raise error

    return run


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_help_names_every_command(capsys):
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for name, (_, summary) in COMMANDS.items():
        assert f"{name} " in out
        assert summary in out


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"gravlens {gravlensdiffusion.__version__}\n"


def test_without_arguments_it_says_how_to_begin(capsys):
    assert main([]) == 0
    out = capsys.readouterr().out
    assert "  gravlens sample --num 16 --out lenses\n" in out
    shown = re.findall(r"^  (\w+)  +[A-Z]", out, re.MULTILINE)
    assert len(shown) == 5
    assert set(shown) < set(COMMANDS)


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["sam"], {"sample"}),
        (["classify", "t"], {"train"}),
        (["sample", "--theta"], {"--theta-E"}),
        (["sample", "--quality", ""], {"draft", "standard", "best"}),
    ],
)
def test_bash_completes_commands_flags_and_choices(completion, typed, offered):
    words = " ".join(f"'{word}'" for word in ("gravlens", *typed))
    code = f"COMP_WORDS=({words}); COMP_CWORD={len(typed)}; _tyro_gravlens; echo ${{COMPREPLY[@]}}"
    command = ["bash", "-c", f"source {completion}; {code}"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert set(result.stdout.split()) == offered


@pytest.fixture(scope="module")
def completion(tmp_path_factory):
    """The script as it is kept in a file."""
    path = tmp_path_factory.mktemp("completion") / "gravlens"
    with path.open("w") as file, redirect_stdout(file):
        assert main(["--completion", "bash"]) == 0
    return path


@pytest.mark.parametrize("words", ["[]", "['--help']", "['--version']", "['nonsense']"])
def test_nothing_heavy_is_imported_without_a_command(words):
    code = (
        "import sys; from gravlensdiffusion.cli.main import main; "
        f"main({words}); "
        "heavy = {'torch', 'filelock', 'numpy', 'scipy', 'tyro', 'rich', 'h5py', 'matplotlib', 'pydantic'}; "
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    result = run_python(code)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_of_a_command_needs_no_torch(name):
    code = (
        "import sys; from gravlensdiffusion.cli.main import main; "
        f"code = main(['{name}', '--help']); "
        "sys.exit(code or int('torch' in sys.modules))"
    )
    result = run_python(code)
    assert result.returncode == 0, result.stderr
    assert f"usage: gravlens {name}" in result.stdout


def test_that_a_flag_may_be_left_out_is_no_choice_of_its_value(probe, capsys):
    assert main(["probe", "--out", "x", "--unit", "mag"]) == 2
    message = capsys.readouterr().err
    assert "--unit: 'mag' is not one of" in message
    assert "'peak'" in message
    assert "'e-/s'" in message
    assert "None" not in message


def test_flags_become_options(probe, capsys):
    assert main(["probe", "--out", "x", "--num", "3", "--gif"]) == 0
    assert "out=PosixPath('x'), num=3, guidance=1.0, gif=True, unit=None" in capsys.readouterr().out


@pytest.mark.parametrize(("words", "num"), [([], None), (["--threads", "3"], 3)])
def test_threads_are_settled_before_a_command_runs(probe, monkeypatch, words, num):
    calls = []
    monkeypatch.setattr(cli, "use_threads", calls.append)
    probe.run = lambda _: calls.append("ran")
    assert main(["probe", "--out", "x", *words]) == 0
    assert calls == [num, "ran"]


@pytest.mark.parametrize("name", ["file/x", "file/x/y", "x" * 300, "locked/x"])
def test_where_nothing_can_be_written_is_told_before_work(
    probe, capsys, tmp_path, monkeypatch, name
):
    probe.run = failing(AssertionError("work was begun"))
    (tmp_path / "file").write_text("mine")
    (tmp_path / "locked").mkdir()

    def refuse(dir: Path) -> None:  # noqa: A002  its name in the standard library
        raise PermissionError(errno.EACCES, "Permission denied", str(dir))

    if name == "locked/x":
        # The superuser writes everywhere.
        monkeypatch.setattr("gravlensdiffusion.files.TemporaryFile", refuse)
    before = sorted(tmp_path.rglob("*"))
    assert main(["probe", "--out", str(tmp_path / name)]) == 2
    err = capsys.readouterr().err
    assert f"{name}: cannot be written: " in err
    assert len(err.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_commands_call_the_same_thing_by_the_same_name():
    modules = [import_module(f"gravlensdiffusion.cli.{name}") for name, _ in COMMANDS.values()]
    options = [module.Options for module in modules if hasattr(module, "Options")]
    options += [command for command, _ in classify.COMMANDS.values()]
    # Where the device can be chosen there is much to compute, and the threads can be chosen too.
    for each in options:
        fields = each.__dataclass_fields__
        assert ("threads" in fields) or ("device" not in fields), each.__module__
    writing = [each for each in options if "out" in each.__dataclass_fields__]
    assert {each.__module__.rpartition(".")[2] for each in set(options) - set(writing)} == {
        "models",
        "studio",
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["classify"], "no command given, expected one of classify train"),
        (["--completion"], "no completion for ''; choose from bash, zsh, fish"),
        (["--completion", "csh"], "no completion for 'csh'; choose from bash, zsh, fish"),
        (["smaple"], "unknown command 'smaple': did you mean sample?"),
        (["zzz"], "unknown command 'zzz': commands are simulate, inspect"),
        (["--nonsense"], "unknown option '--nonsense'"),
        (["probe"], "missing: --out PATH (see gravlens probe --help)"),
        (["probe", "--out"], "--out needs a value"),
        (["probe", "--out", "x", "--num", "many"], "--num: 'many' is not a whole number"),
        (["probe", "--out", "x", "--num", "2.5"], "--num: '2.5' is not a whole number"),
        (["probe", "--out", "x", "--guidance", "big"], "--guidance: 'big' is not a number"),
        (["probe", "--out", "x", "--nun", "3"], "--nun"),
        (["probe", "--out", "x", "stray"], "not understood: stray"),
    ],
)
def test_a_bad_command_line_is_one_line_and_code_2(probe, capsys, words, message):
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("gravlens: error: ")
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert not set("│╭╰─\x1b") & set(captured.err)


def test_misspelt_flag_suggests_the_right_one(probe, capsys):
    assert main(["probe", "--out", "x", "--guidence", "3"]) == 2
    assert "did you mean --guidance?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (GravLensError("label 'x\ny' is unknown: a or b"), r"label 'x\ny' is unknown: a or b"),
        (OSError(errno.ENOSPC, "No space left on device", "out.h5"), "out.h5: No space left"),
        (PermissionError(errno.EACCES, "Permission denied", "/out"), "/out: Permission denied"),
        (OSError("cannot identify image file"), "cannot identify image file"),
    ],
)
def test_a_failure_outside_the_program_is_one_line_and_code_2(probe, capsys, error, message):
    probe.run = failing(error)
    assert main(["probe", "--out", "x"]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"gravlens: error: {message}")
    assert err.count("\n") == 1


def test_a_mistake_of_the_program_keeps_its_traceback(probe):
    probe.run = failing(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        main(["probe", "--out", "x"])


def test_interrupt_is_code_130(probe, capsys):
    probe.run = failing(KeyboardInterrupt())
    assert main(["probe", "--out", "x"]) == 130
    assert capsys.readouterr().err == "gravlens: interrupted\n"


def test_reader_that_goes_away_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "gravlensdiffusion", "--help"]
    with os.fdopen(writing, "w") as pipe:
        result = subprocess.run(
            command, stdout=pipe, stderr=subprocess.PIPE, text=True, check=False
        )
    assert result.stderr == ""
    assert result.returncode == 141


def test_module_is_the_command(run_gravlens):
    result = run_gravlens("smaple")
    assert result.returncode == 2
    assert result.stderr == "gravlens: error: unknown command 'smaple': did you mean sample?\n"
