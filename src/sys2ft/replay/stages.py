"""The shape of a protocol: stages that are answered one after the other, and a rule that builds elements."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from functools import partial
from typing import Any

from sys2ft.errors import SettingsError, check_sampling
from sys2ft.files import FILE_NAME_RULE, RESERVED_NAMES, digest, is_file_name
from sys2ft.generators import Pair
from sys2ft.languages import ENGLISH, fill
from sys2ft.models import Message
from sys2ft.news import News
from sys2ft.replay.filters import Filter
from sys2ft.replay.prompts import AIM, Template, in_language
from sys2ft.replay.subject import subject_of

Parser = Callable[[str], str | None]
"""The usable part of a reply; None or an empty text if it has none."""
Pick = Callable[["Trail"], "str | None"]
"""A text for a placeholder, taken from the news item or from what earlier stages said; None if there is none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One conversation with the model about a news item."""

    name: str
    """Part of the seeds, and the placeholder by which the templates of later stages refer to what this one said."""
    template: Template | Mapping[str, Template]
    """The prompt, or one for each language by code, English ('en') among them. {news}, {instruction} and the names of
    earlier stages are filled in."""
    parser: Parser
    """What a reply is reduced to before it is filtered and used."""
    filters: tuple[Filter, ...] = ()
    """Each may reject what the parser returned; the first reason counts."""
    stops: tuple[str, ...] = ("\n",)
    """Texts that end a reply once it says something; (): the model ends it."""
    max_new_tokens: int | None = None
    """Token budget of a reply. None: that of the settings."""
    temperature: float | None = None
    """None: the settings' `temperature` for the first stage, their `answer_temperature` for later ones."""
    thinking: bool = False
    """Let a reasoning model think first. Its thought is cut from the reply before parsing."""
    aimed: Template | Mapping[str, Template] | None = None
    """The prompt where a sample aims at a fact, or one for each language. Besides the others it has {fact}, a
    sentence or statement, {answer}, the span of it that is asked for, and {gap}, the sentence with a gap for the span.
    Instructions without {answer} and {gap} are for facts that are whole statements. None: one prompt
    serves with and without an aim."""
    picks: Mapping[str, Pick] = field(default_factory=dict)
    """Further placeholders of the template, by name, and where their texts come from. Where one has none, the sample
    ends as 'no_target'."""
    may_be_cut: bool = False
    """Use a reply that reaches its token budget, up to its last complete line or sentence, instead of rejecting it.
    For long texts and lists. The element's provenance names the stage under `cut`."""

    @property
    def templates(self) -> Mapping[str, Template]:
        """The templates by language; one that is meant for all languages has the code ''."""
        return self.template if isinstance(self.template, Mapping) else {"": self.template}

    @property
    def aimed_templates(self) -> Sequence[Template]:
        """The aimed templates of all languages."""
        if self.aimed is None:
            return ()
        return list(self.aimed.values()) if isinstance(self.aimed, Mapping) else [self.aimed]

    def template_in(self, language: str, *, aimed: bool = False) -> Template:
        """The prompt for a news item in this language: its own if there is one, else the English one."""
        return in_language(self.aimed if aimed and self.aimed is not None else self.template, language)

    def picked(self, trail: Trail) -> dict[str, str | None]:
        """The texts of the placeholders in `picks`."""
        return {name: pick(trail) for name, pick in self.picks.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Trail:
    """What the stages said in one sample. Elements are built from it."""

    news: News
    index: int
    """Number of the sample within its news item."""
    said: Mapping[str, str]
    """What each stage said, by stage name, in the order of the stages."""
    cues: Sequence[str] = ()
    """The protocol's cues in the news item's language, with {subject} in place of its subject."""
    language: str = ENGLISH
    """Code of the news item's language."""

    @property
    def cue(self) -> str:
        """The protocol's cue for this sample, empty if it has none."""
        return self.cue_for(0)

    def is_cue(self, prompt: str) -> bool:
        """Whether a prompt is one of the protocol's cues, about anything."""
        return any(prompt == cue or _matches(cue, prompt) for cue in self.cues)

    def cue_for(self, place: int, subject: str | None = None) -> str:
        """The cue for one of several elements of the sample, about the news item's subject or about another one."""
        if not self.cues:
            return ""
        cue = self.cues[(self.index + place) % len(self.cues)]
        if "{subject}" not in cue:
            return cue
        return fill(cue, {"subject": subject or subject_of(self.news, self.language)})


def _matches(cue: str, prompt: str) -> bool:
    before, subject, after = cue.partition("{subject}")
    named = len(prompt) > len(before) + len(after)
    return bool(subject) and named and prompt.startswith(before) and prompt.endswith(after)


def last_said(trail: Trail) -> list[Pair]:
    """The default rule: one element, which answers the stage before the last, or else the cue.

    Its completion is what the last stage said. Without stages it is the text of the news item.
    """
    said = list(trail.said.values())
    completion = said[-1] if said else trail.news.text
    prompt = said[-2] if len(said) > 1 else trail.cue or completion
    return [Pair(messages=(Message("user", prompt),), text=completion)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Protocol:
    """How news items become replay elements.

    Each stage is a fresh conversation. The sample ends at the first stage whose reply is rejected. In training the news
    item is never shown, so an element's prompt must not contain it.
    """

    name: str
    version: int
    """Recorded with every element. Raise it whenever a change alters what the protocol generates."""
    stages: tuple[Stage, ...] = ()
    """Without stages nothing is generated, and the text of the news item is the completion."""
    cues: Sequence[str] | Mapping[str, Sequence[str]] = ()
    """Prompts for elements that need one: sample i gets cue i, starting over after the last. Or one list for each
    language by code, English ('en') among them. {subject} becomes what the news item is about."""
    elements: Callable[[Trail], Sequence[Pair]] | None = None
    """Builds none, one or several elements from what the stages said. None: `last_said`."""
    filters: tuple[Filter, ...] = ()
    """Each may reject the completion of a single element. For protocols with `elements`, whose stages say several."""
    brings_names: Callable[[int], bool] | None = None
    """Whether the text of sample i may have names that the news item does not have, such as people in a case. None: no
    text may."""
    per_sample: int = 1
    """How many elements a sample usually gives. As many times fewer samples are drawn."""

    def __post_init__(self) -> None:
        for check in (_shape_problems, _problems, _stages_problems):  # the others rely on the first
            for problem, expected in check(self):
                raise SettingsError(
                    f"the protocol {self.name!r} {problem}", expected=expected, fix="correct the protocol's definition"
                )

    @property
    def digest(self) -> str:
        """Digest of the resolved protocol: its version, and all templates, cues, parsers, filters and budgets.

        Functions are identified by module and name. A change inside one shows in the elements that it builds.
        """
        return digest(_plain(self))

    def sample_id(self, news: News, index: int) -> str:
        """The id of a sample, which its first element has too."""
        return f"{self.name}/{news.id}/{index:04d}"

    def cues_in(self, language: str) -> Sequence[str]:
        """The cues for a news item in this language: its own if there are any, else the English ones."""
        return in_language(self.cues, language)

    @property
    def aims(self) -> bool:
        """Whether samples can aim at facts."""
        return any(stage.aimed is not None for stage in self.stages)

    def aims_at(self, *, answer: bool) -> bool:
        """Whether samples can aim at spans that answer a question (`answer`), or at whole statements."""
        forms = (stage.template_in(ENGLISH, aimed=True) for stage in self.stages if stage.aimed is not None)
        aimed = next(forms, None)
        return aimed is not None and aimed.turn(0, answer=answer) is not None

    def trail(self, news: News, index: int, said: Mapping[str, str], language: str = ENGLISH) -> Trail:
        """The trail of a sample that has come as far as `said`."""
        return Trail(news=news, index=index, said=said, cues=self.cues_in(language), language=language)


def _plain(value: Any) -> Any:
    """JSON data that describes a protocol's definition."""
    if is_dataclass(value):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(one) for one in value]
    if isinstance(value, partial):
        return [_plain(value.func), _plain(value.args), _plain(value.keywords)]
    if callable(value):
        known = value if hasattr(value, "__qualname__") else type(value)
        return f"{getattr(known, '__module__', 'builtins')}:{known.__qualname__}"
    return value if isinstance(value, str | int | float | bool | None) else repr(value)


_Problem = tuple[str, str]


def _shape_problems(protocol: Protocol) -> list[_Problem]:
    """Fields of a protocol whose type is wrong: what was found, and what was expected."""
    found: list[_Problem] = []
    stages: Any = protocol.stages
    if not isinstance(stages, tuple | list) or not all(isinstance(stage, Stage) for stage in stages):
        return [(f"has {stages!r} as its stages", "a tuple of Stage objects")]
    for stage in stages:
        where = f"of its stage {stage.name!r}"
        if not isinstance(stage.name, str):
            found.append((f"has a stage called {stage.name!r}", "a lower-case word"))
        if not all(isinstance(one, Template) for one in stage.templates.values()) or not stage.templates:
            found.append(
                (f"has {stage.template!r} as the template {where}", "a Template, from parse_template or template")
            )
        elif not {"", ENGLISH} & stage.templates.keys():
            found.append(
                (f"has no English template {where}", "a template for 'en', which other languages fall back to")
            )
        forms = stage.aimed.values() if isinstance(stage.aimed, Mapping) else [stage.aimed]
        if not all(one is None or isinstance(one, Template) for one in forms):
            found.append(
                (f"has {stage.aimed!r} as the aimed template {where}", "a Template, one for each language, or None")
            )
        elif isinstance(stage.aimed, Mapping) and ENGLISH not in stage.aimed:
            found.append(
                (f"has no English aimed template {where}", "a template for 'en', which other languages fall back to")
            )
        if not isinstance(stage.filters, tuple | list):
            found.append((f"has {stage.filters!r} as the filters {where}", "a tuple of functions"))
        if not isinstance(stage.picks, Mapping):
            found.append((f"has {stage.picks!r} as the picks {where}", "a mapping from placeholders to functions"))
    if not isinstance(protocol.filters, tuple | list) or not all(map(callable, protocol.filters)):
        found.append((f"has {protocol.filters!r} as its filters", "a tuple of functions"))
    if protocol.elements is not None and not callable(protocol.elements):
        found.append((f"has {protocol.elements!r} as its elements", "a function Trail -> Sequence[Pair], or None"))
    return found


def _stages_problems(protocol: Protocol) -> list[_Problem]:
    """What is wrong with each stage by itself."""
    return [problem for stage in protocol.stages for problem in _stage_problems(stage)]


def _problems(protocol: Protocol) -> list[_Problem]:
    """What is wrong with a protocol as a whole: what was found, and what was expected."""
    found: list[_Problem] = []
    names = [stage.name for stage in protocol.stages]
    if not is_file_name(protocol.name):
        found.append(("has a name that cannot be a file name", f"{FILE_NAME_RULE}, such as 'paraphrase'"))
    if protocol.name.casefold() in RESERVED_NAMES:
        used = ", ".join(sorted(RESERVED_NAMES))
        found.append(("has a name that a run folder uses itself", f"a name other than {used}"))
    if len(set(names)) < len(names):
        found.append((f"has the stages {', '.join(names)}", "a different name for each stage"))
    cues = protocol.cues
    if isinstance(cues, Mapping) and ENGLISH not in cues:
        return [("has no English cues", "cues for 'en', which other languages fall back to")]
    if any(isinstance(own, str) for own in (cues.values() if isinstance(cues, Mapping) else [cues])):
        found.append(("has a text as its cues", "a sequence of texts"))
    count = len(protocol.cues_in(ENGLISH))
    if protocol.elements is None and bool(count) == (len(names) > 1):
        expected = "cues if there is at most one stage, else none: the stage before the last then gives the prompts"
        found.append((f"has {len(names)} stages and {count} cues", expected))
    known = {"news", "instruction"}
    if protocol.filters and not protocol.stages:
        found.append(("has filters and no stages", "filters where a model generates something"))
    if not isinstance(protocol.per_sample, int) or protocol.per_sample < 1:
        found.append((f"has per_sample={protocol.per_sample!r}", "at least 1"))
    for stage in protocol.stages:
        known |= set(stage.picks)
        if unknown := {name for one in stage.templates.values() for name in one.placeholders} - known:
            expected = f"only {', '.join(f'{{{name}}}' for name in sorted(known))}"
            found.append((f"has {{{sorted(unknown)[0]}}} in the template of its stage {stage.name!r}", expected))
        known_aimed = known | {*AIM}
        if unknown := {name for one in stage.aimed_templates for name in one.all_placeholders} - known_aimed:
            expected = f"only {', '.join(f'{{{name}}}' for name in sorted(known_aimed))}"
            found.append((f"has {{{sorted(unknown)[0]}}} in the aimed template of its stage {stage.name!r}", expected))
        known.add(stage.name)
    return found


def _stage_problems(stage: Stage) -> list[_Problem]:
    """What is wrong with a stage by itself: what was found, and what was expected."""
    found: list[_Problem] = []
    where = f"of its stage {stage.name!r}"
    if not stage.name.isidentifier() or stage.name != stage.name.lower() or stage.name in _RESERVED:
        found.append((f"has a stage called {stage.name!r}", f"a lower-case word other than {', '.join(_RESERVED)}"))
    if not isinstance(stage.stops, tuple) or not all(stage.stops):
        found.append((f"has {stage.stops!r} as the stops {where}", "a tuple of non-empty texts"))
    if stage.max_new_tokens is not None and stage.max_new_tokens < 1:
        found.append((f"has max_new_tokens={stage.max_new_tokens} {where}", "at least 1"))
    if stage.temperature is not None:
        check_sampling(stage.temperature, 1.0, 0)
    callables: list[Any] = [stage.parser, *stage.filters, *stage.picks.values()]
    if not all(map(callable, callables)):
        found.append((f"has a parser, filter or pick {where} that is not a function", "functions"))
    return found


_RESERVED = ("news", "instruction")
