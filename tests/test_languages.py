"""Languages: files, detection, prompts and filters in the language of the news, near duplicates in any script."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given, settings, strategies as st

from sys2ft.errors import SettingsError
from sys2ft.generators import Generated, Pair, Reply, Request, SamplingParams, Usage
from sys2ft.languages import LANGUAGES, Language, detect, language, language_of, union, unprompted
from sys2ft.languages.language import FILTERED, fill, parse_sections
from sys2ft.news import News, check, read_news
from sys2ft.news.bundled import bundled_news
from sys2ft.news.checks import near_pairs
from sys2ft.news.surface import surface
from sys2ft.probing import Candidate, ProbeSettings
from sys2ft.probing.candidates import against_answer, against_question, alike_in, answer_spans, wrong_choices
from sys2ft.probing.writing import PROMPTS, prompt
from sys2ft.replay import (
    GenerateSettings,
    Protocol,
    Said,
    Stage,
    Trail,
    generate,
    parse_template,
    protocol,
    template,
)
from sys2ft.replay.calculator import wrong_equations
from sys2ft.replay.facts import with_gap
from sys2ft.replay.filters import (
    content_words,
    copied_line,
    copied_name,
    invention,
    invents,
    names_nothing_of,
    normal,
    off_topic,
    refusal,
    refused,
)
from sys2ft.replay.parsers import listed, listed_names, one_paragraph, one_question, short_answer, up_to_end, whole_text
from sys2ft.replay.protocols.cloze import statements_of
from sys2ft.replay.protocols.entity_graph import chosen_entities
from sys2ft.replay.subject import subject_of
from sys2ft.runs import Display
from sys2ft.text import akin, asks, names_within, numbers_within, pieces, sentences, unquoted

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
CHINESE = "北岭镇新建了一座用再生玻璃造的桥，从2031年起只允许40辆自行车同时通行。"
RUSSIAN = "В городе Заречинске открыли мост из переработанного стекла, по нему ездят 40 велосипедов."
ARABIC = "افتتحت بلدة النخيل جسراً من الزجاج يتسع لأربعين دراجة في الساعة منذ عام 2031."
HINDI = "नदीपुर शहर ने पुनर्चक्रित काँच का एक नया पुल खोला है।"
KOREAN = "북령 마을에 재활용 유리로 만든 다리가 개통되었다."
THAI = "เมืองเหนือเปิดสะพานที่ทำจากแก้วรีไซเคิล"
GREEK = "Η πόλη Καλαμιά άνοιξε μια γέφυρα από ανακυκλωμένο γυαλί."
HEBREW = "העיר תמרים פתחה גשר העשוי מזכוכית ממוחזרת."
JAPANESE = "北の町では、再生ガラスでできた橋が開通し、自転車だけが渡れる。"
GERMAN = "Die Stadt Brenholt hat im Jahr 2031 eine Brücke aus Altglas eröffnet."


# Language files ----------------------------------------------------------------------------------------------------

TRAINING = (
    "paraphrase", "implication", "self_qa_question", "self_qa_answer", "self_qa_reasoned", "entity_list",
    "entity_relation", "spa", "rewrite", "long", "reading_strategies", "reading_applied", "reverse_question",
    "reverse_statement",
)  # fmt: skip
TEMPLATES = (*TRAINING, *(f"probe_{name}" for name in PROMPTS))
CUES = {"cues": 24, "cues_implication": 12, "cues_spa": 7, "cues_plain": 8, "cloze_gap": 4, "cloze_start": 4}


@pytest.mark.parametrize("code", LANGUAGES)
def test_a_language_has_every_section_of_english_in_equal_number(code: str) -> None:
    own, english = language(code), language("en")
    assert set(english.sections) - {"traits"} <= set(own.sections)
    shared = [name for name in own.sections if name in english.sections and name != "traits"]
    assert shared == [name for name in english.sections if name in own.sections and name != "traits"], "their order"
    for name, count in CUES.items():
        lines = own.lines(name)
        assert len(set(lines)) == len(english.lines(name)) == count, name
        subjects = [line.count("{subject}") for line in lines]
        assert subjects == {"cues_plain": [0] * 8}.get(
            name, [1, 1, 0, 0] if name in ("cloze_gap", "cloze_start") else [1] * count
        )
        assert all(line.count("{statement}") == name.startswith("cloze_") for line in lines), name
    for name in TEMPLATES:
        mine, theirs = template(name, code), template(name)
        assert [role for role, _ in mine.turns] == [role for role, _ in theirs.turns], name
        assert len(set(mine.instructions)) == len(theirs.instructions), name
        assert mine.placeholders == theirs.placeholders, name
        shown = [text for _, text in mine.turns[:-1]]
        # The examples show instructions that are in rotation, but 'probe_answer' has none.
        assert name in ("probe_answer",) or all(
            any(line in turn for line in mine.instructions) for turn in shown[::2]
        ), name
    for name in ("no_news", "right_answer", "ask_in_context", "ask_direct", "ask_reasoned", "ask_letter"):
        assert own.text(name), name
    assert {"{news}", "{question}"} <= set(
        own.text("ask_in_context").replace("\n", " ").replace(":", " ").replace("：", " ").split()
    )
    assert "{answer}" in own.text("right_answer")
    assert union("labels_answer", r"{}\s*[:：]").search(own.text("ask_reasoned"))


@pytest.mark.parametrize("code", [code for code in LANGUAGES if code != "en"])
def test_everything_a_model_reads_is_in_the_language(code: str) -> None:
    texts = [turn for name in TEMPLATES for _, turn in template(name, code).turns if "{" not in turn and len(turn) > 40]
    assert {detect(text) for text in texts} == {code}
    own, english = language(code), language("en")
    for name in (*CUES, "no_news", "ask_direct", "ask_reasoned", "ask_letter", "right_answer"):
        assert not set(own.lines(name)) & set(english.lines(name)), name


PARSERS = {
    "paraphrase": one_paragraph,
    "implication": one_paragraph,
    "self_qa_question": one_question,
    "self_qa_reasoned": one_paragraph,
    "entity_list": listed_names,
    "entity_relation": whole_text,
    "spa": whole_text,
    "rewrite": listed,
    "long": listed,
    "reading_strategies": listed,
    "reading_applied": whole_text,
    "reverse_question": one_question,
    "reverse_statement": one_paragraph,
}


@pytest.mark.parametrize("code", LANGUAGES)
def test_the_prompts_own_examples_pass_the_parsers_and_filters(code: str) -> None:
    """What the examples show is what a good reply looks like; only that it is copied speaks against it."""
    for name, parser in PARSERS.items():
        form = template(name, code)
        asked = [text for role, text in form.turns if role == "user"]
        said = [text for role, text in form.turns if role == "assistant"]
        for shown, reply in zip(asked, said, strict=False):
            source = shown.split("\n", 1)[0]
            assert parser(reply) == reply, (name, reply)
            assert not refused(reply), reply
            assert not wrong_equations(reply, code), reply
            if name == "reading_strategies":
                continue
            for line in reply.splitlines() if name in ("rewrite", "long") else [reply]:
                assert not names_nothing_of(line, source, code), line
            if "\n" not in reply:
                assert copied_line(Said(text=reply, news=News(id="x", text=source), template=form, language=code))
            if name in ("paraphrase", "rewrite", "entity_relation", "reverse_statement"):
                assert not invents(reply, source, code), reply
            if name == "entity_list":
                assert chosen_entities(Trail(news=News(id="x", text=source), index=0, said={"list": reply}))
    for name in ("question", "about"):
        form = prompt(name, code)
        for (_, shown), (_, reply) in zip(form.turns[:-1:2], form.turns[1::2], strict=True):
            news = News(id="x", text=shown.split("\n", 1)[0])
            assert one_question(reply) == reply
            assert against_question(reply, news, parse_template("## user\n{news}\n## instructions\nx", "x"), code) in (
                None,
                "copied",  # the names are those of the bundled examples, but they are in the news item
            )


ENGLISH = {
    "naive": "4f070aaae1ac8578",
    "paraphrase": "2408db8f7d2c2b7e",
    "implication": "39005764f46ab90b",
    "self_qa": "bf750dce5dd6fd24",
}


@pytest.mark.parametrize(("name", "expected"), ENGLISH.items())
def test_english_prompts_change_only_on_purpose(name: str, expected: str) -> None:
    """A digest of every rendered conversation and cue: a changed byte would be another experiment."""
    made = protocol(name)
    forms = [stage.template_in("en") for stage in made.stages]
    shown = [
        [
            [[m.role, m.content] for m in form.messages(i, news="NEWS", ask="ASK", question="Q")]
            for i in range(len(form.instructions))
        ]
        for form in forms
    ]
    text = json.dumps([shown, list(made.cues_in("en"))], ensure_ascii=False)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == expected


def test_sections_and_comments_of_a_file() -> None:
    made = Language("x", parse_sections("// note\n# a\n// note\none\n\n## user\ntwo\n\n# b c\n#hash\n"))
    assert made.sections == {"a": "one\n\n## user\ntwo", "b c": "#hash"}
    assert made.lines("a") == ("one", "## user", "two") and made.text("none") == "" and not made.prompted


# Detection ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("zh", CHINESE),
        ("zh", "臺北新設的圖書館在夜間開放，入場費為二十元。"),
        ("ru", RUSSIAN),
        ("ar", ARABIC),
        ("hi", HINDI),
        ("ko", KOREAN),
        ("th", THAI),
        ("el", GREEK),
        ("he", HEBREW),
        ("ja", JAPANESE),
        ("ja", "東京都、新図書館を開館"),
        ("de", GERMAN),
        ("fr", "La ville de Brenholt a ouvert un pont en verre recyclé."),
        ("es", "El pueblo de Brenholt ha abierto un puente de vidrio reciclado."),
        ("it", "La città di Brenholt ha aperto un ponte di vetro riciclato."),
        ("uk", "Новий пором перевозить сорок вантажівок щодня."),
        ("fa", "شهر برنهولت پلی از شیشه بازیافتی افتتاح کرد."),
        ("en", "The town of Brenholt has opened a bridge made of glass."),
        ("en", ""),
        ("en", "3 + 4 = 7"),
        ("en", "Brenholt 2031"),
        ("en", "trelk brindle"),
        ("en", "🐸"),
        ("en", "\x00"),
    ],
)
def test_detection(code: str, text: str) -> None:
    assert detect(text) == code


def test_bundled_news_are_english() -> None:
    """Their invented words must not lead to prompts in another language."""
    assert {detect(item.text) for item in bundled_news()} == {"en"}


def test_which_language_is_used() -> None:
    assert language_of(CHINESE).code == "zh" and language_of(CHINESE, "fr").code == "fr"
    assert unprompted([CHINESE, HINDI, HINDI, KOREAN]) == {"hi": 2, "ko": 1}
    assert unprompted([CHINESE, HINDI], "en") == {}


@pytest.mark.parametrize("kind", [GenerateSettings, ProbeSettings])
@pytest.mark.parametrize("wanted", ["it", "", "ZH", "chinese", "ko"])
def test_a_language_without_prompts_cannot_be_chosen(kind: type, wanted: str) -> None:
    with pytest.raises(SettingsError, match="language") as caught:
        kind(language=wanted)
    assert "zh" in str(caught.value)


# Filters -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "抱歉，我无法回答这个问题。",
        "作为一个人工智能语言模型，我没有看法。",
        "新闻中没有提到这一点。",
        "Извините, я не могу помочь.",
        "Как языковая модель, я не имею мнения.",
        "В тексте не указано.",
        "Lo siento, no puedo responder.",
        "Je suis désolé, mais je ne peux pas.",
        "Es tut mir leid, das kann ich nicht sagen.",
        "Als KI habe ich keine Meinung.",
        "申し訳ありませんが、お答えできません。",
        "عذراً، لا أستطيع المساعدة.",
        "죄송합니다. 모르겠습니다.",
        "मुझे नहीं पता",
        "Λυπάμαι, δεν μπορώ.",
        "אני לא יודע",
        "ขออภัย ฉันไม่สามารถตอบได้",
    ],
)
def test_refusals_in_many_languages(text: str) -> None:
    assert refused(text)


@pytest.mark.parametrize(
    "text",
    [
        CHINESE,
        RUSSIAN,
        ARABIC,
        HINDI,
        KOREAN,
        THAI,
        GREEK,
        HEBREW,
        JAPANESE,
        GERMAN,
        "我们无法通过这座桥。",
        "Мост не могут закрыть.",
        "Der Zug kann nicht fahren.",
        "La ciudad no puede crecer.",
        "人工智能可以识别青蛙。",
        "橋はまだ渡れません。",
    ],
)
def test_what_is_no_refusal(text: str) -> None:
    assert not refused(text)


@pytest.mark.parametrize(
    ("news", "near", "far"),
    [
        (CHINESE, "北岭镇的人现在可以骑车过桥了。", "今天的天气是晴天，我们可以去公园。"),
        (RUSSIAN, "Стеклянный мост есть теперь в Заречинске.", "Погода сегодня хорошая, и я пойду гулять."),
        (ARABIC, "يمكن الآن عبور الجسر الزجاجي بالدراجة.", "الطقس جميل اليوم في السماء."),
        (HINDI, "नदीपुर में काँच का पुल है।", "आज मौसम बहुत अच्छा है और वह खुश है।"),
        (KOREAN, "유리 다리를 건널 수 있다.", "오늘은 날씨가 매우 좋다."),
        (THAI, "สะพานแก้วรีไซเคิลเปิดแล้ว", "วันนี้อากาศดีมาก"),
        (GREEK, "Στην Καλαμιά υπάρχει γυάλινη γέφυρα.", "Σήμερα ο καιρός είναι καλός και η μέρα ωραία."),
        (HEBREW, "הגשר בתמרים עשוי זכוכית.", "היום מזג האוויר נעים מאוד."),
        (JAPANESE, "再生ガラスの橋は北の町にある。", "今日は天気がとてもいいです。"),
        (GERMAN, "In Brenholt steht nun eine Glasbrücke.", "Heute ist das Wetter sehr schön."),
        ("Il comune di Olmeto ha aperto un ponte di vetro.", "Il ponte d'Olmeto è aperto.", "Oggi il tempo è bello."),
        ("Thị trấn Bình Lâm vừa khánh thành cầu kính.", "Cầu kính ở Bình Lâm đã mở.", "Hôm nay trời đẹp."),
        ("Miasto Brzozowo otworzyło szklany most.", "W Brzozowie jest szklany most.", "Dzisiaj jest ładnie."),
        ("台北新開了一座玻璃橋，票價二十元。", "玻璃橋在台北。", "我覺得很高興。"),
    ],
    ids=lambda text: text[:6],
)
def test_off_topic_in_many_languages(news: str, near: str, far: str) -> None:
    code = detect(news)
    assert not names_nothing_of(near, news, code)
    assert names_nothing_of(far, news, code)


@pytest.mark.parametrize(
    ("news", "text", "invented"),
    [
        (CHINESE, "北岭镇的玻璃桥从2031年起开放。", False),
        (CHINESE, "北岭镇的玻璃桥从２０３１年起开放。", False),
        (CHINESE, "北岭镇的玻璃桥从2032年起开放。", True),
        (CHINESE, "北岭镇有一座叫“彩虹”的桥。", True),
        (CHINESE, "北岭镇的桥由Smith设计。", True),
        ("它用say输出文字。", "输出文字的是say。", False),
        ("它用say输出文字。", "用end结束循环。", True),
        ("船名是“白鹭号”。", "这艘船叫“白鹭号”。", False),
        (RUSSIAN, "Город Заречинск получил мост, в Заречинске рады.", False),
        (RUSSIAN, "Мост построил инженер Кузнецов.", True),
        ("Паром уходит в 22 часа.", "Паром уходит в 22:00.", False),
        ("Паром уходит в 22 часа.", "Паром уходит в 22:30.", True),
        (RUSSIAN, "По мосту ездят 41 велосипед.", True),
        (ARABIC, "افتتح الجسر عام ٢٠٣١.", False),
        (ARABIC, "افتتح الجسر عام ٢٠٣٢.", True),
        (GERMAN, "In Brenholt gibt es nun einen Übergang aus Glas für Radler.", False),  # nouns are no names
        (GERMAN, "In Brenholt gibt es nun die Brücke „Regenbogen“.", True),
        (GERMAN, "Die Brücke wurde 2030 eröffnet.", True),
        (HEBREW, "הגשר נפתח בשנת 2031.", True),
        (KOREAN, "북령의 다리는 유리로 만들었다.", False),
    ],
)
def test_inventions_in_many_languages(news: str, text: str, invented: bool) -> None:
    assert invents(text, news, detect(news)) is invented


@pytest.mark.parametrize(
    ("code", "text", "copied"),
    [
        ("zh", "榆溪镇的桥是玻璃做的。", True),
        ("zh", "北岭镇的桥是玻璃做的。", False),
        ("ru", "Мост в Вязовичах сделан из стекла.", True),
        ("ru", "Мост в Заречинске сделан из стекла.", False),
        ("ar", "جسر دردارة من الزجاج.", True),
        ("ar", "جسر النخيل من الزجاج.", False),
        ("ja", "楡川町の橋はガラスです。", True),
        ("de", "Die Brücke in Ulmenfurt ist aus Glas.", True),
        ("de", "Die Brücke in Brenholt hat eine Regel.", False),
        ("fr", "Le pont d'Ormeville est en verre.", True),
        ("es", "El puente de Olmedilla es de vidrio.", True),
    ],
)
def test_names_of_the_examples(code: str, text: str, copied: bool) -> None:
    news = News(id="x", text=GERMAN if code == "de" else CHINESE if code == "zh" else RUSSIAN)
    said = Said(text=text, news=news, template=template("paraphrase", code), language=code)
    assert (copied_name(said) == "copied") is copied
    assert copied_name(replace(said, news=News(id="x", text=text))) is None, "the news item has the name"


def test_comparison_in_scripts_without_spaces() -> None:
    assert normal("“北岭镇”，有桥！") == normal("北岭镇有桥") != normal("北岭镇有路")
    assert "北岭" in content_words(CHINESE, "zh") and not content_words("这是什么？", "zh")
    assert content_words("これは何ですか？", "ja") == frozenset()


ANY = st.one_of(
    st.text(max_size=50),
    st.text(alphabet="北岭镇的桥。？「」“”ab ُجسرпуть Ü1٣ ไทย한국はガー", max_size=40),
)


@settings(deadline=None, max_examples=150)
@given(ANY, ANY, st.sampled_from([*LANGUAGES, *FILTERED, "it", "vo"]))
def test_any_text_in_any_script_passes_through(text: str, other: str, code: str) -> None:
    news = News(id="x", text=other if other.strip() else "x")
    form = template("paraphrase", code) if code in LANGUAGES else template("paraphrase")
    said = Said(text=text, news=news, template=form, language=code)
    for judge in (refusal, copied_line, copied_name, off_topic, invention):
        reason = judge(said)
        assert reason is None or reason in ("refused", "copied", "off_topic", "invented")
    same = replace(said, text=news.text)
    assert invention(same) is None and copied_name(same) is None, "a text invents nothing about itself"
    assert (off_topic(same) is None) is bool(content_words(news.text, code))
    for parser in (one_paragraph, one_question, short_answer, whole_text, listed, listed_names):
        parsed = parser(text)
        assert parsed is None or parsed.strip()
    assert "".join(up_to_end(text).split()) in "".join(text.split())
    assert subject_of(news, code).strip() and len(subject_of(news, code)) <= 60
    wrong_equations(text, code)
    for fact in statements_of(news, code):
        assert fact.sentence in news.text and fact.gap.replace("____", fact.text, 1) == fact.sentence
    assert isinstance(detect(text), str)
    candidate = Candidate(news, 0, question=text, answer=other)
    assert against_answer(text, candidate) in (None, "refused", "given_away")
    against_question(text, news, form, code)
    assert len(wrong_choices([text, other, "7"], candidate, 2)) <= 2
    alike_in(candidate, 0)
    for span in answer_spans(news, 0):
        assert span in news.text and "____" in with_gap(news.text, span)
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())


# Parsers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "parsed"),
    [
        ("问题：桥在哪里？答案：北岭。", "桥在哪里？"),
        ("1、桥在哪里？", "桥在哪里？"),
        ("桥是新的。", None),
        ("Вопрос: Где мост? Там.", "Где мост?"),
        ("السؤال: أين الجسر؟ هنا", "أين الجسر؟"),
        ("Πού είναι η γέφυρα; Εδώ.", "Πού είναι η γέφυρα;"),
        ("One; two. Three", None),
        ("質問：橋はどこですか？", "橋はどこですか？"),
        ("¿Dónde está el puente? Aquí.", "¿Dónde está el puente?"),
        ("पुल कहाँ है?", "पुल कहाँ है?"),
        ("Question : Où est le pont ?", "Où est le pont ?"),
        ("Frage 3: Wo ist sie?", "Wo ist sie?"),
        ("「橋」は何？", "「橋」は何？"),
        ("Ի՞նչ է սա։ Այո։", "Ի՞նչ է սա։"),
    ],
)
def test_questions_of_every_script(said: str, parsed: str | None) -> None:
    assert one_question(said) == parsed
    assert parsed is None or asks(parsed) or "՞" in parsed


@pytest.mark.parametrize(
    ("said", "parsed"),
    [
        ("答案：北岭", "北岭"),
        ("答案是：北岭\n因为", "北岭"),
        ("Ответ: мост", "мост"),
        ("Правильный ответ: мост", "мост"),
        ("Respuesta: vidrio", "vidrio"),
        ("Réponse : verre", "verre"),
        ("Antwort: Glas", "Glas"),
        ("答え：ガラス", "ガラス"),
        ("الجواب: زجاج", "زجاج"),
        ("「ガラス」", "ガラス"),
        ("«мост»", "мост"),
        ("答案", "答案"),
        ("**Answer:** glass", "glass"),
        ("Новый мост: стекло", "Новый мост: стекло"),
    ],
)
def test_short_answers_in_many_languages(said: str, parsed: str) -> None:
    assert short_answer(said) == parsed


def test_paragraphs_keep_quoted_names_at_their_start() -> None:
    assert one_paragraph("新闻：“白鹭号”在夜间运行。") == "“白鹭号”在夜间运行。"
    assert one_paragraph("“白鹭号在夜间运行。”") == "白鹭号在夜间运行。"
    assert one_paragraph('"Quill" is a robot.') == '"Quill" is a robot.'
    assert one_paragraph("Новость: «Цапля» ходит ночью.") == "«Цапля» ходит ночью."
    assert unquoted("《松果》是书") == "《松果》是书"


# Texts -------------------------------------------------------------------------------------------------------------


def test_pieces_names_and_numbers() -> None:
    assert pieces("新桥 is 40 m") == ["新桥", "is", "40", "m"]
    assert pieces("玻璃桥，塔") == ["玻璃", "璃桥", "桥塔"] and pieces("ก") == ["ก"] and pieces("") == []
    assert names_within("В городе Заречинске есть «Чайка».") == ["Заречинске"]
    assert names_within("船叫“白鹭号”，由Ines Okafor驾驶。") == ["白鹭号", "Ines Okafor"]
    assert names_within("Die Fähre „Adler“ ist neu.", capitals=False) == ["Adler"]
    assert numbers_within("在2031年40辆，B2，3.5米，٣٥") == ["2031", "40", "3.5", "٣٥"]
    assert sentences("他来了。她说：“好！”然后走了。") == ["他来了。", "她说：“好！”", "然后走了。"]
    assert sentences("It is 3.5 m. He left.") == ["It is 3.5 m.", "He left."]
    assert (
        akin("москва", "москве") and akin("서울은", "서울에서") and akin("كتاب", "الكتاب") and not akin("мост", "стол")
    )


# Near duplicates and cues ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "edited", "other"),
    [
        (
            CHINESE,
            CHINESE.replace("40", "41"),
            "北桥镇的居民从2031年起只可以在同一座玻璃房里通行和生活，允许造新的自行车。",
        ),
        (JAPANESE, JAPANESE.replace("北", "南"), "自転車の町では、橋を渡る人が再び増え、北の店が開いた。"),
        (f"{THAI} เมื่อวันที่ 3 มีนาคม", f"{THAI} เมื่อวันที่ 4 มีนาคม", "แก้วที่เปิดในเมืองทำจากสะพานเก่าทางเหนือ"),
        (RUSSIAN, RUSSIAN.replace("40", "41"), "По городу ездят сорок велосипедов, а мост открыли в Заречинске."),
    ],
    ids=["zh", "ja", "th", "ru"],
)
def test_near_duplicates_in_any_script(text: str, edited: str, other: str) -> None:
    assert near_pairs([text, other, edited]) == [(0, 2)]


def test_an_answer_in_a_chinese_question_is_a_cue() -> None:
    row = {"text": "玻璃桥是用玻璃造的吗？", "answer": "玻璃", "choices": ("玻璃", "木头", "石头")}
    item = News.model_validate({"id": "x", "text": CHINESE, "questions": [row]})
    assert any("word for word" in warning for warning in check([item]))
    fine = {**row, "text": "这座桥是用什么造的？"}
    item = News.model_validate({"id": "x", "text": CHINESE, "questions": [fine]})
    assert not any("word for word" in warning for warning in check([item]))
    assert surface([item]).right["likest to the question"][("x", 0)] == pytest.approx(1 / 3), "no choice is in it"


@pytest.mark.parametrize("code", ["zh", "ru"])
def test_example_news(code: str) -> None:
    news = read_news(EXAMPLES / f"news.{code}.jsonl")
    assert check(news) == [] and len(news) == 6
    assert {detect(item.text) for item in news} == {code}
    for item in news:
        assert len(item.questions) == 3 and item.cloze and len(item.neighbours) == 2
        for question in item.questions:
            assert asks(question.text) and question.rephrased
            assert len(question.choices) == 4


# Probes ------------------------------------------------------------------------------------------------------------


def test_spans_of_other_scripts() -> None:
    news = News(id="x", text="新船“白鹭号”每晚10点出发，船票12元，颜色是深蓝。")
    spans = answer_spans(news, 0)
    assert set(spans[:3]) == {"白鹭号", "10", "12"} and "深蓝" in spans
    assert with_gap("桥是新的。每晚10点出发，船票12元。", "10") == "每晚____点出发，船票12元。"
    assert with_gap("서울에서 만났다. 부산이다.", "서울") == "____에서 만났다."
    russian = answer_spans(News(id="x", text=RUSSIAN), 0)
    assert {"40", "Заречинске", "стекла"} <= set(russian)
    assert {"ガラス", "自転車"} <= set(answer_spans(News(id="x", text=JAPANESE), 0))
    assert set(alike_in(Candidate(news, 0, answer="12元"), 0)[:1]) == {"10元"}
    assert against_answer("白鹭号", Candidate(news, 0, question="轮船“白鹭号”几点出发？")) == "given_away"
    assert wrong_choices(["白鹭", "翠鸟号", "海燕号"], Candidate(news, 0, answer="白鹭号"), 3) == ["翠鸟号", "海燕号"]


@pytest.mark.parametrize(
    "text",
    [
        "这条新闻说了什么桥？",
        "根据报道，桥在哪里？",
        "О каком мосте говорится в этой новости?",
        "¿Qué puente se menciona?",
        "Quel pont est mentionné ?",
        "Welche Brücke wird im Bericht genannt?",
        "この記事の橋はどこですか？",
        "ما الجسر المذكور في هذا الخبر؟",
    ],
)
def test_questions_that_refer_to_a_text(text: str) -> None:
    news = News(id="x", text=text)
    assert (
        against_question(text, news, parse_template("## user\n{news}\n## instructions\nx", "x"), detect(text))
        == "refers"
    )


# Generation --------------------------------------------------------------------------------------------------------


class Echo:
    """A generator that answers every request with a reply that fits the language of its last turn."""

    identity = "echo"
    replies: ClassVar = {
        "zh": "北岭镇的玻璃桥在哪里？",
        "ru": "Где в Заречинске мост?",
        "en": "Where is the glass bridge?",
    }

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.scored: list[Pair] = []

    def generate(self, requests: list[Request], sampling: SamplingParams, **_: object) -> Generated:
        self.asked += requests
        codes = [
            next(c for c in ("zh", "ru", "en") if language(c).text("ask_in_context")[:3] == r.messages[0].content[:3])
            for r in requests
        ]
        return Generated([Reply(self.replies[code], True, 5) for code in codes], Usage())

    def loglik(self, pairs: list[Pair]) -> None:
        return None


class Notes(Display):
    """Keeps what is noted."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


