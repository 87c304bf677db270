"""Chat rendering: one rule, held against each tokenizer's own template."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from conftest import CHATML, build_tokenizer
from sys2ft.errors import ModelError
from sys2ft.models import DEFAULT_MODEL, ChatFormat, Message, load_tokenizer
from sys2ft.models.chat import TEMPLATE_SETTINGS

QUESTION = [Message("user", "What is the capital of France?")]
CONVERSATIONS = {
    "question": QUESTION,
    "system": [Message("system", "Answer briefly."), *QUESTION],
    "several turns": [Message("user", "Hello, 1984!"), Message("assistant", "Good day."), *QUESTION],
    "edges": [Message("user", "\n\n1. one  two\n")],
}
COMPLETIONS = [
    "Paris",
    " Paris is the capital.\n",
    "12,345",
    "(a) yes\n\n(b) no",
    "\u65e5\u672c caf\u00e9",
    ": \u2192 !",
    "\n1. x",
]

DEFAULT_SYSTEM = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful assistant<|im_end|>\n' }}"
    "{% endif %}"
)
TURN = "{{ '<|im_start|>' + role + '\n' + message['content'] | trim + '<|im_end|>\n' }}"
REFUSES_SYSTEM = (
    "{% for message in messages %}{% if message['role'] == 'system' %}{{ raise_exception('no system role') }}"
    "{% endif %}{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}" + TURN + "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>model\n' }}{% endif %}"
)
# Drops a system turn, and like Mistral's closes with the end-of-text token right after " answer".
BRACKETS = (
    "{{ '<|endoftext|>' }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}"
    "{{ ' ' + message['content'] + '<|im_end|>' }}{% endif %}{% endfor %}"
)
# As Qwen3: no thinking on request, and the empty thought stands before the last answer in a full rendering too.
THINKING = CHATML.replace(
    "message['content']",
    "('<think>\n\n</think>\n\n' if message['role'] == 'assistant' and loop.last else '') + message['content']",
)
THINKING_IF_ASKED = THINKING.replace(
    "{{ '<|im_start|>assistant\n' }}",
    "{{ '<|im_start|>assistant\n' + ('<think>\n\n</think>\n\n' if enable_thinking is false else '') }}",
)
# As DeepSeek-R1: the generation prompt opens a thought that full renderings do not have.
FORCED_THOUGHT = CHATML.replace("assistant\n' }}", "assistant\n<think>\n' }}")
DATED = "{% if not date_string is defined %}{{ strftime_now('%H:%M:%S.%f') }}{% else %}{{ date_string }}{% endif %}\n"

TEMPLATES = {
    "chatml": CHATML,
    "smollm2": DEFAULT_SYSTEM + CHATML,
    "refuses system": REFUSES_SYSTEM,
    "brackets": BRACKETS,
    "thinking": THINKING,
    "thinking if asked": THINKING_IF_ASKED,
    "forced thought": FORCED_THOUGHT,
    "dated": DATED + CHATML,
}


def tokenizer_with(template: str | None) -> Any:
    tokenizer = build_tokenizer()
    tokenizer.chat_template = template
    return tokenizer


def check_agreement(tokenizer: Any, chat: ChatFormat, *, folds_system: bool = False) -> None:
    """The rule: our rendering is the template's own, up to what follows the end-of-turn token."""
    for name, messages in CONVERSATIONS.items():
        if folds_system and name == "system":
            continue
        prompt = chat.prompt_ids(messages)
        for completion in COMPLETIONS:
            rendered = chat.render(messages, completion)
            turns = [{"role": m.role, "content": m.content} for m in messages]
            turns.append({"role": "assistant", "content": completion.strip()})
            whole = tokenizer.apply_chat_template(turns, tokenize=True, return_dict=False, **TEMPLATE_SETTINGS)
            assert rendered.ids == whole[: len(rendered.ids)], (name, completion)
            assert not tokenizer.decode(whole[len(rendered.ids) :]).strip()
            check_mask(chat, prompt, rendered.ids, rendered.loss_mask, completion)


def check_mask(chat: ChatFormat, prompt: list[int], ids: list[int], mask: list[bool], completion: str) -> None:
    assert ids[: len(prompt)] == prompt
    assert mask == [False] * len(prompt) + [True] * (len(ids) - len(prompt))
    assert ids[len(prompt) :] == [*chat.continuation_ids(completion), chat.end_of_turn_id]
    assert chat.end_of_turn_id in chat.stop_ids


