"""What a step has besides the elements: a teacher's distributions, the adapter's own samples, and anchors.

The teacher reads each completion once, however often the adapter sees it, and a news item's text once for all its
elements. It reads for one adapter after another, so that the targets depend neither on an adapter's company nor on an
interruption: a resumed training computes them again. Samples are drawn for all adapters together, and stored.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

from sys2ft.engine import (
    BASE,
    FORWARD_KL,
    Bank,
    DecodeRequest,
    Distributions,
    Example,
    Lesson,
    Objective,
    Sampling,
    StepCost,
    StopStrings,
    Taught,
    decode,
    flops,
    teach,
)
from sys2ft.engine.decoding.decode import key_value_bytes
from sys2ft.errors import SettingsError
from sys2ft.models import LoadedModel
from sys2ft.runs import Display, item_seed
from sys2ft.training.adapter import Adapter
from sys2ft.training.anchors import MOST, TOKENS, Anchor, anchors_in, chosen, rehearsal
from sys2ft.training.jobs import AdapterJob
from sys2ft.training.schedule import anchors_of
from sys2ft.training.teacher import after, load_teacher, require_use_of_teacher

ROWS = 128
"""Samples drawn at once: their keys and values take less memory than a training pass."""
FORWARD_ONLY = 4
"""Times the tokens of a training pass that a teacher reads at once: nothing is kept for a backward pass."""


class Teaching:
    """The teacher of one training, its lesson, and its anchors; without them, a step has the elements alone."""

    def __init__(self, model: LoadedModel, jobs: Sequence[AdapterJob], show: Display | None = None) -> None:
        settings, self.show = jobs[0].settings, show or Display()
        self.model, self.settings, self.lesson = model, settings, jobs[0].lesson
        require_use_of_teacher(settings, lesson=self.lesson is not None)
        given = anchors_in(settings.anchor) if settings.anchor else []
        self.anchors: list[Anchor] = chosen(given)
        self._dropped = len(given) - len(self.anchors)
        self.teacher = load_teacher(model, settings)
        self.tokens_at_once = settings.tokens_a_pass(model.model)
        self._rehearsed: list[Example] = []

    def objective(self, own: Objective) -> Objective:
        """The training's objective, with the divergence from the base on anchors if it has no use for a teacher."""
        if self.lesson is None and self.anchors:
            return Taught(FORWARD_KL, own, name=own.name, lesson=None)
        return own

    def prepare(self, adapters: Sequence[Adapter], bank: Bank) -> None:
        """Compute what the next step of each adapter needs and does not have yet."""
        if self.anchors and not self._rehearsed:
            self._rehearse(adapters)
        lesson = self.lesson
        if lesson is None:
            return
        going = [adapter for adapter in adapters if adapter.places]
        if lesson.sampled and (due := [adapter for adapter in going if adapter.refresh != adapter.refreshed]):
            self._sample(due, bank)
        for adapter in going:
            if not adapter.taught:
                self._read(adapter, lesson)

    def batch(self, adapter: Adapter) -> list[Example]:
        """The examples of an adapter's next step, with their weights and their teachers' distributions."""
        lesson, places = self.lesson, adapter.places
        examples = adapter.batch
        if lesson is not None and places:
            taught = [(self._student(adapter, i), adapter.taught[i]) for i in places]
            if lesson.sampled:
                # The samples and the elements differ in length; each have their share of the loss.
                plain, whole = _evenly(examples, 1 - lesson.weight), [example for example, _ in taught]
                samples = _evenly(whole, lesson.weight)
                examples = [e for e in plain if e.weight] + [
                    replace(e, weight=0.0, teacher=teacher, teacher_weight=e.weight)
                    for e, (_, teacher) in zip(samples, taught, strict=True)
                ]
            else:
                own, soft = 1 - lesson.weight, lesson.weight
                examples = [replace(e, weight=own, teacher=teacher, teacher_weight=soft) for e, teacher in taught]
        if self._rehearsed and places:
            examples += self._anchored(adapter, examples)
        return examples

    def _anchored(self, adapter: Adapter, examples: Sequence[Example]) -> list[Example]:
        """The anchors of a step with these other examples, with their share of the loss."""
        share, every = self.settings.anchor_share, self._rehearsed
        numbers = anchors_of(
            adapter.name,
            adapter.step,
            len(adapter.places),
            adapter.job.settings.batch_size,
            len(every),
            share,
            adapter.job.seed,
        )
        others = sum((e.weight + e.teacher_weight) * e.supervised for e in examples)
        own = _evenly([every[number] for number in numbers], others * share / (1 - share))
        return [replace(e, slot=adapter.slot, weight=0.0, teacher_weight=e.weight) for e in own]

    def _student(self, adapter: Adapter, place: int) -> Example:
        """What the adapter reads of an element: its own completion, or the sample in its place."""
        example = adapter.examples[place]
        if place not in adapter.samples:
            return example
        return after(example.ids[: -example.supervised], adapter.samples[place], adapter.slot)

    def _read(self, adapter: Adapter, lesson: Lesson) -> None:
        """Let the teacher read the completions of the elements, or the samples."""
        shown = dict(enumerate(adapter.shown))
        if lesson.sampled:
            shown = {i: after(shown[i].ids[: -shown[i].supervised], own, BASE) for i, own in adapter.samples.items()}
        taught, cost = self._teach(self.teacher, list(shown.values()), lesson.top)
        adapter.taught = dict(zip(shown, taught, strict=True))
        if not adapter.counted:
            _count(adapter, read=cost, flop=flops.forward(self.teacher.model, cost.tokens_computed, cost.predictions))
            adapter.counted = True

    def _teach(self, reader: LoadedModel, examples: list[Example], top: int) -> tuple[list[Distributions], StepCost]:
        return teach(
            reader.model,
            examples,
            top=top,
            vocabulary=self.model.model.config.vocab_size,
            tokens_at_once=FORWARD_ONLY * self.tokens_at_once,
        )

    def _sample(self, due: Sequence[Adapter], bank: Bank) -> None:
        """Draw the completions of each adapter's next steps, up to its next refresh."""
        chat = self.model.chat
        asked = [(adapter, place) for adapter in due for place in adapter.refreshed_places()]
        stop_when = StopStrings(self.model.tokenizer, chat.stop_texts) if chat.stop_texts else None
        requests = []
        for adapter, place in asked:
            example, job = adapter.examples[place], adapter.job
            seed = item_seed(job.seed, "on policy", adapter.name, adapter.refresh, place)
            requests.append(DecodeRequest(example.ids[: -example.supervised], seed, slot=adapter.slot))
        said = decode(
            self.model.model,
            requests,
            Sampling(temperature=1.0),
            max_new_tokens=self.settings.sample_tokens,
            stop_ids=chat.stop_ids,
            stop_when=stop_when,
            bank=bank,
            rows_at_once=ROWS,
        )
        for adapter in due:
            adapter.samples, adapter.taught, adapter.counted = {}, {}, False
            adapter.refreshed = adapter.refresh
        generated = dict.fromkeys((adapter.slot for adapter in due), 0)
        for (adapter, place), one in zip(asked, said.decoded, strict=True):
            stopped_by_text = stop_when is not None and bool(one.ids) and stop_when(one.ids)
            ended = one.finished and not stopped_by_text
            adapter.samples[place] = [*one.ids, *([chat.end_of_turn_id] if ended else [])]
            generated[adapter.slot] += len(one.ids) + ended
        shares = _shares(said.tokens_computed, [generated[adapter.slot] for adapter in due])
        for adapter, tokens in zip(due, shares, strict=True):
            cost = StepCost(tokens, generated[adapter.slot])
            _count(adapter, sampled=cost, flop=flops.forward(self.model.model, cost.tokens_computed, cost.predictions))

    def _note_losses(self, used: int, cut: int) -> None:
        """Report anchors that are not used as they were given."""
        lost = {
            f"are left out, since {MOST} are used at most": self._dropped,
            f"are left out, since they have nothing to predict within {TOKENS} tokens": len(self.anchors) - used,
            f"are cut after {TOKENS} tokens": cut,
        }
        for what, count in lost.items():
            if count:
                self.show.note(f"anchors of {self.settings.anchor}: {count} {what}")

    def _rehearse(self, adapters: Sequence[Adapter]) -> None:
        """Let the base read the anchors, after it has answered those that are questions."""
        made = rehearsal(self.model, self.anchors)
        self._note_losses(len(made.examples), made.cut)
        if not made.examples:
            raise SettingsError(
                f"none of the {len(self.anchors)} anchors of {self.settings.anchor} has a token to predict",
                expected="texts of at least two tokens, or prompts that are not too long",
                fix="correct --anchor, or use --anchor own",
            )
        top = self.lesson.top if self.lesson else self.settings.distil_top
        taught, cost = self._teach(self.model, made.examples, top)
        self._rehearsed = [replace(e, teacher=t) for e, t in zip(made.examples, taught, strict=True)]
        even = [1] * len(adapters)
        costs = [_shares(number, even) for number in (made.read, made.drawn, cost.tokens_computed, cost.predictions)]
        for adapter, asked, said, tokens, predictions in zip(adapters, *costs, strict=True):
            if adapter.step == 0:  # else a resumed training has counted them before
                flop = flops.forward(self.model.model, asked + tokens, said + predictions)
                _count(adapter, read=StepCost(tokens, predictions), sampled=StepCost(asked, said), flop=flop)


