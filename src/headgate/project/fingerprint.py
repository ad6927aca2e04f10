"""Fingerprints of code: what a dataset's function does, without how it is written down.

A fingerprint covers the function and, by the names they use, the project's functions, classes and module-level
assignments behind it, in whatever module of the project they are, and which imports they refer to. Formatting,
comments, docstrings and the arguments of `@headgate.dataset` do not count; neither does the inside of installed
packages, nor what is reached only at run time (`getattr` with a computed name, files): `version=` is for that.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import symtable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headgate.errors import UsageError
from headgate.project.modules import module_file, place

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

_Chain = tuple[str, ...]
_Import = tuple[str, str | None]
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
# A decorator's arguments are seen by planning through the inputs.
_DECORATORS = {("headgate", "dataset"), ("headgate.project.declare", "dataset")}


@dataclass(slots=True)
class _Module:
    """A module of the project: what its top-level names stand for.

    `imports` maps a name to modules, or to names in modules (several where one import stands in for another);
    `stars` are the modules imported with ``*``.
    """

    name: str
    statements: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imports: dict[str, list[_Import]] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)
    scopes: dict[tuple[str, int], symtable.SymbolTable] = field(default_factory=dict)


class CodeReader:
    """Reads the modules of a project, each once, and fingerprints functions in them.

    Args:
        root: The project's folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files: dict[str, Path | None] = {}
        self._modules: dict[str, _Module | None] = {}
        self._definitions: dict[str, tuple[str, list[tuple[str, _Chain]]]] = {}

    def fingerprint(self, module: str, function: str, version: str | None) -> str:
        """Return the fingerprint of a top-level function, 64 hexadecimal digits.

        Args:
            module: Name of its module.
            function: Its name.
            version: The author's explicit version, if any.
        """
        reached: dict[str, str] = {}
        waiting: list[tuple[str, _Chain]] = [(module, (function,))]
        seen = set(waiting)
        while waiting:
            for item in self._follow(*waiting.pop(), reached):
                if item not in seen:
                    seen.add(item)
                    waiting.append(item)
        digest = hashlib.sha256()
        for key in sorted(reached):
            for text in (key, reached[key]):
                encoded = text.encode()
                digest.update(len(encoded).to_bytes(8, "big") + encoded)
        digest.update(b"" if version is None else b"version:" + version.encode())
        return digest.hexdigest()

    def _follow(self, module_name: str, chain: _Chain, reached: dict[str, str]) -> Iterator[tuple[str, _Chain]]:
        """Note what a dotted name of a module stands for, and yield the names that it uses in turn."""
        if chain and self._file(submodule := f"{module_name}.{chain[0]}") is not None:
            yield submodule, chain[1:]
        module = self._module(module_name)
        if module is None:
            reached["import " + ".".join((module_name, *chain[:1]))] = ""
            return
        if not chain:
            # The module is used as a value: so may be everything in it.
            yield from ((module_name, (name,)) for name in (*module.statements, *module.imports))
            return
        name, *rest = chain
        key = f"{module_name}:{name}"
        if key not in reached and name in module.statements:
            if key not in self._definitions:
                self._definitions[key] = self._define(module, module.statements[name])
            reached[key], uses = self._definitions[key]
            yield from uses
        if name in module.imports:
            yield from _targets(module.imports[name], rest)
        elif name not in module.statements:
            yield from ((star, chain) for star in module.stars if self._module(star) is not None)

    def _define(self, module: _Module, statements: list[ast.stmt]) -> tuple[str, list[tuple[str, _Chain]]]:
        """Return the text of what defines a name, and the names that it uses."""
        text = "".join(_canonical(node, self._own_decorators(module, node)) for node in statements)
        return text, [use for node in statements for use in self._uses(module, node)]

    def _uses(self, module: _Module, node: ast.stmt) -> Iterator[tuple[str, _Chain]]:
        """Yield the names outside of a top-level statement that it uses."""
        inner: dict[str, list[_Import]] = {}
        for child in ast.walk(node):
            if isinstance(child, ast.Import | ast.ImportFrom):
                _bind_import(self._package(module.name), child, inner, [])
        outside = _outside_names(node, module.scopes)
        decorators = self._own_decorators(module, node)
        for part in ast.iter_child_nodes(node):
            for chain in () if part in decorators else _chains(part):
                if chain[0] in inner:
                    yield from _targets(inner[chain[0]], chain[1:])
                elif outside is None or chain[0] in outside:
                    yield module.name, chain

    def _own_decorators(self, module: _Module, node: ast.stmt) -> list[ast.expr]:
        """Return the decorators of a definition that are `@headgate.dataset`."""
        if not isinstance(node, _Definition):
            return []
        found = []
        for decorator in node.decorator_list:
            call = decorator.func if isinstance(decorator, ast.Call) else decorator
            chain = next(_chains(call), ("",))
            targets = _targets(module.imports.get(chain[0], []), chain[1:])
            if any((source, *rest) in _DECORATORS for source, rest in targets):
                found.append(decorator)
        return found

    def _package(self, module: str) -> str:
        file = self._file(module)
        return module if file is not None and file.name == "__init__.py" else module.rpartition(".")[0]

    def _module(self, name: str) -> _Module | None:
        if name not in self._modules:
            file = self._file(name)
            self._modules[name] = None if file is None else self._read(name, file)
        return self._modules[name]

    def _file(self, name: str) -> Path | None:
        if name not in self._files:
            self._files[name] = module_file(self._root, name)
        return self._files[name]

    def _read(self, name: str, file: Path) -> _Module:
        module = _Module(name)
        try:
            source = importlib.util.decode_source(file.read_bytes())
            body = ast.parse(source).body
            top = symtable.symtable(source, str(file), "exec")
        except (SyntaxError, ValueError, OSError) as error:
            where = place(self._root, str(file), getattr(error, "lineno", None) or 1)
            raise UsageError(f"{where}: {type(error).__name__}: {error}") from None
        for node in body:
            for child in _top_level(node):
                if isinstance(child, ast.Import | ast.ImportFrom):
                    _bind_import(self._package(name), child, module.imports, module.stars)
            for bound in dict.fromkeys(_bound_names(node)):
                module.statements.setdefault(bound, []).append(node)
        module.scopes = {(scope.get_name(), scope.get_lineno()): scope for scope in top.get_children()}
        return module