@pytest.mark.parametrize("name", TEMPLATES)
def test_rendering_agrees_with_the_template(name: str) -> None:
    tokenizer = tokenizer_with(TEMPLATES[name])
    chat = ChatFormat.of(tokenizer)
    assert chat.has_template
    assert tokenizer.convert_ids_to_tokens(chat.end_of_turn_id) == "<|im_end|>"
    check_agreement(tokenizer, chat, folds_system=name in ("refuses system", "brackets"))


@pytest.mark.parametrize("name", TEMPLATES)
def test_prompt_is_the_generation_prompt(name: str) -> None:
    tokenizer = tokenizer_with(TEMPLATES[name])
    turns = [{"role": "user", "content": QUESTION[0].content}]
    own = tokenizer.apply_chat_template(
        turns, tokenize=True, add_generation_prompt=True, return_dict=False, **TEMPLATE_SETTINGS
    )
    ours = ChatFormat.of(tokenizer).prompt_ids(QUESTION)
    # Where the full rendering has words between generation prompt and answer, or none of the generation prompt's, the
    # prompt is the part before the answer: what the model sees in training is then what it sees when asked.
    assert (ours == own) is (name not in ("thinking", "forced thought"))
    if name == "thinking":
        assert tokenizer.decode(ours).endswith("assistant\n<think>\n\n</think>\n\n")
    if name == "forced thought":
        assert tokenizer.decode(ours).endswith("assistant\n")


def test_system_turn_is_folded_where_it_is_refused_or_dropped() -> None:
    for template in (REFUSES_SYSTEM, BRACKETS):
        tokenizer = tokenizer_with(template)
        text = ChatFormat.of(tokenizer).prompt_text(CONVERSATIONS["system"])
        assert "Answer briefly.\n\nWhat is the capital of France?" in text
        assert "system" not in text


def test_default_system_prompt_is_kept() -> None:
    chat = ChatFormat.of(tokenizer_with(TEMPLATES["smollm2"]))
    assert "You are a helpful assistant" in chat.prompt_text(QUESTION)
    assert "You are a helpful assistant" not in chat.prompt_text(CONVERSATIONS["system"])


def test_rendering_does_not_depend_on_the_time() -> None:
    chat = [ChatFormat.of(tokenizer_with(TEMPLATES["dated"])) for _ in range(2)]
    assert chat[0].prompt_ids(QUESTION) == chat[1].prompt_ids(QUESTION)


def test_without_template_the_rendering_is_plain() -> None:
    tokenizer = tokenizer_with(None)
    chat = ChatFormat.of(tokenizer)
    assert not chat.has_template and chat.stop_texts == ("\nQuestion:",)
    rendered = chat.render(CONVERSATIONS["system"], "Paris")
    text = "Answer briefly.\n\nQuestion: What is the capital of France?\nAnswer: Paris<|im_end|>"
    assert tokenizer.decode(rendered.ids) == text
    assert rendered.ids == tokenizer(text, add_special_tokens=False)["input_ids"]
    assert chat.prompt_text(CONVERSATIONS["several turns"]).startswith("Question: Hello, 1984!\nAnswer: Good day.\n\nQ")
    for messages in CONVERSATIONS.values():
        for completion in COMPLETIONS:
            rendered = chat.render(messages, completion)
            check_mask(chat, chat.prompt_ids(messages), rendered.ids, rendered.loss_mask, completion)


@pytest.mark.parametrize("adds_bos", [True, False])
def test_begin_of_text_is_written_once_where_the_tokenizer_uses_one(adds_bos: bool) -> None:
    from tokenizers import processors

    tokenizer = tokenizer_with(None)
    tokenizer.bos_token = "<|im_start|>"
    bos = tokenizer.bos_token_id
    if adds_bos:
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single="<|im_start|> $A", special_tokens=[("<|im_start|>", bos)]
        )
    assert ChatFormat.of(tokenizer).prompt_ids(QUESTION).count(bos) == int(adds_bos)
    tokenizer.chat_template = "{{ '<|im_start|>' }}" + CHATML.replace("<|im_start|>", "#")
    assert ChatFormat.of(tokenizer).prompt_ids(QUESTION).count(bos) == 1


