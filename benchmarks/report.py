"""Results as Markdown, line by line as they come, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .peers import OURS

Columns = Sequence[tuple[str, Callable[[dict], Any]]]


class Report:
    """Prints and keeps; `write` puts both forms into a folder."""

    def __init__(self, **facts: Any) -> None:
        self.facts = facts
        self.rows: list[dict] = []
        self.lines: list[str] = []
        self.columns: Columns = ()
        self.notes: list[str] = []

    def say(self, line: str = "") -> None:
        """A line of Markdown."""
        self.lines.append(line)
        print(line, flush=True)

    def table(self, title: str, columns: Columns) -> None:
        """Begin a table; a column is a title and what it shows of a row."""
        self.end()
        self.columns = columns
        self.say(f"\n## {title}\n")
        self.say("| " + " | ".join(name for name, _ in columns) + " |")
        self.say("|" + "---|" * len(columns))

    def add(self, row: dict) -> None:
        """A row of the table; peers that failed get a note below it."""
        self.rows.append(row)
        self.say("| " + " | ".join(str(show(row)) for _, show in self.columns) + " |")
        for name, outcome in row.get("peers", {}).items():
            for kind in ("error", "absent"):
                note = f"- {name}, {kind}: {outcome.get(kind)}"
                if kind in outcome and note not in self.notes:
                    self.notes.append(note)

    def end(self) -> None:
        """End the table with its notes."""
        if self.notes:
            self.say()
        for note in self.notes:
            self.say(note)
        self.notes, self.columns = [], ()

    def write(self, folder: Path) -> None:
        """results.json and results.md."""
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({**self.facts, "rows": self.rows}, indent=1)
        (folder / "results.json").write_text(text + "\n")
        (folder / "results.md").write_text("\n".join(self.lines) + "\n")


# ---- what columns show -------------------------------------------------------------------------


def number(value: float | None, digits: int = 3) -> str:
    """A number with so many digits that count."""
    if value is None:
        return "–"
    if value == 0 or abs(value) >= 10**(digits - 1):
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def share(value: float | None) -> str:
    """A percentage."""
    return "–" if value is None else f"{value:.0%}"


def field(*path: str, show: Callable[[Any], str] = str) -> Callable[[dict], str]:
    """What a row has under names within names."""
    def get(row):
        for name in path:
            row = row[name]
        return show(row)

    return get


def outcome(name: str, key: str, scale: float) -> Callable[[dict], str]:
    """A number of a peer's outcome, or why there is none."""
    def get(row):
        found = row["peers"].get(name, {})
        if "error" in found:
            return "error"
        return number(found[key] * scale) if key in found else "–"

    return get


def peer_columns(names: Sequence[str], unit: str = "µs", scale: float = 1e6, key: str = "median"
                 ) -> list:
    """A column for each peer, and the best of them beside cymlp."""
    return ([(f"{name}, {unit}", outcome(name, key, scale)) for name in names]
            + [("best peer", lambda row: row["best"] or "–"),
               (f"best ÷ {OURS}", lambda row: number(row["ratio"]))])
