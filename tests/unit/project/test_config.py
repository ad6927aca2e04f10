from __future__ import annotations

import subprocess
import sys

import pytest

from headgate import UsageError
from headgate.project.config import read_config
from headgate.project.places import paths, read_document

TEXT = """\
# a comment with workers.processes = 0
[project]
name = "flights"
modules = ["pipeline", "dims.airports"]

[state]
path = "state/state.db"
[data]
path = "/srv/data"
[workers]
processes = 3
io_concurrency = 50
heartbeat_timeout_s = 12
[parameters]
limit = 10
rate = 0.5
fast = true
text = "x"
"""


@pytest.fixture
def write(tmp_path):
    def write(text):
        (tmp_path / "headgate.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path

    return write


def test_every_key(write):
    config = read_config(write(TEXT))
    assert config.project.name == "flights"
    assert config.project.modules == ["pipeline", "dims.airports"]
    workers = config.workers
    assert (workers.processes, workers.io_concurrency) == (3, 50)
    assert workers.heartbeat_timeout_s == 12
    assert config.parameters == {"limit": 10, "rate": 0.5, "fast": True, "text": "x"}
    assert config.parameters["fast"] is True


def test_an_empty_file_means_the_defaults(write):
    root = write("")
    config = read_config(root)
    assert config.project.name == root.name
    assert config.project.modules == ["pipeline"]
    assert config.workers.processes >= 1
    assert config.parameters == {}
    assert (config.classes, config.pools, config.owners, config.datasets) == ({}, {}, {}, {})
    assert paths(root).state == root.resolve() / ".headgate/state.db"
    assert paths(root).data == root.resolve() / "data"


def test_paths_are_absolute_or_relative_to_the_project(write):
    root = write(TEXT)
    assert paths(root).state == root.resolve() / "state/state.db"
    assert str(paths(root).data) == "/srv/data"


def test_a_byte_order_mark_is_no_mistake(write):
    assert read_config(write(b"\xef\xbb\xbf[project]\nname = 'a'")).project.name == "a"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("[workers]\nprocesses = 0", "headgate.toml:2: workers.processes must be at least 1, got 0", ""),
        ("workers.processes = 0", "headgate.toml:1: workers.processes must be at least 1, got 0", ""),
        ("\nworkers = { processes = 0 }", "headgate.toml:2: workers.processes must be at least 1, got 0", ""),
        ("[workers]\n\nprocesses = 9999", "headgate.toml:3: workers.processes must be at most 1024, got 9999", ""),
        (
            "[workers]\nprocesses = '4'",
            "headgate.toml:2: workers.processes must be a whole number, got the text '4'",
            "",
        ),
        ("[workers]\nprocesses = true", "headgate.toml:2: workers.processes must be a whole number, got true", ""),
        ("[workers]\nprocesses = 1.5", "headgate.toml:2: workers.processes must be a whole number, got 1.5", ""),
        (
            "[workers]\nheartbeat_timeout_s = nan",
            "headgate.toml:2: workers.heartbeat_timeout_s must be a number, got nan",
            "",
        ),
        ("[workers]\nheartbeat_timeout_s = []", "workers.heartbeat_timeout_s must be a number, got an empty list", ""),
        (
            "[workers]\nprocesess = 2",
            "headgate.toml:2: workers.procesess is unknown in [workers]",
            "Did you mean processes?",
        ),
        ("[project]\nx = 2", "headgate.toml:2: project.x is unknown in [project]", "There are name, modules."),
        ("[porject]\nname = 'a'", "headgate.toml:1: porject is unknown in headgate.toml", "Did you mean project?"),
        ("workers = 3", "headgate.toml:1: workers must be a table, got 3", ""),
        ("[[workers]]\nprocesses = 3", "headgate.toml:1: workers must be a table, got a list", ""),
        ("[project]\nname = 3", "headgate.toml:2: project.name must be text, got 3", ""),
        ("[project]\nname = '" + "x" * 101 + "'", "project.name must have at most 100 characters, got the text", ""),
        ("[project]\nmodules = 'pipeline'", "project.modules must be a list, got the text 'pipeline'", ""),
        ("[project]\nmodules = []", "project.modules must have at least 1 entry, got an empty list", ""),
        (
            "[project]\nmodules = ['a', 'b.py-x']",
            "headgate.toml:2: project.modules entry 2 must name a Python module",
            "",
        ),
        ("[project]\nmodules = [3]", "project.modules entry 1 must name a Python module", ""),
        (
            "[parameters]\na = 1\nb = [1]",
            "headgate.toml:3: parameters.b must be text, a number or true/false, got a list",
            "",
        ),
        (
            "[parameters.b]\nc = 1",
            "headgate.toml:1: parameters.b must be text, a number or true/false, got a table",
            "",
        ),
        ("[parameters]\nb = 2024-01-01", "parameters.b must be text, a number or true/false, got '2024-01-01'", ""),
        (
            "[parameters]\nb = 9223372036854775808",
            "parameters.b does not fit into 64 bits, got 9223372036854775808",
            "",
        ),
        ("[parameters]\n'b c' = []", "headgate.toml:2: parameters.'b c' must be", ""),
        ("[project\nname = 3", "headgate.toml:1: not TOML in column 9: Expected ']'", ""),
        ("[project]\nname = \nmodules = []", "headgate.toml:2: not TOML in column 8: Invalid value", ""),
        (
            "[project]\nname = 'a'\nname = 'b'",
            "headgate.toml:3: not TOML",
            "",
        ),
        ("a = [", "headgate.toml:1: not TOML: Invalid value", ""),
        (b"[project]\nname = '\xff'", "headgate.toml:2: not UTF-8 text", "Save the file as UTF-8."),
        ("a = " + "[" * 5000, "headgate.toml:1: nested too deeply", ""),
        ("[state]\npath = 3", "headgate.toml:2: state.path must be text, got 3", ""),
        ("[state]\npath = ''", "headgate.toml:2: state.path is no path: ''", ""),
        ('[data]\npath = "a\\u0000b"', "headgate.toml:2: data.path is no path: 'a\\x00b'", ""),
        ("[data]\npath = '.'", "headgate.toml:2: data.path is '", "Keep the data in a folder of its own."),
        ("[state]\npath = 'data/state.db'", "which holds the state", "Keep the data in a folder of its own."),
        ("[state]\npath = 'data'", "which holds the state", "Keep the data in a folder of its own."),
    ],
)
def test_mistakes_are_named_with_their_line(write, text, message, hint):
    with pytest.raises(UsageError) as caught:
        read_config(write(text))
    assert message in caught.value.message
    assert caught.value.hint == hint
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("text", ["state = 3", "[state]\npath = 3", "[data]\npath = '.'", "a = "])
def test_the_paths_alone_are_checked_too(write, text):
    with pytest.raises(UsageError, match=r"headgate\.toml:[12]: "):
        paths(write(text))


