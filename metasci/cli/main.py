"""The program: its commands in one list, and how it ends.

What is wrong with the input is one sentence on stderr and exit status 2; an interrupted run has status 130.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from metasci import __version__
from metasci.cli import calibrations, crossings, diagrams, imports, learning, look, maps, studies
from metasci.cli.usage import reworded
from metasci.cli.voice import hushed, with_voice
from metasci.errors import LONGEST, InputError, as_sentence

__all__ = ["app", "main", "run"]

_INTERRUPTED = 130  # 128 and SIGINT, as shells have it
_NO_MATRIX = ("LinAlgError", "_LinAlgError")  # of NumPy and of torch, which need not be loaded to tell

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    # plain text: rich would take the units in brackets, such as 'time [h]', for its own marks
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Calibrate a scientific model to a new alloy or patient from a few measurements.",
)
for command in (
    look.list_everything,
    look.info,
    look.template,
    look.fetch,
    calibrations.calibrate,
    calibrations.predict,
    crossings.when,
    calibrations.plot,
    calibrations.average,
    calibrations.recommend,
    calibrations.furnace,
    maps.map_tempering,
    diagrams.diagram,
    calibrations.app,
    imports.import_model,
    imports.export,
    learning.train,
    learning.evaluate,
    learning.compare,
    studies.study,
):
    app.command(command.__name__.partition("_")[0])(with_voice(command))


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"metasci {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass  # the docstring would replace the program's own help


def main() -> None:
    """Run the command line."""
    # the tensors are small: more threads only get in each other's way
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a code page that has no '°' or '→' is no reason to fail
            stream.reconfigure(errors="replace")
    try:
        with hushed():
            status = run()
        if sys.stdout is not None:  # it is none where the shell closed it
            sys.stdout.flush()
    except BrokenPipeError:
        # who reads has read enough, which is no failure; it is chance whether all was written before that
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    raise SystemExit(status)


def run(arguments: Sequence[str] | None = None) -> int:
    """Carry out a command, by default that of the process, and give its exit status."""
    try:
        # typer carries a click of its own, so that its errors of usage have no name to import: they know how to show
        # themselves
        ended = app(arguments, standalone_mode=False)
        return _said_interrupted() if ended == _INTERRUPTED else int(ended or 0)
    except InputError as error:
        typer.echo(f"{_speaker()}: {error}", err=True)
        return 2
    except BrokenPipeError:
        raise
    except OSError as error:
        where = f"'{error.filename}': " if error.filename else ""
        typer.echo(f"metasci: {as_sentence(f'{where}{error.strerror or error}.')}", err=True)
        return 2
    except KeyboardInterrupt:
        return _said_interrupted()
    except typer.Abort:
        return _said_interrupted()
    except Exception as error:
        if type(error).__name__ in _NO_MATRIX:
            typer.echo(
                f"{_speaker()}: the numbers lead to a matrix that is not positive definite: look at the measurements' "
                "units, and at where the prior comes from (--verbose says where it happens).",
                err=True,
            )
            return 2
        if not hasattr(error, "show") or not hasattr(error, "exit_code"):
            raise
        return _usage(error)


def _usage(error: Any) -> int:
    error = reworded(error)
    if hasattr(error, "message"):
        around = len(f"Error: {error.format_message()}") - len(str(error.message))
        error.message = as_sentence(str(error.message), LONGEST - around)  # it repeats what was typed
    error.show()
    return int(error.exit_code)


def _said_interrupted() -> int:
    typer.echo("metasci: interrupted.", err=True)
    return _INTERRUPTED


def _speaker() -> str:
    """The program's name; of several processes that ``torchrun`` started, the later ones say which they are.

    Every process says what is wrong: a mistake that only one of them meets would be silent else.
    """
    rank, of = os.environ.get("RANK", ""), os.environ.get("WORLD_SIZE", "")
    later = rank not in ("", "0") and of not in ("", "0", "1")
    return f"metasci, process {rank} of {of}" if later else "metasci"
