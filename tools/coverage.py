"""Facts covered by the first k kept elements, guided and unguided: `python -m tools.coverage --model M --n-news 10`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from sys2ft.languages import language_of
from sys2ft.models import load_model
from sys2ft.news import News, load_news
from sys2ft.replay import GenerateSettings, Replay, generate
from sys2ft.replay.coverage import Coverage
from sys2ft.runs import display


def shares(replay: Replay, news: Sequence[News], sizes: Sequence[int]) -> list[float]:
    """The share of all facts that the first k kept elements of each news item cover, for each k in `sizes`."""
    found = []
    for size in sizes:
        covered = total = 0
        for item in news:
            kept = [element for element in replay.kept if element.news_id == item.id][:size]
            counts = Coverage(replay.facts[item.id], language_of(item.text).code).counts(kept)
            covered, total = covered + sum(map(bool, counts)), total + len(counts)
        found.append(covered / max(1, total))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.coverage", description=__doc__)
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--news", default="new-news")
    parser.add_argument("--n-news", type=int, default=10)
    parser.add_argument("--protocols", nargs="+", default=["self_qa"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[8, 16, 32, 64])
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    model, news = load_model(given.model), load_news(given.news)[: given.n_news]
    print("protocol", "aim", "kept", "asked", *(f"k={size}" for size in given.sizes), sep="\t")
    for aim in (True, False):
        settings = GenerateSettings(
            protocols=tuple(given.protocols), samples_per_news=max(given.sizes), aim=aim, keep_instructions=True
        )
        with display() as show:
            made = generate(model, news, settings, seed=given.seed, show=show)
        for name, replay in made.items():
            row = [f"{share:.3f}" for share in shares(replay, news, given.sizes)]
            print(name, "guided" if aim else "unguided", replay.counts.kept, replay.counts.asked, *row, sep="\t")


if __name__ == "__main__":
    main()
