"""The training samples as a chat data set for other trainers, and the check that they train on the same tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sys2ft.errors import SettingsError
from sys2ft.export.chosen import Chosen
from sys2ft.files import read_jsonl, write_jsonl
from sys2ft.models.chat import Message

FILE = "train.jsonl"


def rows_of(chosen: Chosen) -> list[dict[str, Any]]:
    """The kept elements that the adapter was trained on, as conversations: `prompt`, `completion`, `messages`.

    Trainers that know prompts and completions (TRL) take these, and others `messages`; what is learnt is the last turn.
    """
    file = chosen.run.path / "replay" / f"{chosen.protocol}.jsonl"
    own = [row for row in read_jsonl(file) if row["status"] == "kept" and chosen.name in ("joint", row["news_id"])]
    if not own:
        raise SettingsError(
            f"{file} has no kept elements", expected="the elements of a trained protocol", fix="check the run folder"
        )
    return [_row(row) for row in own]


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    prompt = [{"role": turn["role"], "content": turn["content"]} for turn in row["prompt"]]
    completion = [{"role": "assistant", "content": row["completion"].strip()}]
    return {
        "prompt": prompt,
        "completion": completion,
        "messages": [*prompt, *completion],
        "news_id": row["news_id"],
        "id": row["id"],
    }


def write_sft(chosen: Chosen, folder: Path) -> int:
    """Write the data set into an existing folder and return its number of rows."""
    rows = rows_of(chosen)
    write_jsonl(folder / FILE, rows)
    return len(rows)


def alike(chosen: Chosen, rows: Sequence[Mapping[str, Any]]) -> int:
    """Number of rows that a trainer renders, by the model's chat template, to the tokens that this package trains on.

    The end of the turn and template text after it are left out of the comparison.
    """
    tokenizer, chat = chosen.tokenizer, chosen.chat
    if not chat.has_template:
        return 0
    same = 0
    for row in rows:
        messages = [Message(turn["role"], turn["content"]) for turn in row["prompt"]]
        ours = chat.render(messages, row["completion"][0]["content"]).ids
        text = tokenizer.apply_chat_template(row["messages"], tokenize=False)
        theirs = tokenizer(text, add_special_tokens=False)["input_ids"]
        same += theirs[: len(ours)] == ours
    return same
