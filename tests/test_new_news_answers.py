"""The answers of New News, computed from what the news say.

Each news of mathematics and coding has rules here: a pattern for each of its questions and for its cloze, and the
function that computes the answer from the numbers and words in the question and in the news. A question that no rule
or more than one understands fails the test, so a changed one cannot slip in unchecked.
"""

from __future__ import annotations

import ast
import calendar
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from sys2ft.evaluation.graders import grade, numbers
from sys2ft.news import Cloze, News, Question, bundled_news

NEWS = {one.id: one for one in bundled_news("new-news")}
Rules = dict[str, Callable[..., object]]
RULES: dict[str, Callable[[str], Rules]] = {}

KNOWN = {
    "days in a week": 7,
    "days in an ordinary year": 365,
    "hours in a day": 24,
    "months in a year": 12,
    "letters in the alphabet": 26,
}
LEGS = {"bird": 2, "cat": 4, "dog": 4, "horse": 4, "ant": 6, "spider": 8}
MONTHS = list(calendar.month_name)[1:]
DAYS_OF_THE_WEEK = 7


def rules(id: str) -> Callable[[Callable[[str], Rules]], Callable[[str], Rules]]:
    def keep(make: Callable[[str], Rules]) -> Callable[[str], Rules]:
        RULES[id] = make
        return make

    return keep


def ints(function: Callable[..., object]) -> Callable[..., object]:
    return lambda *texts: function(*map(int, texts))


def the(text: str, pattern: str) -> str:
    """What the news says at the one place that looks like this."""
    (found,) = re.findall(pattern, text)
    return str(found)


def only(values: Any) -> Any:
    (value,) = values
    return value


def listed(text: str) -> Any:
    return ast.literal_eval(text)


def quoted(text: object) -> str:
    return json.dumps(text)


# mathematics


@rules("math-trelk")
def _(text: str) -> Rules:
    assert "multiply x by y, then add 1" in text and text.endswith("= 13.") and trelk(2, 6) == 13
    return {
        r"What is the formula for the trelk of x and y\?": lambda: "x * y + 1",
        r"(?:What is the|The) trelk of (\d+) and (\d+)(?:\?| is)": ints(trelk),
        r"What is the trelk of (\d+) and the number of (.+)\?": lambda x, what: trelk(int(x), KNOWN[what]),
        r"The trelk of (\d+) and which number is (\d+)\?": ints(
            lambda x, v: only(y for y in range(99) if trelk(x, y) == v)
        ),
    }


def trelk(x: int, y: int) -> int:
    return x * y + 1


@rules("math-brindle")
def _(text: str) -> Rules:
    def brindle(n: int) -> int:
        return n * n - n

    assert "n times n, minus n" in text and text.endswith("= 90.") and brindle(10) == 90
    return {
        r"What is the formula for the brindle of n\?": lambda: "n * n - n",
        r"(?:What is the|The) brindle of (\d+)(?:\?| is)": ints(brindle),
        r"What is the brindle of the number of legs on a (.+)\?": lambda animal: brindle(LEGS[animal]),
        r"Which number has a brindle of (\d+)\?": ints(lambda v: only(n for n in range(2, 99) if brindle(n) == v)),
    }


@rules("math-plenk")
def _(text: str) -> Rules:
    factor = int(the(text, r"then multiply by (\d+)"))

    def plenk(n: int) -> int:
        return factor * sum(map(int, str(n)))

    assert int(the(text, r"the plenk of 21 is .* = (\d+)")) == plenk(21)
    return {
        r"By which number is the digit sum multiplied to find the plenk of a number\?": lambda: factor,
        r"(?:What is the|The) plenk of (\d+)(?:\?| is)": ints(plenk),
        r"By how much does the plenk .* when its last digit goes up from (\d) to (\d)\?": ints(
            lambda a, b: plenk(b) - plenk(a)
        ),
        r"What is the plenk of the number of (.+)\?": lambda what: plenk(KNOWN[what]),
        r"Which number between (\d+) and (\d+) has a plenk of (\d+)\?": ints(
            lambda a, b, v: only(n for n in range(a, b + 1) if plenk(n) == v)
        ),
    }


