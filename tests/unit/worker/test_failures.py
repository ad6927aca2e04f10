from __future__ import annotations

import errno
import http.client
import socket
import urllib.error
from email.message import Message

import duckdb
import pytest

import headgate
from headgate.errors import UnavailableError
from headgate.model.policy import FailureMode
from headgate.model.run import ErrorClass
from headgate.worker.failures import AttemptError, failed


class Offered(Exception):
    class Inner(Exception): ...


class Derived(Offered): ...


def library_error(name: str, module: str, base: type[Exception] = Exception) -> Exception:
    return type(name, (base,), {"__module__": module})("no answer")


@pytest.mark.parametrize(
    ("error", "error_class"),
    [
        (ConnectionResetError(), "transient"),
        (BrokenPipeError(), "transient"),
        (TimeoutError(), "transient"),
        (UnavailableError("down"), "transient"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "transient"),
        (OSError(errno.ESTALE, "Stale file handle"), "transient"),
        (OSError(errno.ENOSPC, "No space left on device"), "resource"),
        (OSError(errno.EACCES, "Permission denied"), "permanent"),
        (MemoryError(), "resource"),
        (duckdb.OutOfMemoryException("full"), "resource"),
        (duckdb.BinderException("column"), "permanent"),
        (http.client.RemoteDisconnected("closed"), "transient"),
        (http.client.IncompleteRead(b""), "transient"),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), "transient"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "permanent"),
        (urllib.error.URLError(ConnectionRefusedError(errno.ECONNREFUSED, "refused")), "transient"),
        (urllib.error.URLError(socket.gaierror(socket.EAI_NONAME, "Name or service not known")), "permanent"),
        (urllib.error.URLError("unknown url type"), "permanent"),
        (urllib.error.HTTPError("http://x", 404, "Not Found", Message(), None), "permanent"),
        (library_error("ConnectionError", "requests.exceptions", OSError), "transient"),
        (library_error("ReadTimeout", "httpx", type(library_error("TransportError", "httpx"))), "transient"),
        (library_error("ConnectionError", "mine"), "permanent"),
        (ExceptionGroup("two", [ConnectionResetError(), ExceptionGroup("one", [TimeoutError()])]), "transient"),
        (ExceptionGroup("two", [ConnectionResetError(), ValueError()]), "permanent"),
        (ValueError(), "permanent"),
    ],
)
def test_what_exceptions_mean(error, error_class):
    outcome = failed(5, error)
    assert (outcome.attempt, outcome.error_class, outcome.hint) == (5, error_class, "")


@pytest.mark.parametrize(
    ("name", "error", "matches"),
    [
        ("Offered", Offered(), True),
        (f"{__name__}.Offered", Offered(), True),
        ("Offered", Derived(), True),
        ("Derived", Offered(), False),
        ("Inner", Offered.Inner(), True),
        ("Offered.Inner", Offered.Inner(), True),
        (f"{__name__}.Offered.Inner", Offered.Inner(), True),
        ("Exception", Offered(), True),
        ("builtins.Exception", Offered(), True),
        ("elsewhere.Offered", Offered(), False),
        ("ffered", Offered(), False),
        ("duckdb.Error", duckdb.BinderException("x"), True),
        ("duckdb.BinderException", duckdb.BinderException("x"), True),
        ("requests.HTTPError", library_error("HTTPError", "requests.exceptions"), True),
        ("requests.exceptions.HTTPError", library_error("HTTPError", "requests.exceptions"), True),
        ("request.HTTPError", library_error("HTTPError", "requests.exceptions"), False),
        ("Offered", ExceptionGroup("both", [ValueError(), Derived()]), True),
    ],
)
def test_which_exceptions_a_mode_is_about(name, error, matches):
    outcome = failed(5, error, [FailureMode(name, ErrorClass.DATA, "Look.")])
    assert (outcome.error_class, outcome.hint) == (("data", "Look.") if matches else ("permanent", ""))


@pytest.mark.parametrize("kind", [Offered, Offered.Inner, duckdb.BinderException, KeyError, headgate.UsageError])
def test_a_mode_made_from_a_class_is_about_that_class(kind):
    mode = headgate.failure(kind, "data", "Look.")
    assert failed(5, kind("x"), [mode]).hint == "Look."


def test_the_first_mode_that_matches_counts():
    modes = [
        FailureMode("Offered", ErrorClass.TRANSIENT, "Wait.", "busy"),
        FailureMode("Derived", ErrorClass.RESOURCE, "Buy."),
        FailureMode("Offered", ErrorClass.DATA, "Look."),
    ]
    assert failed(1, Derived("is busy"), modes).hint == "Wait."
    assert failed(1, Derived("Busy"), modes).hint == "Buy."
    assert failed(1, Offered("Busy"), modes).hint == "Look."


def test_a_mode_goes_before_what_the_error_itself_says():
    error = headgate.UsageError("the value 7", hint="use 8")
    assert failed(1, error).hint == "use 8"
    assert failed(1, error, [FailureMode("UsageError", ErrorClass.DATA, "Look.")]).hint == "Look."
    ours = AttemptError(ErrorClass.RESOURCE, "no room", hint="make some")
    outcome = failed(1, ours, [FailureMode("Exception", ErrorClass.DATA, "Look.")])
    assert (outcome.error_class, outcome.hint) == ("resource", "make some")
