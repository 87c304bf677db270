"""Computes all numbers of a run from its folder: scores with intervals, differences, costs.

A block is one scoring on one slice of the questions (all, one domain, one kind); its rows are the subjects. Tables,
figures and page use these numbers, and `write_scores` writes them to scores.json.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from sys2ft import statistics
from sys2ft.errors import UserError
from sys2ft.evaluation.records import CHOICE_SCORINGS, can_ask
from sys2ft.files import write_json
from sys2ft.replay.diversity import Diversity
from sys2ft.report.artifacts import BASE, CONDITIONS, Artifacts, read_artifacts
from sys2ft.report.controls import ControlBlock, control_blocks
from sys2ft.report.costs import Cost as Cost, cost_of
from sys2ft.report.drops import Decision as Decision, decide
from sys2ft.report.leaks import leak_remarks, leaked, without_leaked
from sys2ft.report.selection import Selected, remarks, selected
from sys2ft.statistics import Item, Outcomes, Score, Undefined
from sys2ft.training.ending import describe_end

Measured: TypeAlias = Score | Undefined
Slice = Literal["all", "domain", "kind", "selected", "unleaked"]
Answers: TypeAlias = Mapping[tuple[str, str, str], Outcomes]
"""(subject, scoring, condition) -> question -> right, wrong or not gradable."""

BASELINE = "naive"
NOT_YET = Undefined(reason="not evaluated yet")
UNEVEN = Undefined(reason="the two sides have not answered the same questions yet")


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One subject in one block. Differences are paired over the same questions; None means 'does not apply'."""

    subject: str
    closed_book: Measured
    in_context: Measured
    gap_to_icl: Measured
    """In-context accuracy of the base minus own closed book: what remains to be gained."""
    share: Measured | None
    """Share of the base's gap that training closed."""
    versus_base: Measured | None
    """Own closed book minus the base's."""
    versus_base_joint: Measured | None
    """The same, with an interval that holds for all protocols of the block together: for statements about the best."""
    versus_naive: Measured | None
    """Own closed book minus that of naive fine-tuning."""
    in_context_change: Measured | None
    """Own in context minus the base's; below zero is the curse of overexposure."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """One scoring on one slice of the questions."""

    scoring: str
    by: Slice
    name: str
    """The domain or the kind; 'all' for all questions that carry a verdict (see `selection`)."""
    n_questions: int
    n_news: int
    chance: float | None
    """Mean of 1 / choices over the questions that have choices; None for free text."""
    rows: tuple[Row, ...]

    def row(self, subject: str) -> Row:
        """The row of `subject`."""
        return next(row for row in self.rows if row.subject == subject)


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """All numbers of a run."""

    name: str
    model: str
    adapters: str
    """'per-news' or 'joint'."""
    headline: str
    """The scoring of the main table, by which the best protocol is chosen."""
    scorings: tuple[str, ...]
    protocols: tuple[str, ...]
    blocks: tuple[Block, ...]
    controls: tuple[ControlBlock, ...]
    costs: tuple[Cost, ...]
    best: str | None
    """Protocol with the highest closed-book accuracy under the headline scoring, among those with an adapter that was
    not refused and an answer to every question; the first on a tie."""
    missing: tuple[str, ...]
    ended: tuple[str, ...]
    """Adapters that stopped before their last step, and why."""
    without_adapter: tuple[str, ...] = ()
    """Protocols that left no adapter: their rows are the base model's own answers, and none of them is the best."""
    remarks: tuple[str, ...] = ()
    """Caveats about questions, news items and adapters that affect how the numbers are read."""
    decisions: tuple[Decision, ...] = ()
    """With a greatest drop elsewhere (`max_drop`): which protocols are kept, and by what."""
    diversity: dict[str, Diversity] = field(default_factory=dict)
    """By protocol, how varied its kept elements are."""

    @property
    def refused(self) -> tuple[str, ...]:
        """Protocols whose adapters were refused, since they cost too much elsewhere; none of them is the best."""
        return tuple(decision.protocol for decision in self.decisions if decision.refused)

    def block(self, scoring: str | None = None, by: Slice = "all", name: str = "all") -> Block:
        """One block; by default all questions under the headline scoring."""
        wanted = (scoring or self.headline, by, name)
        return next(block for block in self.blocks if (block.scoring, block.by, block.name) == wanted)

    def slices(self, by: Slice, scoring: str | None = None) -> tuple[Block, ...]:
        """The blocks of all domains or kinds."""
        return tuple(b for b in self.blocks if b.by == by and b.scoring == (scoring or self.headline))


