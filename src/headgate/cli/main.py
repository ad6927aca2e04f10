"""The `headgate` command: which commands there are, and how errors and interruptions leave the process.

A command is imported when it is called, so that each costs only what it needs.
"""

from __future__ import annotations

import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from headgate import __version__
from headgate.errors import HeadgateError, InternalError

INTERRUPTED = 130

COMMANDS = {
    "init": "Start a new project from a small one that works.",
    "check": "Validate the project; --state: what was built, too.",
    "graph": "Show datasets, partitions and who reads what.",
    "plan": "Show what would be built, and why.",
    "approve": "Let a plan be run that needs it.",
    "reject": "See to it that a plan is never run.",
    "simulate": "Show when it would be done, and what if.",
    "backfill": "Build what is missing or stale.",
    "resume": "Go on with a run that was interrupted or paused.",
    "retry": "Try again what failed or was blocked in a run.",
    "pause": "Let a run start nothing more, for now.",
    "cancel": "Stop a run for good.",
    "publish": "Make visible what a run has staged.",
    "discard": "Give up what a run has staged.",
    "rollback": "Put back what readers saw before.",
    "resolve": "Let what a rollback holds be built again.",
    "holds": "List what rollbacks hold.",
    "drill": "Rehearse a rollback on a copy.",
    "set": "Change limits of a run, or slots of a pool, while it runs.",
    "breaker": "Show circuit breakers; open or close one.",
    "status": "Show the runs, or one of them.",
    "runs": "Show what stands on record of a run, and why.",
    "journal": "Show who did what, when and why.",
    "diff": "Show what a run changes in the data, or has changed.",
    "history": "Show the versions of a dataset or a partition.",
    "lineage": "Show what a version was made from, or what from it.",
    "impact": "Show what rests on what went wrong, and plan its cure.",
    "explain": "Show what state a partition is in, and why.",
    "query": "Run SQL over what is published.",
    "verify": "Read published files again and look for rot.",
    "vacuum": "Remove files that nobody needs any more.",
    "compact": "Pack many small files into few large ones.",
    "quarantine": "Show what gates have refused; release or drop it.",
    "mirror": "Show how far mirrors are: tables of other formats over the same files.",
}


class Commands(click.Group):
    """The commands by name; knows what each is for without importing it."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names in the order in which they are used."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"headgate.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of commands for --help."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run a command and leave the process with the right exit code."""
        try:
            code = super().main(*args, **{**extra, "standalone_mode": False})
        except HeadgateError as error:
            _complain(error.message, error.hint)
            if isinstance(error, InternalError):
                _complain_of_bug()
            code = error.exit_code
        except click.ClickException as error:
            context = getattr(error, "ctx", None)
            hint = f"See `{context.command_path} --help`." if context else ""
            _complain(error.format_message(), hint)
            code = error.exit_code
        except (click.Abort, KeyboardInterrupt):
            # From here on it is only a matter of leaving: more of them would leave a traceback instead.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            click.echo("interrupted", err=True)
            code = INTERRUPTED
        except OSError as error:
            _complain(f"{error.filename or 'the system'}: {error.strerror or error}")
            code = 1
        except Exception as error:
            _complain(f"{type(error).__name__}: {error}")
            _complain_of_bug()
            code = InternalError.exit_code
        sys.exit(code if isinstance(code, int) else 0)


def _complain(message: str, hint: str = "") -> None:
    from headgate.cli.text import plain

    # What a user typed may be in it, but not do anything to the terminal.
    shown = "\n".join(map(plain, message.splitlines()))
    click.echo(f"{click.style('error:', fg='red', bold=True)} {shown}", err=True)
    if hint:
        click.echo(f"{click.style('hint:', fg='cyan')} {plain(hint)}", err=True)


def _complain_of_bug() -> None:
    import traceback

    click.echo(
        f"\n{traceback.format_exc()}\nThis is a bug in Headgate: please report it with the lines above.", err=True
    )


@click.group(cls=Commands, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-C",
    "folder",
    default=".",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The folder of the project; by default this one.",
)
@click.version_option(__version__, prog_name="headgate", message="%(prog)s %(version)s")
@click.pass_context
def main(context: click.Context, folder: Path) -> None:
    """Backfills that are safe to run beside fresh data.

    Exit codes: 0 all done, 1 something failed, 2 wrong use, 130 interrupted.
    """
    context.obj = folder
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(2)


if __name__ == "__main__":
    main()
