"""Scripts answer a mistake as the commands do."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from running import launch, read_numbers

from gravlensdiffusion.errors import GravLensError

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SCRIPTS = sorted(BENCHMARKS.glob("*.py"))


@dataclass(frozen=True)
class Options:
    """What is asked for."""

    num: int = 3


def refuse(options: Options) -> None:
    raise GravLensError(f"{options.num} are too few")


def test_a_mistake_is_one_line_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr("sys.argv", ["folder/growth.py", "--num", "4"])
    with pytest.raises(SystemExit) as ended:
        launch(refuse, Options, "Refuse.")
    assert ended.value.code == 2
    assert capsys.readouterr().err == "growth.py: 4 are too few\n"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_every_script_with_options_is_launched_so(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    if "class Options" in text and "__main__" in text:
        assert text.endswith("    launch(main, Options, __doc__)\n")
    if script.name != "running.py":
        assert "tyro.cli" not in text


@pytest.mark.parametrize(
    ("text", "kind", "between", "found"),
    [("4, 8", int, ",", [4, 8]), ("0.5-2", float, "-", [0.5, 2.0]), ("", int, ",", [])],
)
def test_numbers_of_an_option_are_read(
    text: str, kind: type, between: str, found: list[float]
) -> None:
    assert read_numbers(text, "--steps", kind, between) == found


def test_what_is_no_number_is_told() -> None:
    with pytest.raises(GravLensError, match="--steps takes whole numbers with ',' between them"):
        read_numbers("4;8", "--steps", int)


@pytest.mark.parametrize("script", sorted(BENCHMARKS.rglob("*.py")), ids=lambda path: path.name)
def test_no_script_reads_lists_of_numbers_in_another_way(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    assert not re.search(r"\b(int|float)\((word|number)\)", text)
