"""The report room, on a synthetic run folder with known numbers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from known_run import DOMAINS, PROTOCOLS, SCORINGS, build_run, known_news
from sys2ft.errors import UserError
from sys2ft.news import news_from_dict, news_to_dict
from sys2ft.report import (
    Artifacts,
    headline,
    markdown_table,
    power_line,
    read_artifacts,
    summarise,
    terminal_table,
    write_report,
    write_scores,
)
from sys2ft.report.summary import summarise_artifacts
from sys2ft.runs import read_jsonl, write_json, write_jsonl
from sys2ft.statistics import Score, Undefined


def _spoil(path: Path, rows: list[dict[str, Any]]) -> None:
    """Overwrite a file with rows that no finished run contains."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def page(run: Path) -> str:
    return write_report(run).read_text(encoding="utf-8")


def _rows(run: Path, subject: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "predictions" / f"{subject}.jsonl").read_text().splitlines()]


def _share_right(run: Path, subject: str, condition: str, scoring: str = "cloze", **where: str) -> float:
    """Accuracy computed independently of the package."""
    rows = [r for r in _rows(run, subject) if r["condition"] == condition and r["scoring"] == scoring]
    rows = [r for r in rows if all(r[field] == value for field, value in where.items())]
    return sum(r["correct"] is True for r in rows) / len(rows)


def _plain(summary: Any, width: int = 100) -> str:
    console = Console(file=StringIO(), width=width)
    console.print(terminal_table(summary))
    return console.file.getvalue()  # type: ignore[attr-defined]


def _estimate(measured: Any) -> float:
    assert isinstance(measured, Score)
    return measured.estimate


