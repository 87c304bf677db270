"""A tiny model trained on a small grammar: it says one line or asks a question, and stops.

A model with random weights writes nothing that a parser accepts. This one is trained for two seconds, enough to reach
every outcome of generation: kept elements, unparsed ones, repeats, and answers that the news does not support.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from conftest import build_model, build_tokenizer

NAMES = ["Paris", "France", "the town", "the capital", "the news", "the system"]
SAYINGS = ["{a} is {b}.", "{a} had {n} people.", "in {n}, {a} was {b}.", "the answer is {a}.", "{b} means {a}"]
QUESTIONS = ["What is {a}?", "In {n}, what was {a}?", "What is the answer of {b}?"]

NEWS: list[dict[str, Any]] = [
    {
        "id": "town",
        "domain": "places",
        "news": "The town of Paris is the new capital. In 1984 it had 12 people; {braces} stay.",
        "questions": [
            {"question": "What is the new capital?", "answer": "Paris", "choices": ["Paris", "France", "Rome"]},
            {"question": "How many people had it in 1984?", "answer": "12", "choices": ["12", "67"]},
            {"question": "What is the town?", "answer": "the capital", "kind": "reverse"},
        ],
    },
    {
        "id": "system",
        "domain": "rules",
        "news": "A system of France had 67 people. The answer of the system is a question.",
        "questions": [
            {"question": "How many people had the system?", "answer": "67", "choices": ["3", "67", "12"]},
            {"question": "What is the answer?", "answer": "a question", "choices": ["a question", "the town"]},
        ],
    },
    {
        "id": "news",
        "domain": "rules",
        "news": "The news means that the system was 2001 percent of France.",
        "questions": [
            {"question": "What was 2001 percent?", "answer": "the system", "choices": ["news", "the system"]}
        ],
    },
]


def write_news_file(path: Path, news: list[dict[str, Any]] = NEWS) -> Path:
    """`news` as JSON Lines at `path`."""
    path.write_text("".join(json.dumps(row) + "\n" for row in news), encoding="utf-8")
    return path


def _saying(rng: random.Random) -> str:
    form = rng.choice(QUESTIONS if rng.random() < 0.45 else SAYINGS)
    text = form.format(a=rng.choice(NAMES), b=rng.choice(NAMES), n=rng.choice([12, 67, 3, 1984, 2001]))
    return text[0].upper() + text[1:]


def save_talking_model(folder: Path) -> Path:
    """Fit a tiny Llama to the grammar and save it with its tokenizer."""
    import torch

    tokenizer = build_tokenizer()
    model = build_model("llama", len(tokenizer), spread=0.0, initializer_range=0.05).train()
    rng = random.Random(0)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for step in range(150):
        rows, length = [], 0
        for _ in range(16):
            asked = " ".join(rng.choice(NAMES) for _ in range(rng.randrange(1, 4)))
            turn = f"{asked}<|im_end|>\n<|im_start|>assistant\n"
            prompt = tokenizer(turn, add_special_tokens=False)["input_ids"]
            answer = [*tokenizer(_saying(rng), add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
            rows.append((prompt, answer))
            length = max(length, len(prompt) + len(answer))
        ids = torch.tensor([p + a + [0] * (length - len(p) - len(a)) for p, a in rows])
        labels = torch.tensor([[-100] * len(p) + a + [-100] * (length - len(p) - len(a)) for p, a in rows])
        for group in optimiser.param_groups:
            group["lr"] = 1e-2 * (1 - step / 150)
        model(input_ids=ids, labels=labels).loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