def summarise(run_folder: Path) -> Summary:
    """Compute every number of the run in `run_folder`, finished or not."""
    return summarise_artifacts(read_artifacts(run_folder))


def summarise_artifacts(artifacts: Artifacts) -> Summary:
    """`summarise` for artifacts that have already been read."""
    evaluate = artifacts.run["settings"].get("evaluate", {})
    answers = _answers(artifacts)
    answered = {scoring for _, scoring, _ in answers}
    planned = list(evaluate.get("scorings", ()))
    scorings = (*planned, *sorted(answered - set(planned)))
    headline = evaluate.get("headline") or (scorings[0] if scorings else "cloze")
    scorings = tuple(dict.fromkeys((headline, *scorings)))
    # Any seed would do; the run's own makes the intervals reproducible. numpy requires it to be non-negative.
    seed = abs(int(artifacts.run.get("seed") or 0))
    chosen = selected(artifacts)
    bare = tuple(protocol for protocol in artifacts.protocols if _is_bare(artifacts, protocol))
    close = leaked(artifacts)

    def slices(scoring: str) -> list[tuple[Slice, str, frozenset[Item]]]:
        askable = _askable(artifacts, scoring)
        divided = chosen.divide(_slices(artifacts), askable, "selected")
        return [one for one in without_leaked(divided, close, "unleaked") if one[0] == "all" or one[2] & askable]

    blocks = tuple(
        _block(artifacts, answers, scoring, by, name, items, bare, chosen, seed)
        for scoring in scorings
        for by, name, items in slices(scoring)
    )
    controls = control_blocks(artifacts, headline, chosen.closed_book, seed)
    tuned = [protocol for protocol in artifacts.protocols if protocol not in bare]
    decisions = decide(controls, tuned, evaluate.get("max_drop"))
    unfit = (*bare, *(decision.protocol for decision in decisions if decision.refused))
    return Summary(
        name=str(artifacts.run.get("name", artifacts.folder.name)),
        model=str(artifacts.run.get("model", {}).get("name", "unknown")),
        adapters=str(artifacts.run["settings"].get("train", {}).get("adapters", "per-news")),
        headline=headline,
        scorings=scorings,
        protocols=artifacts.protocols,
        blocks=blocks,
        controls=controls,
        costs=tuple(cost_of(artifacts, protocol) for protocol in artifacts.protocols),
        best=_best(next(block for block in blocks if (block.scoring, block.by) == (headline, "all")), unfit),
        missing=(*artifacts.missing, *_partial(artifacts, answers)),
        ended=tuple(
            f"{protocol}: {describe_end(name, ended)}"
            for protocol, trained in artifacts.training.items()
            for name, ended in trained.get("ended", {}).items()
        ),
        without_adapter=bare,
        decisions=decisions,
        diversity={name: one["diversity"] for name, one in artifacts.yields.items() if one.get("diversity")},
        remarks=(
            *_written(artifacts),
            *remarks(artifacts),
            *leak_remarks(artifacts),
            *_withheld(artifacts),
            *_untrained(artifacts, bare),
        ),
    )


def write_scores(run_folder: Path) -> Path:
    """Write every number of the run to scores.json in its folder, atomically, and return the path."""
    summary = summarise(run_folder)
    path = Path(run_folder) / "scores.json"
    write_json(path, {"format": 1, "draws": statistics.DRAWS, **asdict(summary)})
    return path


