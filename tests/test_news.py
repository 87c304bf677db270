"""News files: what is read, what is refused and in which words, what is written, what is warned about."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from pydantic import ValidationError

from sys2ft.errors import NewsError, StorageError
from sys2ft.files import is_file_name
from sys2ft.news import (
    GRADERS,
    KINDS,
    Cloze,
    News,
    Question,
    check,
    news_from_dict,
    news_to_dict,
    question_counts,
    read_news,
    write_news,
)

Q = {"question": "Is it?", "answer": "yes", "choices": ["no", "yes"]}


def row(id: str = "n-1", **fields: Any) -> dict[str, Any]:
    return {"id": id, "news": f"Something new about {id}.", **fields}


def lines(*rows: object) -> str:
    return "\n".join(one if isinstance(one, str) else json.dumps(one, ensure_ascii=False) for one in rows) + "\n"


def with_cloze(**changes: Any) -> str:
    cloze = {"statement": "It is", "answer": "red", "choices": ["red", "tan"], **changes}
    return lines(row("ok"), row(cloze={name: value for name, value in cloze.items() if value is not ...}))


def with_question(**changes: Any) -> str:
    question = {name: value for name, value in {**Q, **changes}.items() if value is not ...}
    return lines(row("ok"), row(questions=[Q, question]))


def message_of(folder: Path, content: str | bytes, name: str = "news.jsonl") -> str:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    with pytest.raises(NewsError) as caught:
        read_news(path)
    assert str(path) in str(caught.value)
    assert caught.value.expected and caught.value.fix
    return str(caught.value)


def names(cases: list[tuple[str, str, list[str]]]) -> list[str]:
    return [case[0] for case in cases]


HERE = ["line 2", "question 2"]
BAD_LINES: list[tuple[str, str, list[str]]] = [
    ("empty", "", ["empty", "at least one news"]),
    ("blank lines", "\n  \n", ["empty"]),
    ("malformed", lines(row("a"), '{"id": "b",, "news": "x"}'), ["line 2", "column 12", "not JSON"]),
    ("cut off", lines(row("a"), '{"id": "b", "news": "x'), ["line 2", "not JSON"]),
    ("nested deeply", lines(row("a"), "[" * 100_000), ["line 2", "nested too deeply"]),
    ("huge number", lines(row("a"), "1" * 5000), ["line 2", "(a number)", "a mapping"]),
    ("list in a line", lines(row("a"), [1, 2]), ["line 2", "a list of 2", "a mapping"]),
    ("text in a line", lines(row("a"), '"just text"'), ["line 2", "'just text'", "a mapping"]),
    ("ordinary JSON", json.dumps([row("a"), row("b")], indent=1), ["line 1", "a list of 2", "jq -c"]),
    ("list on one line", json.dumps([row("a"), row("b")]), ["line 1", "a list of 2", "jq -c"]),
    ("one mapping over lines", "\n" + json.dumps(row("a"), indent=1), ["line 2", "a mapping of 2", "one news item"]),
    ("field twice", '{"id": "a", "news": "x", "id": "b"}', ["line 1", "'id' twice"]),
    ("no id", lines({"news": "x"}), ["line 1", "field 'id'", "no such field", "add the field 'id'"]),
    ("no news", lines(row("a"), {"id": "b"}), ["line 2", "field 'news'", "no such field"]),
    ("unknown", lines(row(domian="math")), ["field 'domian'", "did you mean 'domain'?", "unknown"]),
    ("unknown, a synonym", lines({"id": "a", "text": "x"}), ["field 'text'", "did you mean 'news'?", "field 'news'"]),
    ("unknown, like nothing", lines(row(zzz=1)), ["field 'zzz'", "remove it", "id, domain, news, questions"]),
    ("unknown in a question", with_question(anwser="x"), [*HERE, "field 'anwser'", "did you mean 'answer'?"]),
    ("object's name", with_question(question=..., text="x"), [*HERE, "field 'text'", "did you mean 'question'?"]),
    ("id not text", lines(row(id=7)), ["field 'id'", "7 (a number)", 'put it in quotes: "7"']),  # type: ignore[arg-type]
    ("news not text", lines({"id": "a", "news": ["x"]}), ["field 'news'", "a list of 1", "the text of the news item"]),
    ("news null", lines({"id": "a", "news": None}), ["field 'news'", "null (no value)"]),
    ("domain not text", lines(row(domain=True)), ["field 'domain'", "true (a yes/no value)", '"true"']),
    ("questions not a list", lines(row(questions=Q)), ["field 'questions'", "a mapping of 3", "a list"]),
    ("questions null", lines(row(questions=None)), ["field 'questions'", "null"]),
    ("question not a mapping", lines(row(questions=[Q, "x"])), ["line 1, question 2:", "'x'", "as a mapping"]),
    ("empty news", lines({"id": "a", "news": " \t "}), ["field 'news'", "an empty text", "write the text"]),
    ("empty domain", lines(row(domain="")), ["field 'domain'", "an empty text", "remove it"]),
    ("empty question", with_question(question=" "), [*HERE, "field 'question'", "an empty text"]),
    ("no question", with_question(question=...), [*HERE, "field 'question'", "no such field"]),
    ("no answer", with_question(answer=...), [*HERE, "field 'answer'", "no such field", "the right answer as text"]),
    ("empty answer", with_question(answer="", choices=["a", "b"]), [*HERE, "field 'answer'", "an empty text"]),
    ("answer not text", with_question(answer=28), [*HERE, "field 'answer'", "28 (a number)", '"28"']),
    ("not a choice", with_question(answer="maybe"), [*HERE, "field 'answer'", "'maybe'", "'no', 'yes'", "add it"]),
    ("nearly a choice", with_question(answer="Yes"), [*HERE, "'Yes'", "write the answer as 'yes'"]),
    ("choices text", with_question(choices="yes"), [*HERE, "field 'choices'", "'yes'", "write a list"]),
    ("one choice", with_question(choices=["yes"]), [*HERE, "field 'choices'", "one choice only ('yes')", "at least 2"]),
    ("same choice", with_question(choices=["yes", "no", "no "]), [*HERE, "'choices'", "'no' more than once"]),
    ("same answer", with_question(choices=["yes", "no", "yes"]), [*HERE, "'choices'", "'yes' more than once"]),
    ("choice not text", with_question(choices=["yes", 3]), [*HERE, "field 'choices', item 2", "3 (a number)"]),
    ("choice empty", with_question(choices=["yes", ""]), [*HERE, "field 'choices', item 2", "empty", "remove it"]),
    ("choice is half", lines(row()).replace("Something", "\\ud83d"), ["line 1", "field 'news'", "surrogate"]),
    ("aliases text", with_question(aliases="y"), [*HERE, "field 'aliases'", "'y'", "write a list"]),
    ("alias is a wrong choice", with_question(aliases=["no"]), [*HERE, "field 'aliases'", "'no'", "wrong choice"]),
    ("unknown kind", with_question(kind="Two-hops"), [*HERE, "field 'kind'", "'Two-hops'", "write 'two_hop'", *KINDS]),
    ("unknown grader", with_question(grader="judge"), [*HERE, "field 'grader'", "'judge'", *GRADERS]),
    ("number without digits", with_question(grader="number"), [*HERE, "field 'grader'", "'yes'", "digits"]),
    ("rephrased not text", with_question(rephrased=["Is it so?"]), [*HERE, "field 'rephrased'", "in other words"]),
    ("rephrased empty", with_question(rephrased=" "), [*HERE, "field 'rephrased'", "an empty text", "remove it"]),
    ("cloze not a mapping", lines(row(cloze="It is")), ["line 1, field 'cloze'", "'It is'", "a mapping of statement"]),
    ("cloze complete", with_cloze(statement="It is."), ["line 2, cloze, field 'statement'", "'It is.'", "end the"]),
    ("cloze empty", with_cloze(statement=""), ["cloze, field 'statement'", "an empty text", "write the text"]),
    ("cloze without an answer", with_cloze(answer=...), ["line 2, cloze, field 'answer'", "no such field"]),
    ("cloze without a statement", with_cloze(statement=...), ["cloze, field 'statement'", "incomplete"]),
    ("cloze as a question", with_cloze(question="Is it?"), ["cloze, field 'question'", "did you mean 'statement'?"]),
    ("cloze choices", with_cloze(answer="jet"), ["line 2, cloze, field 'answer'", "'jet'", "'red', 'tan'"]),
    ("cloze choice not text", with_cloze(choices=["red", 3]), ["cloze, field 'choices', item 2", "3 (a number)"]),
    ("neighbours not a list", lines(row(neighbours=Q)), ["field 'neighbours'", "a mapping of 3", "write a list"]),
    ("neighbour not a mapping", lines(row(neighbours=[Q, "x"])), ["line 1, neighbour 2:", "'x'", "as a mapping"]),
    ("neighbour not valid", lines(row(neighbours=[{**Q, "answer": "si"}])), ["neighbour 1, field 'answer'", "'si'"]),
    ("unknown in a neighbour", lines(row(neighbours=[{**Q, "kin": 1}])), ["neighbour 1, field 'kin'", "'kind'?"]),
    ("neighbors", lines(row(neighbors=[Q])), ["field 'neighbors'", "did you mean 'neighbours'?"]),
    ("same id", lines(row("a"), "", row("b"), row("a")), ["line 4", "'a' again", "already on line 1"]),
    ("id in other case", lines(row("a"), row("A")), ["line 2", "'A' again", "line 1 as 'a'", "only in case"]),
    ("id with a slash", lines(row("math/1")), ["field 'id'", "'math/1'", "for example 'math-1'", "1 to 64"]),
    ("id with spaces", lines(row(" a ")), ["field 'id'", "' a '", "for example 'a'"]),
    ("id ends the line", lines(row("a\n")), ["field 'id'", "for example 'a'"]),
    ("id begins with a dot", lines(row("..")), ["field 'id'", "'..'", "for example 'news-1'"]),
    ("id too long", lines(row("x" * 65)), ["field 'id'", f"for example '{'x' * 64}'"]),
]


@pytest.mark.parametrize(("content", "fragments"), [case[1:] for case in BAD_LINES], ids=names(BAD_LINES))
def test_bad_lines_are_named(tmp_path: Path, content: str, fragments: list[str]) -> None:
    message = message_of(tmp_path, content)
    for fragment in fragments:
        assert fragment in message


BAD_YAML: list[tuple[str, str, list[str]]] = [
    ("empty", "# nothing here\n", ["empty"]),
    ("empty list", "[]\n", ["empty"]),
    ("malformed", "- id: a\n  news: x\n- id: b\n  news: y: z\n", ["line 4", "not valid YAML", "column"]),
    ("tab", "- id: a\n\tnews: x\n", ["line 2", "not valid YAML"]),
    ("forbidden character", "- id: a\n  news: x\x07\n", ["line 2", "U+0007"]),
    ("mapping at the top", "id: a\nnews: x\n", ["line 1", "a mapping", "- id:"]),
    ("text at the top", "\nhello\n", ["line 2", "a single value", "a list of news"]),
    ("two documents", "- id: a\n  news: x\n---\n- id: b\n", ["line 3", "not valid YAML"]),
    ("unsafe tag", "- !!python/object/apply:os.getcwd []\n", ["line 1", "could not determine a constructor"]),
    (
        "impossible date",
        "- id: a\n  news: x\n- id: b\n  news: 2031-99-99\n",
        ["line 4", "2031-99-99 (a date)", 'in quotes: "2031-99-99"'],
    ),
    ("field twice", "- id: a\n  news: x\n  id: b\n", ["line 3", "'id' twice"]),
    ("item not a mapping", "- id: a\n  news: x\n- hello\n", ["line 3", "'hello'", "a mapping"]),
    ("missing field", "- id: a\n  news: x\n- id: b\n", ["line 3", "field 'news'", "no such field"]),
    ("field has its own line", "- id: a\n  news: x\n  domain: 5\n", ["line 3", "field 'domain'", '"5"']),
    ("date", "- id: a\n  news: x\n  domain: 2031-05-04\n", ["line 3", "2031-05-04 (a date)"]),
    ("key not text", "- id: a\n  news: x\n  1: y\n", ["line 3", "field '1'", "unknown"]),
    (
        "answer was read as yes/no",
        "- id: a\n  news: x\n  questions:\n  - question: q\n    answer: Yes\n",
        ["line 5", "question 1, field 'answer'", "Yes (a yes/no value)", 'in quotes: "Yes"'],
    ),
    (
        "choice has its own line",
        "- id: a\n  news: x\n  questions:\n  - question: q\n    answer: b\n    choices:\n    - b\n    - 3\n",
        ["line 8", "question 1, field 'choices', item 2", "3 (a number)"],
    ),
    ("same id", "- id: a\n  news: x\n- news: y\n  id: a\n", ["line 4", "'a' again", "line 1"]),
    ("same id on one line", "[{id: a, news: x}, {id: a, news: y}]", ["line 1", "'a' again"]),
]


@pytest.mark.parametrize(("content", "fragments"), [case[1:] for case in BAD_YAML], ids=names(BAD_YAML))
@pytest.mark.parametrize("ending", [".yaml", ".YML"])
def test_bad_yaml_is_named(tmp_path: Path, content: str, fragments: list[str], ending: str) -> None:
    message = message_of(tmp_path, content, "news" + ending)
    for fragment in fragments:
        assert fragment in message


def test_bad_bytes_are_named(tmp_path: Path) -> None:
    message = message_of(tmp_path, lines(row("a")).encode() + '{"id": "b", "news": "caf\xe9"}'.encode("latin-1"))
    assert "line 2" in message and "0xe9" in message and "UTF-8" in message and "iconv" in message


def test_bad_paths_are_named(tmp_path: Path) -> None:
    (tmp_path / "news.jsonl").write_text(lines(row()))
    for path, fragments in {
        tmp_path / "new.jsonl": ["no such file", f"did you mean {tmp_path / 'news.jsonl'}?"],
        tmp_path / "absent" / "x.jsonl": ["no such file", "check the path"],
        tmp_path: ["a folder", "news.jsonl"],
    }.items():
        with pytest.raises(NewsError) as caught:
            read_news(path)
        assert all(fragment in str(caught.value) for fragment in [str(path), *fragments])
    assert "ends in '.csv'" in message_of(tmp_path, "id,news\n", "news.csv")
    assert "ends in 'nothing'" in message_of(tmp_path, "x", "news")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="permissions do not bind this user")
def test_unreadable_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "news.jsonl"
    path.write_text(lines(row()))
    path.chmod(0)
    with pytest.raises(NewsError, match="cannot be read"):
        read_news(path)


def test_one_error_for_all_lines_the_first_ten_and_a_count(tmp_path: Path) -> None:
    message = message_of(tmp_path, lines(*({"id": f"n-{i}"} for i in range(13)), row("good")))
    assert "13 problems" in message and "and 3 more" in message and "nothing was loaded" in message
    assert "line 10," in message and "line 11," not in message


def test_problems_of_different_sorts_stand_in_the_order_of_the_file(tmp_path: Path) -> None:
    bad_question = {"question": "q", "anwser": "x"}
    message = message_of(tmp_path, lines(row("a", questions=[bad_question]), "{", row("c"), row("c")))
    places = ["line 1, question 1, field 'anwser'", "line 1, question 1, field 'answer'", "line 2", "line 4"]
    positions = [message.index(place) for place in places]
    assert "4 problems" in message and positions == sorted(positions)


def test_reads_every_ending_to_the_same_news(tmp_path: Path) -> None:
    text = lines(row("a", questions=[{**Q, "kind": "reverse", "aliases": ["aye"]}]), row("b", domain="math"))
    for ending in (".jsonl", ".ndjson", ".json"):
        (tmp_path / f"news{ending}").write_text("\n" + text.replace("\n", "\r\n\n"))
    (tmp_path / "bom.jsonl").write_text(text, encoding="utf-8-sig")
    (tmp_path / "news.yaml").write_text(
        "- id: a\n  news: Something new about a.\n  questions:\n  - question: Is it?\n    answer: 'yes'\n"
        "    choices: ['no', 'yes']\n    kind: reverse\n    aliases: [aye]\n"
        "- {id: b, domain: math, news: Something new about b.}\n"
    )
    question = Question(text="Is it?", answer="yes", choices=("no", "yes"), aliases=("aye",), kind="reverse")
    expected = [
        News(id="a", text="Something new about a.", questions=(question,)),
        News(id="b", domain="math", text="Something new about b."),
    ]
    files = sorted(tmp_path.iterdir())
    assert len(files) == 5
    for file in files:
        assert read_news(file) == expected, file


def test_defaults_and_stripping() -> None:
    news = news_from_dict({"id": "a", "news": "  x \n", "questions": [{"question": " q ", "answer": " b "}]})
    assert (news.domain, news.text) == ("general", "x")
    (question,) = news.questions
    assert (question.text, question.answer, question.choices, question.aliases) == ("q", "b", (), ())
    assert (question.kind, question.grader) == (None, "alias")


def test_cloze_neighbours_and_rephrased_are_read_and_written(tmp_path: Path) -> None:
    whole = row(
        questions=[{**Q, "rephrased": "Is it so?", "grader": "alias"}],
        cloze={"statement": "It is", "answer": "red", "choices": ["red", "tan"], "aliases": ["crimson"]},
        neighbours=[{**Q, "grader": "alias"}],
    )
    news = news_from_dict(whole)
    assert news.cloze == Cloze(text="It is", answer="red", choices=("red", "tan"), aliases=("crimson",))
    assert news.questions[0].rephrased == "Is it so?" and news.neighbours[0].text == Q["question"]
    assert news_to_dict(news) == {**whole, "domain": "general"}
    write_news(tmp_path / "n.jsonl", [news])
    (tmp_path / "n.yaml").write_text(json.dumps([whole]))
    assert read_news(tmp_path / "n.jsonl") == read_news(tmp_path / "n.yaml") == [news]
    nothing = news_from_dict(row(questions=[{**Q, "rephrased": None}], cloze=None, neighbours=[]))
    assert list(news_to_dict(nothing)) == ["id", "domain", "news", "questions"]
    assert "rephrased" not in news_to_dict(nothing)["questions"][0]


@pytest.mark.parametrize("answer", ["28", "-3", "+4", "−5", "0.5", ".5", "1,024", "2e3", "1e-3"])
def test_a_bare_number_is_graded_as_a_number(answer: str) -> None:
    assert Question(text="q", answer=answer).grader == "number"


@pytest.mark.parametrize("answer", ["28 km", "two", "1,2", "3-4", "[1, 2]", "e3", "-", ".", "v2", "12:30", "1 2"])
def test_other_answers_are_graded_by_their_wordings(answer: str) -> None:
    assert Question(text="q", answer=answer).grader == "alias"


def test_objects_are_frozen_and_closed() -> None:
    news = News(id="a", text="x")
    with pytest.raises(ValidationError):
        news.text = "y"  # type: ignore[misc]
    with pytest.raises(ValidationError):
        News(id="a", text="x", mood="good")  # type: ignore[call-arg]
    assert hash(news) == hash(News(id="a", text="x"))


def test_news_from_dict_names_its_source() -> None:
    with pytest.raises(NewsError, match=r"^row 3, question 1, field 'answer': found no such field"):
        news_from_dict(row(questions=[{"question": "q"}]), source="row 3")


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30).filter(lambda text: text.strip())
ids = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True).filter(is_file_name)


@st.composite
def questions(draw: st.DrawFn) -> Question:
    choices = draw(st.lists(texts.map(str.strip), unique=True, min_size=2, max_size=5) | st.just([]))
    answer = draw(st.sampled_from(choices) if choices else texts)
    aliases = [alias for alias in draw(st.lists(texts, max_size=3)) if alias.strip() not in choices]
    kind = draw(st.sampled_from([None, *KINDS]))
    given_grader = draw(st.sampled_from([{}, {"grader": "exact"}, {"grader": "alias"}]))
    question = {"question": draw(texts), "answer": answer, "choices": choices, "aliases": aliases, "kind": kind}
    question["rephrased"] = draw(st.none() | texts)
    return news_from_dict({"id": "a", "news": "x", "questions": [{**question, **given_grader}]}).questions[0]


several = st.lists(questions(), max_size=3).map(tuple)
clozes = questions().map(lambda q: Cloze(text=f"{q.text} is", answer=q.answer, choices=q.choices, aliases=q.aliases))
news_lists = st.lists(
    st.builds(News, id=ids, domain=texts, text=texts, questions=several, cloze=st.none() | clozes, neighbours=several),
    min_size=1,
    max_size=4,
    unique_by=lambda news: news.id.casefold(),
)


@pytest.mark.slow
@settings(deadline=None)
@given(news=news_lists)
def test_write_then_read_gives_the_same(tmp_path_factory: pytest.TempPathFactory, news: list[News]) -> None:
    path = tmp_path_factory.mktemp("round") / "news.jsonl"
    write_news(path, news)
    assert read_news(path) == news
    assert [news_from_dict(news_to_dict(one)) for one in news] == news
    assert [file.name for file in path.parent.iterdir()] == ["news.jsonl"]


@settings(deadline=None)
@given(content=st.binary(max_size=200) | texts.map(str.encode))
@pytest.mark.parametrize("ending", [".jsonl", ".yaml"])
def test_no_content_raises_anything_but_a_news_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, ending: str
) -> None:
    path = tmp_path_factory.mktemp("any") / f"news{ending}"
    path.write_bytes(content)
    with pytest.raises(NewsError):
        read_news(path)


def test_write_refuses_what_could_not_be_read_back(tmp_path: Path) -> None:
    one = News(id="a", text="x")
    for news, name, fragment in [
        ([], "news.jsonl", "no news"),
        ([one, one], "news.jsonl", "'a' again"),
        ([one], "news.yaml", "ends in '.yaml'"),
    ]:
        with pytest.raises(NewsError, match=fragment):
            write_news(tmp_path / name, news)
    with pytest.raises(StorageError, match="cannot be written"):
        write_news(tmp_path / "absent" / "news.jsonl", [one])
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "news.jsonl"
    write_news(path, [News(id="a", text="old")])

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        write_news(path, [News(id="a", text="new")])
    assert [one.text for one in read_news(path)] == ["old"]
    assert [file.name for file in tmp_path.iterdir()] == ["news.jsonl"]


@pytest.mark.skipif(os.name != "posix", reason="modes and links of POSIX")
def test_written_file_has_ordinary_mode_and_links_stay(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "real.jsonl")
    write_news(tmp_path / "link.jsonl", [News(id="a", text="x")])
    assert (tmp_path / "link.jsonl").is_symlink() and read_news(tmp_path / "real.jsonl")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "real.jsonl")}
    assert len(modes) == 1


CLEAN = [
    {"question": "What colour is the sky of Zur?", "answer": "pink", "choices": ["pink", "blue", "grey"]},
    {"question": "Is the sky of Zur pink or blue?", "answer": "pink", "choices": ["pink", "blue"]},
]


def test_check_has_nothing_to_say_about_clean_news() -> None:
    news = [news_from_dict({"id": "a", "news": "The sky of Zur is pink.", "questions": CLEAN})]
    news.append(News(id="b", text="A bridge opens in May.", questions=news[0].questions[:0]))
    assert check(news[:1]) == []
    assert check(news) == ["b: no question; with fewer than 2 its accuracy means little"]


@pytest.mark.parametrize(
    ("changed", "warning"),
    [
        ({"question": "Why?", "choices": []}, "no choices"),
        ({"question": "Is Zur's sky (Pink) now?"}, "'pink' appears word for word"),
        ({"question": "What colour is the SKY of Zur"}, "the same question as a, question 1"),
        ({"question": "Why?", "answer": "all of it is", "choices": ["blue", "all of it is"]}, "much longer"),
    ],
)
def test_check_names_cues(changed: dict[str, Any], warning: str) -> None:
    news = news_from_dict({"id": "a", "news": "x", "questions": [CLEAN[0], {**CLEAN[1], **changed}]})
    (only,) = check([news])
    assert only.startswith("a, question 2: ") and warning in only


def test_a_word_inside_another_word_is_no_cue() -> None:
    news = news_from_dict({"id": "a", "news": "x", "questions": [CLEAN[0], {**CLEAN[1], "question": "Is it pinkish?"}]})
    assert check([news]) == []


def test_check_names_near_duplicate_news() -> None:
    texts = [
        "A red bridge opens in Rome in May.",
        "Dogs may vote in Hallow.",
        "a red bridge opens, in Rome, in May at noon",
    ]
    found = check([News(id=f"n{i}", text=text) for i, text in enumerate([*texts, texts[1].upper()])])
    assert [warning for warning in found if "text as" in warning] == [
        "n2: nearly the same text as n0",
        "n3: the same text as n1",
    ]


def test_question_counts() -> None:
    kinds = [{**CLEAN[0], "kind": "recall"}, {**CLEAN[1], "kind": "recall"}, CLEAN[0]]
    rows = [row("a", domain="math", questions=kinds), row("b"), row("c", domain="math", questions=kinds[:1])]
    counts = question_counts([news_from_dict(one) for one in rows])
    assert counts == {"math": {"recall": 3, "unspecified": 1}, "general": {}}
