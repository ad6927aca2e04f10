from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from headgate import UsageError
from headgate.project.fingerprint import CodeReader

PIPELINE = '''\
"""A pipeline."""
import headgate
import polars as pl
from headgate import dataset as ds
from math import floor as down
from tools import clean, LIMITS as limits
import tools
import package.deep as deep
from package import shallow
from stars import *

RATE = 3
UNRELATED = 4
A, (B, *C) = 1, (2, 3)
TABLE = {}
TABLE["x"] = 1
try:
    import fast
except ImportError:
    fast = None
PARTIAL = dict(f=lambda: used_by_constant())

def used_by_constant():
    return 1

class Row:
    """A row."""
    width: int = 3

    def area(self, rows=RATE):
        return self.width * method_helper(rows)

def method_helper(x):
    return x

def helper(x):
    # a comment
    return x + RATE

def mutual(x):
    return other(x - 1) if x else 0

def other(x):
    return mutual(x)

def unrelated():
    return UNRELATED

def decorate(f):
    return f

def lazily():
    from lazy import compute as c
    return c()

@ds(name="orders", timeout=3)
@decorate
def f(ctx, orders: pl.LazyFrame, unrelated=None):
    """Docs."""
    global TABLE
    unrelated = [helper for _ in range(A)]
    if fast:
        return mutual(3), Row(), PARTIAL, TABLE
    return clean(orders), limits, tools.scaled(2), deep.dive(), shallow.x, starred(), down(2.5), lazily()
'''

OTHERS = {
    "tools.py": """\
        from package.deep import dive
        LIMITS = [1, 2]
        FACTOR = 2
        def clean(x):
            return dive(x)
        def scaled(x):
            return x * FACTOR
        def never(x):
            return 1
        """,
    "package/__init__.py": "from .shallow_impl import shallow\n",
    "package/deep.py": "from . import constants\ndef dive(x): return constants.DEPTH\n",
    "package/constants.py": "DEPTH = 10\nHEIGHT = 10\n",
    "package/shallow_impl.py": "class shallow:\n    x = 1\n",
    "stars.py": "def starred(): return 1\n",
    "lazy.py": "def compute(): return 1\n",
}


@pytest.fixture
def write(tmp_path):
    def write(files):
        for name, text in files.items():
            file = tmp_path / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(textwrap.dedent(text))
        return tmp_path

    return write


@pytest.fixture
def fingerprint(write):
    write({"pipeline.py": PIPELINE, **OTHERS})

    def fingerprint(file=None, old=None, new=None, *, version=None):
        if file is not None:
            text = PIPELINE if file == "pipeline.py" else textwrap.dedent(OTHERS[file])
            assert text.count(old) >= 1
            write({file: text.replace(old, new)})
        return CodeReader(write({})).fingerprint("pipeline", "f", version)

    return fingerprint


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("pipeline.py", "# a comment", "# another one"),
        ("pipeline.py", "x + RATE", "(x   +  RATE)"),
        ("pipeline.py", '    """Docs."""\n', ""),
        ("pipeline.py", '"""A row."""', '"""A wide row."""'),
        ("pipeline.py", "return UNRELATED", "return  UNRELATED"),
        ("pipeline.py", "UNRELATED = 4", "UNRELATED = 5"),
        ("pipeline.py", "return UNRELATED", "return 7"),
        ("pipeline.py", '@ds(name="orders", timeout=3)', "@headgate.dataset(timeout=9, partitions=UNRELATED)"),
        ("pipeline.py", '@ds(name="orders", timeout=3)', "@ds"),
        ("pipeline.py", "RATE = 3", "\n\n\nRATE = 3"),
        ("tools.py", "return 1", "return 2"),
        ("package/constants.py", "HEIGHT = 10", "HEIGHT = 11"),
    ],
)
def test_what_does_not_change_what_the_code_does_keeps_the_fingerprint(fingerprint, file, old, new):
    before = fingerprint()
    assert fingerprint(file, old, new) == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("pipeline.py", "mutual(3)", "mutual(4)"),
        ("pipeline.py", "ctx, orders: pl.LazyFrame", "ctx, orders: pl.DataFrame"),
        ("pipeline.py", "@decorate\n", ""),
        ("pipeline.py", "    return f\n", "    return lambda: f\n"),
        ("pipeline.py", "x + RATE", "x - RATE"),
        ("pipeline.py", "RATE = 3", "RATE = 4"),
        ("pipeline.py", "A, (B, *C) = 1", "A, (B, *C) = 2"),
        ("pipeline.py", 'TABLE["x"] = 1', 'TABLE["x"] = 2'),
        ("pipeline.py", "fast = None", "fast = False"),
        ("pipeline.py", "import fast", "import faster as fast"),
        ("pipeline.py", "width: int = 3", "width: int = 4"),
        ("pipeline.py", "def method_helper(x):\n    return x", "def method_helper(x):\n    return -x"),
        ("pipeline.py", "def used_by_constant():\n    return 1", "def used_by_constant():\n    return 2"),
        ("pipeline.py", "return mutual(x)", "return mutual(x) + 1"),
        ("pipeline.py", "import floor as down", "import ceil as down"),
        ("pipeline.py", "import polars as pl", "import pandas as pl"),
        ("tools.py", "[1, 2]", "[1, 3]"),
        ("tools.py", "[1, 2]", "[1, True]"),
        ("tools.py", "FACTOR = 2", "FACTOR = 2.0"),
        ("tools.py", "return dive(x)", "return dive(x, x)"),
        ("package/constants.py", "DEPTH = 10", "DEPTH = 11"),
        ("package/shallow_impl.py", "x = 1", "x = 2"),
        ("stars.py", "return 1", "return 2"),
        ("lazy.py", "return 1", "return 2"),
    ],
)
def test_what_changes_what_the_code_does_changes_the_fingerprint(fingerprint, file, old, new):
    before = fingerprint()
    assert fingerprint(file, old, new) != before