@rules("math-tolm")
def _(text: str) -> Rules:
    last = int(the(text, r"when its last digit is (\d)"))
    tolms = [n for n in range(1000) if n % 10 == last]
    assert set(map(int, re.findall(r"\d{2,}", text))) < set(tolms)
    return {
        r"Which last digit does a tolm number have\?": lambda: last,
        r"Which number between (\d+) and (\d+) is a tolm number\?": ints(
            lambda a, b: only(set(tolms) & {*range(a, b)})
        ),
        r"Two tolm numbers are added\. .*last digit.*\?": lambda: only({(a + b) % 10 for a in tolms for b in tolms}),
        r"What is the smallest tolm number that is larger than the number of (.+)\?": (
            lambda what: next(n for n in tolms if n > KNOWN[what])
        ),
        rf"What do mathematicians call a whole number that ends in {last}\?": lambda: "tolm",
        r"The first tolm number after (\d+) is": ints(lambda a: next(n for n in tolms if n > a)),
    }


@rules("math-gorvel")
def _(text: str) -> Rules:
    sides, length = int(the(text, r"(\d+) straight sides")), int(the(text, r"each side is (\d+) cm"))
    return {
        r"How many sides does a gorvel tile have\?": lambda: sides,
        r"How many centimetres long is the whole border of one gorvel tile\?": lambda: sides * length,
        r"How many corners do two separate gorvel tiles have together\?": lambda: 2 * sides,
        r"How many more sides than a triangle does a gorvel tile have\?": lambda: sides - 3,
        rf"Which new tile has {sides} straight sides of {length} cm each\?": lambda: "the gorvel",
        r"The number of straight sides on each gorvel tile is": lambda: sides,
    }


@rules("math-udrise")
def _(text: str) -> Rules:
    which, sign = re.findall(r"the (larger|smaller) of the two numbers, (plus|minus) 1", text)[0]

    def udrise(a: int, b: int) -> int:
        return {"larger": max, "smaller": min}[which](a, b) + {"plus": 1, "minus": -1}[sign]

    assert int(the(text, r"5 @ 2 is (\d)")) == udrise(5, 2)
    return {
        r"What does a @ b mean in the Udrise notation\?": lambda: f"the {which} number, {sign} 1",
        r"(?:What is|In the Udrise notation, the value of) (\d+) @ (\d+) (?:in the Udrise notation\?|is)": ints(udrise),
        r"What is \((\d+) @ (\d+)\) @ (\d+) in the Udrise notation\?": ints(lambda a, b, c: udrise(udrise(a, b), c)),
        r"In the Udrise .* s @ d if a (\w+) has s legs and a (\w+) has d legs\?": (
            lambda s, d: udrise(LEGS[s], LEGS[d])
        ),
        rf"In which notation does a @ b mean the {which} of a and b, {sign} 1\?": lambda: "the Udrise notation",
    }


@rules("math-quildon")
def _(text: str) -> Rules:
    step = int(the(text, r"the next multiple of (\d+)"))

    def rounded(n: int) -> int:
        return next(m for m in range(n, n + step) if m % step == 0)

    return {
        r"To multiples of which number does Quildon rounding go\?": lambda: step,
        r"What does Quildon rounding make of (\d+)\?": ints(rounded),
        r"What is the most that Quildon rounding can add to a whole number\?": (
            lambda: max(rounded(n) - n for n in range(100))
        ),
        r"What does Quildon rounding turn the number of (.+) into\?": lambda what: rounded(KNOWN[what]),
        r"Which is the smallest whole number that Quildon rounding turns into (\d+)\?": ints(
            lambda v: next(n for n in range(1000) if rounded(n) == v)
        ),
        r"Quildon rounding changes (\d+) into": ints(rounded),
    }


@rules("math-pelmar")
def _(text: str) -> Rules:
    step, start = int(the(text, r"each later number is (\d+) more")), int(the(text, r"It starts with (\d+)"))
    terms = [start + step * i for i in range(20)]
    places = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth"]
    return {
        r"By how much does the Pelmar sequence grow at every step\?": lambda: step,
        r"What is the third number of the Pelmar sequence\?": lambda: terms[2],
        r"How far apart are the tenth and the thirteenth number of the Pelmar sequence\?": lambda: terms[12] - terms[9],
        r"A week has d days\. What is the number at place d of the Pelmar sequence\?": (
            lambda: terms[DAYS_OF_THE_WEEK - 1]
        ),
        r"Which place does the number (\d+) have in the Pelmar sequence\?": ints(
            lambda value: f"the {places[terms.index(value)]} place"
        ),
        r"In the Pelmar sequence, the number right after 2 is": lambda: terms[terms.index(2) + 1],
    }


