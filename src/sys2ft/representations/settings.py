"""Settings of in-context graph tracing. Nothing here imports torch, which keeps `sys2ft --help` fast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from sys2ft.errors import SettingsError
from sys2ft.replay import GenerateSettings
from sys2ft.training import JOINT, TrainSettings

Form = Literal["walk", "pairs"]
FORMS: tuple[Form, ...] = get_args(Form)

AUTO = -1
_PROBED_WALKS, _PROBED_WORDS = 4, 400

LEARN_GENERATE = GenerateSettings(protocols=("naive",), samples_per_news=8)
"""How the edges of a placement become replay elements: the text of each, after eight different cues."""
LEARN_TRAIN = TrainSettings(adapters=JOINT, rank=16, learning_rate=5e-4, strength=1.0)
"""One adapter per placement, for all of its edges."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RepresentSettings:
    """How in-context representations are produced and measured."""

    graph: tuple[str, ...] = ("grid:4x4",)
    """Graphs: grid:4x4, ring:10, hex:2x2, tree:2x3, days, months, or a file with an edge on each line."""
    words: tuple[str, ...] = ()
    """Words that name the nodes, each a single token. Default: common words that are one token. The graphs days and
    months have their own."""
    form: Form = "walk"
    """walk: a random walk on the graph. pairs: random pairs of neighbours, separated by commas."""
    start: str = "auto"
    """Text before the first word, after any token that the tokenizer itself adds. auto: the end-of-text token, unless
    the tokenizer adds one; none: nothing; or any text."""
    context: int = 1400
    """Words in the context."""
    walks: int = 16
    """Contexts per graph; each has its own words, placement and walk."""
    lengths: tuple[int, ...] = ()
    """Context lengths to measure at, in words. Default: 50 up to the full context, evenly spaced on a log scale."""
    window: int = 50
    """Words at the end of the context over which a node's representation is averaged."""
    skip: int = 3
    """First words of a text that are left out of all means: they act as attention sinks, with far larger norms."""
    massive: float = 3.0
    """A word is left out of the means of a layer where the norm of its residual stream exceeds the median of the words
    before by this factor: such words hold massive activations (arXiv 2402.17762). 0 keeps all words."""
    layers: tuple[int, ...] = ()
    """Layers to measure, from 0 (embeddings) to the model's depth. Default: all."""
    focus: int = AUTO
    """The layer shown in curves and pictures; -1: at four fifths of the depth. It may be changed afterwards by running
    the command again."""
    dimensions: int = 2
    """Number of components used for the alignment with the graph's spectral embedding and for interventions."""
    probe_walks: int = AUTO
    """Contexts per graph on which heads are switched off and representations moved; -1: four, or all if fewer."""
    probe_context: int = AUTO
    """Words of those contexts that are read with heads switched off; -1: 400, or all if fewer."""
    heads: int = 16
    """Attention heads to switch off: those with the highest scores, or as many others at random."""
    moves: int = 64
    """Interventions at each of four depths: pairs of the node of a last word and another node to move it to."""
    learn: int = 0
    """Placements of the words that are also learnt in weights, from the edges as news items; 0: none."""
    chunk: int = 512
    """Tokens read in one forward pass. Limits memory; changes no result beyond rounding."""

    def __post_init__(self) -> None:
        counts = ("context", "walks", "window", "dimensions", "heads", "moves", "chunk")
        small = [f"{name}={getattr(self, name)}" for name in counts if getattr(self, name) < 1]
        small += [
            f"{name}={getattr(self, name)}"
            for name, least in (("skip", 0), ("learn", 0), ("probe_walks", AUTO))
            if getattr(self, name) < least
        ]
        if not self.probe_context > 0 and self.probe_context != AUTO:
            small.append(f"probe_context={self.probe_context}")
        if small:
            raise SettingsError(
                ", ".join(small),
                expected="at least 1; for skip, probe-walks and learn at least 0; for probe-walks and probe-context "
                "also -1",
                fix="raise it",
            )
        if not (self.massive == 0 or 1 < self.massive < float("inf")):
            raise SettingsError(f"massive={self.massive}", expected="more than 1, or 0", fix="correct --massive")
        if not self.graph or len(set(self.graph)) < len(self.graph):
            raise SettingsError(f"graph {list(self.graph)}", expected="at least one, each once", fix="correct --graph")
        if self.form not in FORMS:
            raise SettingsError(f"form={self.form!r}", expected=" or ".join(FORMS), fix="correct --form")
        if self.window > self.context:
            raise SettingsError(
                f"a window of {self.window} words over a context of {self.context}",
                expected="a window no longer than the context",
                fix="lower --window or raise --context",
            )
        wrong = [length for length in self.lengths if not 1 <= length <= self.context]
        if wrong:
            raise SettingsError(
                f"context lengths {wrong}",
                expected=f"lengths of 1 to --context ({self.context}) words",
                fix="correct --lengths or raise --context",
            )
        for name in ("probe_walks", "learn"):
            if getattr(self, name) > self.walks:
                raise SettingsError(
                    f"{name}={getattr(self, name)} of {self.walks} walks",
                    expected="no more than --walks",
                    fix=f"lower --{name.replace('_', '-')} or raise --walks",
                )

    @property
    def walks_probed(self) -> int:
        """Contexts of each graph that are probed."""
        return min(_PROBED_WALKS, self.walks) if self.probe_walks == AUTO else self.probe_walks

    @property
    def words_probed(self) -> int:
        """Words of a context read with heads switched off."""
        return min(_PROBED_WORDS if self.probe_context == AUTO else self.probe_context, self.context)
