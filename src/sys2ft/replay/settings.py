"""Settings of replay generation."""

from __future__ import annotations

from dataclasses import dataclass

from sys2ft.errors import SettingsError, check_sampling
from sys2ft.languages import AUTO, check_language


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
    min_gain: float = 0.3
    """The news in context must raise an answer's mean log-likelihood by more than this, in nats per token."""
    aim: bool = True
    """Aim the samples of protocols that can at the facts of the news item that few elements cover so far (`--no-aim`:
    the protocol alone decides what they are about). Coverage is counted in any case."""
    aim_temperature: float = 0.7
    """Sampling temperature of stages that aim: the fact already decides what a reply is about."""
    implied_facts: int = 0
    """Statements for each news item that say what follows from it, written by the model. Those that pass the checks are
    facts too: counted, and aimed at. 0: only what the text states."""
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
        check_language(self.language)
        check_sampling(self.temperature, self.top_p, self.top_k)
        check_sampling(self.answer_temperature, self.top_p, self.top_k)
        check_sampling(self.aim_temperature, self.top_p, self.top_k)
