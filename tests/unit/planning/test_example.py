from __future__ import annotations

import pytest

from headgate.planning.example import example_of


@pytest.mark.parametrize(
    ("pattern", "example"),
    [
        ("OPS-[0-9]+", "OPS-123"),
        (r"OPS-\d+", "OPS-123"),
        (r"^OPS-\d{4}\b", "OPS-1234"),
        (r"\[[A-Z]{2,}-\d+\]", "[AB-123]"),
        ("(OPS|FIN)-[0-9]+", "OPS-123"),
        ("(?:OPS|FIN)(?P<n>-[0-9]+)", "OPS-123"),
        ("OPS|FIN", "OPS"),
        ("(?i)ops-[0-9]+", "ops-123"),
        (r"[A-Z]+-[\d]+", "ABC-123"),
        ("#[1-9][0-9]*", "#1123"),
        ("gh-?[xyz]", "gh-x"),
        ("JIRA", "JIRA"),
        (r"OPS-\d{12}", "OPS-123456789012"),
        # Not simple.
        ("[^a]", ""),
        ("(?=OPS)FIN", ""),
        (r"OPS-\d{500}", ""),
        (r"(a)\1", ""),
    ],
)
def test_an_example_matches_or_there_is_none(pattern: str, example: str) -> None:
    assert example_of(pattern) == example
