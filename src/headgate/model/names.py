"""Which names and keys are allowed.

Names end up in paths, SQL views, messages and web addresses, so what is allowed is short and strict, and
everything else is refused where it enters. Nothing downstream has to escape what cannot get in.
"""

from __future__ import annotations

import re

from headgate.errors import UsageError

MAX_NAME_BYTES = 100
MAX_KEY_BYTES = 200

_DATASET = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_STATIC_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=@+-]*")


def shown(text: str) -> str:
    """Return text as it can be printed in a message: escaped, cut to 60 characters, quoted."""
    escaped = ascii(text[:61])
    return escaped if len(escaped) <= 62 else f"{escaped[:58]}...{escaped[-1]}"


def shown_value(value: object) -> str:
    """Return a value of a wrong type as messages name it."""
    return f"the text {shown(value)}" if isinstance(value, str) else f"a {type(value).__name__}"


def check_dataset_name(name: object) -> str:
    """Return the name if it can name a dataset.

    Raises:
        UsageError: It is not an ASCII identifier of at most 100 bytes.
    """
    if not isinstance(name, str):
        raise UsageError(f"a dataset name must be text, got {type(name).__name__}")
    if len(name.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES:
        raise UsageError(
            f"dataset name {shown(name)} has more than {MAX_NAME_BYTES} bytes", hint="Choose a shorter name."
        )
    if not _DATASET.fullmatch(name):
        raise UsageError(
            f"{shown(name)} cannot name a dataset",
            hint="Use ASCII letters, digits and underscores, and start with a letter or underscore.",
        )
    return name


def check_static_key(key: object) -> str:
    """Return the key if it can be a static partition key.

    Raises:
        UsageError: It is not text, too long, or has characters outside letters, digits and ``._=@+-``.
    """
    if not isinstance(key, str):
        raise UsageError(f"a partition key must be text, got {type(key).__name__}")
    if len(key.encode("utf-8", "surrogatepass")) > MAX_KEY_BYTES:
        raise UsageError(f"partition key {shown(key)} has more than {MAX_KEY_BYTES} bytes")
    if not _STATIC_KEY.fullmatch(key) or ".." in key:
        raise UsageError(
            f"{shown(key)} cannot be a partition key",
            hint="Use ASCII letters, digits and ._=@+- (no '..'), and start with a letter or digit.",
        )
    return key