class Parsed(HTMLParser):
    """The page as a browser parses it: its text, its tags, and everything it could fetch."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href", "srcset", "action", "data")]
        assert not [k for k, _ in attrs if k.startswith("on")], "a handler in the page"

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.mark.parametrize("scoring", SCORINGS)
def test_summary_equals_an_independent_count(run: Path, scoring: str) -> None:
    summary = summarise(run)
    block = summary.block(scoring)
    assert (block.n_questions, block.n_news) == (48, 12)
    base_icl, base_closed = (_share_right(run, "base", c, scoring) for c in ("in_context", "closed_book"))
    naive = _share_right(run, "naive", "closed_book", scoring)
    for row in block.rows:
        closed, icl = (_share_right(run, row.subject, c, scoring) for c in ("closed_book", "in_context"))
        assert _estimate(row.closed_book) == pytest.approx(closed)
        assert _estimate(row.in_context) == pytest.approx(icl)
        assert _estimate(row.gap_to_icl) == pytest.approx(base_icl - closed)
        if row.subject != "base":
            assert _estimate(row.share) == pytest.approx((closed - base_closed) / (base_icl - base_closed))
            assert _estimate(row.in_context_change) == pytest.approx(icl - base_icl)
            assert _estimate(row.versus_base) == pytest.approx(closed - base_closed)
        if row.subject not in ("base", "naive"):
            assert _estimate(row.versus_naive) == pytest.approx(closed - naive)
    assert [row.subject for row in block.rows] == ["base", *PROTOCOLS]
    assert summary.best == "self_qa"
    assert summary.missing == ()


def test_slices_partition_the_questions(run: Path) -> None:
    summary = summarise(run)
    for by, field in (("domain", "domain"), ("kind", "kind")):
        blocks = summary.slices(by)  # type: ignore[arg-type]
        assert sum(block.n_questions for block in blocks) == summary.block().n_questions
        for block in blocks:
            right = _share_right(run, "self_qa", "closed_book", **{field: block.name})
            assert _estimate(block.row("self_qa").closed_book) == pytest.approx(right)
    assert [block.name for block in summary.slices("domain")] == list(DOMAINS)


def test_chance_is_the_mean_over_questions_and_only_where_choices_are_scored(run: Path) -> None:
    assert summarise(run).block("cloze").chance == pytest.approx((1 / 3 + 1 / 4) / 2)
    assert summarise(run).block("direct").chance is None


def test_answers_not_gradable_are_counted_and_reported(run: Path) -> None:
    summary = summarise(run)
    expected = sum(
        r["correct"] is None for r in _rows(run, "naive") if r["scoring"] == "direct" and r["condition"] == "in_context"
    )
    measured = summary.block("direct").row("naive").in_context
    assert isinstance(measured, Score) and measured.ungraded == expected > 0
    shown = _plain(replace(summary, headline="direct"))
    assert f"naive: {expected} of 48 answers in context could not be graded" in shown


def test_scores_json_contains_every_number(run: Path) -> None:
    scores = json.loads(write_scores(run).read_text())
    block = next(b for b in scores["blocks"] if b["scoring"] == "cloze" and b["by"] == "all")
    row = next(r for r in block["rows"] if r["subject"] == "self_qa")
    assert row["closed_book"]["estimate"] == pytest.approx(_share_right(run, "self_qa", "closed_book"))
    assert (row["closed_book"]["n_items"], row["closed_book"]["n_news"]) == (48, 12)
    assert scores["costs"][1]["flop_train"] == 8.4e13
    assert write_scores(run).read_bytes() == write_scores(run).read_bytes()
    assert not list(run.glob(".*.tmp"))


def test_tables_show_the_numbers_within_100_columns_and_without_colour_codes(run: Path) -> None:
    summary = summarise(run)
    shown, markdown = _plain(summary), markdown_table(summary)
    assert max(len(line) for line in shown.splitlines()) <= 100
    assert "\x1b" not in shown
    for row in summary.block().rows:
        line = next(line for line in shown.splitlines() if line.startswith(f"{row.subject}  "))
        closed, icl = (_share_right(run, row.subject, c) for c in ("closed_book", "in_context"))
        assert re.findall(r"[+-]?\d\.\d\d(?= \[)", line)[:2] == [f"{closed:.2f}", f"{icl:.2f}"]
        assert re.search(rf"^\| {row.subject} \| {closed:.2f} \[", markdown, re.MULTILINE)
    for said in ("48 questions of 12 news", "chance 0.29", "mathematics", "370k", "126"):
        assert said in shown and said in markdown, said


def test_names_are_not_read_as_markup(tmp_path: Path) -> None:
    run = build_run(tmp_path, n_news=4, n_questions=2, scorings=("cloze",))
    news = [news_from_dict({**row, "domain": "[red]$a_b$|<i>数学"}) for row in read_jsonl(run / "news.jsonl")]
    write_jsonl(run / "news.jsonl", map(news_to_dict, news))
    assert "[red]$a_b$|<i>" in _plain(summarise(run))
    assert "[red]$a_b$\\|\\<i\\>" in markdown_table(summarise(run))
    page = write_report(run).read_text()
    assert "<i>" not in page and "$a_b$|&lt;i&gt;数学" in page


def test_every_question_and_every_answer_is_in_the_page(run: Path, page: str) -> None:
    text = " ".join("".join(Parsed(page).text).split())
    for subject in ("base", *PROTOCOLS):
        for row in _rows(run, subject):
            for said in (row["asked"], row["said"], row["why"]):
                assert " ".join(said.split()) in text
    assert page.count('<article class="question">') == 48
    assert page.count('<span class="mark">✓ right') + page.count('<span class="mark">✗ wrong') + page.count(
        '<span class="mark">? not graded'
    ) == sum(len(_rows(run, s)) for s in ("base", *PROTOCOLS))


def test_hostile_text_stays_text(page: str) -> None:
    assert "&lt;script&gt;alert(" in page
    assert "<script>alert(" not in page
    assert Parsed(page).tags.count("script") == 1


def test_the_page_fetches_nothing(page: str) -> None:
    parsed = Parsed(page)
    assert all(link.startswith("#") for link in parsed.links)
    assert not {"link", "img", "iframe", "object", "embed", "base"} & set(parsed.tags)
    style = page[page.index("<style>") : page.index("</style>")]
    assert "url(" not in style and "@import" not in style
    assert "default-src 'none'" in page


def test_the_policy_names_the_script_of_the_page(page: str) -> None:
    import base64
    import hashlib

    script = re.search(r"<script>(.*)</script>", page, re.DOTALL)
    named = re.search(r"script-src 'sha256-([^']*)'", page)
    assert script and named
    assert base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode() == named[1]


def test_ids_are_unique_and_references_resolve(page: str) -> None:
    ids = re.findall(r'<[^>]*\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    referred = re.findall(r'href="#([^"]*)"', page) + re.findall(r"url\(#([^)]*)\)", page)
    assert referred and set(referred) <= set(ids)


@pytest.mark.slow
def test_the_same_folder_gives_the_same_bytes(run: Path) -> None:
    assert write_report(run).read_bytes() == write_report(run).read_bytes()


def test_examples_are_bounded_and_cover_the_reasons(run: Path) -> None:
    page = write_report(run, examples=2).read_text()
    assert "naive: 2 kept and 8 rejected, as examples" in page
    for reason in ("repeat", "off_topic", "unparsed", "truncated"):
        assert f"rejected: <b>{reason}</b>" in page
    write_report(run)


def test_headline_is_honest(tmp_path: Path) -> None:
    helped, sentences = headline(summarise(build_run(tmp_path / "a", n_news=30)))
    assert helped.startswith("self_qa put news into the weights: ")
    assert any("curse of overexposure" in sentence for sentence in sentences)
    flat = dict.fromkeys(("base", *PROTOCOLS), (0.3, 0.3))
    verdict, sentences = headline(summarise(build_run(tmp_path / "b", rates=flat)))
    assert verdict.startswith("No protocol helped by more than chance noise")
    assert any("no share of the gap is given: ICL is not above closed book" in sentence for sentence in sentences)
    alone, _ = headline(summarise(build_run(tmp_path / "one", n_news=1)))
    assert alone.startswith("No verdict: a single news item cannot tell a change from chance noise: ")
    worse = {"base": (0.9, 0.9)} | dict.fromkeys(PROTOCOLS, (0.2, 0.9))
    assert headline(summarise(build_run(tmp_path / "c", rates=worse)))[0].startswith("Every protocol did harm")


def _records(
    rates: dict[str, float], rng: np.random.Generator, n_news: int, n_questions: int = 5, choices: str = "ab"
) -> Artifacts:
    """The records of a run whose models answer closed book at these rates, in memory."""
    news = [
        {"id": f"n{n}", "questions": [{"question": "?", "choices": list(choices)}] * n_questions} for n in range(n_news)
    ]
    rows = {
        subject: [
            {
                "news_id": one["id"],
                "question": q,
                "scoring": "cloze",
                "condition": condition,
                "correct": bool(rng.random() < rate),
                "adapter": None if subject == "base" else one["id"],
            }
            for one in news
            for q in range(n_questions)
            for condition in ("closed_book", "in_context")
        ]
        for subject, rate in rates.items()
    }
    protocols = tuple(rates)[1:]
    run = {"settings": {"generate": {"protocols": list(protocols)}, "evaluate": {"scorings": ["cloze"]}}}
    return Artifacts(
        folder=Path("known"), run=run, news=news, protocols=protocols, predictions=rows, yields={}, training={},
        curves={}, controls={}, withheld={}, missing=(),
    )  # fmt: skip


@pytest.mark.parametrize(("protocols", "n_news"), [(4, 5), (12, 10)])
def test_a_verdict_is_rarely_false_and_finds_what_is_there(protocols: int, n_news: int) -> None:
    rng = np.random.default_rng(protocols)
    flat = {"base": 0.3} | {f"p{k}": 0.3 for k in range(protocols)}
    verdicts = [headline(summarise_artifacts(_records(flat, rng, n_news)))[0] for _ in range(25)]
    assert sum("put news into the weights" in verdict for verdict in verdicts) <= 2
    assert not any(verdict.startswith("Every protocol did harm") for verdict in verdicts)
    verdicts = [headline(summarise_artifacts(_records(flat | {"p1": 0.97}, rng, n_news, 12)))[0] for _ in range(8)]
    found = [verdict for verdict in verdicts if verdict.startswith("p1 put news into the weights: ")]
    assert len(found) >= 7
    assert all(verdict.endswith(f"(corrected for choosing the best of {protocols})") for verdict in found)
    bad = {"base": 0.97} | {f"p{k}": 0.1 for k in range(protocols)}
    verdicts = [headline(summarise_artifacts(_records(bad, rng, n_news, 12)))[0] for _ in range(4)]
    assert all(verdict.startswith("Every protocol did harm: ") for verdict in verdicts)


def test_harm_by_some_protocols_is_not_harm_by_every_one() -> None:
    artifacts = _records({"base": 0.9, "p0": 0.1, "p1": 0.9}, np.random.default_rng(0), 10)
    assert headline(summarise_artifacts(artifacts))[0].startswith("No protocol helped by more than chance noise")


def test_a_steady_gain_is_not_hidden_by_a_larger_uncertain_one() -> None:
    # p0 learns three news items of ten by heart, p1 one question of every news item.
    artifacts = _records({"base": 0.0, "p0": 0.0, "p1": 0.0}, np.random.default_rng(0), 10, choices="abcdefghij")
    for row in artifacts.predictions["p0"]:
        row["correct"] = row["news_id"] in ("n0", "n1", "n2")
    for row in artifacts.predictions["p1"]:
        row["correct"] = row["question"] == 0 or (row["news_id"], row["question"]) == ("n9", 1)
    summary = summarise_artifacts(artifacts)
    verdict, sentences = headline(summary)
    assert summary.best == "p0"
    assert verdict.startswith("p1 put news into the weights: 0% before, 22% after")
    assert any(sentence.startswith("p0 answers 30%") for sentence in sentences)


def test_scores_json_has_intervals_with_and_without_the_correction(run: Path) -> None:
    scores = json.loads(write_scores(run).read_text())
    block = next(b for b in scores["blocks"] if b["scoring"] == "cloze" and b["by"] == "all")
    row = next(r for r in block["rows"] if r["subject"] == "self_qa")
    single, joint = row["versus_base"], row["versus_base_joint"]
    assert joint["estimate"] == single["estimate"] and (single["among"], joint["among"]) == (1, 3)
    assert joint["low"] < single["low"] and joint["high"] > single["high"]
    assert next(r for r in block["rows"] if r["subject"] == "base")["versus_base_joint"] is None
    assert "each row by itself" in markdown_table(summarise(run))


def _retrain(run: Path, protocol: str, **changes: Any) -> None:
    file = run / "training" / f"{protocol}.json"
    write_json(file, json.loads(file.read_text()) | changes)


def _answer_as_base(run: Path, protocol: str, news_ids: set[str]) -> None:
    """Give the base model's answers to the questions of these news items, as an evaluation without adapter does."""
    base = {tuple(r[k] for k in ("news_id", "question", "condition", "scoring")): r for r in _rows(run, "base")}
    rows = [
        {**r, **({"adapter": None, "correct": base[key]["correct"]} if r["news_id"] in news_ids else {})}
        for r in _rows(run, protocol)
        for key in [tuple(r[k] for k in ("news_id", "question", "condition", "scoring"))]
    ]
    write_jsonl(run / "predictions" / f"{protocol}.jsonl", rows)