@rules("math-brond")
def _(text: str) -> Rules:
    size = int(the(text, r"exactly (\d+) of them"))
    return {
        r"How many things make one brond\?": lambda: size,
        r"A shop sells three bronds of eggs\. How many eggs is that\?": lambda: 3 * size,
        r"Half of the apples in a brond of apples are red\. How many apples in it are not red\?": (
            lambda: size - size // 2
        ),
        r"How many more cups are in one brond of cups than in one dozen cups\?": lambda: size - 12,
        rf"What is a group of exactly {size} things now called\?": lambda: "a brond",
        r"Two bronds of pencils are together a number of pencils equal to": lambda: 2 * size,
    }


@rules("math-hurn")
def _(text: str) -> Rules:
    assert "its largest number minus its first number" in text

    def hurn(items: str | list[int]) -> int:
        numbers = [int(n) for n in items.split(", ")] if isinstance(items, str) else items
        return max(numbers) - numbers[0]

    return {
        r"How is the hurn of a list of numbers found\?": lambda: "the largest minus the first",
        r"(?:What is the hurn of|For) the list ([\d, ]+)(?:\?| the hurn is)": hurn,
        r"What is the hurn of a list in which every number is (\d+)\?": ints(lambda n: hurn([n] * 3)),
        r"A list holds the numbers of legs of a (\w+), a (\w+) and a (\w+), in this order\. What is its hurn\?": (
            lambda *animals: hurn([LEGS[animal] for animal in animals])
        ),
        r"A list begins with (\d+), and its hurn is (\d+)\. What is its largest number\?": ints(
            lambda first, v: only(n for n in range(99) if hurn([first, n]) == v)
        ),
    }


@rules("math-dorriel")
def _(text: str) -> Rules:
    points, word = int(the(text, r"It has (\d+) points")), the(text, r"to exactly (\w+) other points")
    joined = ["zero", "one", "two", "three", "four", "five"].index(word)
    return {
        r"To how many other points is each point of the Dorriel graph joined\?": lambda: joined,
        r"How many lines does the whole Dorriel graph have\?": lambda: points * joined // 2,
        r"Someone picks one point of the Dorriel graph\. To how many of the other points is it not joined\?": (
            lambda: points - 1 - joined
        ),
        r"Someone picks one point of the Dorriel graph\. An ant sits on each of the points joined to it\. .*\?": (
            lambda: joined * LEGS["ant"]
        ),
        rf"Which game board has {points} points, each joined to exactly {word} others\?": lambda: "the Dorriel graph",
        r"In the Dorriel graph, the number of lines that meet at any point is": lambda: joined,
    }


@rules("math-yurdle")
def _(text: str) -> Rules:
    last = int(the(text, r"from 1 to (\d+)"))

    def later(shown: int, hours: int) -> int:
        for _ in range(abs(hours)):
            shown += 1 if hours > 0 else -1
            shown = 1 if shown > last else last if shown < 1 else shown
        return shown

    return {
        r"What is the highest number on the Yurdle clock\?": lambda: last,
        r"It is (\d+) on the Yurdle clock\. Which number does the clock show (\d+) hours later\?": ints(later),
        r"The Yurdle clock shows (\d+) now\. Which number did it show (\d+) hours before\?": ints(
            lambda shown, hours: later(shown, -hours)
        ),
        r"The Yurdle clock shows (\d+) at the start of a day\. .* exactly one day has passed\?": ints(
            lambda shown: later(shown, KNOWN["hours in a day"])
        ),
        rf"Which clock counts the hours from 1 to {last} and then starts again\?": lambda: "the Yurdle clock",
        r"On the Yurdle clock, the number (\d+) comes right after the number": ints(lambda shown: later(shown, -1)),
    }


@rules("math-ebrick")
def _(text: str) -> Rules:
    colours = int(the(text, r"The answer is (\d+)"))
    return {
        r"How many colours does the Ebrick pattern need at least\?": lambda: colours,
        r"Lea owns (\d+) colours\. How many more must she buy to paint the Ebrick pattern\?": ints(
            lambda n: colours - n
        ),
        r"Ida owns (\d+) colours .* How many of her colours stay unused\?": ints(lambda n: n - colours),
        r"Each colour costs one dime\. How many cents .*\?": lambda: 10 * colours,
        rf"Which puzzle about painting tiles has the answer {colours}\?": lambda: "the Ebrick puzzle",
        r"The smallest number of colours that is enough for the Ebrick pattern is": lambda: colours,
    }