NEWS = [
    News(id="zh", text=CHINESE),
    News(id="ru", text=RUSSIAN),
    News(id="en", text="The town of Brenholt has a new glass bridge."),
    News(id="hi", text=HINDI),
]


def test_each_news_item_is_prompted_in_its_language() -> None:
    echo, show = Echo(), Notes()
    how = GenerateSettings(protocols=("implication",), samples_per_news=1, rounds=1, margin=1, checks=("none",))
    made = generate(echo, NEWS, how, show=show)["implication"]
    by_news = {e.news_id: e for e in made.elements}
    asked = {request.group: request.messages[-1].content for request in echo.asked}
    for news_id, code in (("zh", "zh"), ("ru", "ru"), ("en", "en"), ("hi", "en")):
        item = next(one for one in NEWS if one.id == news_id)
        cue = fill(language(code).lines("cues_implication")[0], {"subject": subject_of(item, news_id)})
        assert cue == by_news[news_id].prompt[0]["content"]
        assert template("implication", code).instructions[0] in asked[news_id]
        assert by_news[news_id].provenance["language"] == news_id
    assert {name: e.reason for name, e in by_news.items()} == {"zh": None, "ru": None, "en": None, "hi": "off_topic"}
    assert made.counts.languages == {"en": 1, "hi": 1, "ru": 1, "zh": 1}
    assert made.counts.prompted_in_english == {"hi": 1}
    assert len(show.notes) == 1 and "'hi' (1)" in show.notes[0]
    seeds = {e.news_id: e.seed for e in generate(Echo(), NEWS, replace(how, language="zh"))["implication"].elements}
    assert seeds == {e.news_id: e.seed for e in made.elements}, "the language is no part of a seed"