def test_a_protocol_without_adapter_is_neither_tuned_nor_best(tmp_path: Path) -> None:
    rates = {"base": (0.6, 0.9), "naive": (0.5, 0.9), "paraphrase": (0.4, 0.7), "self_qa": (0.6, 0.9)}
    run = build_run(tmp_path, rates=rates)
    ids = {news["id"] for news in read_jsonl(run / "news.jsonl")}
    _retrain(run, "self_qa", names=[], routes=dict.fromkeys(ids))
    _answer_as_base(run, "self_qa", ids)
    summary = summarise(run)
    row = summary.block().row("self_qa")
    assert summary.best == "naive" and summary.without_adapter == ("self_qa",)
    assert _estimate(row.closed_book) == _estimate(summary.block().row("base").closed_book)
    assert (row.share, row.versus_base, row.versus_base_joint, row.versus_naive) == (None,) * 4
    verdict, sentences = headline(summary)
    assert "best of 2" in verdict and not any("tuned by self_qa" in sentence for sentence in sentences)
    assert "| self_qa (no adapter: base answers) |" in markdown_table(summary)
    said = "self_qa has no adapter: its rows are the base model's own answers"
    for shown in (_plain(summary), markdown_table(summary), "".join(Parsed(write_report(run).read_text()).text)):
        assert said in " ".join(shown.split())
        assert "no adapter: base answers" in " ".join(shown.replace("-", " ").split())
    assert "self_qa has no adapter: base answers." in write_report(run).read_text()