def _targets(imports: list[_Import], rest: Sequence[str]) -> Iterator[tuple[str, _Chain]]:
    for module, attribute in imports:
        yield module, (*([] if attribute is None else [attribute]), *rest)


def _bind_import(
    package: str, node: ast.Import | ast.ImportFrom, imports: dict[str, list[_Import]], stars: list[str]
) -> None:
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.asname:
                imports.setdefault(alias.asname, []).append((alias.name, None))
            else:
                first = alias.name.partition(".")[0]
                imports.setdefault(first, []).append((first, None))
        return
    source = "." * node.level + (node.module or "")
    if node.level:
        try:
            source = importlib.util.resolve_name(source, package)
        except ImportError:  # Above the project: it fails when it runs.
            return
    for alias in node.names:
        if alias.name == "*":
            stars.append(source)
        else:
            imports.setdefault(alias.asname or alias.name, []).append((source, alias.name))


def _top_level(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a statement and those in its blocks, but not the bodies of functions and classes."""
    yield node
    if not isinstance(node, _Definition):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
                yield from _top_level(child)


def _bound_names(statement: ast.stmt) -> Iterator[str]:
    """Yield the module-level names that a statement defines or changes; imports are kept apart."""
    for node in _top_level(statement):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.Assign():
                for target in node.targets:
                    yield from _roots(target)
            case ast.AugAssign() | ast.AnnAssign() | ast.For():
                yield from _roots(node.target)
            case ast.With():
                for item in node.items:
                    if item.optional_vars is not None:
                        yield from _roots(item.optional_vars)


def _roots(target: ast.expr) -> Iterator[str]:
    match target:
        case ast.Name():
            yield target.id
        case ast.Tuple() | ast.List():
            for element in target.elts:
                yield from _roots(element)
        case ast.Starred() | ast.Attribute() | ast.Subscript():
            yield from _roots(target.value)


def _outside_names(node: ast.stmt, scopes: dict[tuple[str, int], symtable.SymbolTable]) -> set[str] | None:
    """Return the names that a definition takes from its module; None for any other statement: all of them.

    Scopes matter: a parameter is often named like the dataset it reads, and thus like that one's function.
    """
    if not isinstance(node, _Definition):
        return None
    names: set[str] = set()
    waiting = [scopes[node.name, node.lineno]]
    while waiting:
        scope = waiting.pop()
        names.update(symbol.get_name() for symbol in scope.get_symbols() if symbol.is_global())
        waiting.extend(scope.get_children())
    # What stands outside of its body is evaluated in the module.
    outer: list[ast.AST] = [*node.decorator_list]
    if isinstance(node, ast.ClassDef):
        outer += [*node.bases, *node.keywords]
    else:
        outer += [node.args, *([node.returns] if node.returns else [])]
    names.update(chain[0] for part in outer for chain in _chains(part))
    return names


def _chains(node: ast.AST) -> Iterator[_Chain]:
    """Yield the dotted names in a piece of code, each as long as it gets: ``a.b.c`` is one."""
    attributes: list[str] = []
    at = node
    while isinstance(at, ast.Attribute):
        attributes.append(at.attr)
        at = at.value
    if isinstance(at, ast.Name):
        yield (at.id, *reversed(attributes))
        return
    for child in ast.iter_child_nodes(at):
        yield from _chains(child)


def _canonical(value: object, skipped: Iterable[ast.AST] = ()) -> str:
    """Return code as text that is the same in every version of Python that parses it.

    `ast.dump` is not: new versions add fields and leave empty ones out. So empty fields are left out here.
    """
    match value:
        case ast.JoinedStr():
            return f"JoinedStr({','.join(_canonical(part, skipped) for part in _joined(value.values))})"
        case ast.AST():
            fields = [
                f"{name}={_canonical(content, skipped)}"
                for name, content in ast.iter_fields(value)
                if content is not None and content != [] and name not in {"ctx", "kind", "type_comment"}
            ]
            return f"{type(value).__name__}({','.join(fields)})"
        case list():
            kept = (item for item in value if item not in skipped and not _is_text(item))
            return f"[{','.join(_canonical(item, skipped) for item in kept)}]"
        case int() if not isinstance(value, bool):
            # Decimal text of huge integers is limited.
            return f"{value:#x}"
        case _:
            return ascii(value)


def _joined(parts: Iterable[ast.expr]) -> list[ast.expr]:
    """Return the parts of an f-string with its literal text in one piece; versions of Python cut it differently."""
    joined: list[ast.expr] = []
    for part in parts:
        before = joined[-1] if joined else None
        if not isinstance(part, ast.Constant):
            joined.append(part)
        elif isinstance(before, ast.Constant):
            joined[-1] = ast.Constant(str(before.value) + str(part.value))
        elif part.value:
            joined.append(part)
    return joined


def _is_text(node: object) -> bool:
    """Return whether a statement is a mere text, such as a docstring."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
