"""What headgate.toml may say, checked key by key. With pydantic, so that it is imported only where it is needed."""

from __future__ import annotations

import os
from difflib import get_close_matches
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, cast, get_args, get_origin
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, PlainValidator, ValidationError
from pydantic_core import PydanticCustomError

from headgate.errors import UsageError
from headgate.model.calendar import zone_of
from headgate.model.names import shown
from headgate.model.policy import TaskOrder
from headgate.model.run import ErrorClass
from headgate.project.amounts import minute_of_day, month_days, share, weekdays
from headgate.project.places import DATA_DEFAULT, FILE_NAME, STATE_DEFAULT, Document, paths, read_document
from headgate.project.rate_sections import RatesSection
from headgate.project.rule_sections import GeneralPoliciesSection, PoliciesSection, SourceSection, TemplateSection
from headgate.project.section import Length, Section, choice, named, reads

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic_core import ErrorDetails

_MOVED: dict[tuple[str, ...], str] = {("workers", "max_attempts"): "It is [retry] attempts now."}

Scalar = str | int | float | bool


def _scalar(value: object) -> Scalar:
    if not isinstance(value, str | int | float):
        raise PydanticCustomError("scalar", "must be text, a number or true/false")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise PydanticCustomError("scalar", "does not fit into 64 bits")
    return value


def _module(value: object) -> str:
    if not isinstance(value, str) or not all(part.isidentifier() for part in value.split(".")):
        raise PydanticCustomError("module", 'must name a Python module, such as "pipeline" or "package.module"')
    return value


def _zone(value: object) -> str:
    try:
        return zone_of(value if isinstance(value, str) else "").key
    except UsageError as error:
        close = get_close_matches(str(value), available_timezones(), n=1)
        hint = f"Did you mean {close[0]}?" if close else error.hint
        raise PydanticCustomError("zone", "must be a time zone", {"hint": hint}) from None


def _pool_table(value: object) -> object:
    if not isinstance(value, int | dict):
        raise PydanticCustomError("pool", "must be a number of slots, or a table")
    return {"slots": value} if isinstance(value, int) else value


def _pool_slots(value: object) -> object:
    if isinstance(value, dict):
        return value
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise PydanticCustomError("pools", "must be a list of pools, or a table of the slots to take from each")
    return dict.fromkeys(value, 1)


_Share = Annotated[float, reads(share, 'a share, from 0 to 1 or from "0%" to "100%"')]
_Minute = Annotated[int, reads(minute_of_day, 'a time of day from "00:00" to "24:00"')]
_Weekdays = Annotated[frozenset[int], reads(weekdays, 'days of the week, such as "mon-fri" or "sat, sun"')]
_MonthDays = Annotated[frozenset[int], reads(month_days, 'days of the month from 1 to 31, such as 1, "1-5" or "last"')]
_Zone = Annotated[str, PlainValidator(_zone)]
_Slots = Annotated[int, Field(ge=1, le=1_000_000)]
_Person = Annotated[str, Field(min_length=1, max_length=200)]
_Weight = Annotated[float, Field(ge=0.001, le=1_000_000)]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class ProjectSection(Section):
    """`[project]`: its name, by default that of its folder, and the modules that declare datasets."""

    name: str = Field(default="", max_length=100)
    modules: list[Annotated[str, PlainValidator(_module)]] = Field(default=["pipeline"], min_length=1)


class StateSection(Section):
    """`[state]`: where the state store lies, relative to the project."""

    path: str = STATE_DEFAULT


class DataSection(Section):
    """`[data]`: where data files lie, relative to the project."""

    path: str = DATA_DEFAULT


class WorkersSection(Section):
    """`[workers]`: the local processes that run functions.

    `processes` defaults to the number of cores; `io_concurrency` is how many `async` functions run at a time.
    """

    processes: int = Field(default_factory=_cores, ge=1, le=1024)
    io_concurrency: int = Field(default=1000, ge=1, le=100_000)
    heartbeat_timeout_s: float = Field(default=30, ge=1, le=86_400)


class RetrySection(Section):
    """`[retry]`, also of a class, an owner or a dataset: what it sets of `RetryPolicy`."""

    attempts: int | None = Field(default=None, ge=1, le=1000)
    backoff: Length | None = None
    backoff_max: Length | None = None
    on: list[Annotated[ErrorClass, choice(ErrorClass)]] | None = None
    budget: _Share | None = None
    budget_min: int | None = Field(default=None, ge=0, le=1_000_000_000)