def test_the_first_mistake_in_the_file_is_named(write):
    with pytest.raises(UsageError, match=r"headgate\.toml:2: workers.io_concurrency"):
        read_config(write("[workers]\nio_concurrency = 0\nprocesses = 0\n"))


def test_a_folder_without_headgate_toml(tmp_path):
    with pytest.raises(UsageError) as caught:
        read_config(tmp_path)
    assert caught.value.message == f"there is no headgate.toml in {tmp_path}"
    assert "headgate init" in caught.value.hint
    with pytest.raises(UsageError, match="there is no headgate"):
        paths(tmp_path / "nowhere")


def test_a_headgate_toml_that_cannot_be_read(tmp_path):
    (tmp_path / "headgate.toml").mkdir()
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        read_config(tmp_path)


def test_the_line_of_a_key_in_quotes_and_of_nested_tables(write):
    document = read_document(write('[a."b c"]\nd . "e" = 1\n# f = 2\n[a]\nf=2\n'))
    assert document.line(("a", "b c", "d", "e")) == 2
    assert document.line(("a", "f")) == 5
    assert document.line(("a", "g")) == 4
    assert document.line(("z",)) == 1


def test_a_table_without_a_line_of_its_own_begins_with_its_first_key(write):
    document = read_document(write('[b]\n["x]y".z]\nd = 1\n[a."b c"]\ne = 1\n'))
    assert document.line(("a",)) == 4
    assert document.line(("x]y", "q")) == 2
    assert document.line(("x]y", "z", "d")) == 3


def test_paths_need_no_pydantic(write):
    code = "import sys; from pathlib import Path; from headgate.project.places import paths; paths(Path(sys.argv[1]))"
    code += "; sys.exit('pydantic' in sys.modules or 'numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code, str(write(""))], check=True)
