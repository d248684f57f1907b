"""Discovery finds every domain by its name, and says what is wrong instead of passing it over."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eventlog.discovery import catalog, discover
from eventlog.errors import OnefactError
from eventlog.roles import Catalog

NUMBERS = itertools.count()
VOCABULARY = """
from typing import ClassVar
from eventlog.message import Event
from eventlog.topics import Domain, Topic
class Seen(Event, frozen=True, kw_only=True):
    stream_field: ClassVar[str] = "key"
    namespace: ClassVar[str] = "test.{name}"
    key: str
FACTS = Topic("{name}.facts", (Seen,))
DOMAIN = Domain("{name}", facts=(FACTS,))
"""
PROJECTION = """
from eventlog.models import Hash
from eventlog.roles import Projection
from {vocabulary}.{name} import DOMAIN, FACTS
ROLE = Projection(DOMAIN, Hash("{model}", ("key",), {{"key": "text"}}), (FACTS,), lambda event, meta: ())
SAME = ROLE
"""

Find = Callable[[dict[str, str]], Catalog]


@pytest.fixture
def find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Find]:
    """Discovery over packages made of the given files: `v/...` is the vocabulary, `l/...` the only layer."""
    monkeypatch.syspath_prepend(tmp_path)
    number = next(NUMBERS)
    vocabulary, layer = f"v{number}", f"l{number}"

    def run(files: dict[str, str]) -> Catalog:
        for name, text in {"v/__init__.py": "", "l/__init__.py": "", **files}.items():
            file = tmp_path / (vocabulary if name[0] == "v" else layer) / name[2:]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text.replace("VOCABULARY", vocabulary))
        return discover(vocabulary, [layer])

    yield run
    for name in [name for name in sys.modules if name.split(".")[0] in (vocabulary, layer)]:
        del sys.modules[name]


def vocabulary(name: str) -> str:
    return VOCABULARY.format(name=name)


def projection(name: str, model: str) -> str:
    return PROJECTION.format(vocabulary="VOCABULARY", name=name, model=model)


def test_finds_domains_and_their_roles_each_once(find: Find) -> None:
    found = find(
        {
            "v/one.py": vocabulary("one"),
            "v/two/__init__.py": vocabulary("two"),
            "l/one.py": projection("one", "ones"),
            "l/two/__init__.py": projection("two", "twos"),
        }
    )
    assert {d.name for d in found.domains} == {"one", "two"}
    assert [p.name for p in found.projections] == ["one.ones", "two.twos"]
    assert found.topic("one.facts").dead.name in {t.name for t in found.topics}


def test_modules_that_are_no_domains_are_not_imported(find: Find) -> None:
    found = find({"v/one.py": vocabulary("one"), "l/stores.py": "1 / 0", "v/_private.py": "1 / 0", "l/_x.py": "1 / 0"})
    assert [d.name for d in found.domains] == ["one"]


@pytest.mark.parametrize("broken", ["import nothing_of_this_name", "1 / 0", "this is not python"])
def test_a_module_that_cannot_be_imported_is_an_error_that_names_it(find: Find, broken: str) -> None:
    with pytest.raises(OnefactError, match=r"l\d+\.one cannot be imported: \w+: .+"):
        find({"v/one.py": vocabulary("one"), "l/one.py": broken})


@pytest.mark.parametrize("package", ["v/one.py", "v/__init__.py", "l/__init__.py"])
def test_so_is_a_vocabulary_or_a_layer(find: Find, package: str) -> None:
    with pytest.raises(OnefactError, match="cannot be imported: ZeroDivisionError"):
        find({"v/one.py": vocabulary("one"), "l/one.py": "", package: "1 / 0"})


def test_a_model_name_that_is_used_twice_is_an_error(find: Find) -> None:
    with pytest.raises(OnefactError, match="model same is defined more than once"):
        find(
            {
                "v/one.py": vocabulary("one"),
                "v/two.py": vocabulary("two"),
                "l/one.py": projection("one", "same"),
                "l/two.py": projection("two", "same"),
            }
        )


def test_a_domain_name_that_is_used_twice_is_an_error(find: Find) -> None:
    with pytest.raises(OnefactError, match="domain one is defined more than once"):
        find({"v/one.py": vocabulary("one"), "v/two.py": vocabulary("one")})


def test_a_topic_that_is_declared_differently_is_an_error(find: Find) -> None:
    again = vocabulary("two").replace('"two.facts", (Seen,)', '"one.facts", (Seen,)')
    with pytest.raises(OnefactError, match=r"topic one\.facts is declared twice"):
        find({"v/one.py": vocabulary("one"), "v/two.py": again})


def test_a_topic_that_nobody_declares_is_an_error(find: Find) -> None:
    stray = projection("one", "ones").replace("(FACTS,)", '(type(FACTS)("stray"),)')
    with pytest.raises(OnefactError, match=r"one\.ones uses the topic stray, which no domain declares"):
        find({"v/one.py": vocabulary("one"), "l/one.py": stray})


def test_this_installation_is_found_once() -> None:
    assert catalog() is catalog()
    assert {"trading", "market"} <= {domain.name for domain in catalog().domains}
    assert {"positions", "ledger", "risk_alerts", "portfolio", "leaderboard", "prices"} <= {
        projection.model.name for projection in catalog().projections
    }
