"""Settings of in-context graph tracing. Nothing here imports torch, so that `sys2ft --help` need not wait for it."""

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
"""How the edges of a placement become replay elements: each as it is, behind eight cues."""
LEARN_TRAIN = TrainSettings(adapters=JOINT)
"""One adapter a placement, for all of its edges."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RepresentSettings:
    """How in-context representations are brought about and measured."""

    graph: tuple[str, ...] = ("grid:4x4",)
    """Graphs: grid:4x4, ring:10, hex:2x2, tree:2x3, days, months, or a file with an edge on each line."""
    words: tuple[str, ...] = ()
    """Words to name nodes by, each one token; none named: common words that the tokenizer keeps whole. The graphs days
    and months bring their own."""
    form: Form = "walk"
    """walk: a random walk on the graph. pairs: random pairs of neighbours, set apart by commas."""
    start: str = "auto"
    """What stands before the first word, behind what the tokenizer itself begins texts with. auto: the end-of-text
    token, where the tokenizer begins texts with none; none: nothing; or a text."""
    context: int = 1400
    """Words in the context."""
    walks: int = 16
    """Contexts of each graph; each has its own words, places and walk."""
    lengths: tuple[int, ...] = ()
    """Context lengths to measure at, in words; none named: 50 up to the whole, evenly on a log scale."""
    window: int = 50
    """Words at the end of the context over which a node's representation is the mean."""
    skip: int = 3
    """First words of a text that no mean takes in: they draw attention, and their norm dwarfs the others'."""
    massive: float = 3.0
    """A word is in no mean of a layer where its stream is more than this many times as long as the median word's up to
    it: such words hold massive activations (arXiv 2402.17762). 0: all words are in."""
    layers: tuple[int, ...] = ()
    """Layers to measure, 0 (embeddings) to the model's depth; none named: all."""
    focus: int = AUTO
    """The layer that curves and pictures show; -1: four fifths of the way up. May be changed afterwards: give the
    command again."""
    dimensions: int = 2
    """Components of the picture, of its alignment with the graph's spectral embedding, and of interventions."""
    probe_walks: int = AUTO
    """Contexts of each graph on which heads are switched off and representations are moved; -1: four, or all."""
    probe_context: int = AUTO
    """Words of those contexts that are read with heads switched off; -1: 400, or all."""
    heads: int = 16
    """Attention heads that are switched off: those with the highest score, or as many others at random."""
    moves: int = 64
    """Interventions at each of four depths: pairs of a last word's node and another node to move it to."""
    learn: int = 0
    """Placements of the words that are learnt in weights too, from the edges as news; 0: none."""
    chunk: int = 512
    """Tokens read in one forward pass; bounds memory, changes no result beyond rounding."""

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
                do="raise it",
            )
        if not (self.massive == 0 or 1 < self.massive < float("inf")):
            raise SettingsError(f"massive={self.massive}", expected="more than 1, or 0", do="correct --massive")
        if not self.graph or len(set(self.graph)) < len(self.graph):
            raise SettingsError(f"graph {list(self.graph)}", expected="at least one, each once", do="correct --graph")
        if self.form not in FORMS:
            raise SettingsError(f"form={self.form!r}", expected=" or ".join(FORMS), do="correct --form")
        if self.window > self.context:
            raise SettingsError(
                f"a window of {self.window} words over a context of {self.context}",
                expected="a window no longer than the context",
                do="lower --window or raise --context",
            )
        wrong = [length for length in self.lengths if not 1 <= length <= self.context]
        if wrong:
            raise SettingsError(
                f"context lengths {wrong}",
                expected=f"lengths of 1 to --context ({self.context}) words",
                do="correct --lengths or raise --context",
            )
        for name in ("probe_walks", "learn"):
            if getattr(self, name) > self.walks:
                raise SettingsError(
                    f"{name}={getattr(self, name)} of {self.walks} walks",
                    expected="no more than --walks",
                    do=f"lower --{name.replace('_', '-')} or raise --walks",
                )

    @property
    def walks_probed(self) -> int:
        """Contexts of each graph that are probed."""
        return min(_PROBED_WALKS, self.walks) if self.probe_walks == AUTO else self.probe_walks

    @property
    def words_probed(self) -> int:
        """Words of a context that are read with heads switched off."""
        return min(_PROBED_WORDS if self.probe_context == AUTO else self.probe_context, self.context)