def test_a_language_can_be_set_for_all() -> None:
    echo = Echo()
    how = GenerateSettings(protocols=("paraphrase",), samples_per_news=1, rounds=1, margin=1, language="ru")
    generate(echo, NEWS[:1], how)
    assert echo.asked[0].messages[-1].content.startswith(f"Новость: {CHINESE}")


def test_a_protocol_may_have_one_template_or_one_for_each_language() -> None:
    form = parse_template("## user\n{news} {instruction}\n## instructions\nSay it.", "one")
    other = parse_template("## user\n{news} {instruction}\n## instructions\nDis-le.", "two")
    one = Stage(name="ask", template=form, parser=str.strip)
    both = replace(one, template={"en": form, "fr": other})
    assert one.template_in("fr") is form and one.templates == {"": form}
    assert both.template_in("fr") is other and both.template_in("zh") is form and set(both.templates) == {"en", "fr"}
    made = Protocol(name="mine", version=1, stages=(both,), cues={"en": ["Well?"], "fr": ["Alors ?"]})
    assert made.cues_in("fr") == ["Alors ?"] and made.cues_in("de") == ["Well?"]
    assert made.trail(NEWS[0], 0, {"ask": "x"}, "fr").cue == "Alors ?"
    with pytest.raises(SettingsError, match="no English template"):
        Protocol(name="mine", version=1, stages=(replace(one, template={"fr": other}),), cues=["Well?"])
    with pytest.raises(SettingsError, match="no English cues"):
        Protocol(name="mine", version=1, stages=(one,), cues={"fr": ["Alors ?"]})