def test_continuation_that_would_merge_into_the_prompt_is_tokenised_alone() -> None:
    template = (
        "{% for m in messages %}{{ m['content'] + ('<|im_end|>' if m['role'] == 'assistant' else ' assistan') }}"
        "{% endfor %}"
    )
    tokenizer = tokenizer_with(template)
    chat = ChatFormat.of(tokenizer)
    prompt = chat.prompt_ids(QUESTION)
    joint = tokenizer(chat.prompt_text(QUESTION) + "t")["input_ids"]
    assert joint[: len(prompt)] != prompt  # the case is real: "assistan" + "t" is one more merge
    assert tokenizer.decode(chat.render(QUESTION, "t").ids).endswith("assistant<|im_end|>")
    assert chat.render(QUESTION, "t").ids[: len(prompt)] == prompt


def test_generation_settings_add_stop_ids() -> None:
    assert ChatFormat.of(build_tokenizer(), eos_ids=[0]).stop_ids == {0, 2}


def test_returned_ids_are_the_callers_own() -> None:
    chat = ChatFormat.of(build_tokenizer())
    chat.prompt_ids(QUESTION).clear()
    assert chat.prompt_ids(QUESTION)


SHARED = build_tokenizer()
WORDS = st.text(max_size=60).filter(lambda t: "<|" not in t and "|>" not in t)


@settings(max_examples=150, deadline=None)
@given(content=WORDS, completion=WORDS)
def test_any_text_renders_as_the_template_does(content: str, completion: str) -> None:
    messages = [Message("user", content)]
    rendered = ChatFormat.of(SHARED).render(messages, completion)
    turns = [{"role": "user", "content": content}, {"role": "assistant", "content": completion.strip()}]
    whole = SHARED.apply_chat_template(turns, tokenize=True, return_dict=False)
    assert rendered.ids == whole[:-1]  # the newline after the end of turn


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [Message("user", "a"), Message("assistant", "b")],
        [Message("user", "a"), Message("system", "b"), Message("user", "c")],
        [Message("tool", "a"), Message("user", "c")],  # type: ignore[arg-type]
    ],
)
def test_conversations_of_another_shape_are_refused(messages: list[Message]) -> None:
    with pytest.raises(ModelError, match="a user turn last"):
        ChatFormat.of(build_tokenizer()).prompt_ids(messages)


@pytest.mark.parametrize(
    ("template", "found"),
    [
        ("{{ raise_exception('never') }}", "never"),
        ("{% for", "unusable"),
        ("no words of yours", "do not contain the texts"),
    ],
)
def test_templates_that_cannot_be_used(template: str, found: str) -> None:
    with pytest.raises(ModelError, match=found):
        ChatFormat.of(tokenizer_with(template))


def test_a_tokenizer_without_any_end_is_refused() -> None:
    tokenizer = tokenizer_with(None)
    tokenizer.eos_token = None
    with pytest.raises(ModelError, match="neither a chat template nor an end-of-text token"):
        ChatFormat.of(tokenizer)


@pytest.mark.embedded
def test_embedded_model_agrees_with_its_template() -> None:
    tokenizer, chat = load_tokenizer(DEFAULT_MODEL)
    check_agreement(tokenizer, chat)
    assert chat.stop_ids == {tokenizer.convert_tokens_to_ids("<|im_end|>")}
    assert "named SmolLM" in chat.prompt_text(QUESTION)


def real_models() -> list[Path]:
    folder = os.environ.get("SYS2FT_TEST_MODELS")
    return sorted(Path(folder).glob("*.gguf")) if folder else []


@pytest.mark.real
@pytest.mark.parametrize("gguf", real_models(), ids=lambda p: p.name)
def test_real_models_agree_with_their_templates(gguf: Path) -> None:
    import transformers

    if "gemma" in gguf.name and tuple(map(int, transformers.__version__.split(".")[:2])) < (5, 23):
        pytest.skip("this transformers reads Gemma's GGUF vocabulary as unigrams; `convert` refuses it")
    tokenizer, chat = load_tokenizer(str(gguf))
    if chat.has_template:
        check_agreement(tokenizer, chat, folds_system="gemma" in gguf.name)
        return
    text = "Question: What is the capital of France?\nAnswer: Paris"
    rendered = chat.render(QUESTION, "Paris")
    assert rendered.ids == [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]  # with the tokenizer's own <bos>
