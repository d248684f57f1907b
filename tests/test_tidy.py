"""The rules of style that no linter knows, executed: size, names, what a domain may import, what a file may mention."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PRODUCT = ("eventlog", "schemas", "processors", "projections", "producers", "deploy")
LAYERS = ("schemas", "processors", "projections", "producers")

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 350
BANNED_MODULES = {"manager", "service", "helper", "util", "common", "core"}
BANNED_NAMES = re.compile(r"(Manager|Service|Helper|Util|Common|Core)s?$")
BACKING_SERVICES = "deploy/stack"
"""Where a service is what the field means by it: a server that the product is backed by."""
MACHINE_PATHS = re.compile(r"(?<![\w.\-/$}])/(work|root|home)/")
REGISTRIES = re.compile(r"\b(pypi\.org|pythonhosted\.org|repo1?\.maven\.(org|apache\.org)|proxy\.golang\.org)\b")
PURE = {
    *("__future__", "abc", "bisect", "collections", "dataclasses", "datetime", "decimal", "enum", "fractions"),
    *("functools", "heapq", "itertools", "math", "operator", "re", "string", "typing", "types", "unicodedata"),
    *("msgspec", "eventlog", "schemas"),
}
"""What a domain may import, beside its own modules. What its roles may call is held by tests/laws/test_purity.py."""
AT_THE_EDGE = {"producers": {"random"}, "projections": {"pathlib"}}
"""Samples are drawn from a seed; migrations lie beside their projection."""


@cache
def files() -> tuple[Path, ...]:
    """Files of the repository, those that are new too."""
    asked = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    return tuple(sorted(path for name in listed.stdout.splitlines() if (path := ROOT / name).is_file()))


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), path)


def python(*folders: str) -> Iterator[tuple[str, Path, ast.Module]]:
    for path in files():
        name = path.relative_to(ROOT).as_posix()
        if path.suffix == ".py" and (not folders or name.split("/")[0] in folders):
            yield name, path, parsed(path)


def test_functions_are_short() -> None:
    functions = ast.FunctionDef | ast.AsyncFunctionDef
    long = [
        f"{name}:{node.lineno} {node.name} has {node.end_lineno - node.lineno + 1} lines"
        for name, _, tree in python()
        for node in ast.walk(tree)
        if isinstance(node, functions) and (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES_MAX
    ]
    assert not long, f"over {FUNCTION_LINES_MAX} lines: {long}"


def test_files_are_short() -> None:
    long = {name: lines for name, path, _ in python() if (lines := path.read_text().count("\n")) > FILE_LINES_MAX}
    assert not long, f"over {FILE_LINES_MAX} lines; make it a package of the same name: {long}"


def test_names_say_what_a_thing_is() -> None:
    modules = [name for name, path, _ in python(*PRODUCT) if path.stem.strip("_").rstrip("s") in BANNED_MODULES]
    classes = [
        f"{name}: {node.name}"
        for name, _, tree in python(*PRODUCT)
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and BANNED_NAMES.search(node.name)
        if not (name.startswith(BACKING_SERVICES) and node.name.endswith("Service"))
    ]
    assert not modules + classes


def test_a_product_module_begins_with_what_it_is_for() -> None:
    silent = [name for name, path, tree in python(*PRODUCT) if path.stat().st_size and not ast.get_docstring(tree)]
    assert not silent


def domain_modules() -> Iterator[tuple[str, str, ast.Module]]:
    """Name, domain and tree of every module of a domain, in every layer."""
    domains = {p.name for p in (ROOT / "schemas").iterdir() if (p / "__init__.py").is_file()}
    for name, _, tree in python(*LAYERS):
        domain = name.split("/")[1].removesuffix(".py")
        if domain in domains:
            yield name, domain, tree


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module, "relative imports hide which layer is meant"
            yield node.module


def test_a_domain_imports_the_kernel_and_vocabularies_only() -> None:
    found = list(domain_modules())
    assert {domain for _, domain, _ in found} >= {"market", "trading"}
    stray = []
    for name, domain, tree in found:
        layer = name.split("/")[0]
        for module in imported(tree):
            top = module.split(".")[0]
            own = module == f"{layer}.{domain}" or module.startswith(f"{layer}.{domain}.")
            if not own and top not in PURE | AT_THE_EDGE.get(layer, set()):
                stray.append(f"{name} imports {module}")
            if module.startswith("eventlog.runtime"):
                stray.append(f"{name} imports the runtime")
    assert not stray


def mentions(found: re.Pattern[str], but: Callable[[str], bool] = lambda _: False) -> list[str]:
    said = []
    for path in files():
        name = path.relative_to(ROOT).as_posix()
        if path == Path(__file__) or but(name):
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        lines = enumerate(text.splitlines(), 1)
        said += [f"{name}:{number} {line.strip()[:100]}" for number, line in lines if found.search(line)]
    return said


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    assert not mentions(MACHINE_PATHS)


def test_no_file_names_a_package_registry() -> None:
    # Which registry is asked is the installer's own setting.
    assert not mentions(REGISTRIES)


def test_the_lock_file_pins_every_package_by_its_digest() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert "://" not in text
    entries = re.split(r"\n(?=\S)", re.sub(r"(?m)^\s*#.*\n?", "", text).strip())
    loose = [e.split()[0] for e in entries if "==" not in e.split()[0] or "--hash=sha256:" not in e]
    assert entries
    assert not loose


def test_every_decision_says_why() -> None:
    decisions = [path for path in files() if path.parent == ROOT / "decisions"]
    numbers = [path.name[:4] for path in decisions]
    assert numbers == [f"{number:04}" for number in range(1, len(numbers) + 1)]
    for path in decisions:
        assert re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", path.name), path.name
        text = path.read_text()
        missing = [part for part in ("Context", "Choice", "Measured", "Rejected") if f"**{part}.**" not in text]
        assert not missing, f"{path.name} does not say {missing}"


def test_every_promise_names_tests_that_exist() -> None:
    text = (ROOT / "GUARANTEES.md").read_text()
    promised = text.partition("## Promised")[2].partition("\n## ")[0]
    rows = [line for line in promised.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 20
    unshown = [row for row in rows if "::test_" not in row]
    assert not unshown
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", text)
    assert len(named) == text.count("::")
    functions = ast.FunctionDef | ast.AsyncFunctionDef
    defined = {
        (name, node.name) for name, _, tree in python("tests") for node in tree.body if isinstance(node, functions)
    }
    missing = [f"{path}::{test}" for path, test in named if (path, test) not in defined]
    assert not missing
