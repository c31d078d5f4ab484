"""Scripts answer a mistake as the commands do."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from running import launch

from gravlensdiffusion.errors import GravLensError

SCRIPTS = sorted(Path(__file__).parents[2].glob("benchmarks/*.py"))


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
