"""How well the checks of truth find elements that are not faithful, on elements that were read one by one.

    python -m tools.truth                              # the tables of docs/truth.md, from the committed file alone
    python -m tools.truth --write                      # bring the page up to date
    python -m tools.truth score                        # the scores that need no model again
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
from itertools import product
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
from sys2ft.statistics import mean_over_news

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "docs" / "data" / "read-elements.jsonl"
PAGE = ROOT / "docs" / "truth.md"
MARKS = ("<!-- tables: python -m tools.truth --write -->", "<!-- end -->")
TARGETS = {"smollm2-135m-instruct": 0.90, "qwen2.5-coder-0.5b-instruct": 0.95}
"""The precision that is aimed at, by model."""
SCORES = ("names", "words", "support", "gain", "entailed", "entailment", "agreement")
KINDS = {"statements": False, "questions": True}
RULE = {
    "statements": ("names", "words", "support", "entailment"),
    "questions": ("names", "words", "gain", "entailment", "agreement"),
}
"""The scores that a rule may use."""
LIMITS = (
    (
        "smollm2-135m-instruct",
        "`--min-words 0.6 --min-gain 0.7 --min-statement-support -0.6`",
        GenerateSettings(min_words=0.6, min_gain=0.7, min_statement_support=-0.6),
    ),
    ("qwen2.5-coder-0.5b-instruct", "the defaults", GenerateSettings()),
    (
        "qwen2.5-coder-0.5b-instruct",
        "the defaults and `entailment`",
        GenerateSettings(checks=("names", "gain", "entailment", "agreement")),
    ),
)
"""Settings that are advised: the model, what the table calls them, and they themselves."""
RECALLS = (0.25, 0.5, 0.75, 1.0)
SHARES = (0.0, 0.1, 0.2, 0.35, 0.5)
"""Shares of the faithful elements that a limit may reject."""
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
    question = "" if protocol(row["protocol"]).cues else row["prompt"]  # cues may have changed since it was drawn
    index = int(row["id"].rpartition("/")[2].partition("-")[0])
    return Claim(name=row["id"], news=item, question=question, said=row["completion"], index=index)


def score_texts() -> None:
    """Compute the scores of all elements that need no model, and save them."""
    known, news = rows(), news_by_id()
    checks = [check for check in CHECKS.values() if check.by == "text"]
    verdicts = examine([claim(row, news) for row in known], checks, lambda check, asked: [], None)
    for row, verdict in zip(known, verdicts, strict=True):
        row["scores"] |= verdict.scores
    save(known)


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


Rule = dict[str, float]
"""The least value of each score; one that an element does not have does not count."""


def keeps(rule: Rule, row: Row) -> bool:
    """Whether an element passes a rule."""
    found = row["scores"]
    return all(found.get(name) is None or found[name] >= least for name, least in rule.items())


def with_known(row: Row) -> Row:
    """The element with the number of its unknown names and numbers as a score: 0 is best."""
    return {**row, "scores": {**row["scores"], "names": -len(row["scores"]["unknown"])}}


def area(read: Sequence[Row], name: str) -> str:
    """How often a faithful element has a higher score than one that is not (0.5: the score says nothing)."""
    own = [row for row in read if row["scores"].get(name) is not None]
    good, bad = ([row["scores"][name] for row in own if row["faithful"] is want] for want in (True, False))
    pairs = [(one > other) + (one == other) / 2 for one in good for other in bad]
    return f"{sum(pairs) / len(pairs):.2f}" if pairs else "-"


def precisions(read: Sequence[Row], name: str) -> str:
    """Cells: the highest precision of a limit for one score that keeps a share of the faithful elements."""
    own = [row for row in read if row["scores"].get(name) is not None]
    good = sum(row["faithful"] for row in own)
    found: dict[float, float] = {}
    for limit in {row["scores"][name] for row in own}:
        kept = [row["faithful"] for row in own if row["scores"][name] >= limit]
        for recall in RECALLS:
            if sum(kept) >= recall * good:
                found[recall] = max(found.get(recall, 0.0), sum(kept) / len(kept))
    return " | ".join(f"{found[recall]:.2f}" for recall in RECALLS) if good else " | ".join("-" for _ in RECALLS)


def passes(row: Row, settings: GenerateSettings, news: dict[str, News]) -> bool:
    """Whether an element passes the checks of these settings."""
    one = claim(row, news)
    made = [check for check in CHECKS.values() if check.name in settings.checks and check.applies(one)]
    return not any(check.fails(one, row["scores"], settings) for check in made)


def choose(read: Sequence[Row], names: Sequence[str], target: float) -> Rule:
    """Of the rules with these scores the one with the highest recall among those that reach the target precision.

    Limits are those that a share of the faithful elements passes. If none reaches the target it is the rule of the
    highest precision that keeps a quarter of the faithful elements.
    """
    good = [row for row in read if row["faithful"]]
    grids = []
    for name in names:
        values = sorted(row["scores"][name] for row in good if row["scores"].get(name) is not None)
        at = {round(values[int(share * len(values))], 2) - 0.01 for share in SHARES} if values else set()
        grids.append([None, *sorted(at)])
    best: tuple[tuple[float, ...], Rule] = ((-1.0,), {})
    for limits in product(*grids):
        rule = {name: limit for name, limit in zip(names, limits, strict=True) if limit is not None}
        kept = [row["faithful"] for row in read if keeps(rule, row)]
        precision, recall = sum(kept) / max(1, len(kept)), sum(kept) / max(1, len(good))
        rank = (1.0, recall, precision) if precision >= target else (0.0, precision * (recall >= 0.25), recall)
        if (*rank, -len(rule)) > best[0]:
            best = ((*rank, -len(rule)), rule)
    return best[1]


def outcome(read: Sequence[Row], rule: Rule) -> str:
    """Cells: kept of read, precision with its interval over the news items, recall."""
    kept = [row for row in read if keeps(rule, row)]
    good = sum(row["faithful"] for row in read)
    if not kept or not good:
        return f"{len(kept)} of {len(read)} | - | -"
    own = mean_over_news({(row["news_id"], i): row["faithful"] for i, row in enumerate(kept)})
    between = "" if own.low is None else f" ({own.low:.2f} to {own.high:.2f})"
    return (
        f"{len(kept)} of {len(read)} | {own.estimate:.2f}{between} | {sum(row['faithful'] for row in kept) / good:.2f}"
    )


def asks(row: Row) -> bool:
    """Whether an element is a question and its answer, rather than a statement after a cue."""
    return "agreement" in row["scores"]


def rule_lines(model: str, read: Sequence[Row], target: float) -> Iterator[str]:
    """For statements and for questions the rule chosen on one half, and what it keeps of either; then both together."""
    kept: dict[str, list[Row]] = {"fit": [], "report": []}
    for kind, want in KINDS.items():
        own = {half: [row for row in read if row["half"] == half and asks(row) is want] for half in kept}
        rule = choose(own["fit"], RULE[kind], target)
        said = ", ".join(f"`{name}` >= {limit:.2f}" for name, limit in rule.items()) or "everything"
        for half, part in own.items():
            yield f"| {model} | {kind} | {said} | {half} | {outcome(part, rule)} |"
            kept[half] += [{**row, "scores": {"passes": float(keeps(rule, row))}} for row in part]
    for half, part in kept.items():
        yield f"| {model} | all | these two | {half} | {outcome(part, {'passes': 1.0})} |"


def tables() -> str:
    """The tables of the page."""
    read = [with_known(row) for row in rows() if row["faithful"] is not None and "support" in row["scores"]]
    text = ["| model | protocol | read | faithful |", "|---|---|---|---|"]
    for model, name in sorted({(row["model"], row["protocol"]) for row in read}):
        own = [row for row in read if (row["model"], row["protocol"]) == (model, name)]
        text.append(f"| {model} | {name} | {len(own)} | {sum(row['faithful'] for row in own)} |")
    text += ["", "| model | elements | " + " | ".join(f"`{name}`" for name in SCORES) + " |"]
    text.append("|---|---|" + "---|" * len(SCORES))
    for model in TARGETS:
        for kind, want in KINDS.items():
            own = [row for row in read if row["model"] == model and asks(row) is want]
            text.append(f"| {model} | {len(own)} {kind} | " + " | ".join(area(own, name) for name in SCORES) + " |")
    text += ["", "| model | elements | score | " + " | ".join(f"at {recall:.2f}" for recall in RECALLS) + " |"]
    text.append("|---|---|---|" + "---|" * len(RECALLS))
    for model, (kind, want) in product(TARGETS, KINDS.items()):
        own = [row for row in read if row["model"] == model and asks(row) is want]
        text += [f"| {model} | {kind} | `{name}` | {precisions(own, name)} |" for name in RULE[kind]]
    head = ["", "| model | elements | passes if | half | kept | precision | recall |", "|---|---|---|---|---|---|---|"]
    text += head
    for model, target in TARGETS.items():
        text += rule_lines(model, [row for row in read if row["model"] == model], target)
    text += head
    news = news_by_id()
    for model, label, settings in LIMITS:
        own = [row for row in read if row["model"] == model]
        own = [{**row, "asks": asks(row), "scores": {"passes": float(passes(row, settings, news))}} for row in own]
        for kind, wanted in {**{kind: (want,) for kind, want in KINDS.items()}, "all": (True, False)}.items():
            for half in ("fit", "report"):
                part = [row for row in own if row["half"] == half and row["asks"] in wanted]
                text.append(f"| {model} | {kind} | {label} | {half} | {outcome(part, {'passes': 1.0})} |")
    return "\n".join(text)


def current(page: str) -> str:
    """The page with the tables of the committed file."""
    start, end = (page.index(mark) for mark in MARKS)
    return f"{page[: start + len(MARKS[0])]}\n{tables()}\n{page[end:]}"


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["draw", model, count, *pools]:
            add(model, int(count), pools)
        case ["score"]:
            score_texts()
        case ["score", model]:
            score(model)
        case ["--write"]:
            PAGE.write_text(current(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
        case []:
            print(tables())
        case _:
            raise SystemExit(__doc__)
