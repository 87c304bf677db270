"""How well the checks of truth find elements that are not faithful, on elements that were read one by one.

    python -m tools.truth                              # the tables of docs/truth.md, from the committed file alone
    python -m tools.truth --write                      # bring the page up to date
    python -m tools.truth score MODEL                  # the scores of that model's elements again (minutes)
    python -m tools.truth draw MODEL COUNT POOL...     # more elements to read, from files of a run folder's replay/

`draw` adds elements of which `faithful` is null. Whoever reads them says true or false, and what is wrong, before
`score` is called. A news item's elements are all in one half: thresholds are chosen on `fit` and reported on `report`.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sys2ft.generators import Context, Pair, Request, as_generator
from sys2ft.generators.work import generate, loglik
from sys2ft.models import load_model
from sys2ft.news import News, load_news
from sys2ft.replay import GenerateSettings, protocol
from sys2ft.replay.checks.claim import Check, Claim
from sys2ft.replay.truth import CHECKS, examine, sampling
from sys2ft.runs import item_seed

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "docs" / "data" / "read-elements.jsonl"
PAGE = ROOT / "docs" / "truth.md"
Row = dict[str, Any]


def rows() -> list[Row]:
    """The elements of the file."""
    return [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()] if FILE.exists() else []


def save(made: Sequence[Row]) -> None:
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made), encoding="utf-8")


def key(row: Row) -> tuple[str, ...]:
    """What makes an element of the file another one."""
    return row["model"], row["id"], row["prompt"], row["completion"]


def news_by_id() -> dict[str, News]:
    return {one.id: one for one in load_news("new-news")}


def draw(pool: Sequence[Row], count: int, news: dict[str, News]) -> list[Row]:
    """Of the kept elements of a pool `count`, as equal in number as can be over protocols, domains and news items."""
    queues: dict[str, dict[str, dict[str, list[Row]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for element in sorted(pool, key=lambda one: item_seed(0, "read", one["id"])):
        if element["status"] == "kept":
            place = queues[element["protocol"]][news[element["news_id"]].domain]
            place[element["news_id"]].append(element)
    return [
        one
        for one, _ in zip(
            _in_turn(
                [
                    _in_turn([_in_turn([iter(own) for own in items.values()]) for items in domains.values()])
                    for domains in queues.values()
                ]
            ),
            range(count),
            strict=False,
        )
    ]


def _in_turn(streams: Sequence[Iterator[Row]]) -> Iterator[Row]:
    """One of each stream, then a second one of each, and so on."""
    left = list(streams)
    while left:
        for stream in list(left):
            try:
                yield next(stream)
            except StopIteration:
                left.remove(stream)


def halves(read: Sequence[Row], news: dict[str, News]) -> dict[str, str]:
    """The half of each news item: in every domain each second one, in the order in which they were drawn."""
    half: dict[str, str] = {}
    for name in dict.fromkeys(row["news_id"] for row in read):
        others = sum(news[other].domain == news[name].domain for other in half)
        half[name] = ("fit", "report")[others % 2]
    return half


def add(model: str, count: int, pools: Sequence[str]) -> None:
    news, known = news_by_id(), rows()
    seen = {key(row) for row in known}
    pool = [json.loads(line) for file in pools for line in Path(file).read_text(encoding="utf-8").splitlines()]
    new = []
    for element in draw(pool, count, news):
        row = {
            "id": element["id"], "model": model, "protocol": element["protocol"], "news_id": element["news_id"],
            "half": "", "news": news[element["news_id"]].text,
            "prompt": element["prompt"][-1]["content"], "completion": element["completion"],
            "faithful": None, "wrong": "", "scores": {},
        }  # fmt: skip
        if key(row) not in seen:
            new.append(row)
    half = halves([*known, *new], news)
    save([{**row, "half": half[row["news_id"]]} for row in [*known, *new]])


def claim(row: Row, news: dict[str, News]) -> Claim:
    """The claim of an element that was read."""
    item = news[row["news_id"]]
    cues = protocol(row["protocol"]).cues_in("en")
    question = "" if row["prompt"] in cues else row["prompt"]
    index = int(row["id"].rpartition("/")[2].partition("-")[0])
    return Claim(name=row["id"], news=item, question=question, said=row["completion"], index=index)


def score(name: str) -> None:
    """Compute the scores of a model's elements, all checks on all of them, and save them."""
    known, news, settings = rows(), news_by_id(), GenerateSettings()
    generator = as_generator(load_model(name))
    own = [row for row in known if row["model"] == Path(name).stem]
    seconds: dict[str, float] = {}

    def answer(check: Check, asked: Sequence[Pair | Request]) -> list[dict[str, Any]]:
        context, sent = Context(generator), [one.to_dict() for one in asked]
        made = (
            loglik(context, sent) if check.by == "likelihood" else generate(context, sent, sampling(settings).to_dict())
        )
        seconds[check.name] = made["seconds"]
        return made["rows"]  # type: ignore[no-any-return]

    verdicts = examine([claim(row, news) for row in own], list(CHECKS.values()), answer, None)
    found = {key(row): verdict.scores for row, verdict in zip(own, verdicts, strict=True)}
    save([{**row, "scores": found.get(key(row), row["scores"])} for row in rows()])
    print(len(own), "elements;", ", ".join(f"{check} {took:.0f} s" for check, took in seconds.items()))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["draw", model, count, *pools]:
            add(model, int(count), pools)
        case ["score", model]:
            score(model)
        case _:
            raise SystemExit(__doc__)