class BreakerSection(Section):
    """`[breaker]`, also of a pool or a dataset: what it sets of `BreakerPolicy`."""

    failures: int | None = Field(default=None, ge=1, le=1_000_000)
    cooldown: Length | None = None
    cooldown_max: Length | None = None


class SharedConcurrencySection(Section):
    """`[classes.NAME.concurrency]` and `[owners.NAME.concurrency]`: attempts at a time."""

    per_run: _Slots | None = None
    per_dataset: _Slots | None = None


class ConcurrencySection(SharedConcurrencySection):
    """`[concurrency]`: attempts at a time, in all and by default; and in which order a run starts its tasks."""

    total: _Slots | None = None
    order: Annotated[TaskOrder, choice(TaskOrder)] = TaskOrder.OLDEST


class PoolSection(Section):
    """`[pools]`: a number of slots, or a table with them and a breaker."""

    slots: _Slots
    breaker: BreakerSection = Field(default_factory=BreakerSection)


class WindowSection(Section):
    """One entry of `windows`: what it sets of `TimeWindow`."""

    days: _Weekdays = frozenset()
    month_days: _MonthDays = frozenset()
    start: _Minute = Field(default=0, alias="from")
    end: _Minute = Field(default=1440, alias="to")
    ceiling: _Share


class ClassSection(Section):
    """`[classes.NAME]`: what it sets of `ServiceClass`, and policies for runs of the class."""

    priority: int | None = Field(default=None, ge=-1_000_000, le=1_000_000)
    ceiling: _Share | None = None
    slots: _Slots | None = None
    floor: _Share | None = None
    reserved: int | None = Field(default=None, ge=0, le=1_000_000)
    weight: _Weight | None = None
    patience: Length | None = None
    timezone: _Zone = "UTC"
    windows: list[WindowSection] = Field(default_factory=list)
    retry: RetrySection = Field(default_factory=RetrySection)
    concurrency: SharedConcurrencySection = Field(default_factory=SharedConcurrencySection)


class OwnerSection(Section):
    """`[owners.NAME]`: the weight of an author among others, and policies for that author's runs."""

    weight: _Weight | None = None
    retry: RetrySection = Field(default_factory=RetrySection)
    concurrency: SharedConcurrencySection = Field(default_factory=SharedConcurrencySection)


class DatasetSection(Section):
    """`[datasets.NAME]`: policies for the attempts of a dataset; they go before those of its declaration."""

    concurrency: _Slots | None = None
    pools: Annotated[dict[str, _Slots], BeforeValidator(_pool_slots)] | None = None
    typical: Length | None = None
    retry: RetrySection = Field(default_factory=RetrySection)
    breaker: BreakerSection = Field(default_factory=BreakerSection)
    policies: PoliciesSection = Field(default_factory=PoliciesSection)


class PlansSection(Section):
    """`[plans]`: for how long a plan that was shown can be run."""

    expire: Length = 24 * 60 * 60 * 1000


class Config(Section):
    """The whole of headgate.toml."""

    project: ProjectSection = Field(default_factory=ProjectSection)
    state: StateSection = Field(default_factory=StateSection)
    data: DataSection = Field(default_factory=DataSection)
    workers: WorkersSection = Field(default_factory=WorkersSection)
    concurrency: ConcurrencySection = Field(default_factory=ConcurrencySection)
    retry: RetrySection = Field(default_factory=RetrySection)
    breaker: BreakerSection = Field(default_factory=BreakerSection)
    pools: Annotated[dict[str, Annotated[PoolSection, BeforeValidator(_pool_table)]], AfterValidator(named)] = Field(
        default_factory=dict
    )
    plans: PlansSection = Field(default_factory=PlansSection)
    rates: RatesSection = Field(default_factory=RatesSection)
    classes: Annotated[dict[str, ClassSection], AfterValidator(named)] = Field(default_factory=dict)
    owners: dict[str, OwnerSection] = Field(default_factory=dict)
    datasets: dict[str, DatasetSection] = Field(default_factory=dict)
    sources: dict[str, SourceSection] = Field(default_factory=dict)
    approvers: Annotated[dict[str, Annotated[list[_Person], Field(min_length=1)]], AfterValidator(named)] = Field(
        default_factory=dict
    )
    policies: GeneralPoliciesSection = Field(default_factory=GeneralPoliciesSection)
    templates: Annotated[dict[str, TemplateSection], AfterValidator(named)] = Field(default_factory=dict)
    parameters: dict[str, Annotated[Scalar, PlainValidator(_scalar)]] = Field(default_factory=dict)


