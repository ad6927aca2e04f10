"""`mirror=` of `@headgate.dataset`: which values it takes, and of what."""

from __future__ import annotations

from typing import Any

import pytest

from headgate.errors import UsageError
from headgate.model.dataset import Mirror
from headgate.project.declare import dataset, take_declarations


def flights() -> dict[str, Any]:
    return {}


def announced() -> None:
    return None


def declared_mirror(function: Any, **options: Any) -> Mirror | None:
    take_declarations()
    dataset(**options)(function)
    (found,) = take_declarations()
    return found.mirror


def test_a_dataset_has_a_mirror_if_it_says_so() -> None:
    assert declared_mirror(flights, mirror="delta") is Mirror.DELTA
    assert declared_mirror(flights) is None
    assert declared_mirror(announced) is None


@pytest.mark.parametrize("given", ["iceberg", "", True, ["delta"]])
def test_there_is_one_kind_of_mirror(given: Any) -> None:
    with pytest.raises(UsageError, match="dataset flights: mirror is") as caught:
        declared_mirror(flights, mirror=given)
    assert caught.value.hint == 'Write mirror="delta".'


def test_what_makes_no_table_has_no_mirror() -> None:
    with pytest.raises(UsageError, match="dataset announced: mirror=delta is for datasets with files"):
        declared_mirror(announced, mirror="delta")
