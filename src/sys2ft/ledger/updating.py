"""One update in its unfinished folder, a run folder: generate, train or merge, ask everything, write the entry.

Every step stores what it has finished, so that an update that was killed resumes where it was. The folder becomes an
entry by being renamed, after `entry.json`, its last file, is written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path

from sys2ft.combining.merging import add_update
from sys2ft.engine import Bank
from sys2ft.errors import SettingsError
from sys2ft.evaluation import Measurement, Questions, Route, measurements
from sys2ft.evaluation.controls import neighbours
from sys2ft.evaluation.records import can_ask
from sys2ft.job import (
    Answering,
    ask,
    cell_of,
    elements_of,
    forget,
    generate_stage,
    is_trained,
    require_elements_fit,
    write_adapters,
    write_training,
)
from sys2ft.ledger.entries import (
    EARLIER,
    EARLIER_NEIGHBOURS,
    SUBJECT,
    Change,
    Entry,
    NewsScore,
    active,
    adapter_of,
    elements_of_entries,
    files_in,
    folder_of,
    news_of_entries,
    outcomes,
)
from sys2ft.ledger.settings import LedgerSettings, UpdateSettings
from sys2ft.models import LoadedModel, Reader
from sys2ft.news import News
from sys2ft.replay import ReplayElement, rehearse, require_unleaked
from sys2ft.runs import Display, Run, digest, read_json, write_jsonl
from sys2ft.statistics import Outcomes
from sys2ft.training import JOINT, AdapterJob, Checkpoint, learner_of, train

NEIGHBOURS = "controls/neighbours"


@dataclass(frozen=True, kw_only=True)
class Update:
    """The next update of a ledger: its run folder, and what came before."""

    ledger: Path
    entries: Sequence[Entry]
    run: Run
    """The unfinished folder."""
    news: Sequence[News]
    replaced: Mapping[str, int]
    settings: LedgerSettings
    how: UpdateSettings
    model: LoadedModel
    show: Display

    @property
    def protocol(self) -> str:
        """The one protocol of the elements."""
        return self.settings.generate.protocols[0]

    @property
    def merges(self) -> bool:
        """Whether the new adapter is merged with an earlier one: the first has nothing to be merged with."""
        return self.how.by == "merging" and bool(self.entries)

    @cached_property
    def before(self) -> dict[int, list[News]]:
        """The earlier news items that still count, by the number of their entry."""
        kept = news_of_entries(self.ledger, self.entries)
        return {number: [item for item in own if item.id not in self.replaced] for number, own in kept.items()}

    @property
    def earlier(self) -> list[News]:
        return [item for own in self.before.values() for item in own]

    def make(self) -> Entry:
        """Do what is left of the update, and write its entry into the unfinished folder."""
        with self.run.lock():
            generate_stage(self.run, self.model, self.settings.generate, self.show, train=self.settings.train)
            made = list(elements_of(self.run, self.protocol))
            if not any(element.status == "kept" for element in made):
                raise SettingsError(
                    f"no replay element of {', '.join(item.id for item in self.news)} was kept",
                    expected="at least one to train on",
                    fix=f"see the reasons in {self.run.path / 'replay'}; put the update aside with `sys2ft ledger "
                    f"rollback {len(self.entries)}`, and add the news items with other settings",
                )
            rehearsed = self._rehearsed(made)
            folder = self._trained(made, [element for _, element in rehearsed])
            if self.merges:
                folder = self._merged(folder)
            self._ask(folder)
            Checkpoint.remove(self._checkpoint)
            entry = self._entry(made, Counter(str(number) for number, _ in rehearsed), folder)
            entry.write(self.run.path)
        return entry

    # Training ---------------------------------------------------------------------------------------------------------

    def _rehearsed(self, made: Sequence[ReplayElement]) -> list[tuple[int, ReplayElement]]:
        """The elements that are trained on again, with the numbers of their entries; written to `rehearsed.jsonl`."""
        kept = elements_of_entries(self.ledger, self.entries, self.replaced)
        new = sum(element.status == "kept" for element in made)
        settings = replace(self.settings.rehearsal, rehearsal="none") if self.merges else self.settings.rehearsal
        chosen = rehearse(kept, new, settings, seed=self.run.record["seed"])
        current = active(self.entries)
        found = [(current[element.news_id], element) for element in chosen]
        rows = [{"entry": number, "element": element.id} for number, element in found]
        write_jsonl(self.run.path / "rehearsed.jsonl", rows)
        return found

    @property
    def _checkpoint(self) -> Path:
        return self.run.path / "training" / "bank-0.checkpoint"

    def _trained(self, made: Sequence[ReplayElement], rehearsed: Sequence[ReplayElement]) -> Path:
        """Train one adapter on the elements, from the earlier one unless it is merged afterwards; return its folder."""
        cell, news = cell_of(self.run, self.protocol, self.settings.train), [*self.earlier, *self.news]
        elements = [*made, *rehearsed]
        require_unleaked(elements, news)
        (job,) = cell.jobs(elements, news)
        from_start = not self.entries or self.merges
        job = replace(job, start=None if from_start else adapter_of(self.ledger, self.entries[-1]))
        version = digest([cell.version([job]), files_in(job.start) if job.start else {}])
        require_elements_fit(Reader.of(self.model), [job])
        if not is_trained(self.run, self.protocol, version):
            if forget(self.run, self.protocol, [version]):
                self.show.note("the settings of training have changed; training again")
            training = train(self.model, [job], checkpoint=self._checkpoint, show=self.show)
            try:
                write_adapters(self.run.path / "adapters" / self.protocol, self.model.source.name, training)
                write_training(self.run, cell, news, version, training)
            finally:
                training.bank.close()
        self._require_converged(job)
        return self.run.path / "adapters" / self.protocol / JOINT

    def _require_converged(self, job: AdapterJob) -> None:
        record = read_json(self.run.path / "training" / f"{self.protocol}.json")
        if not record["names"]:
            raise SettingsError(
                f"training diverged ({record['ended'][job.name]['why']}); the ledger is as it was",
                expected="a loss that stays finite",
                fix=f"give the same command with a --learning-rate below {job.settings.learning_rate:g}",
            )

    def _merged(self, alone: Path) -> Path:
        """The sum of the earlier adapter's update and that of the one in `alone`, cut to the ledger's rank."""
        folder = self.run.path / "adapters" / "merged"
        self.show.note(f"merging with the adapter of entry {len(self.entries)}")
        add_update(
            self.model.model, learner_of(self.settings.train), adapter_of(self.ledger, self.entries[-1]), alone, folder,
            weight=self.how.merge_weight, base_name=self.model.source.name,
        )  # fmt: skip
        return folder

    # Asking -----------------------------------------------------------------------------------------------------------

    def _ask(self, adapter: Path) -> None:
        """Ask the base the new questions, and the adapter the new and the earlier ones."""
        settings, show = self.settings.evaluate, self.show
        base = Answering("base", {}, "")
        ask(self.run, self.model, base, measurements(settings, self.news, {}), settings, show)
        routes = {item.id: Route(0, JOINT) for item in (*self.earlier, *self.news)}
        who = Answering(SUBJECT, routes, digest(files_in(adapter)))
        learner = learner_of(self.settings.train)
        bank: Bank = learner.bank(self.model.model, 1)
        try:
            learner.load(bank, 0, adapter)
            own = {item.id: routes[item.id] for item in self.news}
            ask(self.run, self.model, who, measurements(settings, self.news, own), settings, show, bank)
            ask(self.run, self.model, who, self._again(routes), settings, show, bank)
        finally:
            bank.close()

    def _again(self, routes: Mapping[str, Route]) -> Iterator[Measurement]:
        """The earlier news items' questions, and the questions about their fields, closed book."""
        once = replace(self.settings.evaluate, scorings=(self.settings.evaluate.headline,), controls=("none",))
        asked = {EARLIER: self.earlier}
        if "neighbours" in self.settings.evaluate.controls:
            asked[EARLIER_NEIGHBOURS] = neighbours(self.earlier)
        for folder, news in asked.items() if self.earlier else ():
            probe = Questions(once, folder.replace("/", " "), folder, ("closed_book",))
            yield Measurement(folder=folder, probe=probe, news=news, routes={item.id: routes[item.id] for item in news})

    # The entry --------------------------------------------------------------------------------------------------------

    def _entry(self, made: Sequence[ReplayElement], rehearsed: Mapping[str, int], adapter: Path) -> Entry:
        rejected = Counter(element.reason or "" for element in made if element.status == "rejected")
        return Entry(
            number=len(self.entries) + 1,
            date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            by="merging" if self.merges else "training",
            news=tuple(item.id for item in self.news),
            replaced=dict(self.replaced),
            kept=sum(element.status == "kept" for element in made),
            rejected=dict(sorted(rejected.items())),
            rehearsed=dict(rehearsed),
            adapter=adapter.relative_to(self.run.path).as_posix(),
            files=files_in(adapter),
            scores=tuple(self._scores()),
            changes=tuple(self._changes()),
            remarks=tuple(self._remarks(made)),
        )

    def _answers(self, where: str, subject: str = SUBJECT, condition: str = "closed_book") -> Outcomes:
        return outcomes(self.run.path, where, subject, self.settings.evaluate.headline, condition)

    def _scores(self) -> Iterator[NewsScore]:
        now, near = self._answers(EARLIER), self._answers(EARLIER_NEIGHBOURS)
        known = {score.news_id: score for entry in self.entries for score in entry.scores}
        for item in self.earlier:
            yield replace(known[item.id], right=_right(now, item.id), neighbours_right=_right(near, item.id))
        base, now = self._answers("predictions", "base"), self._answers("predictions")
        near_base, near = self._answers(NEIGHBOURS, "base"), self._answers(NEIGHBOURS)
        for item in self.news:
            yield NewsScore(
                news_id=item.id,
                update=len(self.entries) + 1,
                asked=sum(news_id == item.id for news_id, _ in now),
                base=_right(base, item.id),
                right=_right(now, item.id),
                neighbours=sum(news_id == item.id for news_id, _ in near),
                neighbours_base=_right(near_base, item.id),
                neighbours_right=_right(near, item.id),
            )

    def _changes(self) -> Iterator[Change]:
        """The new questions against the base; the earlier ones, and all neighbours, against the entry before."""
        seed = self.run.record["seed"]
        neighbours_before = {**self._answers(NEIGHBOURS, "base"), **self._previous(NEIGHBOURS, EARLIER_NEIGHBOURS)}
        neighbours_after = {**self._answers(NEIGHBOURS), **self._answers(EARLIER_NEIGHBOURS)}
        lines = {
            "new news items": (self._answers("predictions", "base"), self._answers("predictions")),
            "new, news in context": (
                self._answers("predictions", "base", "in_context"),
                self._answers("predictions", condition="in_context"),
            ),
            "earlier news items": (self._previous("predictions", EARLIER), self._answers(EARLIER)),
            "neighbours": (neighbours_before, neighbours_after),
        }
        for name, (before, after) in lines.items():
            if (change := Change.between(name, before, after, seed)) is not None:
                yield change

    def _previous(self, own: str, earlier: str) -> Outcomes:
        """What the entry before this one answered to the questions that still count."""
        if not self.entries:
            return {}
        folder, headline = folder_of(self.ledger, len(self.entries)), self.settings.evaluate.headline
        counts = {item.id for item in self.earlier}
        found = {**outcomes(folder, earlier, SUBJECT, headline), **outcomes(folder, own, SUBJECT, headline)}
        return {item: right for item, right in found.items() if item[0] in counts}

    def _remarks(self, made: Sequence[ReplayElement]) -> Iterator[str]:
        for news_id, number in self.replaced.items():
            yield f"{news_id}: replaces that of entry {number}, whose text, elements and questions are retired"
        for name, found in read_json(self.run.path / "replay" / "withheld.json").items():
            yield f"{name}: kept out of generation ({found['kind']}: {found['excerpt']})"
        without = {item.id for item in self.news} - {e.news_id for e in made if e.status == "kept"}
        if without:
            yield f"without a kept element, so not trained on: {', '.join(sorted(without))}"
        scoring = self.settings.evaluate.headline
        asked = sum(can_ask(scoring, q.choices) for item in self.news for q in item.questions)
        if left_out := sum(len(item.questions) for item in self.news) - asked:
            yield f"{left_out} of the new questions have no choices, so the scoring {scoring} leaves them out"
        if not asked:
            yield "no question of the new news items can be asked, so whether they were learnt is not known"


def _right(answers: Outcomes, news_id: str) -> int:
    return sum(bool(right) for (own, _), right in answers.items() if own == news_id)