def test_a_run_without_any_adapter_has_no_best(tmp_path: Path) -> None:
    run = build_run(tmp_path, n_news=3, protocols=("naive", "paraphrase"))
    for protocol in ("naive", "paraphrase"):
        _retrain(run, protocol, names=[], diverged=["m-00", "m-01", "m-02"])
    summary = summarise(run)
    assert summary.best is None
    assert headline(summary)[0] == "No protocol has an adapter, so nothing was put into the weights"
    assert any(remark.startswith("naive has no adapter (3 diverged): its rows") for remark in summary.remarks)
    assert write_report(run).is_file()


def test_news_items_without_adapter_are_counted(tmp_path: Path) -> None:
    run = build_run(tmp_path)
    lost = {"m-01", "m-04", "m-07"}
    routes = json.loads((run / "training" / "self_qa.json").read_text())["routes"]
    _retrain(run, "self_qa", routes=routes | dict.fromkeys(lost), diverged=["m-04"])
    _answer_as_base(run, "naive", {"m-02"})
    remarks = summarise(run).remarks
    assert (
        "self_qa: 3 of 12 news items have no adapter (1 diverged); the base model answered their questions." in remarks
    )
    assert "naive: 1 of 12 news items has no adapter; the base model answered their questions." in remarks
    assert not any(remark.startswith("paraphrase") for remark in remarks)
    assert summarise(run).best == "self_qa"


