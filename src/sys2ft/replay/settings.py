"""Settings of replay generation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from sys2ft.errors import SettingsError, check_sampling
from sys2ft.languages import AUTO, check_language

CheckName = Literal["none", "names", "gain", "entailment", "agreement"]


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerateSettings:
    """How replay elements are generated."""

    protocols: tuple[str, ...] = ("naive", "paraphrase", "implication", "self_qa")
    """Protocols to generate by; an unknown name lists the installed ones."""
    language: str = AUTO
    """Language of the prompts: 'auto', that of each news item's text, or a code such as 'zh' for all news items. For a
    language without prompts they are English, and that is reported."""
    samples_per_news: int = 64
    """Number of elements to keep for each news item and protocol."""
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
    min_support: float = -1.5
    """Minimum mean log-likelihood of an answer with the news in context, in nats per token."""
    min_gain: float = 1.0
    """The news in context must raise an answer's mean log-likelihood by more than this, in nats per token."""
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
        counts = ("samples_per_news", "rounds", "margin", "max_new_tokens", "rows_at_once")
        small = [f"{name}={getattr(self, name)}" for name in counts if not getattr(self, name) >= 1]
        if small:
            raise SettingsError(", ".join(small), expected="at least 1", fix="raise the setting that is too small")
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