def test_an_explicit_version_counts(fingerprint):
    assert len({fingerprint(), fingerprint(version="1"), fingerprint(version="2")}) == 3


def test_a_parameter_named_like_a_function_is_not_that_function(write):
    root = write({"pipeline.py": "def daily(x): return 1\ndef monthly(daily): return [d for d in daily]\n"})
    before = CodeReader(root).fingerprint("pipeline", "monthly", None)
    write({"pipeline.py": "def daily(x): return 2\ndef monthly(daily): return [d for d in daily]\n"})
    assert CodeReader(root).fingerprint("pipeline", "monthly", None) == before


def test_a_module_used_as_a_value_counts_as_a_whole(write):
    root = write({"pipeline.py": "import tools\ndef f(): return getattr(tools, 'x')\n", "tools.py": "x = 1\n"})
    before = CodeReader(root).fingerprint("pipeline", "f", None)
    write({"tools.py": "x = 2\n"})
    assert CodeReader(root).fingerprint("pipeline", "f", None) != before


def test_a_folder_without_init_is_a_package_too(write):
    root = write({"pipeline.py": "from space import tools\ndef f(): return tools.x\n", "space/tools.py": "x = 1\n"})
    before = CodeReader(root).fingerprint("pipeline", "f", None)
    write({"space/tools.py": "x = 2\n"})
    assert CodeReader(root).fingerprint("pipeline", "f", None) != before


def test_the_order_of_definitions_does_not_count(write):
    root = write({"pipeline.py": "A = 1\ndef g(): return A\ndef f(): return g()\n"})
    before = CodeReader(root).fingerprint("pipeline", "f", None)
    write({"pipeline.py": "def f(): return g()\ndef g(): return A\nA = 1\n"})
    assert CodeReader(root).fingerprint("pipeline", "f", None) == before


def test_both_imports_count_where_one_stands_in_for_the_other(write):
    code = "try:\n    from fast import g\nexcept ImportError:\n    from slow import g\ndef f(): return g()\n"
    root = write({"pipeline.py": code, "fast.py": "def g(): return 1\n", "slow.py": "def g(): return 1\n"})
    found = {CodeReader(root).fingerprint("pipeline", "f", None)}
    for name in ("fast.py", "slow.py"):
        write({name: "def g(): return 2\n"})
        found.add(CodeReader(root).fingerprint("pipeline", "f", None))
    assert len(found) == 3


def test_all_kinds_of_code_have_a_fingerprint(write):
    code = """\
        async def f(a, *, b=None):
            match a:
                case {"x": 1, **rest} | [1, *_] if (n := 3): yield None, ..., 1j, b"\\x00", -0.0, 0xff ** 5000
                case None: yield {**a, 1: 2}
            from ...above import x
            async with a as c, c.d: del a
            try: f"{a!r:>{b}}" "\\ud800"
            except* (ValueError, OSError) as e: raise e from None
        """
    found = CodeReader(write({"pipeline.py": code})).fingerprint("pipeline", "f", None)
    assert len(found) == 64


def test_a_broken_module_behind_a_late_import_is_named(write):
    root = write({"pipeline.py": "def f():\n    import tools\n    return tools.x\n", "tools.py": "x = \n"})
    with pytest.raises(UsageError, match=r"tools\.py:1: SyntaxError"):
        CodeReader(root).fingerprint("pipeline", "f", None)


def test_the_fingerprint_is_the_same_in_every_process(fingerprint, tmp_path):
    code = (
        "import sys; from pathlib import Path; from headgate.project.fingerprint import CodeReader;"
        "print(CodeReader(Path(sys.argv[1])).fingerprint('pipeline', 'f', None))"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    found = {
        subprocess.run(
            command, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert found == {fingerprint()}


def test_a_known_fingerprint_stays(write):
    """A change of this one makes everything stale that anybody has ever built."""
    code = "K = {1: [2.5, 'é', None]}\n@d\nasync def f(ctx, x: int = 3):\n    return await x(K)\n"
    found = CodeReader(write({"pipeline.py": code})).fingerprint("pipeline", "f", "1")
    assert found == "d4d406d70eed6b46b10c9506814a8590923661ce5d8027d20d3f0cb9f436dcc9"
