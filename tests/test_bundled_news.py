"""The bundled news: complete, right, and without cues that answer a question for a model that has not read the news.

The answers of mathematics and coding are computed here from the numbers and inputs in each question. A question that no
reader below understands fails the test, so a new one cannot slip in unchecked.
"""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Callable
from importlib.resources import files

import pytest

from sys2ft.errors import NewsError
from sys2ft.news import KINDS, News, Question, bundled_names, bundled_news, check, question_counts
from sys2ft.news.checks import words

NEWS = bundled_news()
PAIRS = [(news, question) for news in NEWS for question in news.questions]
DOMAINS = ["math", "coding", "discoveries", "leaderboards", "events"]


def of(id: str) -> dict[str, Question]:
    """The questions of one news by kind."""
    (news,) = [news for news in NEWS if news.id == id]
    return {str(question.kind): question for question in news.questions}


def solve(id: str, solvers: dict[str, Callable[[str], object]]) -> dict[str, object]:
    """Each question's answer by the one solver whose pattern (a regular expression) finds its input in the question."""
    answers = {}
    for kind, question in of(id).items():
        (found,) = [(s, m) for p, s in solvers.items() if (m := re.fullmatch(p, question.text))]
        answers[kind] = found[0](*found[1].groups())
    return answers


def as_text(value: object) -> str:
    return json.dumps(value) if isinstance(value, list | str) else str(value)


# mathematics

KNOWN_NUMBERS = {"days in a week": 7, "legs on a dog": 4}


def trelk(x: int, y: int) -> int:
    return x * y + 1


def brindle(n: int) -> int:
    return n * n - n


def same_formula(choices: tuple[str, ...], names: str, reference: Callable[..., int]) -> str:
    """The one choice that computes what the reference computes."""
    samples = [tuple(a + 3 * i for i in range(len(names))) for a in (2, 5, 7)]

    def right(choice: str) -> bool:
        return all(
            eval(choice, {}, dict(zip(names, sample, strict=True))) == reference(*sample)  # our own file
            for sample in samples
        )

    (only,) = [choice for choice in choices if right(choice)]
    return only


def preimage(function: Callable[[int], int], value: int) -> int:
    (only,) = [n for n in range(1, 100) if function(n) == value]
    return only


def test_trelk() -> None:
    expected = solve(
        "math-trelk",
        {
            r"What is the formula for the trelk of x and y\?": lambda: same_formula(
                of("math-trelk")["recall"].choices, "xy", trelk
            ),
            r"What is the trelk of (\d+) and (\d+)\?": lambda x, y: trelk(int(x), int(y)),
            r"What is the trelk of (\d+) and the number of (.+)\?": lambda x, y: trelk(int(x), KNOWN_NUMBERS[y]),
            r"The trelk of (\d+) and which number is (\d+)\?": lambda x, v: preimage(
                lambda y: trelk(int(x), y), int(v)
            ),
        },
    )
    assert {kind: str(value) for kind, value in expected.items()} == answers("math-trelk")
    assert_example("math-trelk", r"the trelk of (\d+) and (\d+) is .* = (\d+)\.", trelk)


def test_brindle() -> None:
    expected = solve(
        "math-brindle",
        {
            r"What is the formula for the brindle of n\?": lambda: same_formula(
                of("math-brindle")["recall"].choices, "n", brindle
            ),
            r"What is the brindle of (\d+)\?": lambda n: brindle(int(n)),
            r"What is the brindle of the number of (.+)\?": lambda n: brindle(KNOWN_NUMBERS[n]),
            r"Which number has a brindle of (\d+)\?": lambda v: preimage(brindle, int(v)),
        },
    )
    assert {kind: str(value) for kind, value in expected.items()} == answers("math-brindle")
    assert_example("math-brindle", r"the brindle of (\d+) is .* = (\d+)\.", brindle)


def assert_example(id: str, pattern: str, reference: Callable[..., int]) -> None:
    """The news shows an example; it is right, and no question asks for it."""
    (news,) = [news for news in NEWS if news.id == id]
    found = re.search(pattern, news.text)
    assert found is not None
    *inputs, value = map(int, found.groups())
    assert reference(*inputs) == value
    shown = " and ".join(map(str, inputs))
    assert not any(re.search(rf"\b{shown}\b", question.text) for question in news.questions)


# coding


def dorvel(items: list[int]) -> list[int]:
    return [items[0], items[-1]]


def murn(word: str, n: int) -> str:
    return "-".join([word] * n)


def call(function: Callable[..., object], arguments: str) -> object:
    return function(*ast.literal_eval(f"({arguments},)"))


