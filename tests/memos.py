"""Memos for tests: in memory, or counting."""

from __future__ import annotations

import json
from typing import Any


class Killed(Exception):
    """Stands for the end of a process."""


class DictMemo:
    """Keeps results as JSON in `kept`; a result past `limit` new ones raises Killed before it is kept."""

    def __init__(self, kept: dict[str, str] | None = None, limit: int | None = None) -> None:
        self.kept = {} if kept is None else kept
        self.limit = limit
        self.stored = 0

    def get(self, key: str) -> dict[str, Any] | None:
        return json.loads(self.kept[key]) if key in self.kept else None

    def put(self, key: str, result: dict[str, Any]) -> dict[str, Any]:
        self.stored += 1
        if self.limit is not None and self.stored > self.limit:
            raise Killed
        self.kept[key] = json.dumps(result)
        kept: dict[str, Any] = json.loads(self.kept[key])
        return kept
