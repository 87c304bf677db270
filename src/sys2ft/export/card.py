"""The model card of an export: the hub's metadata, the table, provenance, and the licences of base and data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import jinja2

from sys2ft.export.chosen import Chosen
from sys2ft.export.proof import Proof
from sys2ft.files import read_jsonl, write_text
from sys2ft.models import Origin, origin_of

_WHAT = {
    "peft": "A LoRA adapter in PEFT's format for `{base}`.",
    "merged": "`{base}` with the adapter merged into its weights.",
    "gguf": "`{base}` with the adapter merged into its weights, as a GGUF file for llama.cpp.",
    "gguf-lora": "A LoRA adapter for `{base}` as a GGUF file for llama.cpp, beside the base that it was asked with.",
    "ollama": "`{base}` with the adapter merged into its weights, as a GGUF file with a Modelfile for Ollama.",
    "sft": "The samples that an adapter for `{base}` was trained on, as conversations.",
}
_USE = {
    "peft": """\
```python
from peft import AutoPeftModelForCausalLM

model = AutoPeftModelForCausalLM.from_pretrained("PATH OR HUB ID OF THIS FOLDER")
```""",
    "merged": """\
```python
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "PATH OR HUB ID OF THIS FOLDER"
model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
```""",
    "gguf": "    llama-server -m model.gguf",
    "gguf-lora": "    llama-server -m base.gguf --lora adapter.gguf",
    "ollama": "    ollama create NAME -f Modelfile && ollama run NAME",
    "sft": """\
```python
from datasets import load_dataset

samples = load_dataset("json", data_files="train.jsonl", split="train")
```

TRL's `SFTTrainer` learns the completions of `prompt` and `completion`; axolotl (`type: chat_template`) and
LLaMA-Factory (`sharegpt` with `messages`) learn the assistant turns of `messages`.""",
}


def write_card(
    chosen: Chosen, kind: str, folder: Path, *, table: str, proofs: Sequence[Proof], news_licence: str
) -> None:
    """Write README.md. `table`: the run's main table in Markdown."""
    from huggingface_hub import ModelCardData

    origin = origin_of(chosen.source)
    languages = sorted({row.get("language", "en") for row in _elements(chosen)} or {"en"})
    data = ModelCardData(
        base_model=origin.hub_id,
        base_model_relation=_relation(kind) if origin.hub_id else None,
        library_name={"peft": "peft", "merged": "transformers"}.get(kind),
        license=origin.licence,
        language=languages,
        pipeline_tag=None if kind == "sft" else "text-generation",
        tags=["sys2ft", *(["lora"] if kind in ("peft", "gguf-lora") else [])],
    )
    name = origin.hub_id or Path(chosen.source.name).name
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sys2ft.export", "."), autoescape=False, undefined=jinja2.StrictUndefined
    )  # Markdown, not HTML
    record = chosen.run.record
    text = environment.get_template("card.md.j2").render(
        metadata=data.to_yaml().strip(),
        title=f"{name}, {chosen.run.record['name']} ({chosen.label})",
        what=_WHAT[kind].format(base=name),
        protocol=chosen.protocol,
        table=table.strip(),
        proof=[one for one in proofs if one.asked],
        use=_USE[kind],
        licence=_licences(origin, news_licence),
        provenance=[
            ("base", f"`{name}`, SHA-256 `{record['model']['sha256']}`"),
            ("run", f"`{record['name']}`, {record['created']}, seed {record['seed']}, {record['dtype']}"),
            ("news", f"{len(chosen.news())} items, digest `{record['identity']['news'][:16]}`"),
            ("sources", _sources(chosen)),
            *((tool, version) for tool, version in record["versions"].items() if version != "not installed"),
        ],
    )
    write_text(folder / "README.md", text.rstrip() + "\n")


def _relation(kind: str) -> str:
    return "adapter" if kind in ("peft", "gguf-lora") else "finetune"


def _elements(chosen: Chosen) -> list[dict[str, str]]:
    return [row["provenance"] for row in read_jsonl(chosen.run.path / "replay" / f"{chosen.protocol}.jsonl")]


def _sources(chosen: Chosen) -> str:
    """Where the news items come from, most frequent first, without folders of this machine."""
    texts = (item.source or "not recorded" for item in chosen.news().values())
    counts = Counter(text.rpartition("/")[2] if text.startswith(("/", "~")) else text for text in texts)
    shown = [f"{' '.join(name.replace('|', '/').split())} ({count})" for name, count in counts.most_common(5)]
    return ", ".join(shown) + (f" and {len(counts) - 5} more" if len(counts) > 5 else "")


def _licences(origin: Origin, news_licence: str) -> str:
    base = origin.licence or "not recorded: see where the base comes from"
    return f"of the base: {base}; of the news: {news_licence}."