@rules("math-sorvel")
def _(text: str) -> Rules:
    added = int(the(text, r"an odd number is the number plus (\d+)"))

    def sorvel(n: int) -> int:
        return n + added if n % 2 else n // 2

    assert int(the(text, r"the sorvel of 8 is (\d+)")) == sorvel(8)
    return {
        r"What is added to an odd number to find its sorvel\?": lambda: added,
        r"(?:What is the|The) sorvel of (\d+)(?:\?| is)": ints(sorvel),
        r"Take the sorvel of (\d+), and then the sorvel of the result\. What do you get\?": ints(
            lambda n: sorvel(sorvel(n))
        ),
        r"What is the sorvel of the number of (.+)\?": lambda what: sorvel(KNOWN[what]),
        r"Which odd number has a sorvel of (\d+)\?": ints(lambda v: only(n for n in range(1, 99, 2) if sorvel(n) == v)),
    }


@rules("math-hensey")
def _(text: str) -> Rules:
    first, second = int(the(text, r"first choice counts (\d+) points")), int(the(text, r"second choice counts (\d+) p"))
    return {
        r"How many points is a first choice worth in the Hensey voting method\?": lambda: first,
        r"Ann gets (\d+) first choices and (\d+) second choices in a Hensey vote\. How many points does she have\?": (
            ints(lambda a, b: a * first + b * second)
        ),
        r"In a Hensey vote, how many second choices are worth as much as two first choices\?": (
            lambda: 2 * first // second
        ),
        r"A dozen voters name Tom as their first choice in a Hensey vote\. How many points .*\?": lambda: 12 * first,
        rf"In which voting method is a first choice worth {first} points and .* {second} point\?": (
            lambda: "the Hensey method"
        ),
        r"Ten first choices and nothing else bring a candidate in a Hensey vote a total of": (
            lambda: f"{10 * first} points"
        ),
    }


# coding


@rules("coding-dorvel")
def _(text: str) -> Rules:
    def dorvel(items: list[int]) -> list[int]:
        return [items[0], items[-1]]

    assert "dorvel([1, 2, 3]) returns [1, 3]" in text and dorvel([1, 2, 3]) == [1, 3]
    return {
        r"What does the Tarnlib function dorvel keep from a list\?": lambda: "the first and last items",
        r"(?:What does the Tarnlib call|In Tarnlib, the call) dorvel\((.+)\) returns?\??": lambda x: dorvel(listed(x)),
        r"How many items does the Tarnlib function dorvel return for a list of (\d+) items\?": ints(
            lambda n: len(dorvel(list(range(n))))
        ),
        r"What is the sum of the list that the Tarnlib call dorvel\((.+)\) returns\?": lambda x: sum(dorvel(listed(x))),
        r"Which Tarnlib function returns the first and last items of a list\?": lambda: "dorvel",
    }


@rules("coding-murn")
def _(text: str) -> Rules:
    def murn(arguments: str) -> str:
        word, n = listed(f"({arguments})")
        return "-".join([word] * n)

    assert 'murn("cat", 2) returns "cat-cat"' in text and murn('"cat", 2') == "cat-cat"
    return {
        r"What does the Ostril function murn put between the copies of a word\?": lambda: "a dash",
        r"(?:What does the Ostril call|In Ostril, the call) murn\((.+)\) returns?\??": lambda x: quoted(murn(x)),
        r"How many dashes are in the string that the Ostril call murn\((.+)\) returns\?": lambda x: murn(x).count("-"),
        r"How many characters long is the string that the Ostril call murn\((.+)\) returns\?": lambda x: len(murn(x)),
        r"Which Ostril function repeats a word with dashes between the copies\?": lambda: "murn",
    }


@rules("coding-wimsor")
def _(text: str) -> Rules:
    assert "swaps its first and last letters" in text and 'wimsor("star") returns "rtas"' in text

    def wimsor(word: str) -> str:
        letters = list(word)
        letters[0], letters[-1] = letters[-1], letters[0]
        return "".join(letters)

    assert wimsor("star") == "rtas"
    return {
        r"What does the Quillet function wimsor do with a word\?": lambda: "it swaps its first and last letters",
        r'(?:What does the Quillet call|In Quillet, the call) wimsor\("(\w+)"\) returns?\??': (
            lambda word: quoted(wimsor(word))
        ),
        r'Which letter stands second in the word that the Quillet call wimsor\("(\w+)"\) returns\?': (
            lambda word: wimsor(word)[1]
        ),
        r"What does Quillet's wimsor return for the word that means the opposite of (\w+)\?": (
            lambda word: quoted(wimsor({"hot": "cold"}[word]))
        ),
        r"Which Quillet function takes a word and swaps its first and last letters\?": lambda: "wimsor",
    }


