"""Compares the ways in which a model can answer for many news items: one table from two finished runs.

One run has an adapter per news item, the other a joint one, of the same news items and the same model. The first run's
folder gets what is computed here (`compare/`, `compare.json`, `compare.md`, merged adapters); the second is only read.
Answers are stored as units and merged adapters as folders, so a stopped comparison resumes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from sys2ft.combining import CompareSettings, Retrieved, Retriever, with_retrieved_text, with_route
from sys2ft.combining.settings import MERGES, Merge
from sys2ft.engine import BASE as BASE_SLOT, Bank, open_adapter
from sys2ft.errors import SettingsError
from sys2ft.evaluation import EvaluateSettings, Probe, Questions, Route, evaluate
from sys2ft.evaluation.ask import messages
from sys2ft.evaluation.records import Condition, can_ask
from sys2ft.job.compared import Comparison, Table, WayRow
from sys2ft.job.fits import require_fit
from sys2ft.job.merges import merged_adapter, size_of
from sys2ft.job.portions import elements_of
from sys2ft.job.stages import cell_of, news_of, require_current
from sys2ft.job.trained import REFUSED, answering, load_bank
from sys2ft.models import LoadedModel, Reader
from sys2ft.news import Question
from sys2ft.replay import ReplayElement
from sys2ft.report.artifacts import BASE, Artifacts, Record, read_artifacts
from sys2ft.report.selection import remarks, selected
from sys2ft.report.words import counted
from sys2ft.runs import Display, Run, digest, write_json, write_jsonl, write_text
from sys2ft.statistics import Item, Outcomes, joint_differences, mean_over_news, paired_difference
from sys2ft.training import JOINT, TrainSettings

FOLDER = "compare"


def pair_of(first: Run, second: Run) -> tuple[Run, Run]:
    """The run with an adapter per news item and the one with a joint adapter, of two runs in any order.

    Raises SettingsError if they are not one of each, or differ in model, news items or number format.
    """
    kinds = [run.record["settings"].get("train", {}).get("adapters", "none yet") for run in (first, second)]
    if set(kinds) != {"per-news", JOINT}:
        raise SettingsError(
            ", ".join(f"{run.path} has adapters: {kind}" for run, kind in zip((first, second), kinds, strict=True)),
            expected="two runs on the same news items, one with --adapters per-news and one with --adapters joint",
            fix="copy a run folder after `sys2ft generate`, then train and evaluate the copy with the other --adapters",
        )
    identities = [run.record["identity"] for run in (first, second)]
    if differing := [name for name in ("model", "news", "dtype") if identities[0][name] != identities[1][name]]:
        raise SettingsError(
            f"{first.path} and {second.path} differ in: {', '.join(differing)}",
            expected="runs of one model on one set of news items, in one number format",
            fix="give two runs that were started with the same news file, --model and --dtype",
        )
    return (first, second) if kinds[1] == JOINT else (second, first)


def compare(
    per_news: Run, joint: Run, model: LoadedModel, settings: CompareSettings, show: Display | None = None
) -> Comparison:
    """Measure the ways of the settings, and write the tables to `compare.json` and `compare.md` in `per_news`.

    The runs are those of `pair_of`. Raises SettingsError if one of them is not finished or has no adapters, NewsError
    if a text has no word to find it by or is too long for the model.
    """
    with per_news.lock():
        comparison = _Comparing(per_news, joint, model, settings, show or Display()).compare()
        write_json(per_news.path / "compare.json", comparison.to_dict())
        write_text(per_news.path / "compare.md", comparison.markdown())
    return comparison


@dataclass(frozen=True, slots=True)
class _Answers:
    """What one way answers, and what has to be shipped for it."""

    rows: Sequence[Record]
    bytes: int
    condition: Condition = "closed_book"
    uses_retriever: bool = False


class _Comparing:
    def __init__(self, run: Run, joint: Run, model: LoadedModel, settings: CompareSettings, show: Display) -> None:
        self.own, self.joint, self.model, self.settings, self.show = run, joint, model, settings, show
        self.news, self.seed = news_of(run), run.record["seed"]
        self.answers, self.joint_answers = _evaluated(run), _evaluated(joint)
        evaluated = run.settings("evaluate", EvaluateSettings)
        self.headline = evaluated.headline
        self.protocols, left_out = _common(self.answers, self.joint_answers, self.headline)
        for one in (run, joint):
            require_current(one, self.protocols, self.news)
        self.once = replace(evaluated, scorings=(self.headline,), controls=("none",))
        self.items = _items(self.answers, self.headline)
        self.found = Retriever(self.news).find_all(self.news)
        self.text_bytes = sum(len(item.text.encode()) for item in self.news)
        self.remarks = [*left_out, *self._differences(), *remarks(self.answers)]

    def compare(self) -> Comparison:
        found = [{"news_id": id, "question": i, "found": source} for (id, i), source in self.found.items()]
        write_jsonl(self.own.path / FOLDER / "found.jsonl", found)
        wrong: Outcomes = {item: self.found[item] != item[0] for item in self.items}
        without = self._without_adapters()
        tables = [self._table(name, {**without, **self._with_adapters(name)}) for name in self.protocols]
        return Comparison(
            runs={"per-news": str(self.own.path), JOINT: str(self.joint.path)},
            model=self.own.record["model"]["name"],
            headline=self.headline,
            settings=asdict(self.settings),
            retrieval_errors=mean_over_news(wrong, seed=abs(self.seed)),
            nothing_found=sum(self.found[item] is None for item in self.items),
            tables=tuple(tables),
            remarks=tuple(self.remarks),
        )

    def _differences(self) -> list[str]:
        """What keeps the adapters from being alike in all but how they are combined."""
        said = []
        for name in self.protocols:
            own, other = (_taught(elements_of(run, name)) for run in (self.own, self.joint))
            if own != other:
                said.append(f"{name}: {len(own ^ other)} elements were taught in one of the runs only.")
            if bare := sum(route.slot == BASE_SLOT for route in answering(self.own, name).routes.values()):
                said.append(f"{name}: the base model answers for {counted(bare, 'news item')} without an own adapter.")
        return said

    def _require_room(self) -> None:
        """Raise NewsError if a retrieved text and a question are too long together."""
        asked: dict[str, list[Question]] = {}
        for item in self.news:
            for index, question in enumerate(item.questions):
                if (source := self.found[item.id, index]) is not None:
                    asked.setdefault(source, []).append(question)
        given = [one.model_copy(update={"questions": tuple(asked[one.id])}) for one in self.news if one.id in asked]
        require_fit(Reader.of(self.model), given, evaluate=self.once)

    def _without_adapters(self) -> dict[str, _Answers]:
        """The base model alone, with the text of the question's own news item, and with the retrieved text."""
        base = list(self.answers.predictions[BASE])
        ways = {"base": _Answers(base, 0), "own text": _Answers(base, self.text_bytes, "in_context")}
        if "retrieval" in self.settings.ways:
            self._require_room()
            change = with_retrieved_text(self.found, self.news)
            probe = Retrieved(Questions(self.once, "retrieval", FOLDER, ("in_context",)), change, "retrieval")
            rows = self._ask("retrieval", probe)
            ways["retrieved text"] = _Answers(rows, self.text_bytes, "in_context", uses_retriever=True)
        return ways

    def _with_adapters(self, name: str) -> dict[str, _Answers]:
        """The adapters of a protocol: each on its own news item, the retrieved one, the joint one, the merged ones."""
        adapters = self.own.path / "adapters"
        size = size_of(adapters / name)
        ways = {"own adapter": _Answers(list(self.answers.predictions[name]), size)}
        merged: list[Merge] = [method for method in MERGES if method in self.settings.ways]
        versions = dict[Merge, str]()
        if merged or "routed" in self.settings.ways:
            bank = load_bank(self.own, self.model, name)
            assert bank is not None, "checked by _common"
            try:
                if "routed" in self.settings.ways:
                    rows = self._routed(name, bank)
                    ways["retrieved adapter"] = _Answers(rows, size + self.text_bytes, uses_retriever=True)
                versions = {method: self._merge(name, method, bank) for method in merged}
            finally:
                bank.close()
        joint = size_of(self.joint.path / "adapters" / name)
        ways["joint adapter"] = _Answers(list(self.joint_answers.predictions[name]), joint)
        for method, version in versions.items():
            rows = self._merged(f"{name}-{method}", version)
            ways[f"merged {method}"] = _Answers(rows, size_of(adapters / f"{name}-{method}"))
        return ways

    def _routed(self, name: str, bank: Bank) -> list[Record]:
        who = answering(self.own, name)
        questions = Questions(self.once, "routed", FOLDER, ("closed_book",))
        probe = Retrieved(questions, with_route(self.found, who.routes), "routed")
        return self._ask(f"{name}-routed", probe, bank, who.routes, who.version)

    def _merge(self, name: str, method: Merge, bank: Bank) -> str:
        trained = self.own.settings("train", TrainSettings)
        together = cell_of(self.own, name, replace(trained, adapters=JOINT))
        record = merged_adapter(
            self.own,
            self.model,
            bank,
            name,
            method,
            self.settings,
            rank=self.settings.rank or self.joint_answers.training[name]["rank"],
            version=self.answers.training[name]["version"],
            jobs=together.jobs(elements_of(self.own, name)),
            show=self.show,
        )
        return str(record["version"])

    def _merged(self, adapter: str, version: str) -> list[Record]:
        bank = open_adapter(self.model.model, self.own.path / "adapters" / adapter)
        try:
            routes = {item.id: Route(0, adapter) for item in self.news}
            return self._ask(adapter, Questions(self.once, "merged", FOLDER, ("closed_book",)), bank, routes, version)
        finally:
            bank.close()

    def _ask(
        self,
        subject: str,
        probe: Probe,
        bank: Bank | None = None,
        routes: Mapping[str, Route] | None = None,
        version: str = "",
    ) -> list[Record]:
        said = evaluate(
            self.model, self.news, self.once, subject=subject, bank=bank, routes=routes, version=version, probe=probe,
            seed=self.seed, memo=self.own, show=self.show,
        )  # fmt: skip
        rows = [one.to_dict() for one in said]
        write_jsonl(self.own.path / FOLDER / f"{subject}.jsonl", rows)
        return rows

    def _table(self, name: str, ways: Mapping[str, _Answers]) -> Table:
        seed = abs(self.seed)
        used = {
            way: [
                row
                for row in answers.rows
                if (row["news_id"], row["question"]) in self.items
                and (row["condition"], row["scoring"]) == (answers.condition, self.headline)
            ]
            for way, answers in ways.items()
        }
        right: dict[str, Outcomes] = {
            way: {(row["news_id"], row["question"]): row["correct"] for row in rows} for way, rows in used.items()
        }
        joint = right["joint adapter"]
        others = {way: outcomes for way, outcomes in right.items() if outcomes is not joint}
        together = joint_differences(others, joint, seed=seed)
        rows = [
            WayRow(
                way=way,
                condition=answers.condition,
                accuracy=mean_over_news(right[way], seed=seed),
                minus_joint=paired_difference(right[way], joint, seed=seed) if way in others else None,
                minus_joint_together=together.get(way),
                tokens=sum(self._tokens(row["asked"]) for row in used[way]) / len(used[way]),
                bytes=answers.bytes,
                uses_retriever=answers.uses_retriever,
            )
            for way, answers in ways.items()
        ]
        return Table(protocol=name, rows=tuple(rows))

    def _tokens(self, text: str) -> int:
        return len(self.model.chat.prompt_ids(messages(text)))


