"""Texts that match a regular expression, for hints: people know patterns by what they look like."""

from __future__ import annotations

import re
from itertools import islice

_FLAGS = re.compile(r"\(\?[aiLmsux]+\)")
_INNERMOST = re.compile(r"\((?:\?:|\?P<\w+>)?([^()|]*)(?:\|[^()]*)?\)")
"""A group without groups inside; its first alternative."""
_STEP = re.compile(r"(\[[^\]^][^\]]*\]|\\.|[^\\\[])([+*?]|\{(\d+)(?:,\d*)?\})?")
_LETTERS = {r"\d": "1234567890", r"\w": "abcdefghij", r"\s": " ", ".": "abcdefghij", "[0-9]": "1234567890"}
_MANY = 3
"""Of what may stand any number of times stand so many."""
_MOST = 40


def example_of(pattern: str) -> str:
    """Return a text that matches, such as OPS-123 for ``OPS-[0-9]+``; empty where the pattern is not simple."""
    left, groups = _FLAGS.sub("", pattern), 1
    while groups:
        left, groups = _INNERMOST.subn(r"\1", left)
    branch = left.split("|")[0]
    if _STEP.sub("", branch):
        return ""
    text = "".join(_some(*step.groups()) for step in _STEP.finditer(branch))
    return text if len(text) <= _MOST and re.search(pattern, text) else ""


def _some(atom: str, quantifier: str | None, count: str | None) -> str:
    if atom in {"^", "$", r"\b", r"\A", r"\Z"}:
        return ""
    letters = _LETTERS.get(atom) or _of_class(atom)
    length = int(count) if count else _MANY if quantifier in {"+", "*"} else 1
    return "".join(islice(letters * min(length, _MOST), length))


def _of_class(atom: str) -> str:
    """Return the first letters of the first range of a class, or the one character that another atom stands for."""
    if not atom.startswith("["):
        return atom[-1]
    if atom[2:3] != "-":
        return _LETTERS.get(atom[1:3], atom[1])
    first, last = ord(atom[1]), ord(atom[3])
    return "".join(map(chr, range(first, min(first + 10, last + 1))))
