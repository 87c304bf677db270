"""Settings of probing."""

from __future__ import annotations

from dataclasses import dataclass

from sys2ft.errors import SettingsError, check_sampling


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeSettings:
    """How held-out questions are written and checked."""

    probes_per_news: int = 4
    """Probes wanted of each news without questions."""
    candidates: int = 16
    """Questions drawn for each news in a round."""
    rounds: int = 2
    """Rounds of drawing for news that still lack probes."""
    choices: int = 4
    """Choices of a probe, the answer among them. Wrong ones are other names of the news or other numbers, where the
    answer is a name or a number, and what the model invents."""
    wrong_samples: int = 10
    """Wrong answers drawn for each question that needs them, from which those that differ are taken."""
    samples: int = 3
    """Answers drawn to each question with the news in context, and as many without it; at least 2."""
    chance_margin: float = 0.1
    """Without the news, the answer's share among the choices may exceed chance by so much."""
    temperature: float = 0.7
    """Sampling temperature of questions and wrong answers."""
    check_temperature: float = 0.5
    """Sampling temperature of the answers that a question is checked by."""
    top_p: float = 0.95
    """Nucleus of the sampling of questions and wrong answers."""
    top_k: int = 50
    """Tokens that may be sampled at a step, the most likely ones; 0: all."""
    max_new_tokens: int = 48
    """Room for a question."""
    answer_tokens: int = 16
    """Room for an answer; longer ones are rejected."""
    rows_at_once: int = 512
    """Texts decoded together at most."""
    keep_instructions: bool = False
    """Probe news with instruction-like text too."""

    def __post_init__(self) -> None:
        least = {"samples": 2, "choices": 2, "chance_margin": 0} | dict.fromkeys(
            ("probes_per_news", "candidates", "rounds", "wrong_samples", "max_new_tokens", "answer_tokens"), 1
        )
        least["rows_at_once"] = 1
        small = [f"{name}={getattr(self, name)}" for name, low in least.items() if not getattr(self, name) >= low]
        if small or self.wrong_samples < self.choices - 1:
            raise SettingsError(
                ", ".join(small) or f"wrong_samples={self.wrong_samples} for {self.choices} choices",
                expected="at least 2 samples and 2 choices, a wrong answer drawn for each choice, the rest above 0",
                do="raise the setting that is too small",
            )
        check_sampling(self.temperature, self.top_p, self.top_k)
        check_sampling(self.check_temperature, 1.0, 0)
