"""The application as a whole: exit codes, one sentence an error, no weight at start."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from factories import heed_interrupts
from typer.testing import CliRunner

from radiomics_talent import __version__, cli
from radiomics_talent.cli import COMMANDS, app, progress
from radiomics_talent.errors import ConfigError, DicomError, TableError

PROGRAM = Path(sys.executable).with_name("radiomics-talent")


def run(*args: str | Path):
    return CliRunner().invoke(app, [str(a) for a in args])


def run_program(*args: str | Path, **options):
    return subprocess.run([PROGRAM, *args], capture_output=True, text=True, check=False, **options)


@pytest.mark.parametrize("command", [c for c in COMMANDS if hasattr(cli, c)])
def test_every_command_has_help_with_an_example(command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "Example: radiomics-talent" in result.output or "Commands" in result.output


def test_version():
    assert run("--version").output == f"radiomics-talent {__version__}\n"


@pytest.mark.parametrize(
    "args", [["nonsense"], ["index"], ["check", "x.csv", "--nonsense"], ["index", ".", "--out", "x", "--jobs", "-1"]]
)
def test_wrong_usage(args):
    assert run(*args).exit_code == 2


def failing(error: BaseException) -> typer.Typer:
    """An application like ours with one command that raises."""
    broken = typer.Typer(cls=cli._Group, pretty_exceptions_enable=False)
    broken.callback()(cli._options)

    @broken.command()
    def fail() -> None:
        raise error

    return broken


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (ConfigError("is bad", where="a.yaml"), 2, "error: a.yaml: is bad\n"),
        (TableError("is bad", where="c.csv"), 2, "error: c.csv: is bad\n"),
        (DicomError("is bad", where="f"), 1, "error: f: is bad\n"),
        (PermissionError(13, "Permission denied", "out.csv"), 2, "error: out.csv: Permission denied\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (typer.Exit(1), 1, ""),
    ],
)
def test_exit_codes(error, code, text):
    result = CliRunner().invoke(failing(error), ["fail"])
    assert (result.exit_code, result.stderr) == (code, text)


def test_a_bug_is_confessed_without_its_message():
    result = CliRunner().invoke(failing(ValueError("Doe^John")), ["fail"])
    assert result.exit_code == 3
    assert "error: unexpected ValueError at cli/__init__.py:" in result.stderr  # our innermost frame
    assert "Doe" not in result.stderr
    assert "Traceback" not in result.stderr
    assert "--debug" in result.stderr


def test_debug_shows_the_traceback(monkeypatch):
    monkeypatch.setattr(cli.logging, "basicConfig", lambda **_: None)
    result = CliRunner().invoke(failing(ValueError("cause")), ["--debug", "fail"])
    assert "Traceback" in result.stderr
    assert "cause" in result.stderr


def test_interrupt_from_the_keyboard(tmp_path):
    code = (
        "import time, typer, sys; from radiomics_talent import cli\n"
        "def wait(): print('ready', flush=True); time.sleep(60)\n"
        "cli.app.command('wait')(wait); sys.argv = ['x', 'wait']; cli.main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err == "interrupted\n"


def test_config(tmp_path):
    names = [line.split()[0] for line in run("config", "list").output.splitlines() if not line.endswith(":")]
    assert {"talent-ct", "talent-response", "talent"} <= set(names)
    for name in names:
        shown = run("config", "show", name)
        assert shown.exit_code == 0
        path = tmp_path / "mine.yaml"
        path.write_text(shown.output, encoding="utf-8")
        assert run("config", "show", path).output == shown.output
    assert json.loads(run("config", "schema").output)["title"] == "ExtractionSettings"
    assert json.loads(run("config", "schema", "--kind", "models").output)["title"] == "ModelSettings"
    wrong = run("config", "show", "talent-ctt")
    assert wrong.exit_code == 2
    assert "did you mean talent-ct" in wrong.stderr


def test_progress_without_a_terminal(monkeypatch, capsys):
    clock = iter([0.0, 1.0, 6.0, 7.0, 12.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress.progress("checking", "lesions") as update:
        for done in (1, 30, 40, 100):
            update(done, 100)
    assert (
        capsys.readouterr().err == "checking: 30 of 100 lesions, 5/s, 14 s left\nchecking: 100 of 100 lesions, 8.33/s\n"
    )


def test_progress_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress.progress("checking", "lesions") as update:
        update(0, 10)
        update(10, 10)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("seconds", "text"), [(3, "3 s"), (600, "10 min"), (7200, "2.0 h")])
def test_duration(seconds, text):
    assert progress._duration(seconds) == text
