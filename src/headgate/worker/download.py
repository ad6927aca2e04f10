"""Fetching input files that lie behind a URL."""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import msgspec

from headgate.model.run import ErrorClass
from headgate.project.landing import version_named
from headgate.worker.failures import AttemptError, text_of
from headgate.worker.pinned import changed, check_digest, check_size

if TYPE_CHECKING:
    from pathlib import Path

    from headgate.worker.messages import FilePin

SILENCE_S = 60.0
CHUNK_BYTES = 1024 * 1024


def download(file: FilePin, target: Path) -> FilePin:
    """Fetch a pinned file into a new file.

    Args:
        file: A file whose path is an http(s) URL; its hash may be ``etag:`` with the ETag or the date of change.
        target: A path that does not exist.

    Returns:
        The pin with the path of the new file and its size.

    Raises:
        AttemptError: It cannot be fetched (transient), is gone or another one now (data).
    """
    # The scheme is http or https: the caller looked.
    try:
        with urllib.request.urlopen(file.path, timeout=SILENCE_S) as response, target.open("xb") as sink:  # noqa: S310
            size, digest = 0, hashlib.sha256()
            while chunk := response.read(CHUNK_BYTES):
                size += sink.write(chunk)
                digest.update(chunk)
            headers = response.headers
    except urllib.error.HTTPError as error:
        error.close()
        passing = error.code >= 500 or error.code in {408, 425, 429}
        error_class = ErrorClass.TRANSIENT if passing else ErrorClass.DATA
        raise AttemptError(error_class, f"{file.path} cannot be fetched: {error.code} {error.reason}") from error
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise AttemptError(ErrorClass.TRANSIENT, f"{file.path} cannot be fetched: {text_of(error)}") from error
    except ValueError as error:
        raise AttemptError(ErrorClass.DATA, f"{file.path} is no address: {text_of(error)}") from error
    promised = headers.get("Content-Length")
    if promised is not None and int(promised) != size:
        raise AttemptError(ErrorClass.TRANSIENT, f"{file.path} broke off after {size} of {promised} bytes")
    tag = version_named(headers)
    known = file.hash.removeprefix("etag:") if file.hash.startswith("etag:") else ""
    if known and tag != known:
        raise changed(f"{file.path} changed since the plan: its tag is {tag or 'gone'} instead of {known}")
    check_size(file, size)
    check_digest(file, digest.hexdigest())
    return msgspec.structs.replace(file, path=str(target), bytes=size)