def read_config(root: Path) -> Config:
    """Read and check the headgate.toml of a project's folder.

    Raises:
        UsageError: There is none, it is not TOML, or a key is unknown or has a value that cannot be.
    """
    document = read_document(root)
    try:
        config = Config.model_validate(document.values)
    except ValidationError as error:
        details = error.errors(include_url=False)
        # A key that is spelled wrong is missing, too, and says more.
        order = {"extra_forbidden": 0, "missing": 2}
        first = min(details, key=lambda detail: (document.line(_key(detail)), order.get(detail["type"], 1)))
        raise _refused(document, first) from None
    paths(root, document)
    if not config.project.name:
        named = config.project.model_copy(update={"name": root.resolve().name})
        config = config.model_copy(update={"project": named})
    return config


def _key(detail: ErrorDetails) -> tuple[str, ...]:
    """Return the key that is wrong; of a table with a name that cannot be it is that name's."""
    loc = tuple(part for part in detail["loc"] if isinstance(part, str))
    return (*loc, detail["ctx"]["name"]) if detail["type"] == "name" else loc


def _refused(document: Document, detail: ErrorDetails) -> UsageError:
    if detail["type"] == "extra_forbidden":
        return _unknown(document, _key(detail))
    if detail["type"] == "name":
        return document.refuse(_key(detail), detail["msg"], hint=detail["ctx"]["hint"])
    whole = detail["loc"]
    at = next((number for number, part in enumerate(whole) if isinstance(part, int)), len(whole))
    key, entry = tuple(map(str, whole[:at])), ""
    if at < len(whole):
        inner = ".".join(map(str, whole[at + 1 :]))
        entry = f"entry {int(whole[at]) + 1}{': ' if inner else ''}{inner} "
    if detail["type"] == "missing":
        return document.refuse(key, f"{entry}is missing")
    hint = detail.get("ctx", {}).get("hint", "")
    return document.refuse(key, f"{entry}{_demand(detail)}, got {_shown_value(detail['input'])}", hint=hint)


def _unknown(document: Document, key: tuple[str, ...]) -> UsageError:
    *above, last = key
    fields = [field.alias or name for name, field in _table(above).model_fields.items()]
    close = get_close_matches(last, fields, n=1)
    hint = f"Did you mean {close[0]}?" if close else f"There are {', '.join(fields)}."
    place = f"[{'.'.join(part if part.isidentifier() else shown(part) for part in above)}]" if above else FILE_NAME
    return document.refuse(key, f"is unknown in {place}", hint=_MOVED.get(key, hint))


def _table(key: list[str]) -> type[BaseModel]:
    """Return the section that describes a table of headgate.toml."""
    section: Any = Config
    for part in key:
        section = _inner(get_args(section)[1] if get_origin(section) is dict else section.model_fields[part].annotation)
    return cast("type[BaseModel]", section)


def _inner(annotation: Any) -> Any:
    """Return what an annotation is about, without None, the checks of its values, and that it is a list."""
    while get_origin(annotation) in {Annotated, Union, UnionType, list}:
        annotation = get_args(annotation)[0]
    return annotation


def _demand(detail: ErrorDetails) -> str:
    limits = detail.get("ctx", {})
    match detail["type"]:
        case "int_type":
            return "must be a whole number"
        case "float_type" | "finite_number":
            return "must be a number"
        case "string_type":
            return "must be text"
        case "list_type":
            return "must be a list"
        case "model_type" | "model_attributes_type" | "dict_type":
            return "must be a table"
        case "greater_than_equal":
            return f"must be at least {limits['ge']:.12g}"
        case "less_than_equal":
            return f"must be at most {limits['le']}"
        case "string_too_short":
            return "must not be empty"
        case "string_too_long":
            return f"must have at most {limits['max_length']} characters"
        case "too_short":
            return f"must have at least {limits['min_length']} entry"
        case _:
            return detail["msg"]


def _shown_value(value: object) -> str:
    match value:
        case str():
            return f"the text {shown(value)}"
        case bool():
            return str(value).lower()
        case int():
            return str(value) if abs(value) < 10**40 else "a number of more than 40 digits"
        case float():
            return str(value)
        case list():
            return "a list" if value else "an empty list"
        case dict():
            return "a table"
        case _:
            return shown(str(value))
