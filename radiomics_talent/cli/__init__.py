"""The command line: one thin module a command, errors as one sentence, exit codes that a script can trust.

How a command is added: a module ``radiomics_talent/cli/NAME.py`` holds a function ``NAME`` (annotated as Typer wants
it, heavy imports inside the function, the docstring ends with an example) or, for a command with sub-commands, a
``typer.Typer`` called ``NAME``; and ``NAME`` stands in `COMMANDS`. A command prints results on stdout and progress on
stderr (`cli.progress`), lets errors rise, and ends with ``raise typer.Exit(1)`` when some cases failed.

Exit codes: 0 all well; 1 some cases failed; 2 wrong usage (options, settings, the cohort file as a whole, a folder
that cannot be written); 3 a bug of ours; 130 interrupted.
"""

from __future__ import annotations

import logging
import traceback
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from radiomics_talent.errors import ConfigError, TableError, TalentError

if TYPE_CHECKING:
    from types import TracebackType

COMMANDS = (
    "index", "check", "review", "extract", "merge", "table", "map", "eligibility", "recist", "robustness", "train",
    "evaluate", "score", "report", "features", "ibsi", "config", "doctor", "demo",
)  # fmt: skip
"""Commands in the order of --help."""
EXIT_FAILED, EXIT_USAGE, EXIT_BUG, EXIT_INTERRUPTED = 1, 2, 3, 130
_LOG = logging.getLogger(__name__)


class _Group(TyperGroup):
    """Turns whatever a command raises into one line on stderr and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        debug = bool(ctx.params.get("debug"))
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            _say("interrupted")
            raise typer.Exit(EXIT_INTERRUPTED) from None
        except (TalentError, OSError) as error:
            if isinstance(error, BrokenPipeError):
                raise
            code = _explain(error, debug=debug)
        except Exception as error:
            # Typer's own ways out (usage errors, Exit, Abort) pass.
            if hasattr(error, "exit_code") or isinstance(error, typer.Abort):
                raise
            code = _confess(error, debug=debug)
        raise typer.Exit(code)


def main() -> None:
    """Run the command line; the console script ``radiomics-talent``."""
    # What pydicom and others warn of can hold header values: it goes to the logs of a run, never to the screen.
    logging.captureWarnings(capture=True)
    for name in ("py.warnings", "radiomics_talent"):
        logging.getLogger(name).addHandler(logging.NullHandler())
    app()


def _explain(error: TalentError | OSError, *, debug: bool) -> int:
    if isinstance(error, TalentError):
        sentence = str(error)
        code = EXIT_USAGE if isinstance(error, (ConfigError, TableError)) else EXIT_FAILED
    else:
        sentence = f"{error.filename}: {error.strerror}" if error.filename else f"{error.strerror or error}"
        code = EXIT_USAGE
    _say(f"error: {sentence}")
    _show(error, debug=debug)
    return code


def _confess(error: Exception, *, debug: bool) -> int:
    # The message itself may hold what a header said, so it is shown on request only.
    hint = "" if debug else "; run the command again as `radiomics-talent --debug ...`"
    _say(
        f"error: unexpected {type(error).__name__} at {_place(error.__traceback__)}: this is a bug of "
        f"radiomics-talent, please report it{hint}"
    )
    _show(error, debug=debug)
    return EXIT_BUG


def _place(trace: TracebackType | None) -> str:
    frames = traceback.extract_tb(trace)
    ours = [f for f in frames if "radiomics_talent" in Path(f.filename).parts] or frames
    return f"{'/'.join(Path(ours[-1].filename).parts[-2:])}:{ours[-1].lineno}" if ours else "an unknown place"


def _show(error: BaseException, *, debug: bool) -> None:
    _LOG.debug("the command failed", exc_info=error)
    if debug:
        _say("".join(traceback.format_exception(error)).rstrip())


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _version(value: bool) -> None:
    if value:
        from radiomics_talent import __version__

        typer.echo(f"radiomics-talent {__version__}")
        raise typer.Exit


def _options(
    debug: bool = typer.Option(False, "--debug", help="Show log messages, and tracebacks of errors."),
    version: bool = typer.Option(  # noqa: ARG001
        False, "--version", help="Print the version.", callback=_version, is_eager=True
    ),
) -> None:
    """Radiomics from CT DICOM and lesion masks to a feature table.

    The main job: index a DICOM folder, check what was found, extract features.

    Exit codes: 0 all well; 1 some cases failed; 2 wrong usage, or a file that cannot be written; 3 a bug of
    radiomics-talent; 130 stopped by Ctrl-C.
    """
    if debug:
        logging.basicConfig(level=logging.DEBUG, format="%(levelname)s %(name)s: %(message)s")
        # It tells each step of its compiler, which takes longer than compiling.
        logging.getLogger("numba").setLevel(logging.WARNING)


def _build() -> typer.Typer:
    built = typer.Typer(
        name="radiomics-talent", cls=_Group, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
    )
    built.callback()(_options)
    for name in COMMANDS:
        command = getattr(import_module(f"{__name__}.{name}"), name)
        if isinstance(command, typer.Typer):
            built.add_typer(command, name=name)
        else:
            built.command(name)(command)
    return built


app = _build()
"""The Typer application."""
