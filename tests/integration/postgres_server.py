"""A PostgreSQL server for the tests: its own data folder, no port, ended with the session."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path


def binaries() -> Path | None:
    """The folder of a server's programs; None if there is none on this machine."""
    folders = [*Path("/usr/lib/postgresql").glob("*/bin"), *map(Path, os.environ.get("PATH", "").split(os.pathsep))]
    return next((folder for folder in folders if (folder / "initdb").exists() and (folder / "pg_ctl").exists()), None)


class Server:
    """A running server, which only a socket in its folder leads to."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        # Its socket's path must be short. The server refuses to run as root.
        self.folder = Path(tempfile.mkdtemp(prefix="hg-pg-", dir="/tmp"))
        self._user = None
        if os.getuid() == 0:
            self._user = "postgres" if any(entry.pw_name == "postgres" for entry in pwd.getpwall()) else "nobody"
            shutil.chown(self.folder, self._user)
        self._call("initdb", "-D", str(self.data), "-U", "headgate", "-A", "trust", "-E", "UTF8", "--no-sync")
        options = f"-c listen_addresses= -c unix_socket_directories={self.folder} -c fsync=off"
        log = str(self.folder / "log")
        self._call("pg_ctl", "-D", str(self.data), "-w", "-l", log, "-o", options, "start")

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def socket(self) -> Path:
        return self.folder / ".s.PGSQL.5432"

    def dsn(self, host: str = "") -> str:
        return f"postgresql://headgate@/postgres?host={host or self.folder}"

    def close(self) -> None:
        self._call("pg_ctl", "-D", str(self.data), "-m", "immediate", "-w", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _call(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._programs / program, *arguments],
            user=self._user,
            cwd=self.folder,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            timeout=120,
        )
