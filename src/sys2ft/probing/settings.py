"""Settings of probing."""

from __future__ import annotations

from dataclasses import dataclass

from sys2ft.errors import SettingsError, check_sampling
from sys2ft.languages import AUTO, check_language


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeSettings:
    """How held-out questions are written and checked."""

    probes_per_news: int = 4
    """Probes wanted for each news item without questions."""
    language: str = AUTO
    """Language of the prompts: 'auto', that of each news item's text, or a code such as 'zh' for all news items. For a
    language without prompts they are English."""
    candidates: int = 16
    """Questions drawn for each news item in a round."""
    rounds: int = 2
    """Rounds of drawing for news items that still lack probes."""
    choices: int = 4
    """Choices of a probe, including the answer. Wrong choices are other names or numbers of the news item if the
    answer is a name or a number, then what the model invents."""
    wrong_samples: int = 10
    """Wrong answers drawn for each question that needs them; the first different ones are used."""
    samples: int = 3
    """Answers sampled for each question with the news in context; at least 2."""
    temperature: float = 0.7
    """Sampling temperature of questions and wrong answers."""
    check_temperature: float = 0.5
    """Sampling temperature of the answers that check a question."""
    top_p: float = 0.95
    """Nucleus (top-p) for sampling questions and wrong answers."""
    top_k: int = 50
    """Tokens that may be sampled at a step, the most likely ones; 0: all."""
    max_new_tokens: int = 48
    """Token budget of a question."""
    answer_tokens: int = 16
    """Token budget of an answer; longer ones are rejected."""
    rows_at_once: int = 512
    """Maximum number of texts decoded in one batch."""
    keep_instructions: bool = False
    """Also probe news items with instruction-like text."""

    def __post_init__(self) -> None:
        least = {"samples": 2, "choices": 2} | dict.fromkeys(
            ("probes_per_news", "candidates", "rounds", "wrong_samples", "max_new_tokens", "answer_tokens"), 1
        )
        least["rows_at_once"] = 1
        small = [f"{name}={getattr(self, name)}" for name, low in least.items() if not getattr(self, name) >= low]
        if small or self.wrong_samples < self.choices - 1:
            raise SettingsError(
                ", ".join(small) or f"wrong_samples={self.wrong_samples} for {self.choices} choices",
                expected="at least 2 samples and 2 choices, a wrong sample for each wrong choice, the rest at least 1",
                fix="raise the setting that is too small",
            )
        check_language(self.language)
        check_sampling(self.temperature, self.top_p, self.top_k)
        check_sampling(self.check_temperature, 1.0, 0)