def memory_needs(model: LoadedModel, adapters: Sequence[Adapter]) -> dict[str, int]:
    """Bytes that `engine.adapters.memory.need` is to add for a teacher and for samples."""
    job = adapters[0].job
    lesson, settings = job.lesson, job.settings
    if lesson is None:
        return {}
    sampled = settings.sample_tokens + 1 if lesson.sampled else 0
    targets = sum(sampled or e.supervised for adapter in adapters for e in adapter.examples)
    longest = max(len(e.ids) - e.supervised for adapter in adapters for e in adapter.examples)
    return {
        "taught": targets * Distributions.bytes_a_prediction(lesson.top) // len(adapters),
        "sampling": ROWS * (longest + sampled) * key_value_bytes(model.model) if sampled else 0,
    }


def _evenly(examples: Sequence[Example], total: float) -> list[Example]:
    """The examples with one weight for each supervised token, such that these sum to `total`."""
    tokens = sum(example.supervised for example in examples)
    return [replace(example, weight=total / tokens) for example in examples]


def _shares(total: int, parts: Sequence[int]) -> list[int]:
    """`total` divided in proportion to `parts`, in whole numbers."""
    ends = [total * done // max(1, sum(parts)) for done in itertools.accumulate(parts)]
    return [end - start for start, end in itertools.pairwise([0, *ends])]


def _count(adapter: Adapter, *, flop: float, read: StepCost | None = None, sampled: StepCost | None = None) -> None:
    adapter.read += read or StepCost()
    adapter.sampled += sampled or StepCost()
    adapter.other_flop += flop