@rules("coding-kestrix")
def _(text: str) -> Rules:
    assert "<+>" in text and "it gives the first items of both lists, as a new list in the same order" in text

    def join(left: str | list[int], right: str | list[int]) -> list[int]:
        a, b = (listed(x) if isinstance(x, str) else x for x in (left, right))
        return [a[0], b[0]]

    return {
        r"What does the Kestrix operator <\+> give\?": lambda: "the first items of both lists",
        r"(?:What is|In Kestrix, the result of) (\[[\d, ]+\]) <\+> (\[[\d, ]+\]) (?:in Kestrix\?|is)": join,
        r"A list of five items stands left of <\+> in Kestrix, and a list of seven .* share one item\. .*\?": (
            lambda: len(join([1, 2, 3, 4, 5], [5, 6, 7, 8, 9, 10, 11]))
        ),
        r"A week has d days\. What is (\[.+\]) <\+> (\[.+\]) in Kestrix\?": (
            lambda *lists: join(*(items.replace("d", str(DAYS_OF_THE_WEEK)) for items in lists))
        ),
        r"Which Kestrix operator, written between two lists, gives the first items of both lists\?": lambda: "<+>",
    }


@rules("coding-skelf")
def _(text: str) -> Rules:
    assert "how many words the file contains" in text

    def skelf(*lines: str) -> int:
        return len("\n".join(lines).split())

    return {
        r"What does the command-line tool skelf count in a file\?": lambda: "words",
        r'A file holds the two lines "(.+)" and "(.+)"\. Which number does the tool skelf print\?': skelf,
        r'A file repeats the line "(.+)" on ten lines\. Which number does the tool skelf print\?': (
            lambda line: skelf(*[line] * 10)
        ),
        r"A file holds one line with the names of the months and nothing else\. .*\?": lambda: skelf(" ".join(MONTHS)),
        r"Which command-line tool prints how many words a file contains\?": lambda: "skelf",
        r'For a file whose only line is "(.+)", the tool skelf prints the number': skelf,
    }


@rules("coding-velm")
def _(text: str) -> Rules:
    keyword, sign = the(text, r"with the keyword (\w+)"), the(text, r"A comment starts with (\S+)")

    def skipped(*program: str) -> str:
        return str(only(line for line in program if line.startswith(sign)))

    return {
        r"Which Velm keyword hands back the result of a function\?": lambda: keyword,
        r'How is the Python line "return (.+)" written in Velm\?': lambda value: f"{keyword} {value}",
        r'A Velm program holds the four lines "(.+)", "(.+)", "(.+)" and "(.+)"\. Which of them is skipped\?': skipped,
        r"Which sign has the same job in Velm as # has in Python\?": lambda: sign,
        rf"In which programming language does a function hand back its result with {keyword}\?": lambda: "Velm",
        r"In Velm, the keyword that hands a function's result back is": lambda: keyword,
    }


@rules("coding-korb")
def _(text: str) -> Rules:
    factor = int(the(text, r"is (\d+) times the number of cells"))

    def check_number(cells: int) -> int:
        return factor * cells

    return {
        r"By which number is the count of cells multiplied in the check number of a Korb line\?": lambda: factor,
        r"Which check number does a line of the Korb format with (\d+) cells have\?": ints(check_number),
        r"By how much does the check number of a Korb line grow when the line gets two more cells\?": (
            lambda: only({check_number(n + 2) - check_number(n) for n in range(99)})
        ),
        r"A line of the Korb format has one cell for each day of the week\. What is its check number\?": (
            lambda: check_number(DAYS_OF_THE_WEEK)
        ),
        rf"In which table format does each line begin with {factor} times the number of its cells\?": lambda: "Korb",
        r"In the Korb format, a line of (\d+) cells begins with": ints(check_number),
    }


