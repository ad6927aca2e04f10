"""headgate set: change limits of a run, or slots of a pool, while it runs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from headgate.cli import options
from headgate.cli.text import counted, print_json
from headgate.errors import UsageError
from headgate.model.names import shown
from headgate.model.policy import TaskOrder
from headgate.views.names import known_names

if TYPE_CHECKING:
    from pathlib import Path

POOL = "pool"
NONE = "none"
SETTINGS = ("concurrency", "priority", "order")
MOST = 1_000_000

_WHOLE = re.compile(r"-?[0-9]{1,12}")


@click.command("set")
@click.argument("run")
@click.argument("changes", nargs=-1, required=True, metavar="NAME=VALUE...")
@options.reason(required=True)
@options.as_json
@options.folder
@click.pass_obj
def command(root: Path, run: str, changes: tuple[str, ...], reason: str, as_json: bool) -> None:
    """Change RUN while it runs, or a pool that its coordinator has.

    \b
    headgate set RUN concurrency=8    attempts of it at a time; none: as the policies say
    headgate set RUN priority=5       larger goes first among your runs of its class
    headgate set RUN order=newest     or oldest, critical: which of its tasks start first
    headgate set pool warehouse=4     slots, until its coordinator ends

    RUN is the id of a run, the beginning of one, or `latest`.
    """  # noqa: D301
    given = _parsed(changes)
    if run == POOL:
        _set_pool(root, given, reason=reason, as_json=as_json)
    else:
        _set_run(root, run, given, reason=reason, as_json=as_json)


def _set_run(root: Path, run: str, given: dict[str, str], *, reason: str, as_json: bool) -> None:
    from headgate.drivers.control import refusals_journaled, steer
    from headgate.drivers.session import author
    from headgate.views.reading import reading
    from headgate.views.status import steered

    with reading(root) as (_, store):
        with refusals_journaled(store, "set", run=run, author=author(), reason=reason, arguments={**given}):
            arguments: dict[str, object] = {name: _value(name, text) for name, text in given.items()}
        done = steered(store, steer(store, run, "set", author=author(), reason=reason, arguments=arguments))
    if as_json:
        print_json({"run": done})
        return
    words = ", ".join(f"{name} {_shown(name, value)}" for name, value in arguments.items())
    click.echo(f"run {done.id}: {words}")


def _set_pool(root: Path, given: dict[str, str], *, reason: str, as_json: bool) -> None:
    from headgate.drivers.control import refusals_journaled, resize_pool
    from headgate.drivers.session import author
    from headgate.project.config import read_config
    from headgate.views.reading import reading

    if len(given) > 1:
        raise UsageError("one pool at a time", hint="Call it once for each.")
    ((pool, text),) = given.items()
    pools = read_config(root).pools
    wanted: dict[str, object] = {"pool": pool, "slots": text}
    with reading(root) as (_, store):
        with refusals_journaled(store, "set pool", author=author(), reason=reason, arguments=wanted):
            if pool not in pools:
                hint = known_names(pool, pools) or "headgate.toml declares none; they stand under [pools]."
                raise UsageError(f"there is no pool {shown(pool)}", hint=hint)
            slots = _whole(f"slots of pool {pool}", text, least=1)
        resize_pool(store, pool, slots, author=author(), reason=reason)
    if as_json:
        print_json({"pool": {"name": pool, "slots": slots, "configured": pools[pool].slots}})
        return
    click.echo(
        f"pool {pool}: {counted(slots, 'slot')} until the coordinator ends; headgate.toml says {pools[pool].slots}"
    )


def _parsed(changes: tuple[str, ...]) -> dict[str, str]:
    given: dict[str, str] = {}
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals or not name or not text:
            raise UsageError(
                f"{shown(change)} is not NAME=VALUE", hint="Write it as NAME=VALUE, such as concurrency=8."
            )
        if name in given:
            raise UsageError(f"{shown(name)} is given twice")
        given[name] = text
    return given


def _value(name: str, text: str) -> int | str:
    match name:
        case "concurrency":
            # The coordinator and the controls know 0 as: what the policies say.
            return 0 if text == NONE else _whole(name, text, least=0)
        case "priority":
            return 0 if text == NONE else _whole(name, text, least=-MOST)
        case "order":
            if text not in set(TaskOrder):
                raise UsageError(f"order must be one of {', '.join(TaskOrder)}, got {shown(text)}")
            return text
        case _:
            raise UsageError(f"a run has no setting {shown(name)}", hint=known_names(name, SETTINGS))


def _whole(name: str, text: str, *, least: int) -> int:
    if not _WHOLE.fullmatch(text) or not least <= int(text) <= MOST:
        raise UsageError(f"{name} must be a whole number from {least:,} to {MOST:,}, got {shown(text)}")
    return int(text)


def _shown(name: str, value: object) -> str:
    return "as the policies say" if name == "concurrency" and not value else str(value)