def _evaluated(run: Run) -> Artifacts:
    if "evaluate" not in run.record["settings"]:
        raise SettingsError(
            f"{run.path} has not been evaluated",
            expected="a finished run",
            fix=f"evaluate it first: sys2ft evaluate {run.path}",
        )
    return read_artifacts(run.path)


def _taught(elements: Iterable[ReplayElement]) -> set[str]:
    """What the kept elements teach, as digests."""
    return {digest([one.news_id, list(one.prompt), one.completion]) for one in elements if one.status == "kept"}


def _items(answers: Artifacts, headline: str) -> frozenset[Item]:
    """The questions of a run's main table: those that the headline scoring asks, not chosen by the base's failures."""
    asked = frozenset(item for item, _, question in answers.questions() if can_ask(headline, question.get("choices")))
    return asked - selected(answers).closed_book or asked


def _common(own: Artifacts, joint: Artifacts, headline: str) -> tuple[list[str], list[str]]:
    """The protocols with adapters and answers in both runs, and remarks on those left out.

    Raises SettingsError if there is none, or if a run lacks answers of the base model by the headline scoring.
    """
    left_out, common = [], []
    for name in dict.fromkeys((*own.protocols, *joint.protocols)):
        lacks = [why for answers in (own, joint) if (why := _lacks(answers, name, headline))]
        if lacks:
            left_out.append(f"{name} is left out: {'; '.join(lacks)}.")
        else:
            common.append(name)
    if not common:
        raise SettingsError(
            "\n".join(["no protocol can be compared:", *(f"  {line}" for line in left_out)]),
            expected="a protocol with adapters and answers in both runs",
            fix="train and evaluate both runs with the same protocol and headline scoring",
        )
    return common, left_out


def _lacks(answers: Artifacts, name: str, headline: str) -> str | None:
    """Why a protocol of a run cannot be compared; None if it can."""
    folder = answers.folder
    if name not in answers.training:
        return f"{folder} has not trained it"
    if (folder / "adapters" / f"{name}{REFUSED}").is_dir():
        return f"{folder} has refused it (--max-drop)"
    if not answers.training[name].get("names"):
        return f"{folder} has no adapter of it"
    for subject in (BASE, name):
        if not any(row["scoring"] == headline for row in answers.predictions.get(subject, ())):
            return f"{folder} has no answers of {subject} by the scoring {headline}"
    return None