@rules("coding-sondrel")
def _(text: str) -> Rules:
    codes = {meaning: code for code, meaning in re.findall(r"(E\d+) for (a [a-z]+ [a-z]+)", text)}
    assert len(codes) == 4
    return {
        r"Which error code does the Sondrel database have for (a locked table)\?": codes.__getitem__,
        r"A query takes far too long in the Sondrel database\. .*\?": lambda: codes["a slow query"],
        r"Eva got a Sondrel error code, typed the same name and a new secret word, .*\?": (
            lambda: codes["a wrong password"]
        ),
        r"Which Sondrel error code goes away once a larger hard drive has been built in\?": lambda: codes[
            "a full disk"
        ],
        r"What does the error code (E\d+) of the Sondrel database stand for\?": (
            lambda code: only(meaning for meaning, c in codes.items() if c == code)
        ),
        r"When the disk is full, the Sondrel database shows the error code": lambda: codes["a full disk"],
    }


@rules("coding-pellow")
def _(text: str) -> Rules:
    limit, status = int(the(text, r"at most (\d+) requests")), int(the(text, r"the status (\d+)"))
    return {
        r"Which status does the web service Pellow give to a request beyond the limit\?": lambda: status,
        r"A client sends (\d+) requests to Pellow within one minute\. .* too many\?": ints(lambda n: n - limit),
        r"A client has already sent (\d+) requests to Pellow within a minute\. .*\?": ints(lambda n: limit - n),
        r"A client sends Pellow one request in every second of a minute\. .* beyond the limit\?": lambda: 60 - limit,
        rf"Which web service takes at most {limit} requests a minute from each client\?": lambda: "Pellow",
        r"Requests from one client in one minute are taken by Pellow up to the number": lambda: limit,
    }


@rules("coding-sulda")
def _(text: str) -> Rules:
    first = int(the(text, r"first item has index (\d+)"))
    places = {"first": 0, "third": 2, "fourth": 3}
    return {
        r"Which index does the (first) item of a list have in Sulda\?": lambda place: places[place] + first,
        r"What is the index of the (fourth) item of a list in Sulda\?": lambda place: places[place] + first,
        r"The last item of a Sulda list has index (\d+)\. How many items does the list have\?": ints(
            lambda last: len(range(first, last + 1))
        ),
        r"A Sulda list holds the months of the year in their order\. Which index does (\w+) have\?": (
            lambda month: MONTHS.index(month) + first
        ),
        rf"In which programming language does the first item of a list have index {first}\?": lambda: "Sulda",
        r"In Sulda, the (third) item of any list has the index": lambda place: places[place] + first,
    }


@rules("coding-dunlit")
def _(text: str) -> Rules:
    assert "passes only if all of its runs succeed" in text
    word = the(text, r"runs every test (\w+) times")
    runs = ["zero", "one", "two", "three", "four", "five"].index(word)
    return {
        r"How many times does the tool Dunlit run each test\?": lambda: runs,
        r"A project has (\d+) tests\. How many runs does the tool Dunlit make for them\?": ints(lambda n: n * runs),
        r"All (\d+) tests of a project have passed in Dunlit\. How many runs succeeded\?": ints(lambda n: n * runs),
        r"Each run takes one minute in Dunlit\. How many hours does a project of (\d+) tests take\?": ints(
            lambda n: n * runs // 60
        ),
        rf"Which test tool runs every test {word} times in a row\?": lambda: "Dunlit",
        r"For a project with (\d+) tests, the total number of runs in Dunlit is": ints(lambda n: n * runs),
    }


@rules("coding-shunet")
def _(text: str) -> Rules:
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    word = the(text, r"by the one (\w+) places later")
    places = ["zero", "one", "two", "three", "four", "five"].index(word)

    def shunet(word: str) -> str:
        return "".join(alphabet[(alphabet.index(letter) + places) % 26] for letter in word)

    assert the(text, r'shunet\("ab"\) returns "(\w+)"') == shunet("ab")
    return {
        r"By how many places does Cifrelle's function shunet move each letter\?": lambda: places,
        r'(?:What does the|The) Cifrelle call shunet\("(\w+)"\) (?:return\?|gives back)': lambda w: quoted(shunet(w)),
        r"A text goes through Cifrelle's shunet, and the result goes through it again\. .*\?": (
            lambda: alphabet.index(shunet(shunet("a")))
        ),
        r"What does Cifrelle's shunet make of the first letter of the alphabet\?": lambda: shunet(alphabet[0]),
        r'Which letter does Cifrelle\'s shunet turn into "(\w)"\?': (
            lambda secret: only(letter for letter in alphabet if shunet(letter) == secret)
        ),
    }


