"""What clients wrote is shown as text: no command to the terminal, no line turned around, and JSON stays equal."""

from __future__ import annotations

import json

import pytest

from deploy.cli.output import print_error, print_json, print_table, say

STRANGE = [
    "\x1b]0;title\x07", "\x1b[2J", "a\0b", "\x9b31m", "txt\u202egpj.exe", "\u200f\u061c", "line\nline\r",
    "\u2028", "\ufeff", "\udcff", "\U000e0001",
]  # fmt: skip
PLAIN = [
    "'; DROP TABLE orders; --",
    'Robert"); DETACH DELETE n //',
    "[bold red]x[/]",
    "[/]",
    "\\u202e",
    "żółć 東京 😀",
    "",
]


@pytest.mark.parametrize("text", STRANGE + PLAIN)
def test_whatever_was_written_is_shown_as_text(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["name"], [[text]])
    print_error(f"no {text}", as_json=False)
    say(f"refused: {text}")
    out = capsys.readouterr()
    shown = (out.out + out.err).replace("\n", "")
    assert shown.isprintable()
    if text in PLAIN:
        assert shown.count(text) >= 3


@pytest.mark.parametrize("text", STRANGE + PLAIN)
def test_json_is_equal_and_can_be_printed(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_json({text: [text]})
    out = capsys.readouterr().out
    assert out.removesuffix("\n").isprintable()
    assert json.loads(out) == {text: [text]}
