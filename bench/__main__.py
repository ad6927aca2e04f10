"""python -m bench [NAME ...] [--json]"""

from __future__ import annotations

import argparse
import importlib

from bench.measure import as_json, as_table

NAMES = (
    "core",
    "noop",
    "noop_100k",
    "fresh_delay",
    "async",
    "restart",
    "tiny",
    "flights",
    "waiting",
    "heterogeneous",
    "batches",
    "plan",
    "gates",
    "rollback",
    "publish",
    "verify",
)
MODULES = {"async": "sleepers"}
"""Where the name of a benchmark cannot be that of a module."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Headgate beside a reference.")
    parser.add_argument(
        "names", nargs="*", choices=(*NAMES, "all"), default="all", metavar="name", help=", ".join(NAMES)
    )
    parser.add_argument("--json", action="store_true", help="print one object instead of a table")
    arguments = parser.parse_args()
    for name in NAMES if "all" in arguments.names else arguments.names:
        figures = importlib.import_module(f"bench.{MODULES.get(name, name)}").run()
        print((as_json if arguments.json else as_table)(name, figures), flush=True)


if __name__ == "__main__":
    main()
