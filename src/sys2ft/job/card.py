"""README.md of a run folder: says to `datasets.load_dataset` which files are its tables, and of which types.

The types are stated since `datasets` would take them from the first 10 MB of the first file. A field that is null there
(`reason`, `adapter`) or has other keys further on (`provenance`, `detail`) could then not be read.
"""

from __future__ import annotations

from pathlib import Path

from sys2ft.files import write_text

_ANSWER = (
    "id: string, subject: string, adapter: string, news_id: string, domain: string, question: int64, kind: string, "
    "condition: string, scoring: string, asked: string, said: string, expected: string, correct: bool, grader: string, "
    "why: string, detail: json"
)
TABLES = {
    "news": (
        "news.jsonl",
        "id: string, domain: string, news: string, questions: [json], cloze: json, neighbours: [json], source: json",
    ),
    "elements": (
        "replay/*.jsonl",
        "id: string, news_id: string, protocol: string, prompt: [json], completion: string, status: string, "
        "reason: string, seed: int64, provenance: json",
    ),
    "predictions": ("predictions/*.jsonl", _ANSWER),
    "controls": ("controls/*/*.jsonl", _ANSWER),
    "training": (
        "training/*.jsonl",
        "adapter: string, step: int64, epoch: float64, loss: float64, lr: float64, grad_norm: float64, tokens: int64, "
        "held_out_loss: float64, in_context_loss: float64",
    ),
}
"""By the name of a table: the files, and the fields with their types; [json] is a list of what is no fixed type."""

_TEXT = """\
# A run of sys2ft

`report.html` has the results, `adapters/` the adapters in PEFT's format. The tables of this folder are read by

```python
from datasets import load_dataset

load_dataset("FOLDER", "TABLE", split="train")
```

where TABLE is {tables}.
"""


def card() -> str:
    """The text: a data set card whose front matter is YAML."""
    configs, types = ["configs:"], ["dataset_info:"]
    for name, (files, fields) in TABLES.items():
        configs += [f"- config_name: {name}", f"  data_files: {files}"]
        types += [f"- config_name: {name}", "  features:"]
        for field, _, kind in (text.partition(": ") for text in fields.split(", ")):
            held = f"list: {kind[1:-1]}" if kind.startswith("[") else f"dtype: {kind}"
            types.append(f"  - {{name: {field}, {held}}}")
    tables = ", ".join(f"`{name}`" for name in TABLES)
    return "\n".join(["---", *configs, *types, "---", "", _TEXT.format(tables=tables)])


def write_card(folder: Path) -> None:
    """Write README.md into a run folder that has none."""
    if not (file := folder / "README.md").exists():
        write_text(file, card())
