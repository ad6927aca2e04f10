"""Ranged attempts between scheduler and executor: several attempts go out as one order and come back as many outcomes.

The order has the number of the first attempt; the executor and its workers know it by that number alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from msgspec import structs

from headgate.worker.messages import Cancelled, Failed, InputPin, Lost, Member, Returned, Split, Yielded

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from headgate.drivers.in_flight import InFlight
    from headgate.worker.messages import AttemptReport, Order, Report


def gathered(prepared: Sequence[tuple[InFlight, Order]]) -> tuple[list[InFlight], list[Order]]:
    """Return attempts and the orders to send for them: one order for those that the scheduler started together.

    Args:
        prepared: Attempts, each with an order of its own; those of a ranged attempt in the order of their partitions.
    """
    flights: list[InFlight] = []
    orders: list[Order] = []
    together: dict[tuple[str, int], list[tuple[InFlight, Order]]] = {}
    for flight, order in prepared:
        if flight.start.lead is None:
            flights.append(flight)
            orders.append(order)
        else:
            together.setdefault((flight.start.run, flight.start.lead), []).append((flight, order))
    for members in together.values():
        numbers = tuple(flight.attempt.id for flight, _ in members)
        for flight, _ in members:
            flights.append(flight._replace(attempt=replace(flight.attempt, lead=numbers[0]), together=numbers))
        orders.append(_as_one([order for _, order in members]))
    return flights, orders


def _as_one(orders: Sequence[Order]) -> Order:
    first, last = orders[0], orders[-1]
    window = None if first.window is None or last.window is None else (first.window[0], last.window[1])
    return structs.replace(
        first,
        window=window,
        inputs=[_united(pins) for pins in zip(*(order.inputs for order in orders), strict=True)],
        members=[Member(one.attempt, one.key, one.window, one.number, one.stage, one.baseline) for one in orders],
    )


def _united(pins: Sequence[InputPin]) -> InputPin:
    """Return everything that any of some attempts reads through one parameter, each file once."""
    keys = dict.fromkeys(key for pin in pins for key in pin.keys)
    files = {(file.path, file.row_group): file for pin in pins for file in pin.files}
    return structs.replace(pins[0], keys=list(keys), files=list(files.values()))


def taken_apart(
    outcomes: Iterable[Report], in_flight: Mapping[int, InFlight], stopping: Collection[int]
) -> list[AttemptReport]:
    """Return what executors report with an outcome for each attempt, those of ranged ones too.

    Args:
        outcomes: What was reported.
        in_flight: What is in flight, by number.
        stopping: Attempts that were asked to stop: others that had to stop with them have not failed, they are given
            back.
    """
    found: list[AttemptReport] = []
    for outcome in outcomes:
        match outcome:
            case Split(members=members):
                found += members
            case Returned(attempts=attempts):
                found.append(Returned([one for attempt in attempts for one in _members(attempt, in_flight)]))
            case Failed() | Lost() | Yielded():
                found += [structs.replace(outcome, attempt=one) for one in _members(outcome.attempt, in_flight)]
            case Cancelled(attempt=attempt):
                members_of = _members(attempt, in_flight)
                asked = [one for one in members_of if len(members_of) == 1 or one in stopping]
                found += map(Cancelled, asked)
                if len(asked) < len(members_of):
                    found.append(Returned([one for one in members_of if one not in asked]))
            case _:
                found.append(outcome)
    return found


def _members(attempt: int, in_flight: Mapping[int, InFlight]) -> tuple[int, ...]:
    flight = in_flight.get(attempt)
    return (flight.together if flight is not None else ()) or (attempt,)
