"""Looks at the files of sources: where each partition's file lies, and what is in it now.

A local file is read in full and hashed, unless `seen_files` knows what it holds. Its size and time of writing are not
trusted: a file that is landed again with its old time (`cp -p`, `rsync -t`) would pass for unchanged.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from headgate.model.version import File
from headgate.project.pattern import is_url, parse_pattern
from headgate.project.seen_files import Seen, state_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from email.message import Message
    from http.client import HTTPResponse
    from pathlib import Path

    from headgate.model.dataset import Source
    from headgate.model.grid import Grid
    from headgate.project.seen_files import SeenFiles

PROBE_TIMEOUT_S = 20
PROBES_AT_A_TIME = 16
_CHUNK_BYTES = 1 << 20
_HEAD_REFUSED = {403, 405, 501}


@dataclass(frozen=True, slots=True)
class Missing:
    """A partition of a source whose file is not there or cannot be read, and why."""

    text: str


def source_path(root: Path, source: Source, grid: Grid, index: int) -> str:
    """Return where the file of a partition lies: an absolute path, or a URL."""
    return absolute(root, parse_pattern(source.pattern, source.partitioning).path(grid, index))


def absolute(root: Path, path: str) -> str:
    """Return the absolute path of a source's file as its pattern gives it; a URL stays as it is."""
    return path if is_url(path) else str(root / path)


def observe(
    root: Path, source: Source, grid: Grid, indices: Iterable[int], seen: SeenFiles
) -> Iterator[tuple[int, File | Missing]]:
    """Yield what the files of partitions are now, in the order asked for. Never raises for a file.

    Args:
        root: The project's folder.
        source: The source.
        grid: Its grid.
        indices: The partitions.
        seen: What is known of files from earlier looks; what is read is noted there.
    """
    pattern = parse_pattern(source.pattern, source.partitioning)
    located = ((index, pattern.path(grid, index)) for index in map(int, indices))
    if not is_url(source.pattern):
        for index, path in located:
            yield index, _look_at(root, path, seen)
        return
    pool = ThreadPoolExecutor(PROBES_AT_A_TIME)
    try:
        waiting = deque((index, pool.submit(_probe, path)) for index, path in located)
        while waiting:
            index, probe = waiting.popleft()
            yield index, probe.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _look_at(root: Path, path: str, seen: SeenFiles) -> File | Missing:
    full = root / path
    try:
        at_ns, status = seen.now_ns(), full.stat()
        # Opening a pipe would wait for somebody to write to it.
        if not stat.S_ISREG(status.st_mode):
            return Missing(f"{path}: not a regular file")
        state = state_of(status)
        if known := seen.hash_of(str(full), state):
            return File(path, -1, state.size, known)
        with full.open("rb", buffering=0) as opened:
            hashed, size = _hash(opened)
            # Otherwise somebody has written to it, or put another file there, meanwhile.
            if state_of(os.fstat(opened.fileno())) == state:
                seen.note(str(full), Seen(state, at_ns, hashed))
    except FileNotFoundError:
        return Missing(f"{path}: there is no such file")
    except (OSError, ValueError) as error:
        return Missing(f"{path}: {getattr(error, 'strerror', None) or error}")
    return File(path, -1, size, hashed)


def _probe(url: str) -> File | Missing:
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError

    try:
        try:
            return _ask(url, "HEAD")
        except HTTPError as error:
            error.close()
            if error.code not in _HEAD_REFUSED:
                raise
            return _ask(url, "GET")
    except HTTPError as error:
        error.close()
        return Missing(f"{url}: HTTP {error.code} {error.reason}")
    except URLError as error:
        return Missing(f"{url}: {error.reason}")
    except (OSError, HTTPException, ValueError) as error:
        return Missing(f"{url}: {str(error) or type(error).__name__}")


def _ask(url: str, method: str) -> File:
    """Return what a server says of a file; where it names no version of it, the file is read and hashed."""
    from urllib.request import Request, urlopen

    with urlopen(Request(url, method=method), timeout=PROBE_TIMEOUT_S) as response:  # noqa: S310
        named = version_named(response.headers)
        length = int(response.headers.get("Content-Length") or -1)
        if named:
            return File(url, -1, length, f"etag:{named}")
        if method == "GET":
            hashed, size = _hash(response)
            if length not in {-1, size}:
                raise OSError(f"the server sent {size} of {length} bytes")
            return File(url, -1, size, hashed)
    return _ask(url, "GET")


def version_named(headers: Message) -> str:
    """Return what the headers of an answer say about which version of a file it is; empty if they say nothing."""
    etag: str | None = headers.get("ETag")
    modified: str | None = headers.get("Last-Modified")
    if etag:
        return etag
    return f"{modified}/{headers.get('Content-Length', '')}" if modified else ""


def _hash(stream: BinaryIO | HTTPResponse) -> tuple[str, int]:
    digest = hashlib.sha256()
    size = 0
    while chunk := stream.read(_CHUNK_BYTES):
        digest.update(chunk)
        size += len(chunk)
    return f"sha256:{digest.hexdigest()}", size
