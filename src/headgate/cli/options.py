"""What several commands have in common on their command line."""

from __future__ import annotations

import shlex
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from headgate.cli.text import plain
from headgate.errors import UsageError
from headgate.model.names import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headgate.model.verdict import Override

_Command = TypeVar("_Command", bound="Callable[..., Any]")

NO_REASON = "no reason given"
"""What the journal has where a reason may be left out and was."""

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")


def _elsewhere(context: click.Context, _option: click.Parameter, folder: Path | None) -> None:
    # `pass_obj` hands over what is here when the command is called.
    if folder is not None:
        context.obj = folder


folder = click.option(
    "-C",
    "elsewhere",
    metavar="DIR",
    type=click.Path(path_type=Path),
    callback=_elsewhere,
    expose_value=False,
    help="The folder of the project; by default this one.",
)


def _given(_context: click.Context, _option: click.Parameter, reason: str | None) -> str | None:
    # Without the option click complains by itself, in order with what else is missing.
    if reason is not None and not reason.strip():
        raise UsageError("--reason is empty", hint="Say why: it is kept in the journal.")
    return reason


def reason(*, required: bool) -> Callable[[_Command], _Command]:
    """Return the option that says why something is done."""
    return click.option(
        "--reason",
        required=required,
        metavar="TEXT",
        callback=_given,
        help="Why; kept in the journal.",
    )


def request(command: _Command) -> _Command:
    """Add what selects partitions: datasets, a range of time, and whether to rebuild everything."""
    for option in (
        click.option("--all", "forced", is_flag=True, help="Rebuild what is up to date, too."),
        click.option("--end", metavar="DATE", help="Up to this date or datetime, exclusive."),
        click.option("--start", metavar="DATE", help="From this date or datetime."),
        click.argument("select", nargs=-1),
    ):
        command = option(command)
    return command


service_class = click.option(
    "--class", "service_class", metavar="NAME", default="backfill", help="Service class; backfill if not given."
)


def overrides(command: _Command) -> _Command:
    """Add what says in spite of which guard rails to go on, and why: one by one."""
    command = click.option("--because", metavar="TEXT", multiple=True, help="Why; one for each --override, in order.")(
        command
    )
    return click.option(
        "--override", "overrides", metavar="RULE", multiple=True, help="Go on in spite of this guard rail."
    )(command)


def chosen(rules: Sequence[str], because: Sequence[str]) -> tuple[Override, ...]:
    """Return the overrides that the options name.

    Raises:
        UsageError: They are not as many as the reasons for them.
    """
    from headgate.drivers.session import author
    from headgate.model.verdict import Override

    if len(rules) != len(because):
        raise UsageError(
            f"{len(rules)} --override and {len(because)} --because were given",
            hint="Each override needs its own reason: --override RULE --because TEXT.",
        )
    return tuple(Override(rule, why, author()) for rule, why in zip(rules, because, strict=True))


def instant_ms(text: str, option: str) -> int:
    """Return an instant that an option gives, in UTC milliseconds: a date or datetime of UTC, or a time ago.

    Raises:
        UsageError: It is none.
    """
    from headgate.project.amounts import length_ms

    ago_ms = length_ms(text)
    if ago_ms is not None:
        return time.time_ns() // 1_000_000 - ago_ms
    try:
        when = datetime.fromisoformat(text)
        return round((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        hint = "Write it as 2026-01-05, as 2026-01-05T22:00 in UTC or with an offset, or as a time ago: 90m, 2h."
        raise UsageError(f"{option} {shown(text)} is no time", hint=hint) from None


def invocation(*words: str) -> str:
    """Return the command line that calls another command on the same project."""
    root = click.get_current_context().find_object(Path)
    folder = () if root is None or root == Path() else ("-C", str(root))
    return plain(shlex.join(["headgate", *folder, *words]))
