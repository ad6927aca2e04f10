from __future__ import annotations

import hashlib
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import headgate
from headgate.model.version import File
from headgate.project.landing import Missing, absolute, observe, source_path
from headgate.project.seen_files import SeenFiles

DAYS = headgate.daily("2024-01-01", "2024-01-04")
FAR = 4_000_000_000_000


def look(root, source):
    grid = source.partitioning.grid(FAR)
    return [found for _, found in observe(root, source, grid, range(grid.size), SeenFiles(root / "seen"))]


def test_files_are_observed_with_the_hash_of_their_bytes(tmp_path):
    source = headgate.source("a", path="in/{key}.csv", partitions=DAYS)
    (tmp_path / "in").mkdir()
    big = os.urandom(3_000_000)
    (tmp_path / "in/2024-01-01.csv").write_bytes(b"a,b\n1,2\n")
    (tmp_path / "in/2024-01-03.csv").write_bytes(big)
    grid = DAYS.grid(FAR)
    assert list(observe(tmp_path, source, grid, [2, 0], SeenFiles(tmp_path / "seen"))) == [
        (2, File("in/2024-01-03.csv", -1, 3_000_000, "sha256:" + hashlib.sha256(big).hexdigest())),
        (0, File("in/2024-01-01.csv", -1, 8, "sha256:" + hashlib.sha256(b"a,b\n1,2\n").hexdigest())),
    ]
    assert source_path(tmp_path, source, grid, 1) == str(tmp_path / "in/2024-01-02.csv")


def test_a_file_landed_again_with_its_old_size_and_time_is_seen(tmp_path):
    source = headgate.source("a", path="a.csv")
    file = tmp_path / "a.csv"
    file.write_text("x\n1\n")
    before, stat = look(tmp_path, source), file.stat()
    file.write_text("x\n2\n")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert look(tmp_path, source) != before


def test_what_is_missing_says_which_file_and_why(tmp_path):
    def why(path):
        (found,) = look(tmp_path, headgate.source("a", path=path))
        assert isinstance(found, Missing)
        return found.text

    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    assert why("a.csv") == "a.csv: there is no such file"
    assert why("folder.csv") == "folder.csv: not a regular file"
    assert why("pipe.csv") == "pipe.csv: not a regular file"
    assert why("file/a.csv") == "file/a.csv: Not a directory"
    assert why("loop.csv").startswith("loop.csv: Too many levels of symbolic links")
    assert why("x" * 300 + ".csv").endswith("File name too long")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path):
    (tmp_path / "a.csv").write_text("x")
    (tmp_path / "a.csv").chmod(0)
    assert look(tmp_path, headgate.source("a", path="a.csv")) == [Missing("a.csv: Permission denied")]


def test_absolute_paths_and_addresses_stay(tmp_path):
    file = tmp_path / "elsewhere.csv"
    file.write_text("x")
    (found,) = look(tmp_path / "project", headgate.source("a", path=str(file)))
    assert found.path == str(file)
    assert absolute(tmp_path, str(file)) == str(file)
    assert absolute(tmp_path, "a/b.csv") == str(tmp_path / "a/b.csv")
    assert absolute(tmp_path, "https://example.org/a.csv") == "https://example.org/a.csv"


BODY = b"a,b\n1,2\n"


class Handler(BaseHTTPRequestHandler):
    def answer(self):
        name = self.path.strip("/").removesuffix(".csv")
        if name == "gone" or (name == "no_head" and self.command == "HEAD"):
            self.send_error(404 if name == "gone" else 405)
            return
        self.send_response(200)
        if name == "etag":
            self.send_header("ETag", '"v1"')
        if name == "modified":
            self.send_header("Last-Modified", "Wed, 21 Oct 2015 07:28:00 GMT")
        self.send_header("Content-Length", str(len(BODY) + (1 if name == "cut" else 0)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(BODY)

    do_HEAD = do_GET = answer

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_addresses_are_asked_what_they_hold(tmp_path, server):
    keys = ["etag", "modified", "plain", "no_head", "gone", "cut"]
    source = headgate.source("a", path=server + "/{key}.csv", partitions=headgate.static(keys))
    found = dict(zip(keys, look(tmp_path, source), strict=True))
    hashed = "sha256:" + hashlib.sha256(BODY).hexdigest()
    assert found == {
        "etag": File(f"{server}/etag.csv", -1, 8, 'etag:"v1"'),
        "modified": File(f"{server}/modified.csv", -1, 8, "etag:Wed, 21 Oct 2015 07:28:00 GMT/8"),
        "plain": File(f"{server}/plain.csv", -1, 8, hashed),
        "no_head": File(f"{server}/no_head.csv", -1, 8, hashed),
        "gone": Missing(f"{server}/gone.csv: HTTP 404 Not Found"),
        "cut": Missing(f"{server}/cut.csv: the server sent 8 of 9 bytes"),
    }


def test_a_server_that_is_not_there_is_missing_with_the_reason(tmp_path, server):
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as other:
        port = other.server_port
    (found,) = look(tmp_path, headgate.source("a", path=f"http://127.0.0.1:{port}/a.csv"))
    assert isinstance(found, Missing)
    assert "Connection refused" in found.text
    (found,) = look(tmp_path, headgate.source("a", path="http://[::bad/a.csv", format="csv"))
    assert isinstance(found, Missing)


def test_nobody_waits_for_the_answers_that_are_not_wanted_any_more(tmp_path, server):
    source = headgate.source("a", path=server + "/{key}.csv", partitions=headgate.static(["etag", "gone"]))
    answers = observe(tmp_path, source, source.partitioning.grid(FAR), [0, 1], SeenFiles(tmp_path / "seen"))
    assert isinstance(next(answers)[1], File)
    answers.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ThreadPoolExecutor")]