def test_dorvel() -> None:
    def only_true_choice() -> str:
        meaning = {
            "the first and last items": dorvel,
            "the first and second items": lambda items: items[:2],
            "the two largest items": lambda items: sorted(items)[-2:],
            "the two middle items": lambda items: items[len(items) // 2 - 1 : len(items) // 2 + 1],
        }
        choices = of("coding-dorvel")["recall"].choices
        (only,) = [c for c in choices if meaning[c]([3, 9, 1, 4]) == dorvel([3, 9, 1, 4])]
        return only

    expected = solve(
        "coding-dorvel",
        {
            r"What does the Tarnlib function dorvel keep from a list\?": only_true_choice,
            r"What does the Tarnlib call dorvel\((.+)\) return\?": lambda items: call(dorvel, items),
            r"How many items does the Tarnlib function dorvel return for a list of (\d+) items\?": (
                lambda n: len(dorvel(list(range(int(n)))))
            ),
            r"What is the sum of the list that the Tarnlib call dorvel\((.+)\) returns\?": (
                lambda items: sum(dorvel(ast.literal_eval(items)))
            ),
            r"Which Tarnlib function returns the first and last items of a list\?": lambda: "dorvel",
        },
    )
    expected["recall"] = str(expected["recall"])
    assert {kind: v if isinstance(v, str) else as_text(v) for kind, v in expected.items()} == answers("coding-dorvel")
    assert "dorvel([1, 2, 3]) returns [1, 3]" in text_of("coding-dorvel") and dorvel([1, 2, 3]) == [1, 3]


def test_murn() -> None:
    expected = solve(
        "coding-murn",
        {
            r"What does the Ostril function murn put between the copies of a word\?": (
                lambda: {"-": "a dash"}[murn("x", 2).strip("x")]
            ),
            r"What does the Ostril call murn\((.+)\) return\?": lambda inside: as_text(call(murn, inside)),
            r"How many dashes are in the string that the Ostril call murn\((.+)\) returns\?": (
                lambda inside: str(call(murn, inside)).count("-")
            ),
            r"How many characters long is the string that the Ostril call murn\((.+)\) returns\?": (
                lambda inside: len(str(call(murn, inside)))
            ),
            r"Which Ostril function repeats a word with dashes between the copies\?": lambda: "murn",
        },
    )
    assert {kind: str(value) for kind, value in expected.items()} == answers("coding-murn")
    assert 'murn("cat", 2) returns "cat-cat"' in text_of("coding-murn") and murn("cat", 2) == "cat-cat"


def answers(id: str) -> dict[str, str]:
    return {kind: question.answer for kind, question in of(id).items()}


def text_of(id: str) -> str:
    (news,) = [news for news in NEWS if news.id == id]
    return news.text


# leaderboards: computed from the news, since their facts are numbers and ranks too


def test_leaderboards() -> None:
    pellucid = {
        name: int(points) for name, points in re.findall(r"(\w+) scores (\d+)", text_of("leaderboard-pellucid"))
    }
    assert len(pellucid) == 4 and "scores" in text_of("leaderboard-pellucid")
    questions = {kind: question.text for kind, question in of("leaderboard-pellucid").items()}
    names = {kind: [name for name in pellucid if name in text] for kind, text in questions.items()}
    numbers = {kind: [int(n) for n in re.findall(r"\d+", text)] for kind, text in questions.items()}
    ahead, behind = sorted(names["two_hop"], key=questions["two_hop"].index)
    (better,) = [name for name, points in pellucid.items() if points > numbers["application"][0]]
    (asked,) = [name for name, points in pellucid.items() if points == numbers["reverse"][0]]
    assert answers("leaderboard-pellucid") == {
        "recall": str(pellucid[names["recall"][0]]),
        "application": better,
        "implication": min(pellucid, key=pellucid.__getitem__),
        "two_hop": str(pellucid[ahead] - pellucid[behind]),
        "reverse": asked,
    }
    ranking = re.findall(r"(\w+) (?:finished )?in \w+ place", text_of("leaderboard-corvane"))
    assert len(ranking) == 5
    subject = {k: next((n for n in ranking if n in q.text), "") for k, q in of("leaderboard-corvane").items()}
    assert answers("leaderboard-corvane") == {
        "recall": ranking[1],
        "application": ["gold", "silver", "bronze", "no medal"][ranking.index(subject["application"])],
        "implication": ranking[ranking.index(subject["implication"]) - 1],
        "two_hop": str(ranking.index(subject["two_hop"])),
        "reverse": ["first place", "second place", "third place"][ranking.index(subject["reverse"])],
    }


# the whole set


def test_counts() -> None:
    assert bundled_names() == ["demo"]
    assert len(NEWS) == 10 and Counter(news.domain for news in NEWS) == dict.fromkeys(DOMAINS, 2)
    assert {len(news.questions) for news in NEWS} == {5} and {len(q.choices) for _, q in PAIRS} == {4}
    kinds = Counter(question.kind for _, question in PAIRS)
    assert set(kinds) == set(KINDS) and min(kinds.values()) >= 8
    assert sum(sum(row.values()) for row in question_counts(NEWS).values()) == 50
    assert check(NEWS) == []


def test_every_question_can_be_graded() -> None:
    for news, question in PAIRS:
        numeric = question.answer.isdigit()
        assert (question.grader == "number") == numeric, (news.id, question.text)
        assert numeric == all(choice.isdigit() for choice in question.choices), "choices of one type"
        assert len(question.answer.split()) <= 6
    assert all(any(not a.isdigit() for a in q.aliases) for _, q in PAIRS if q.grader == "number"), "numbers in words"


def test_news_are_short_and_questions_name_their_subject() -> None:
    for news in NEWS:
        assert 1 <= len(re.findall(r"[.!?](?:\s|$)", news.text)) <= 4 and len(news.text.split()) <= 45
    for news, question in PAIRS:
        subject = [word for word in re.split(r"[-\W]", news.id)[1:] if word not in ("bridge", "frog")]
        named = question.text + question.answer
        assert any(word in named.casefold() for word in subject), (news.id, question.text)
        assert "according to" not in question.text and "the news" not in question.text


def test_no_news_gives_away_the_answer_of_another() -> None:
    for news, question in PAIRS:
        for other in NEWS:
            if other is news or question.grader == "number":
                continue
            assert not re.search(rf"(?<!\w){re.escape(question.answer)}(?!\w)", other.text), (question.answer, other.id)


def baseline(cue: Callable[[Question, str], float], pairs: list[tuple[News, Question]] = PAIRS) -> float:
    """Accuracy of always taking the choice for which the cue is largest; ties are broken evenly."""
    right = 0.0
    for _, question in pairs:
        values = [cue(question, choice) for choice in question.choices]
        best = [c for c, value in zip(question.choices, values, strict=True) if value == max(values)]
        right += (question.answer in best) / len(best)
    return right / len(pairs)


def shared(a: str, b: str) -> int:
    return len(set(words(a)) & set(words(b)))


def likeness(question: Question, choice: str) -> int:
    return sum(shared(choice, other) for other in question.choices)


CUES: dict[str, Callable[[Question, str], float]] = {
    "longest": lambda question, choice: len(choice),
    "shortest": lambda question, choice: -len(choice),
    "most words": lambda question, choice: len(words(choice)),
    "most overlap with the question": lambda question, choice: shared(question.text, choice),
    "least overlap with the question": lambda question, choice: -shared(question.text, choice),
    "most like the other choices": likeness,
    "first in the alphabet": lambda question, choice: -sorted(question.choices).index(choice),
    **{f"place {i}": lambda question, choice, i=i: float(question.choices.index(choice) == i) for i in range(4)},
}


@pytest.mark.parametrize("name", CUES)
def test_no_surface_cue_beats_chance(name: str) -> None:
    # 50 questions with 4 choices: chance is 0.25 with a standard deviation of 0.06, so two of them on each side.
    assert 0.12 <= baseline(CUES[name]) <= 0.38


@pytest.mark.parametrize("rank", range(4))
def test_no_rank_among_numbers_beats_chance(rank: int) -> None:
    numeric = [(news, question) for news, question in PAIRS if question.grader == "number"]
    assert len(numeric) >= 12
    accuracy = baseline(lambda q, choice: float(sorted(map(int, q.choices)).index(int(choice)) == rank), numeric)
    assert accuracy <= 0.4


def test_the_baselines_would_see_a_cue() -> None:
    cued = Question(text="Which blue bird sings?", answer="the blue bird", choices=("a cat", "the blue bird", "a dog"))
    pairs = [(NEWS[0], cued)]
    assert baseline(CUES["longest"], pairs) == baseline(CUES["most overlap with the question"], pairs) == 1
    assert baseline(CUES["place 1"], pairs) == 1 and baseline(CUES["shortest"], pairs) == 0


def test_the_file_is_written_as_the_package_writes_it() -> None:
    lines = files("sys2ft.news").joinpath("bundled", "demo.jsonl").read_text(encoding="utf-8").splitlines()
    assert [list(json.loads(line)) for line in lines] == [["id", "domain", "news", "questions"]] * len(NEWS)


def test_unknown_bundle_is_named() -> None:
    with pytest.raises(NewsError, match=r"(?s)named 'dmeo'.*one of demo"):
        bundled_news("dmeo")
