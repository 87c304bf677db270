"""Drawing a mix: every part's share of each news item's budget, and what one part leaves over for the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sys2ft.news import News
from sys2ft.replay.budget import Account, Budget, Cost, too_small
from sys2ft.replay.elements import ReplayElement, number
from sys2ft.replay.mixed import Mix, Part
from sys2ft.replay.rounds import Rounds

Fill = Callable[[Rounds, Account], None]
"""Lets an account read the samples of a stream, and draws more where it lacks something."""


@dataclass(frozen=True, slots=True)
class Mixed:
    """The parts of a mix with their accounts."""

    mix: Mix
    budget: Budget
    news: Sequence[News]
    streams: Mapping[str, Rounds]
    """By protocol."""
    own: frozenset[str]
    """The parts whose samples were drawn for this mix; those of the others were drawn for another row of the table."""
    accounts: Mapping[str, Account]

    @property
    def used(self) -> dict[str, float]:
        """By news item, over all parts."""
        return {item.id: sum(account.used[item.id] for account in self.accounts.values()) for item in self.news}

    @property
    def shortfall(self) -> dict[str, float]:
        """What is missing of the budget of a news item, where no part had more to give."""
        used = self.used
        return {
            item.id: self.budget.amount - used[item.id]
            for item in self.news
            if all(item.id not in account.closed for account in self.accounts.values())
        }

    def elements(self) -> list[ReplayElement]:
        """The elements in the order of news items, parts and samples, each with its part in its provenance."""
        found: dict[str, list[ReplayElement]] = {item.id: [] for item in self.news}
        for name, account in self.accounts.items():
            for element in self.streams[name].outcome(account, whole=name in self.own):
                place = element.id.removeprefix(f"{name}/{element.news_id}/")
                found[element.news_id].append(
                    replace(
                        element,
                        id=f"{self.mix.name}/{element.news_id}/{name}-{place}",
                        protocol=self.mix.name,
                        provenance={**element.provenance, "part": name},
                    )
                )
        return [element for own in found.values() for element in own]

    def cost(self) -> Cost:
        """What its samples have cost: all that were drawn for it, and those it has read of what is drawn for others."""
        total = Cost()
        for name, account in self.accounts.items():
            for news_id, drawn in self.streams[name].drawn.items():
                for one in drawn[: None if name in self.own else account.read[news_id]]:
                    total += one.cost
        return total

    def parts(self) -> dict[str, dict[str, Any]]:
        """By part: its share, what that is of the budget, what it used and kept, and what it fell short of it."""
        found = {}
        for part in self.mix.parts:
            account, share = self.accounts[part.protocol.name], self.budget.amount * part.share / self.mix.total
            short = {name: share - used for name, used in account.used.items() if name not in account.closed}
            found[part.protocol.name] = {
                "share": part.share,
                "wanted": number(share * len(self.news)),
                "used": number(sum(account.used.values())),
                "kept": sum(map(len, account.taken.values())),
                "shortfall": {name: number(missing) for name, missing in short.items() if missing > 0},
            }
        return found


def draw_mix(
    mix: Mix, budget: Budget, news: Sequence[News], streams: Mapping[str, Rounds], own: frozenset[str], fill: Fill
) -> Mixed:
    """Let each part take its share, in the order of the mix; what it leaves over is divided among those that follow.

    What is left over in the end is divided among the parts that have more to give, until none has. Raises SettingsError
    if the whole budget has no room for the first element of any part.
    """
    accounts: dict[str, Account] = {}
    goals: dict[str, dict[str, float]] = {part.protocol.name: {} for part in mix.parts}
    open_parts = {item.id: list(mix.parts) for item in news}
    mixed = Mixed(mix, budget, news, streams, own, accounts)
    used = dict.fromkeys(open_parts, 0.0)
    while any(open_parts.values()):
        for part in mix.parts:
            name = part.protocol.name
            for news_id, parts in open_parts.items():
                if part in parts:
                    goals[name][news_id] = _goal(mixed, part, parts, news_id)
            if any(part in parts for parts in open_parts.values()):
                accounts[name] = Account(budget, dict(goals[name]))
                fill(streams[name], accounts[name])
        before, used = used, mixed.used
        for news_id, parts in open_parts.items():
            left = budget.amount - used[news_id]
            able = [part for part in mix.parts if _takes(accounts[part.protocol.name], news_id, left)]
            open_parts[news_id] = able if parts and used[news_id] > before[news_id] else []
    _require_room(mixed)
    return mixed


def _goal(mixed: Mixed, part: Part, parts: Sequence[Part], news_id: str) -> float:
    """What a part should use: what it has, and its share of what is left for it and the open parts after it."""
    later = parts[parts.index(part) :]
    left = mixed.budget.amount - sum(account.used[news_id] for account in mixed.accounts.values())
    account = mixed.accounts.get(part.protocol.name)
    own = account.used[news_id] if account else 0.0
    return own + max(0.0, left) * part.share / sum(one.share for one in later)


def _takes(account: Account, news_id: str, left: float) -> bool:
    """Whether a part may have an element more for a news item, of which the budget has `left`."""
    if news_id not in account.closed:
        return False  # its samples and rounds are used up
    count = len(account.taken[news_id])
    size = account.used[news_id] / count if count else account.first.get(news_id, (1.0, ""))[0]
    return left > 0 and left >= size / 2


def _require_room(mixed: Mixed) -> None:
    for item in mixed.news:
        firsts = [account.first[item.id] for account in mixed.accounts.values() if item.id in account.first]
        none = not any(account.taken[item.id] for account in mixed.accounts.values())
        if firsts and none and min(firsts)[0] > mixed.budget.amount:
            raise too_small(mixed.budget, mixed.mix.name, item.id, min(firsts)[0])