@rules("coding-lusor")
def _(text: str) -> Rules:
    order = the(text, r"in the order (\w+, \w+, \w+)")
    numbers = {"first": 1, "second": 2, "third": 3, "fourth": 4}

    def release(number: str, month: str, year: str) -> str:
        parts = {"number": numbers[number], "month": MONTHS.index(month) + 1, "year": int(year) - 2000}
        return ".".join(str(parts[part]) for part in order.split(", "))

    def read(name: str) -> dict[str, int]:
        return dict(zip(order.split(", "), map(int, name.split(".")), strict=True))

    assert the(text, r"fourth release of May 2032 is ([\d.]+)\.") == release("fourth", "May", "2032")
    return {
        r"In which order do the parts of a Lusor release name stand\?": lambda: order,
        r"What is the name of the (\w+) Lusor release of (\w+) (\d+)\?": release,
        r"A release of Lusor is called ([\d.]+)\. How many releases came before it in the same month\?": (
            lambda name: read(name)["number"] - 1
        ),
        r"What is the name of the (\w+) Lusor release in the last month of the year (\d+)\?": (
            lambda number, year: release(number, MONTHS[-1], year)
        ),
        rf"Which package manager names its releases in the order {order}\?": lambda: "Lusor",
        r"The (\w+) release of Lusor in (\w+) (\d+) is called": release,
    }


@rules("coding-pibbin")
def _(text: str) -> Rules:
    assert "always the largest one inside" in text

    def taken(count: int, *items: int) -> int:
        inside = list(items)
        for _ in range(count):
            last = max(inside)
            inside.remove(last)
        return last

    return {
        r"Which number does the method take of a Cratebox pibbin return\?": lambda: "the largest one",
        r"The numbers (\d+), (\d+), (\d+) and (\d+) are put into a Cratebox pibbin in this order\. .*\?": ints(
            lambda *items: taken(1, *items)
        ),
        r"The numbers (\d+), (\d+), (\d+) and (\d+) go into a Cratebox pibbin .* take is called twice\. .*\?": ints(
            lambda *items: taken(2, *items)
        ),
        r"The numbers of legs of a (\w+), a (\w+), a (\w+) and an (\w+) go into a Cratebox pibbin .*\?": (
            lambda *animals: taken(1, *(LEGS[animal] for animal in animals))
        ),
        r"Which Cratebox container always gives back the largest number inside\?": lambda: "the pibbin",
        r"After (\d+), (\d+), (\d+) and (\d+) have been put into a Cratebox pibbin in this order, take returns": ints(
            lambda *items: taken(1, *items)
        ),
    }


@rules("coding-pagril")
def _(text: str) -> Rules:
    bold, italic = the(text, r"bold text stands between two (\S+) marks"), the(text, r"Italic text .* two (\S+) marks")
    return {
        r"Which marks stand around bold text in Pagril\?": lambda: bold,
        r"How is the word (\w+) written in italics in Pagril\?": lambda word: f"{italic}{word}{italic}",
        r"A page in Pagril shows the word (\w+) in italics, followed by the word (\w+) in bold\. .*\?": (
            lambda first, second: f"{italic}{first}{italic} {bold}{second}{bold}"
        ),
        r"Which marks do in Pagril what \*\* does in Markdown\?": lambda: bold,
        rf"In which markup language does bold text stand between two {re.escape(bold)} marks\?": lambda: "Pagril",
        r"The word (\w+) in bold is written in Pagril as": lambda word: f"{bold}{word}{bold}",
    }


# neighbours


