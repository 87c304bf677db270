"""The form of what the learner reads: SEAL's plain text, or the model's chat template.

SEAL trains and asks a model without a chat template: a training sequence is the title, a line break and a text, and a
question is followed by 'Answer:' and a line break. Here this is a chat template too: the user's turn, a line break, the
assistant's turn, the end of text. Training and asking then use the library as they are, and an instruction-tuned model
reads the same ids as SEAL's learner, with two differences: the title has no loss, and the end of text has.
"""

from __future__ import annotations

import copy
from dataclasses import replace

from sys2ft.models import ChatFormat, LoadedModel

PLAIN = "plain"
_TEMPLATE = (
    "{% for message in messages %}{{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% else %}{{ '\n' }}{% endif %}{% endfor %}"
)

_PROMPT = "Let's answer a question directly and concisely.\nQuestion: {question}\nAnswer:"


def in_form(model: LoadedModel, form: str) -> LoadedModel:
    """The model as it reads in `form`: itself for 'chat'."""
    if form != PLAIN:
        return model
    tokenizer = copy.deepcopy(model.tokenizer)
    begins = tokenizer.bos_token is not None and tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]
    tokenizer.chat_template = ("{{ bos_token }}" if begins else "") + _TEMPLATE
    return replace(model, tokenizer=tokenizer, chat=ChatFormat.of(tokenizer, eos_ids=model.chat.stop_ids))


def closed_book(title: str, question: str) -> str:
    """SEAL's prompt, with the topic that its evaluation puts before each question."""
    return _PROMPT.format(question=f"Topic: {title}\n{question}")


def in_context(title: str, context: str, question: str) -> str:
    """The passage, as it is in the training sequences, before the prompt."""
    return f"{title}\n{context}\n\n{closed_book(title, question)}"
