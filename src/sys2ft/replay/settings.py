"""Settings of replay generation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from sys2ft.errors import SettingsError, check_sampling
from sys2ft.languages import AUTO, check_language
from sys2ft.replay.mixed import DEFAULT_MIX, MIXED, parse_mix

SAMPLES_PER_NEWS = 64
BUDGETS = ("samples_per_news", "tokens_per_news", "flop")
"""The fields that can be the budget: exactly one is not None."""

CheckName = Literal["none", "names", "gain", "entailment", "agreement"]


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerateSettings:
    """How replay elements are generated."""

    protocols: tuple[str, ...] = ("naive", "mixed")
    """Protocols to generate by; an unknown name lists the installed ones."""
    language: str = AUTO
    """Language of the prompts: 'auto', that of each news item's text, or a code such as 'zh' for all news items. For a
    language without prompts they are English, and that is reported."""
    mix: tuple[str, ...] = ()
    """Shares of the budget in the protocol `mixed`, which sum to 1, such as: paraphrase=0.3 self_qa=0.6 naive=0.1."""
    samples_per_news: int | None = None
    """Budget: number of elements to keep for each news item and protocol; 64 if no other budget is given."""
    tokens_per_news: int | None = None
    """Budget in place of samples: tokens of an epoch over the elements (prompt and completion as the chat template
    renders them, a token as often as it is trained on) for each news item and protocol."""
    flop: float | None = None
    """Budget in place of samples: FLOP for each news item and protocol, of generation and training together."""
    temperature: float = 1.0
    """Sampling temperature of paraphrases, implications and questions."""
    top_p: float = 0.95
    """Nucleus (top-p) of the sampling."""
    top_k: int = 50
    """Tokens that may be sampled at a step, the most likely ones; 0: all."""
    answer_temperature: float = 0.0
    """Sampling temperature of the answers to the model's own questions."""
    max_new_tokens: int = 64
    """Token budget of a sample; a longer one is rejected as truncated."""
    rounds: int = 4
    """Maximum number of rounds; each asks for what is still missing."""
    margin: float = 1.3
    """Samples drawn in a round, as a multiple of what is missing."""
    min_gain: float = 1.0
    """The news in context must raise an answer's mean log-likelihood by more than this (check `gain`), in nats per
    token."""
    aim: bool = False
    """Aim the samples of protocols that can at the facts of the news item that few elements cover so far; else the
    protocol alone decides what they are about. Coverage is counted in any case."""
    aim_temperature: float = 0.7
    """Sampling temperature of stages that aim: the fact already decides what a reply is about."""
    implied_facts: int = 0
    """Statements for each news item that say what follows from it, written by the model. Those that pass the checks are
    facts too: counted, and aimed at. 0: only what the text states."""
    min_statement_support: float = -0.9
    """Minimum mean log-likelihood of a statement with the news in context (check `gain`), in nats per token."""
    checks: tuple[CheckName, ...] = ("names", "gain", "agreement")
    """How every element is held against its news item: `names` (names and numbers are in the news item), `gain` (the
    news in context makes it likely), `entailment` (the model judges it), `agreement` (a second answer says the same).
    `none`: not at all."""
    min_words: float = 0.0
    """Least share of an element's content words that its news item has (check `names`)."""
    min_statement_entailment: float = 0.3
    """The news in context must raise the model's log-odds that a statement is right by at least this, in nats."""
    min_answer_entailment: float = 0.6
    """The same for an answer to a question."""
    min_agreement: float = 0.5
    """Least share of the shorter answer's words that the other answer has too."""
    agreement_temperature: float = 0.7
    """Sampling temperature of the second answer."""
    rows_at_once: int = 512
    """Maximum number of texts decoded in one batch."""
    keep_instructions: bool = False
    """Also generate from news items with instruction-like text ("ignore previous instructions", chat markup). By
    default they are left out, and reported."""

    def __post_init__(self) -> None:
        self._resolve()
        counts = (self.budget[0], "rounds", "margin", "max_new_tokens", "rows_at_once")
        small = [f"{name}={getattr(self, name)}" for name in counts if not 1 <= getattr(self, name) < float("inf")]
        if small:
            raise SettingsError(", ".join(small), expected="at least 1", fix="raise the setting that is too small")
        if self.implied_facts < 0:
            raise SettingsError(
                f"implied_facts={self.implied_facts}", expected="0 or more", fix="correct --implied-facts"
            )
        # Protocols become file names, and some file systems ignore case: 'QA' repeats 'qa'.
        if not self.protocols or len({name.casefold() for name in self.protocols}) < len(self.protocols):
            raise SettingsError(
                f"protocols {list(self.protocols)}",
                expected="at least one, and none twice (names that differ only in case name the same file)",
                fix="correct --protocols",
            )
        checks = list(self.checks)
        unknown = set(checks) - set(get_args(CheckName))
        if unknown or not checks or len(set(checks)) < len(checks) or ("none" in checks and len(checks) > 1):
            raise SettingsError(
                f"checks={checks}",
                expected=f"some of {', '.join(get_args(CheckName)[1:])}, each at most once, or none alone",
                fix="correct --checks",
            )
        check_language(self.language)
        check_sampling(self.temperature, self.top_p, self.top_k)
        check_sampling(self.answer_temperature, self.top_p, self.top_k)
        check_sampling(self.agreement_temperature, self.top_p, self.top_k)
        check_sampling(self.aim_temperature, self.top_p, self.top_k)

    def _resolve(self) -> None:
        """Fill in what is left to defaults, so that records name it. Raises SettingsError for several budgets."""
        for name in ("protocols", "mix", "checks"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # a list, as JSON has it
        given = {name: getattr(self, name) for name in BUDGETS if getattr(self, name) is not None}
        if len(given) > 1:
            raise SettingsError(
                "several budgets: " + ", ".join(f"{name}={value}" for name, value in given.items()),
                expected=f"one of {', '.join(BUDGETS)}",
                fix="leave out all but one; None switches off one that is set already, as in --samples-per-news None",
            )
        if not given:
            object.__setattr__(self, "samples_per_news", SAMPLES_PER_NEWS)
        if MIXED not in self.protocols and self.mix == DEFAULT_MIX:
            object.__setattr__(self, "mix", ())  # it was filled in for other protocols, which `replace` has changed
        if self.mix and MIXED not in self.protocols:
            raise SettingsError(
                f"a mix ({' '.join(self.mix)}), and protocols {list(self.protocols)}",
                expected=f"{MIXED!r} among the protocols where a mix is given",
                fix=f"add {MIXED} to --protocols, or leave out --mix",
            )
        if MIXED in self.protocols:
            object.__setattr__(self, "mix", self.mix or DEFAULT_MIX)
            parse_mix(self.mix)

    @property
    def budget(self) -> tuple[str, float]:
        """The field that is the budget, one of `BUDGETS`, and its value."""
        return next((name, value) for name in BUDGETS if (value := getattr(self, name)) is not None)