def _written(artifacts: Artifacts) -> list[str]:
    """Who wrote the elements, if it was not the model that was trained."""
    writer = artifacts.run.get("generator")
    if not writer:
        return []
    judges = {one.get("judge") for one in artifacts.yields.values()} - {None, "", writer["identity"]}
    judged = ", which judged whether their news items support them" if judges else ""
    name = writer.get("name", writer["identity"])
    uncounted = "" if "sha256" in writer else " FLOP count what was computed here, not its writing."
    return [f"The elements were written by {name}, not by the model that was trained{judged}.{uncounted}"]


def _answers(artifacts: Artifacts) -> dict[tuple[str, str, str], dict[Item, bool | None]]:
    answers: dict[tuple[str, str, str], dict[Item, bool | None]] = {}
    known = {item: item for item, _, _ in artifacts.questions()}  # one key object for all columns: they are many
    for subject, predictions in artifacts.predictions.items():
        for row in predictions:
            column = answers.setdefault((subject, row["scoring"], row["condition"]), {})
            column[known[row["news_id"], row["question"]]] = row["correct"]
    return answers


def _slices(artifacts: Artifacts) -> list[tuple[Slice, str, frozenset[Item]]]:
    """All questions, each domain, each kind; domains and kinds in order of first appearance."""
    groups: dict[tuple[Slice, str], set[Item]] = {("all", "all"): set()}
    for item, _, _ in artifacts.questions():
        groups["all", "all"].add(item)
    for item, news, _ in artifacts.questions():
        if domain := news.get("domain"):
            groups.setdefault(("domain", str(domain)), set()).add(item)
    for item, _, question in artifacts.questions():
        if kind := question.get("kind"):
            groups.setdefault(("kind", str(kind)), set()).add(item)
    return [(by, name, frozenset(items)) for (by, name), items in groups.items()]


def _askable(artifacts: Artifacts, scoring: str) -> frozenset[Item]:
    """Questions to which a scoring applies: multiple-choice scorings need choices."""
    return frozenset(item for item, _, question in artifacts.questions() if can_ask(scoring, question.get("choices")))


def _block(
    artifacts: Artifacts,
    answers: Answers,
    scoring: str,
    by: Slice,
    name: str,
    items: frozenset[Item],
    bare: tuple[str, ...],
    chosen: Selected,
    seed: int,
) -> Block:
    def outcomes(subject: str, condition: str) -> Outcomes:
        found = answers.get((subject, scoring, condition), {})
        return {item: right for item, right in found.items() if item in items}

    items &= _askable(artifacts, scoring)
    choices = [len(q["choices"]) for item, _, q in artifacts.questions() if item in items and q.get("choices")]
    chance = sum(1 / n for n in choices) / len(choices) if choices and scoring in CHOICE_SCORINGS else None
    base, tuned = outcomes(BASE, CONDITIONS[0]), [p for p in artifacts.protocols if p not in bare]
    columns = {protocol: outcomes(protocol, CONDITIONS[0]) for protocol in tuned}
    comparable = {protocol: own for protocol, own in columns.items() if own and own.keys() == base.keys()}
    joint = statistics.joint_differences(comparable, base, seed=seed)
    return Block(
        scoring=scoring,
        by=by,
        name=name,
        n_questions=len(items),
        n_news=len({news_id for news_id, _ in items}),
        chance=chance,
        rows=tuple(
            chosen.withhold(_row(subject, (BASE, *tuned), outcomes, joint, seed), items)
            for subject in artifacts.subjects
        ),
    )


