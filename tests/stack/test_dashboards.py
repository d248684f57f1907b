"""Dashboards and alerts speak of metrics that there are, and of all of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

from prometheus_client import Metric

from eventlog.runtime.metrics import REGISTRY

FOLDER = Path(__file__).parents[2] / "deploy" / "grafana"
NOT_SHOWN: set[str] = set()
"""Metrics that are on /metrics and on purpose on no panel."""
NAME = re.compile(r"\bonefact_\w+")
LABELS_IN_USE = re.compile(r"by \(([\w, ]+)\)|label_values\(\w+, (\w+)\)|\{\{(\w+)\}\}|[{,](\w+)=")
GIVEN_BY_PROMETHEUS = {"instance", "job", "le"}


def families() -> dict[str, Metric]:
    """By the name that is asked for, without what a kind of metric adds."""
    suffix = {"counter": "_total"}
    return {family.name + suffix.get(family.type, ""): family for family in REGISTRY.collect()}


def series() -> set[str]:
    """Every name that a query may use."""
    names = set()
    for name, family in families().items():
        names |= {f"{name}_bucket", f"{name}_sum", f"{name}_count"} if family.type == "histogram" else {name}
    return names


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / "workers.json").read_text())
    return found


def queries() -> list[str]:
    panels = [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]
    return panels + [v["query"]["query"] for v in dashboard()["templating"]["list"] if v["type"] == "query"]


def alerts() -> list[str]:
    return re.findall(r"(?m)^\s+expr: (.+)$", (FOLDER / "alerts.yml").read_text())


def test_every_metric_that_is_asked_for_exists() -> None:
    asked = {name for query in (*queries(), *alerts()) for name in NAME.findall(query)}
    assert len(asked) > 5
    assert asked <= series(), f"nobody counts {asked - series()}"


def test_every_metric_is_shown_or_left_out_on_purpose() -> None:
    asked = {name for query in queries() for name in NAME.findall(query)}
    shown = {name for name in families() if any(a == name or a.startswith(f"{name}_") for a in asked)}
    assert families().keys() - shown == NOT_SHOWN


def test_labels_that_are_used_exist() -> None:
    known = {"role", "partition", "outcome", "outside"} | GIVEN_BY_PROMETHEUS
    used = set()
    legends = [target["legendFormat"] for panel in dashboard()["panels"] for target in panel["targets"]]
    for text in (*queries(), *alerts(), *legends):
        for groups in LABELS_IN_USE.findall(text):
            used |= {label.strip() for group in groups if group for label in group.split(",")}
    assert {"role", "outcome", "le"} <= used <= known


def cells(place: dict[str, int]) -> set[tuple[int, int]]:
    columns, rows = range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
    return {(x, y) for x in columns for y in rows}


def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    board = dashboard()
    assert board["schemaVersion"] >= 36
    assert board["uid"]
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    for one, other in combinations(board["panels"], 2):
        assert not cells(one["gridPos"]) & cells(other["gridPos"]), (one["title"], other["title"])
    for panel in board["panels"]:
        assert panel["title"]
        assert panel["description"]
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def balanced(query: str) -> Iterator[bool]:
    for opening, closing in ("()", "{}", "[]"):
        yield query.count(opening) == query.count(closing)


def test_queries_are_whole() -> None:
    asked = [*queries(), *alerts()]
    assert len(alerts()) == (FOLDER / "alerts.yml").read_text().count("- alert:")
    assert all(all(balanced(query)) for query in asked)
    # A counter by itself only tells when its worker was started.
    for query in asked:
        for name in re.findall(r"onefact_\w+(?:_total|_bucket)", query):
            assert "rate(" in query or "increase(" in query or "label_values(" in query, f"{name} in {query}"
