"""headgate explain: what state a partition is in, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from headgate.cli import options
from headgate.cli.text import counted, duration, gate_text, keys, moment, plain, print_json, size, table, until_text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from headgate.views.explain import Explanation, Moved, Reader
    from headgate.views.policies import ClassBounds, PolicyView, Setting
    from headgate.views.ranges import KeyRange
    from headgate.views.task import Task

SHOWN = 8
STATES = {"published": "green", "present": "green", "stale": "yellow", "changed": "yellow", "missing": "red"}


@click.command("explain")
@click.argument("dataset")
@click.argument("key", required=False)
@options.as_json
@options.folder
@click.pass_obj
def command(root: Path, dataset: str, key: str | None, as_json: bool) -> None:
    """Show what state the partition KEY of DATASET is in and why, what it was made from, what waits for what.

    Also what would lift a wait, and which policies hold. KEY is the partition's key, such as 2013-07-04, 2013-07, us
    or 2013-07-04/us; a dataset without partitions needs none.
    """
    from headgate.drivers.session import Session, author
    from headgate.model.plan import Request
    from headgate.views.explain import explain

    session = Session(root)
    try:
        world, _ = session.plan(Request())
        found = explain(session.project, session.store, world.snapshot, dataset, key, author=author())
    finally:
        session.close()
    print_json(found) if as_json else click.echo(_text(found))


def _text(found: Explanation) -> str:
    state = click.style(found.state, fg=STATES[found.state], bold=True)
    lines = [f"{found.dataset}/{found.key} is {state}{': ' + plain(found.why) if found.why else ''}"]
    for moved in found.moved[:SHOWN]:
        lines.append(f"  {_moved(moved)}")
    if len(found.moved) > SHOWN:
        lines.append(f"  ... and {len(found.moved) - SHOWN:,} more")
    if found.code:
        lines.append(f"  code {found.code[0][:12]} -> {found.code[1][:12]}")
    for reader in found.upstream:
        lines.append(f"  to be built before: {reader.dataset} {_ranges(reader.partitions)}")
    if found.lacks:
        lines.append(f"  cannot be built now: it {plain(found.lacks)}")
    facts = [
        *_head(found),
        *_put_back(found),
        *_inputs(found),
        *_readers("read by", found.read_by),
        *_task(found.task),
        *_gates(found),
    ]
    if found.window:
        facts.insert(0, ("window", f"{moment(found.window[0])} to {moment(found.window[1])} UTC"))
    if found.file:
        facts.insert(0, ("file", plain(found.file)))
    lines += ["", *(f"  {name:<10}  {text}".rstrip() for name, text in facts)]
    if found.task and found.task.failure and found.task.failure.traceback:
        lines += ["", *(f"  {plain(line)}" for line in found.task.failure.traceback.rstrip().splitlines())]
    if found.policies:
        lines += ["", *_policies(found.policies)]
    return "\n".join(lines)


def _moved(moved: Moved) -> str:
    place = f"{moved.dataset}/{moved.key}"
    if moved.now == 0:
        return f"{place} has a changed file" if moved.before else f"{place} has a new file"
    if moved.before is None:
        return f"{place} has version {moved.now} now"
    if moved.now is None:
        return f"{place} version {moved.before} is no input any more"
    return f"{place} version {moved.before} -> {moved.now}"


def _head(found: Explanation) -> Iterable[tuple[str, str]]:
    head = found.head
    if head is None:
        return
    if found.kind == "source":
        yield "version", f"{head.version}, recorded {moment(head.published_ms)} UTC"
        for file in head.files:
            yield "", f"{size(file.bytes)}, {plain(file.hash)}"
        return
    what = f"{counted(head.rows, 'row')}, {size(head.bytes)}" if head.files else "no files"
    yield "version", f"{head.version}, {what}, published {moment(head.published_ms)} UTC"
    for file in head.files:
        yield "", plain(file.path)
    if not head.is_new:
        yield "", f"attempt {head.attempt} made the same content again"
    if head.origin is not None:
        yield "", f"a compaction packed version {head.origin} with others"
    yield "code", (f"version {plain(head.declared_version)}, " if head.declared_version else "") + head.code[:12]


def _put_back(found: Explanation) -> Iterable[tuple[str, str]]:
    move = found.put_back
    if move is None:
        return
    if move.after is None:
        what = f"took version {move.before} away"
    else:
        what = f"put version {move.after} in place of {'nothing' if move.before is None else move.before}"
    yield "rollback", f"{move.run} {what}, {moment(move.at_ms)} UTC, {plain(move.author)}: {plain(move.reason)}"


def _inputs(found: Explanation) -> Iterable[tuple[str, str]]:
    name = "reads"
    for read in found.reads:
        total = sum(part.count for part in read.partitions)
        many = f" ({total:,})" if total > 1 else ""
        which = _ranges(read.partitions) if read.partitions else "nothing"
        yield name, f"{read.dataset} {which}{many}, {plain(read.mapping)}"
        name = ""
    name = "made from"
    for used in found.made_from[:SHOWN]:
        yield name, f"{used.dataset}/{used.key} version {used.version}"
        name = ""
    if len(found.made_from) > SHOWN:
        yield "", f"... and {len(found.made_from) - SHOWN:,} more: see --json"


def _readers(name: str, found: tuple[Reader, ...]) -> Iterable[tuple[str, str]]:
    for reader in found:
        yield name, f"{reader.dataset} {_ranges(reader.partitions)}"
        name = ""


def _task(task: Task | None) -> Iterable[tuple[str, str]]:
    if task is None:
        return
    tries = f" after {counted(task.attempts, 'attempt')}" if task.attempts > 1 else ""
    wait = f": {task.wait}" if task.wait else ""
    yield "last run", f"{task.run} ({task.run_state}): {task.state}{tries}{wait}"
    if task.hold:
        yield "", until_text(task.hold)
        if task.hold.next:
            yield "", f"next: {options.invocation(*task.hold.next)}"
    verb = "waits for" if task.state == "waiting" else "needs"
    for upstream in task.waits_for[:SHOWN]:
        yield "", f"{verb} {upstream.dataset}/{upstream.key}{', which failed' if upstream.failed else ''}"
    if len(task.waits_for) > SHOWN:
        yield "", f"... and {len(task.waits_for) - SHOWN:,} more: see --json"
    if task.failure:
        yield "failure", f"({task.failure.error_class}) {plain(task.failure.message)}"
        if task.failure.hint:
            yield "", f"hint: {plain(task.failure.hint)}"


def _gates(found: Explanation) -> Iterable[tuple[str, str]]:
    """Yield the gates, what they did not like in the head, and what they keep from being it."""
    name = "gates"
    for declared in found.gates:
        yield name, gate_text(declared)
        name = ""
    name = "warnings"
    for gate in found.head.audit.failed if found.head and found.head.audit else ():
        said = "warned" if gate.severity == "warn" else "was overruled"
        yield name, f"{plain(gate.gate)} {said}: {plain(gate.text)}"
        name = ""
    name = "quarantine"
    for one in found.quarantined:
        yield (
            name,
            f"attempt {one.attempt}, {counted(one.rows, 'row')}: {plain('; '.join(gate.gate for gate in one.gates))}",
        )
        yield "", f"next: {options.invocation('quarantine', 'show', str(one.attempt))}"
        name = ""


def _policies(found: PolicyView) -> Iterable[str]:
    """Return the policies as lines, each value with where it is set."""
    bounds = found.service_class
    yield f"policies of a run of class {bounds.name} by {plain(found.owner)}; tables are those of headgate.toml"
    rows = [(setting.name.removesuffix("_ms"), _value(setting), setting.origin) for setting in found.settings]
    rows += [
        (f"pool {pool.name}", f"{pool.takes:,} of {pool.slots:,} slots in headgate.toml", found.pools_from)
        for pool in found.pools
    ]
    yield table(("policy", "value", "from"), [*_class_rows(bounds), *rows])


def _class_rows(bounds: ClassBounds) -> Iterable[tuple[str, str, str]]:
    until = f" until {moment(bounds.until_ms)} UTC" if bounds.until_ms is not None else ""
    values = {
        "priority": f"{bounds.priority}",
        "ceiling": f"{bounds.ceiling:.0%}{until}",
        "slots": "no bound" if bounds.slots is None else f"{bounds.slots:,}",
        "floor": f"{bounds.floor:.0%}",
        "reserved": f"{bounds.reserved:,}",
        "weight": f"{bounds.weight:g}",
        "patience_ms": duration(bounds.patience_ms / 1000),
    }
    return [(f"class.{name.removesuffix('_ms')}", value, bounds.origins[name]) for name, value in values.items()]


def _value(setting: Setting) -> str:
    match setting.value:
        case None:
            return "no bound"
        case str():
            return setting.value
        case tuple():
            return ", ".join(setting.value) or "nothing"
        case float() if setting.name.endswith(".weight"):
            return f"{setting.value:g}"
        case float():
            return f"{setting.value:.0%}"
        case int() if setting.name.endswith("_ms"):
            return duration(setting.value / 1000)
        case _:
            return f"{setting.value:,}"


def _ranges(ranges: tuple[KeyRange, ...]) -> str:
    shown = ", ".join(keys(part.first, part.last, part.count) for part in ranges[:3])
    return shown if len(ranges) <= 3 else f"{shown} and {counted(len(ranges) - 3, 'more range')}"