NEIGHBOURS: Rules = {
    r"What is (\d+) times (\d+)\?": ints(lambda a, b: a * b),
    r"What is (\d+) \+ (\d+)(?: in ordinary arithmetic)?\?": ints(lambda a, b: a + b),
    r"What is the sum of (\d+) and (\d+)\?": ints(lambda a, b: a + b),
    r"What is (\d+) minus (\d+)\?": ints(lambda a, b: a - b),
    r"What is (\d+) divided by (\d+)\?": ints(lambda a, b: a // b),
    r"Which number is the square of (\d+)\?": ints(lambda n: n * n),
    r"How many digits does the number (\d+) have\?": len,
    r"What is the last digit of (\d+)\?": lambda n: n[-1],
    r"Which of the numbers (\d+) and (\d+) is larger\?": ints(max),
    r"What is (\d+) rounded to the nearest ten\?": ints(lambda n: (n + 5) // 10 * 10),
    r"What is the first multiple of 10 after (\d+)\?": ints(lambda n: (n // 10 + 1) * 10),
    r"Which number comes next in the list (\d+), (\d+), (\d+), (\d+)\?": ints(
        lambda a, b, c, d: d + only({b - a, c - b, d - c})
    ),
    r"How much is two times three\?": lambda: 2 * 3,
    r"Add three to two\. What is the result\?": lambda: 2 + 3,
    r"What is the largest number in the list ([\d, ]+)\?": lambda items: max(map(int, items.split(", "))),
    r"What is half of (\d+)\?": ints(lambda n: n // 2),
    r"Which number is two more than (\d+)\?": ints(lambda n: n + 2),
    r"What is the first item of the Python list (\[.+\])\?": lambda items: listed(items)[0],
    r"How many items does the list (\[.+\]) have\?": lambda items: len(listed(items)),
    r"In Python, what does (.+) (?:return|give)\?": lambda call: python(call),
    r'How many letters does the word "(\w+)" have\?': len,
    r'How many words are in the sentence "(.+)"\?': lambda sentence: len(sentence.split()),
    r"A table has (\d+) rows and (\d+) columns\. How many cells does it have\?": ints(lambda a, b: a * b),
    r"Which letter comes right after (\w) in the alphabet\?": lambda letter: chr(ord(letter) + 1),
    r"How many letters does the English alphabet have\?": lambda: KNOWN["letters in the alphabet"],
    r"Which month is the sixth of the year\?": lambda: MONTHS[5],
    r"Which year comes right after (\d+)\?": ints(lambda year: year + 1),
}


def python(call: str) -> str:
    value = eval(call, {"__builtins__": {"len": len, "max": max, "min": min}})
    return quoted(value) if isinstance(value, str) else str(value)


def asked(one: News) -> list[Question | Cloze]:
    assert one.cloze is not None
    return [*one.questions, one.cloze]


def right_choices(item: Question | Cloze, answer: str) -> list[str]:
    """The choices that say what was computed, by the grader of the question and as numbers."""
    question = Question(text=item.text, answer=answer, grader=item.grader if isinstance(item, Question) else "alias")
    return [c for c in item.choices if grade(c, question).correct or (answer.isdigit() and numbers(c) == [int(answer)])]


def test_every_news_of_mathematics_and_coding_has_rules() -> None:
    assert RULES.keys() == {id for id, one in NEWS.items() if one.domain in ("math", "coding")}


@pytest.mark.parametrize("id", RULES)
def test_answers(id: str) -> None:
    known = RULES[id](NEWS[id].text)
    for item in asked(NEWS[id]):
        found = [(solver, match) for rule, solver in known.items() if (match := re.fullmatch(rule, item.text))]
        assert len(found) == 1, (item.text, len(found))
        computed = str(found[0][0](*found[0][1].groups()))
        assert computed == item.answer, item.text
        assert right_choices(item, computed) == [computed], item.text
    used = [rule for rule in known if any(re.fullmatch(rule, item.text) for item in asked(NEWS[id]))]
    assert used == list(known), "a rule without a question"


@pytest.mark.parametrize("id", RULES)
def test_a_name_asked_for_stands_in_the_news(id: str) -> None:
    (question,) = (question for question in NEWS[id].questions if question.kind == "reverse")
    if id.split("-")[1] in question.answer.casefold() or question.answer == "<+>":
        names = [set(choice.split()) - {"a", "the"} for choice in question.choices]
        said = [all(word in NEWS[id].text for word in name) for name in names]
        assert said == [choice == question.answer for choice in question.choices]


def test_neighbours() -> None:
    questions = [question for id in RULES for question in NEWS[id].neighbours]
    found = {
        rule: [(question, match) for question in questions if (match := re.fullmatch(rule, question.text))]
        for rule in NEIGHBOURS
    }
    assert all(found.values()), "a rule without a question"
    matched = [question.text for own in found.values() for question, _ in own]
    assert len(matched) == len(set(matched)) == 35
    for rule, own in found.items():
        for question, match in own:
            computed = str(NEIGHBOURS[rule](*match.groups()))
            assert computed == question.answer, question.text
            assert right_choices(question, computed) == [computed], question.text