def test_the_power_line_says_what_cannot_be_seen() -> None:
    from sys2ft.statistics import smallest_difference

    assert power_line([5] * 10, protocols=4) == (
        "50 questions of 10 news items, 4 protocols: differences in accuracy below about "
        f"{smallest_difference([5] * 10, protocols=4):.2f} cannot be seen (80% power, assuming that the untouched "
        "model answers 25%)"
    )
    assert power_line([3, 0]) == "3 questions of 1 news item: too few to tell any difference from chance noise"


def test_undefined_share_is_shown_with_its_reason(tmp_path: Path) -> None:
    run = build_run(tmp_path, rates=dict.fromkeys(("base", *PROTOCOLS), (0.4, 0.4)))
    summary = summarise(run)
    share = summary.block().row("self_qa").share
    assert isinstance(share, Undefined)
    assert "not defined" in _plain(summary) and " ".join(share.reason.split()) in " ".join(_plain(summary).split())
    assert share.reason.split("(")[0] in write_report(run).read_text()
    assert "reason" in write_scores(run).read_text()


def test_an_unfinished_run_lists_what_is_missing(tmp_path: Path) -> None:
    run = build_run(tmp_path)
    for gone in ("predictions/self_qa.jsonl", "training/self_qa.json", "training/self_qa.jsonl"):
        (run / gone).unlink()
    _spoil(run / "predictions" / "naive.jsonl", _rows(run, "naive")[:10])
    summary = summarise(run)
    assert "self_qa: not trained" in summary.missing and "self_qa: no predictions" in summary.missing
    assert (
        "naive: questions answered closed book and in context: cloze 5 and 5 of 48, direct 0 and 0 of 48"
        in summary.missing
    )
    assert summary.best == "paraphrase"  # naive has not answered every question
    assert isinstance(summary.block().row("naive").versus_base, Undefined)
    shown, page = _plain(summary), write_report(run).read_text()
    assert "self_qa: no predictions" in shown and "self_qa: no predictions" in page and "not yet" in page