def _row(
    subject: str,
    models: tuple[str, ...],
    outcomes: Callable[[str, str], Outcomes],
    joint: Mapping[str, Score],
    seed: int,
) -> Row:
    """The row of a subject; `models` are those that differ: the base and the protocols with an adapter."""
    closed, icl = (outcomes(subject, condition) for condition in CONDITIONS)
    base_closed, base_icl = (outcomes(BASE, condition) for condition in CONDITIONS)
    naive_closed = outcomes(BASELINE, CONDITIONS[0])

    def measured(measure: Callable[..., Measured], *columns: Outcomes) -> Measured:
        if not all(columns):
            return NOT_YET
        if any(column.keys() != columns[0].keys() for column in columns):
            return UNEVEN
        return measure(*columns, seed=seed)

    tuned = subject in models and subject != BASE
    comparable = tuned and BASELINE in models and subject != BASELINE
    difference = statistics.paired_difference
    versus_base = measured(difference, closed, base_closed) if tuned else None
    return Row(
        subject=subject,
        closed_book=measured(statistics.mean_over_news, closed),
        in_context=measured(statistics.mean_over_news, icl),
        gap_to_icl=measured(difference, base_icl, closed),
        share=measured(statistics.gap_share, base_closed, base_icl, closed) if tuned else None,
        versus_base=versus_base,
        versus_base_joint=joint.get(subject, versus_base),
        versus_naive=measured(difference, closed, naive_closed) if comparable else None,
        in_context_change=measured(difference, icl, base_icl) if tuned else None,
    )


def _best(block: Block, unfit: tuple[str, ...]) -> str | None:
    candidates = [
        (row.closed_book.estimate, row.subject)
        for row in block.rows
        if row.subject not in (BASE, *unfit)
        and isinstance(row.closed_book, Score)
        and row.closed_book.n_items == block.n_questions
    ]
    return max(candidates, key=lambda candidate: candidate[0])[1] if candidates else None


def _withheld(artifacts: Artifacts) -> list[str]:
    """A remark where news items were excluded from generation, with the reason."""
    if not artifacts.withheld:
        return []
    shown = [f"{name} ({found['kind']})" for name, found in artifacts.withheld.items()]
    more = f" and {len(shown) - 5} more" if len(shown) > 5 else ""
    count = "1 news item" if len(shown) == 1 else f"{len(shown)} news items"
    return [
        f"Instruction-like text excluded {count} from generation and training: {', '.join(shown[:5])}{more}. The "
        "questions are still asked."
    ]


def _is_bare(artifacts: Artifacts, protocol: str) -> bool:
    """Whether the base model answers for every news item of the protocol."""
    return artifacts.without_adapter(protocol) == {news["id"] for news in artifacts.news if news["questions"]}


def _untrained(artifacts: Artifacts, bare: tuple[str, ...]) -> list[str]:
    """A remark for each protocol of which the base model answers some or all questions."""
    said = []
    total = sum(1 for news in artifacts.news if news["questions"])
    for protocol in artifacts.protocols:
        lacking = len(artifacts.without_adapter(protocol))
        diverged = len(artifacts.training.get(protocol, {}).get("diverged", ()))
        why = f" ({diverged} diverged)" if diverged else ""
        if protocol in bare:
            said.append(
                f"{protocol} has no adapter{why}: its rows are the base model's own answers, and it is left out of the "
                "comparison."
            )
        elif lacking:
            have = "has" if lacking == 1 else "have"
            said.append(
                f"{protocol}: {lacking} of {total} news items {have} no adapter{why}; the base model answered their "
                "questions."
            )
    return said


def _partial(artifacts: Artifacts, answers: Answers) -> list[str]:
    """Subjects whose predictions do not cover every question under every planned scoring."""
    if not any(True for _ in artifacts.questions()):
        raise UserError("news.jsonl has no questions, so nothing can be scored", fix="use news items with questions")
    planned = artifacts.run["settings"].get("evaluate", {}).get("scorings", ())
    scorings = dict.fromkeys((*planned, *(scoring for _, scoring, _ in answers)))
    said = []
    for subject in artifacts.predictions:
        counts = {s: [len(answers.get((subject, s, condition), {})) for condition in CONDITIONS] for s in scorings}
        totals = {s: len(_askable(artifacts, s)) for s in scorings}
        short = [
            f"{s} {closed} and {icl} of {totals[s]}"
            for s, (closed, icl) in counts.items()
            if min(closed, icl) < totals[s]
        ]
        if short:
            said.append(f"{subject}: questions answered closed book and in context: {', '.join(short)}")
    return said
