from __future__ import annotations

import pytest

from headgate.errors import UsageError
from headgate.model.names import MAX_KEY_BYTES, MAX_NAME_BYTES, check_dataset_name, check_static_key, shown

BAD = [
    "",
    " ",
    ".",
    "..",
    "../a",
    "a/../b",
    "a/b",
    "a\\b",
    "/etc/passwd",
    "a\0",
    "a\n",
    "\na",
    "a\r",
    "a b",
    "a'b",
    'a"b',
    "a`b",
    "a;b",
    "a%2e",
    "-a",
    "--yes",
    "é",
    "😀",
    "a\u202eb",
    "\ud800",
    "a" * 300,
    "😀" * 75,
    None,
    1,
    b"a",
]


@pytest.mark.parametrize("text", [*BAD, "a.b", "a-b", "1a", "a+", "+a", "a@b", "٣"], ids=lambda text: ascii(text)[:40])
def test_what_cannot_name_a_dataset_is_refused(text: object) -> None:
    with pytest.raises(UsageError) as caught:
        check_dataset_name(text)
    assert caught.value.message.isprintable()
    assert caught.value.message.isascii()
    assert len(caught.value.message) < 200


@pytest.mark.parametrize("text", [*BAD, "a..b", ".a", "_a", "=a", "+a", "@a", "٣"], ids=lambda text: ascii(text)[:40])
def test_what_cannot_be_a_key_is_refused(text: object) -> None:
    with pytest.raises(UsageError) as caught:
        check_static_key(text)
    assert caught.value.message.isprintable()
    assert caught.value.message.isascii()
    assert len(caught.value.message) < 200


@pytest.mark.parametrize("text", ["a", "_a", "A1_", "flights_weather", "a" * MAX_NAME_BYTES])
def test_identifiers_name_datasets(text: str) -> None:
    assert check_dataset_name(text) == text


@pytest.mark.parametrize("text", ["a", "1", "JFK", "eu-west-1", "a.b", "a=b", "x@y+z", "a_", "a" * MAX_KEY_BYTES])
def test_plain_texts_are_keys(text: str) -> None:
    assert check_static_key(text) == text


def test_text_is_shown_short_and_escaped() -> None:
    assert shown("a\n'😀") == '"a\\n\'\\U0001f600"'
    assert shown("a" * 60) == repr("a" * 60)
    assert shown("a" * 61) == repr("a" * 57 + "...")
    assert len(shown("😀" * 1000)) == 62
