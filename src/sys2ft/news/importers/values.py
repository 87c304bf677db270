"""Values of tables and records: empty ones in every spelling, and lists or mappings written as text."""

from __future__ import annotations

import ast
import io
import json
import re
import tokenize
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sys2ft.news.importers.texts import clean

_ANSWER_KEYS = ("text", "answer", "answers", "value", "values", "ground_truth", "str", "name", "span", "spans")
"""Keys of a mapping that hold an answer or a list of answers, such as 'text' in the rows of SQuAD."""
_ALIAS_KEYS = ("aliases", "alias", "normalized_aliases")
_WORDS_FOR_EMPTY = """
NaN nan NAN NULL Null null None N/A n/a N.A. n.a. NA <NA> <NULL> <null> <none> NaT -nan -NaN - -- – —
#N/A #NA #N/V #NV #VALUE! #WERT! #REF! #DIV/0! #NAME? #NULL! #NUM!
"""
MISSING = frozenset(_WORDS_FOR_EMPTY.split())
"""What programs (pandas, R, databases, spreadsheets) write for an empty value; not 'none' or 'Na', which are words."""
_STRUCTURE = re.compile(r"\s*(?:[\[{]|(?:np\.|numpy\.)?array\()")


def words_of_value(value: object) -> str:
    """A value as text: a list in lines, a mapping as JSON, paragraphs with titles in lines; empty for None and NaN."""
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, list | tuple):
        return "\n".join(filter(None, map(words_of_value, value)))
    if isinstance(value, Mapping):
        parts = _paragraphs(value)
        return words_of_value(parts) if parts else json.dumps(value, ensure_ascii=False, default=str)
    return clean(str(value)).strip()


def _paragraphs(value: Mapping[Any, Any]) -> list[Any]:
    """Titles and sentences in the order of the text, of a mapping as in the rows of HotpotQA; else nothing."""
    titles, sentences = value.get("title"), value.get("sentences")
    if not (isinstance(titles, list) and isinstance(sentences, list) and len(titles) == len(sentences)):
        return []
    return [part for pair in zip(titles, sentences, strict=True) for part in pair]


def is_missing(text: str, missing: Collection[str]) -> bool:
    """Whether a value is empty, or one of the words that programs write for an empty value."""
    return not text or text in missing


def answers_of(value: object) -> list[str]:
    """The answers that a value holds, the best first: a text, a list, or a mapping such as `{'text': [...]}`.

    Lists and mappings may be written as text: JSON, Python, or what numpy prints (`array(['a'], dtype=object)`,
    `['a' 'b']`). Text that is none of these, or holds something else such as numbers, is itself the answer.
    """
    if isinstance(value, str) and _STRUCTURE.match(value):
        held = parsed(value)
        # A list of numbers may be the answer itself: '[1, 2]'.
        numbers = isinstance(held, list) and held and all(isinstance(one, int | float) for one in held)
        found = _answers(held) if isinstance(held, list | dict) and not numbers else None
        return [words_of_value(value)] if found is None else found
    found = _answers(value)
    return [words_of_value(value)] if found is None else found


def _answers(value: object) -> list[str] | None:
    """The answers in a list or a mapping; None if it holds something else."""
    if isinstance(value, Mapping):
        keys = [key for key in (*_ANSWER_KEYS, *_ALIAS_KEYS) if key in value]
        if not keys or keys[0] in _ALIAS_KEYS:
            return None
        parts: list[object] = [value[keys[0]], *(value[key] for key in keys[1:] if key in _ALIAS_KEYS)]
        return _together(parts)
    if isinstance(value, list | tuple):
        return _together(value)
    return None


def _together(parts: Iterable[object]) -> list[str] | None:
    found: list[str] = []
    for part in parts:
        if isinstance(part, list | tuple | Mapping):
            inner = _answers(part)
            if inner is None:
                return None
            found += inner
        elif (
            isinstance(part, str)
            or part is None
            or part != part
            or isinstance(part, bool | int | float)
            or hasattr(part, "as_tuple")
        ):
            found.append(words_of_value(part))
        else:
            return None
    return list(dict.fromkeys(one for one in found if one))


def parsed(text: str) -> object:
    """A list or mapping written as text (JSON, Python or numpy); None if it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return _literal(ast.parse(text.strip(), mode="eval").body, text.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError, tokenize.TokenError):
        return None


def _literal(node: ast.expr, text: str) -> Any:
    """The value of constants, lists, mappings and numpy arrays. Raises ValueError for any other expression."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return [value for one in node.elts for value in _elements(one, text)]
    if isinstance(node, ast.Dict):
        keys = [None if key is None else _literal(key, text) for key in node.keys]
        if None in keys or len(set(map(str, keys))) < len(keys):
            raise ValueError
        return {str(key): _literal(value, text) for key, value in zip(keys, node.values, strict=True)}
    if isinstance(node, ast.Name) and node.id in ("nan", "NaN", "null", "NULL", "NA"):
        return None
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_literal(node.operand, text)
    if isinstance(node, ast.Call) and ast.unparse(node.func) in ("array", "np.array", "numpy.array") and node.args:
        return _literal(node.args[0], text)
    raise ValueError


def _elements(node: ast.expr, text: str) -> list[Any]:
    """An element of a list. numpy prints no commas: what Python reads as one text are several."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        segment = ast.get_source_segment(text, node) or ""
        tokens = tokenize.generate_tokens(io.StringIO(f"({segment})").readline)
        strings = [ast.literal_eval(token.string) for token in tokens if token.type == tokenize.STRING]
        if len(strings) > 1:
            return strings
    return [_literal(node, text)]