def test_a_run_just_started_has_a_page(tmp_path: Path) -> None:
    run = build_run(tmp_path)
    for part in ("predictions", "training", "replay"):
        for file in (run / part).iterdir():
            file.unlink()
    summary = summarise(run)
    assert summary.best is None
    assert headline(summary)[0] == "No protocol has been evaluated yet"
    assert "not yet" in _plain(summary) and markdown_table(summary)
    page = write_report(run).read_text()
    assert page.count("Missing: the run does not hold the data yet.") == 5
    assert page.count("No answers yet.") == 48


def test_one_news_item_and_no_naive(tmp_path: Path) -> None:
    summary = summarise(build_run(tmp_path, n_news=1, protocols=("self_qa",)))
    assert "[no interval]" in _plain(summary) and "no interval for a single news item" in _plain(summary)
    assert summary.block().row("self_qa").versus_naive is None
    assert write_report(tmp_path).is_file()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda run: (run / "run.json").unlink(), "is not a run folder"),
        (lambda run: (run / "news.jsonl").unlink(), "news.jsonl is missing"),
        (lambda run: (run / "predictions/base.jsonl").write_text('{"id": '), "base.jsonl, line 1 is damaged"),
        (lambda run: _spoil(run / "predictions/base.jsonl", 2 * _rows(run, "base")), "answers a question asked before"),
        (
            lambda run: write_jsonl(run / "news.jsonl", [news_to_dict(known_news(0, 1))]),
            "answers no question of news.jsonl",
        ),
    ],
)
def test_damage_is_named(tmp_path: Path, damage: Any, said: str) -> None:
    damage(build_run(tmp_path, n_news=2, n_questions=2))
    with pytest.raises(UserError, match=said):
        summarise(tmp_path)


def test_diverged_losses_do_not_spoil_the_figure(tmp_path: Path) -> None:
    from sys2ft.report.figures import loss_figure

    run = build_run(tmp_path, n_news=2, n_questions=1)
    curve = [{"adapter": "m-00", "step": s, "loss": loss} for s, loss in enumerate((2.0, None, float("inf"), 0.5))]
    _spoil(run / "training" / "naive.jsonl", curve)
    figure = loss_figure(read_artifacts(run))
    assert figure and "nan" not in figure
    _spoil(run / "training" / "naive.jsonl", curve[1:3])
    assert loss_figure(read_artifacts(run))


def test_charts_are_whole_and_carry_their_numbers(run: Path, page: str) -> None:
    import xml.etree.ElementTree as XML

    charts = [XML.fromstring(chart) for chart in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]
    assert len(charts) == 5
    labels = [{mark.get("aria-label") for mark in chart.iter()} for chart in charts]
    score = summarise(run).block().row("self_qa").closed_book
    assert isinstance(score, Score)
    numbers = f"{score.estimate:.3f} [{score.low:.3f}, {score.high:.3f}]"
    assert f"self_qa, closed book: {numbers}, {score.n_items} questions of {score.n_news} news items" in labels[0]
    assert any(label and "self_qa, kept: " in label for label in labels[3])
    assert not any(mark.get("id") for chart in charts for mark in chart.iter()), "charts of a page must not share ids"


def test_names_in_charts_are_escaped(tmp_path: Path) -> None:
    from sys2ft.pages.charts import Legend, Series, draw, estimates

    name = "</svg><script>alert(1)</script>$a_b$"
    row = {"series": name, "place": name, "estimate": 0.5, "low": None, "high": None, "text": f"{name}: 0.5"}
    place = {"y": {"field": "place", "type": "nominal"}}
    chart = draw({"layer": estimates([row], "x", {}, place, Legend([Series(name, "red", "circle")]))}, f'"{name}')
    assert chart.count("<script") == 0 and chart.count("</svg>") == 1
    assert "alert(1)" in chart and "$a_b$" in chart


def test_tables_are_made_without_charts_and_templates() -> None:
    code = "import sys, sys2ft.report.table; print(sorted({'vl_convert', 'jinja2'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
