"""Imports the modules of a project, fresh, and says where one of them goes wrong."""

from __future__ import annotations

import contextlib
import importlib
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING

from headgate.errors import UsageError
from headgate.project.places import read_document

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

_INSTALLED = {"site-packages", "dist-packages"}
_entered: list[Path] = []


def enter(root: Path) -> None:
    """Put a project's folder first on the import path instead of the one before, and forget the modules of both."""
    for folder in {*_entered, root}:
        _forget_modules(folder)
        sys.path[:] = [entry for entry in sys.path if entry != str(folder)]
    _entered[:] = [root]
    sys.path.insert(0, str(root))
    importlib.invalidate_caches()


def import_modules(root: Path, names: Iterable[str]) -> None:
    """Import modules of a project from its files as they are now. What they print goes to standard error.

    Args:
        root: The project's folder, absolute and resolved.
        names: The modules.

    Raises:
        UsageError: A module is not there, is hidden by or hides another one, or raises.
    """
    enter(root)
    _check_hidden(root)
    # A cached .pyc counts as current for a file that was changed twice in one second without changing its size.
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        for name in names:
            if module_file(root, name) is None:
                raise read_document(root).refuse(
                    ("project", "modules"),
                    f"names {name}, but there is no {name.replace('.', '/')}.py in {root}",
                    hint="Create it, or correct the name.",
                )
            with contextlib.redirect_stdout(sys.stderr):
                _import(root, name)
    except UsageError:
        _forget_modules(root)
        raise
    finally:
        sys.dont_write_bytecode = writes


def module_file(root: Path, name: str) -> Path | None:
    """Return the file of a module of the project; None if the project has no such module."""
    base = root.joinpath(*name.split("."))
    for file in (base / "__init__.py", base.parent / f"{base.name}.py"):
        if file.is_file():
            return file
    return None


def is_project_file(root: Path, file: str) -> bool:
    """Return whether a file is the project's own: below its folder, not in a virtual environment there."""
    try:
        parts = Path(file).relative_to(root).parts
    except ValueError:
        return False
    return not any(part in _INSTALLED or part.startswith(".") for part in parts)


def place(root: Path, file: str, line: int) -> str:
    """Return ``file:line`` with the file relative to the project, if it is in there."""
    return f"{Path(file).relative_to(root) if is_project_file(root, file) else file}:{line}"


def _import(root: Path, name: str) -> None:
    try:
        importlib.import_module(name)
    except UsageError as error:
        raise UsageError(f"{_where(root, name, error.__traceback__)}: {error.message}", hint=error.hint) from error
    except SyntaxError as error:
        if error.filename and is_project_file(root, error.filename):
            where = place(root, error.filename, error.lineno or 1)
        else:
            where = _where(root, name, error.__traceback__)
        raise UsageError(f"{where}: {type(error).__name__}: {error.msg}") from error
    except (Exception, SystemExit) as error:
        where = _where(root, name, error.__traceback__)
        lines = str(error).strip().splitlines()
        text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
        raise UsageError(f"{where}: {text}", hint=_hint(error)) from error


def _hint(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"Install {error.name.partition('.')[0]} where Headgate runs ({sys.prefix}), or correct the import."
    return "The module raised while Headgate imported it."


def _where(root: Path, name: str, traceback: TracebackType | None) -> str:
    """Return the innermost line of the project in a traceback."""
    found = place(root, str(module_file(root, name)), 1)
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if is_project_file(root, file):
            found = place(root, file, traceback.tb_lineno)
        traceback = traceback.tb_next
    return found


def _check_hidden(root: Path) -> None:
    """Refuse a module at the top of the project that has the name of another one.

    With the folder first on the import path it would take the place of that one for every library.
    """
    installed = [entry for entry in sys.path if _INSTALLED.intersection(Path(entry).parts)]
    for entry in sorted(root.iterdir()):
        if not (entry.suffix == ".py" or (entry / "__init__.py").is_file()):
            continue
        name = entry.stem if entry.suffix == ".py" else entry.name
        if name in sys.stdlib_module_names:
            other = "a module of Python itself"
        elif name == "headgate":
            other = "Headgate itself"
        elif entry.suffix == ".py" and (spec := PathFinder.find_spec(name, installed)) and spec.origin:
            other = f"the installed {spec.origin}"
        else:
            continue
        raise UsageError(f"{entry.name} in {root} would hide {other}", hint="Rename it.")


def _forget_modules(root: Path) -> None:
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in {"headgate", "__main__"}:
            continue
        files = [getattr(module, "__file__", None) or "", *map(str, getattr(module, "__path__", []))]
        if any(is_project_file(root, file) for file in files):
            del sys.modules[name]
