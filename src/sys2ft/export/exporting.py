"""Writes an export, has it asked again, and gives it its name only if it answers as the run did."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sys2ft.errors import Sys2ftError
from sys2ft.evaluation import EvaluateSettings
from sys2ft.export.card import write_card
from sys2ft.export.chosen import Chosen
from sys2ft.export.converters import BITS, CONVERTED, find_converters
from sys2ft.export.llama_runner import llama_server, require_llama
from sys2ft.export.merged import BYTES, require_room, write_merged
from sys2ft.export.ollama import modelfile, turns_of
from sys2ft.export.proof import Item, Proof, items_of, prove
from sys2ft.export.settings import GGUF_KINDS, ExportSettings, Kind
from sys2ft.export.sft import alike, rows_of, write_sft
from sys2ft.export.transformers_runner import TransformersRunner
from sys2ft.files import atomic_folder, read_json, write_json, write_text
from sys2ft.models.chat import Message
from sys2ft.news import bundled_names, bundled_news
from sys2ft.runs import Display

UNPROVEN = ".unproven"
_BUNDLED_LICENCE = "CC-BY-4.0"


@dataclass(frozen=True, slots=True)
class Exported:
    """An export: its folder, what asking it again found, and whether that is within the limit."""

    folder: Path
    proofs: tuple[Proof, ...]
    proven: bool
    remarks: tuple[str, ...] = ()


def export(
    chosen: Chosen, settings: ExportSettings, *, out: Path | None = None, table: str = "", show: Display | None = None
) -> Exported:
    """Write one adapter as `settings.to` into `out` (default: `exports/` in the run folder) and ask it again.

    `table`: the run's main table in Markdown, for the model card. The folder is complete or absent, and is called
    `<out>.unproven` until it has passed. Raises SettingsError for a tool that is not installed or a run without
    answers, StorageError without room on the disk, Sys2ftError if a converter or a program fails.
    """
    show = show or Display()
    target = out or chosen.run.path / "exports" / f"{chosen.label}-{settings.suffix}"
    write, ask = _WAYS[settings.to]
    require_out(target)
    if settings.to in GGUF_KINDS:
        require_llama()
        find_converters(settings.llama_cpp, _gguf_type(chosen, settings))
    if settings.to == "ollama" and chosen.chat.has_template:
        turns_of(chosen.chat, chosen.tokenizer)  # refused before an hour of work
    items = [] if settings.to == "sft" else items_of(chosen, chosen.protocol, settings.questions)
    require_room(target.parent, _size(chosen, settings), f"--to {settings.to}")
    unproven = target.with_name(target.name + UNPROVEN)
    for left in target.parent.glob(f".{unproven.name}.*.tmp"):  # of an export that was killed
        shutil.rmtree(left, ignore_errors=True)
    with atomic_folder(unproven) as folder:
        remarks = write(chosen, settings, folder, show)
        for file in folder.iterdir():
            file.chmod(0o644)  # transformers makes its files private
        _card(chosen, settings, folder, table, ())
    proofs = ask(chosen, settings, unproven, items, show)
    proven = all(proof.passes(settings.limit) for proof in proofs)
    _card(chosen, settings, unproven, table, proofs)
    write_json(unproven / "proof.json", _record(chosen, settings, proofs, proven))
    if proven:
        shutil.rmtree(target, ignore_errors=True)
        unproven.rename(target)
    return Exported(target if proven else unproven, tuple(proofs), proven, tuple(remarks))


def require_out(target: Path) -> None:
    """Raise Sys2ftError if the folder is there and is no export, which would be replaced."""
    if target.exists() and not (target / "proof.json").is_file():
        raise Sys2ftError(
            f"{target} exists and is not an export: it has no proof.json",
            expected="a new folder, or that of an earlier export, which is replaced",
            fix="choose another folder with --out",
        )


# Writing: each returns remarks for the user ---------------------------------------------------------------------------


def _write_peft(chosen: Chosen, settings: ExportSettings, folder: Path, show: Display) -> list[str]:
    from sys2ft.models import origin_of

    config = read_json(chosen.folder / "adapter_config.json")
    name = origin_of(chosen.source).hub_id or Path(chosen.source.name).name  # no folder of this machine
    write_json(folder / "adapter_config.json", {**config, "base_model_name_or_path": name})
    shutil.copy(chosen.folder / "adapter_model.safetensors", folder)
    return []


def _write_merged(chosen: Chosen, settings: ExportSettings, folder: Path, show: Display) -> list[str]:
    with show.task(f"merge into {_dtype(chosen, settings)}", None):
        write_merged(chosen, folder, dtype=_dtype(chosen, settings))
    return []


def _write_gguf(chosen: Chosen, settings: ExportSettings, folder: Path, show: Display) -> list[str]:
    merged, kind = folder / "merged", _gguf_type(chosen, settings)
    merged.mkdir()
    with show.task("merge into float32", None):
        write_merged(chosen, merged, dtype="float32")
    find_converters(settings.llama_cpp, kind).model(merged, folder / "model.gguf", kind, show)
    shutil.rmtree(merged)
    return []


def _write_gguf_lora(chosen: Chosen, settings: ExportSettings, folder: Path, show: Display) -> list[str]:
    kind = _gguf_type(chosen, settings)
    converters = find_converters(settings.llama_cpp, kind)
    converters.adapter(chosen.folder, chosen.base, folder / "adapter.gguf", show)
    if settings.base_gguf is not None:
        return [f"asked with the base {settings.base_gguf}"]
    converters.model(chosen.base, folder / "base.gguf", kind, show)
    return []


def _write_ollama(chosen: Chosen, settings: ExportSettings, folder: Path, show: Display) -> list[str]:
    write_text(folder / "Modelfile", modelfile("model.gguf", chosen.chat, chosen.tokenizer))
    return _write_gguf(chosen, settings, folder, show)


def _write_sft(chosen: Chosen, settings: ExportSettings, folder: Path, show: Display) -> list[str]:
    count = write_sft(chosen, folder)
    same = alike(chosen, rows_of(chosen))
    return [f"{count} samples; the chat template renders {same} of them to the tokens that the adapter was trained on"]


# Asking again ---------------------------------------------------------------------------------------------------------


def _ask_transformers(
    chosen: Chosen, settings: ExportSettings, folder: Path, items: list[Item], show: Display
) -> list[Proof]:
    peft = settings.to == "peft"
    runner = TransformersRunner(
        chosen.base if peft else folder,
        chosen.chat,
        chosen.tokenizer,
        dtype=chosen.run.record["dtype"] if peft else _dtype(chosen, settings),
        adapter=folder if peft else None,
    )
    through = "transformers, base + PEFT adapter" if peft else f"transformers, merged {_dtype(chosen, settings)}"
    return [prove(through, runner, items, max_new_tokens=_answer_tokens(chosen), show=show)]


def _ask_llama(chosen: Chosen, settings: ExportSettings, folder: Path, items: list[Item], show: Display) -> list[Proof]:
    kind = _gguf_type(chosen, settings)
    if settings.to != "gguf-lora":
        return [_through_llama(f"llama.cpp, merged {kind}", folder / "model.gguf", chosen, items, show)]
    base, adapter = settings.base_gguf or folder / "base.gguf", folder / "adapter.gguf"
    named = "given base" if settings.base_gguf else f"base {kind}"
    untuned = items_of(chosen, "base", settings.questions)
    return [
        _through_llama(f"llama.cpp, {named} + LoRA", base, chosen, items, show, lora=adapter),
        _through_llama(f"llama.cpp, {named} alone", base, chosen, untuned, show),
    ]


def _through_llama(
    through: str, model: Path, chosen: Chosen, items: list[Item], show: Display, *, lora: Path | None = None
) -> Proof:
    tokens = _answer_tokens(chosen)
    prompts = (len(chosen.chat.prompt_ids([Message("user", item.asked)])) for item in items)
    options = (len(chosen.chat.continuation_ids(option)) for item in items for option in item.options)
    context = max(prompts) + max(tokens, *options, 0) + 8
    with llama_server(model, chosen.chat, chosen.tokenizer, context=context, lora=lora) as runner:
        notes = runner.input_differs(items)
        return prove(through, runner, items, max_new_tokens=tokens, show=show, notes=notes)


def _ask_nothing(
    chosen: Chosen, settings: ExportSettings, folder: Path, items: list[Item], show: Display
) -> list[Proof]:
    return []  # a data set answers nothing


_Write = Callable[[Chosen, ExportSettings, Path, Display], list[str]]
_Ask = Callable[[Chosen, ExportSettings, Path, list[Item], Display], list[Proof]]
_WAYS: Mapping[Kind, tuple[_Write, _Ask]] = {
    "peft": (_write_peft, _ask_transformers),
    "merged": (_write_merged, _ask_transformers),
    "gguf": (_write_gguf, _ask_llama),
    "gguf-lora": (_write_gguf_lora, _ask_llama),
    "ollama": (_write_ollama, _ask_llama),
    "sft": (_write_sft, _ask_nothing),
}


# Details --------------------------------------------------------------------------------------------------------------


def _dtype(chosen: Chosen, settings: ExportSettings) -> str:
    return chosen.dtype if settings.dtype == "auto" else settings.dtype


def _gguf_type(chosen: Chosen, settings: ExportSettings) -> str:
    return CONVERTED[chosen.dtype] if settings.quantise == "auto" else settings.quantise.lower()


def _size(chosen: Chosen, settings: ExportSettings) -> float:
    """Bytes on the disk while the export is written; an embedding that is written twice counts as a tenth more."""
    adapter = sum(file.stat().st_size for file in chosen.folder.glob("*"))
    bits = BITS.get(_gguf_type(chosen, settings), 9)
    whole = chosen.parameters * 1.1
    if settings.to in ("peft", "sft"):
        return 2.0 * adapter
    if settings.to == "merged":
        return whole * BYTES[_dtype(chosen, settings)]
    if settings.to == "gguf-lora":
        return 2.0 * adapter + (0 if settings.base_gguf else whole * bits / 8)
    by_quantiser = 4 if bits == 9 and settings.quantise.lower() != "q8_0" else 0  # a float32 file on the way
    return whole * (BYTES["float32"] + bits / 8 + by_quantiser)


def _answer_tokens(chosen: Chosen) -> int:
    return chosen.run.settings("evaluate", EvaluateSettings).direct_tokens


def _record(chosen: Chosen, settings: ExportSettings, proofs: list[Proof], proven: bool) -> dict[str, Any]:
    return {
        "format": 1,
        "run": chosen.run.record["name"],
        "adapter": f"{chosen.protocol}/{chosen.name}",
        "base": chosen.run.record["model"]["sha256"],
        "to": settings.to,
        "type": {"merged": _dtype(chosen, settings), "peft": None, "sft": None}.get(
            settings.to, _gguf_type(chosen, settings)
        ),
        "max_drift": settings.limit,
        "proven": proven,
        "proofs": [proof.to_dict() for proof in proofs],
    }


def _card(
    chosen: Chosen, settings: ExportSettings, folder: Path, table: str, proofs: tuple[Proof, ...] | list[Proof]
) -> None:
    licence = settings.news_licence or (_BUNDLED_LICENCE if _is_bundled(chosen) else "that of their sources")
    write_card(chosen, settings.to, folder, table=table, proofs=proofs, news_licence=licence)


def _is_bundled(chosen: Chosen) -> bool:
    bundled = {item.id: item.text for name in bundled_names() for item in bundled_news(name)}
    return all(bundled.get(item.id) == item.text for item in chosen.news().values())
