"""PDF: reading order, divided words, page numbers, and what is reported instead of being lost in silence."""

from __future__ import annotations

import zlib
from base64 import b85decode
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from raw_pdf import Show, down, raw_pdf
from sys2ft.errors import NewsError
from sys2ft.news import read_news
from sys2ft.news.importers import ImportSettings, ImportSummary, import_news
from sys2ft.news.importers.joints import join_lines, joint, without_inner_spaces, words_of

Page = list[Show]


def imported(path: Path) -> tuple[str, ImportSummary]:
    """The texts of a PDF, one below the other, and the summary."""
    out = path.parent / "news.jsonl"
    summary = import_news([path], out, ImportSettings(max_tokens=2000))
    return "\n".join(one.text for one in read_news(out)), summary


def read(folder: Path, *pages: Page, unnamed: str = "", turned: Page | None = None) -> tuple[str, dict[str, list[str]]]:
    """The text of these pages, and what is reported, without the name of the file."""
    text, summary = imported(raw_pdf(folder / "a.pdf", pages, unnamed=unnamed, turned=turned or []))
    reported = {what: [one.split(", ", 1)[1] for one in tally.first] for what, tally in summary.reported.items()}
    return text, reported


COLUMNS = "columns: read one after the other"
TABLE = "text in columns (a table?): read row by row"
RUNNING = "running header or footer"
GUESS = "word divided at a line's end: joined by a guess"

LEFT = ["The bridge of Olm is painted", "green in May of the year 2031", "because the mayor wants it so."]
RIGHT = ["The gate of Elm was built by", "Tom in 1904 and it is still", "in use for carts and people."]
IN_ORDER = f"{' '.join(LEFT)}\n{' '.join(RIGHT)}"


# Columns and tables


def alternating(first: Page, second: Page) -> Page:
    return [one for pair in zip(first, second, strict=True) for one in pair]


@pytest.mark.parametrize(
    "page",
    [
        down(LEFT) + down(RIGHT, x=320),
        down(RIGHT, x=320) + down(LEFT),
        alternating(down(LEFT), down(RIGHT, x=320)),
        down(LEFT) + down(RIGHT, x=320, top=773),
    ],
    ids=["in order", "right first", "line by line", "baselines between each other"],
)
def test_columns_are_read_one_after_the_other_and_reported(tmp_path: Path, page: Page) -> None:
    assert read(tmp_path, page) == (IN_ORDER, {COLUMNS: ["page 1 (1 times)"]})


def test_columns_between_lines_of_full_width(tmp_path: Path) -> None:
    title: Page = [(200, 810, "Bridges and gates", 18)]
    below = ["A line of the full width of the page that goes across both of the columns, see."]
    text, _ = read(tmp_path, title + down(LEFT) + down(RIGHT, x=320) + down(below, top=720))
    assert text == f"Bridges and gates\n{IN_ORDER}\n{below[0]}"


def test_three_columns(tmp_path: Path) -> None:
    third = ["Nobody knows why the old", "wall has no door, but it", "stands there anyway."]
    columns = [down(lines, x=x, size=9, pitch=11) for lines, x in ((LEFT, 40), (RIGHT, 220), (third, 400))]
    assert read(tmp_path, [one for column in columns for one in column])[0] == f"{IN_ORDER}\n{' '.join(third)}"


def test_columns_of_chinese(tmp_path: Path) -> None:
    left, right = (
        ["奥姆桥在二〇三一年涂成绿", "色。桥高四十米，长三百", "米。"],
        ["埃尔姆门建于一九〇四年，", "由汤姆建造，至今仍在使", "用。"],
    )
    text, reported = read(tmp_path, down(left, size=10) + down(right, x=320, size=10))
    assert text == f"{''.join(left)}\n{''.join(right)}"
    assert list(reported) == [COLUMNS]


def test_a_table_is_read_row_by_row_and_reported(tmp_path: Path) -> None:
    cells = [["Name", "Olm bridge", "", "Elm gate"], ["State", "is painted green in", "May of 2031", "is old"]]
    before, after = (
        "The bridges of the country and their state are in the table below.",
        "That is all of them, says the mayor.",
    )
    page = down([before]) + down(cells[0], top=740) + down(cells[1], x=200, top=740) + down([after], top=660)
    rows = "Name; State\nOlm bridge; is painted green in May of 2031\nElm gate; is old"
    assert read(tmp_path, page) == (f"{before}\n{rows}\n{after}", {TABLE: ["page 1 (1 times)"]})


def test_bullets_in_a_column_of_their_own_are_a_list(tmp_path: Path) -> None:
    page = down(["•", "", "•"]) + down(["No dogs on the", "bridge at night", "No carts"], x=64)
    assert read(tmp_path, page) == ("• No dogs on the bridge at night\n• No carts", {})


def test_wide_spaces_of_justified_lines_are_no_columns(tmp_path: Path) -> None:
    rows = [
        ("The bridge of", "Olm is painted"),
        ("green in", "May of the year when"),
        ("the mayor who wants", "it so is"),
    ]
    page: Page = []
    for number, (left, right) in enumerate(rows):
        page += [(50, 780 - 14 * number, left), (50 + 5.5 * len(left) + 11, 780 - 14 * number, right)]
    assert read(tmp_path, page) == (" ".join(f"{left} {right}" for left, right in rows), {})


# Paragraphs and titles


def test_paragraphs_follow_from_white_space_or_indents(tmp_path: Path) -> None:
    page = down(["The bridge is green and", "tall."]) + down(["The gate is old and"], x=65, top=752)
    page += down(["grey."], top=738) + down(["The wall fell."], top=700)
    assert read(tmp_path, page)[0] == "The bridge is green and tall.\nThe gate is old and grey.\nThe wall fell."


def test_larger_letters_are_headings(tmp_path: Path) -> None:
    page: Page = [(50, 800, "Bridges", 20), (50, 770, "Olm", 15), *down(["It is green.", "It stands."], top=740)]
    page += [(50, 700, "Elm", 15), *down(["It is red.", "It fell."], top=680)]
    assert read(tmp_path, page)[0] == "Bridges > Olm\nIt is green. It stands.\nBridges > Elm\nIt is red. It fell."


def test_small_raised_and_lowered_digits_stay_what_they_are(tmp_path: Path) -> None:
    page: Page = [(50, 780, "It has 10", 11), (99.5, 784, "2", 7), (104, 780, " m of H", 11), (137, 778, "2", 7)]
    assert read(tmp_path, [*page, (142, 780, "O below.", 11)])[0] == "It has 10² m of H₂O below."


def test_a_turned_page_is_read_and_text_at_another_angle_is_reported(tmp_path: Path) -> None:
    turned: Page = [(100 + 14 * number, 100, line) for number, line in enumerate(LEFT)]
    assert read(tmp_path, [], turned=turned) == (" ".join(LEFT), {})
    text, reported = read(tmp_path, down(LEFT), turned=[(560, 200, "DRAFT COPY")])
    assert text == " ".join(LEFT)
    assert reported == {"text at another angle than the page's (a watermark?)": ["page 1 (DRAFT COPY)"]}


# Scripts


def test_lines_of_chinese_and_japanese_have_no_spaces_between_them(tmp_path: Path) -> None:
    assert read(tmp_path, down(["橋は緑色", "で高さ", "四十米。", "新しい。"]))[0] == "橋は緑色で高さ四十米。新しい。"
    assert (
        read(tmp_path, down(["用Python", "编写的", "Olm Bridge", "Tool 很好。"]))[0]
        == "用Python编写的Olm Bridge Tool 很好。"
    )


def test_lines_of_korean_have(tmp_path: Path) -> None:
    assert read(tmp_path, down(["오름 다리는 초록색으로", "칠해졌다."]))[0] == "오름 다리는 초록색으로 칠해졌다."


def test_lines_from_right_to_left(tmp_path: Path) -> None:
    lines = ["הגשר של אולם נצבע", "ירוק בשנת 2031 במאי."]
    drawn = [" ".join(w if w.isdigit() else w[::-1] for w in reversed(line.split())) for line in lines]
    page: Page = [(400 - 5.5 * len(line), 780 - 14 * number, line) for number, line in enumerate(drawn)]
    assert read(tmp_path, page)[0] == " ".join(lines)


def test_a_text_of_one_glyph_without_outline_is_read(tmp_path: Path) -> None:
    assert read(tmp_path, down(["橋は緑色で高い", "。"]))[0] == "橋は緑色で高い。"


def test_ligatures_are_letters(tmp_path: Path) -> None:
    assert (
        read(tmp_path, down(["The ﬁve oﬃcers ﬁlled the ﬂoor, 10² m."]))[0]
        == "The five officers filled the floor, 10² m."
    )


def test_characters_beyond_the_basic_plane_are_whole(tmp_path: Path) -> None:
    assert read(tmp_path, down(["A smile 😀 and 𠀀 here."])) == ("A smile 😀 and 𠀀 here.", {})


def test_a_row_of_spaces_is_no_row(tmp_path: Path) -> None:
    pages = [down([" ", f"Bridge {n} is green.", "  ", "It is new.", " "]) for n in range(1, 4)]
    assert read(tmp_path, *pages)[0].count("It is new.") == 3


def test_cells_side_by_side_in_one_row_are_reported(tmp_path: Path) -> None:
    page = down(["The bridge of Olm is", "painted green in May."]) + down(["The gate of Elm was"], x=320)
    assert list(read(tmp_path, page)[1]) == [TABLE]


def test_characters_without_a_unicode_value_are_reported(tmp_path: Path) -> None:
    text, reported = read(tmp_path, down(["The ¤ridge is green."]), down(["¤€¤€"]), unnamed="¤€")
    assert text == "The \ufffdridge is green."
    assert reported == {
        "page whose fonts do not name their characters": ["page 2 (\ufffd\ufffd\ufffd\ufffd)"],
        "characters without a Unicode value: U+FFFD in their place": [
            "page 1 (1, such as in 'The \ufffdridge is green.')"
        ],
    }


# Words divided at a line's end


@pytest.mark.parametrize(
    ("lines", "text", "guessed"),
    [
        (["an extra\u00ad", "ordinary Olm\u00ad", "stadt"], "an extraordinary Olmstadt", 2),
        (["an extra\u2010", "ordinary thing"], "an extraordinary thing", 1),
        (["an extra-", "ordinary thing"], "an extraordinary thing", 1),
        (["EXTRA-", "ORDINARY"], "EXTRAORDINARY", 1),
        (["an anti-inflam-", "matory drug"], "an anti-inflammatory drug", 1),
        (["за-", "мечательный мост"], "замечательный мост", 1),
        (["a well-known man and a well-", "known dog"], "a well-known man and a well-known dog", 0),
        (["a co-operation and a co-", "operation"], "a co-operation and a co-operation", 0),
        (["a lightship and a light-", "ship"], "a lightship and a lightship", 0),
        (["a well-", "known dog"], "a well-known dog", 1),
        (["a self-", "ish giant"], "a selfish giant", 1),
        (["my mother-in-", "law"], "my mother-in-law", 1),
        (["Jean-", "Pierre has COVID-", "19 and a CD-", "ROM"], "Jean-Pierre has COVID-19 and a CD-ROM", 0),
        (["die Vor-", "und Nachteile, pre-", "and post-war"], "die Vor- und Nachteile, pre- and post-war", 0),
        (["green \u2014", "and tall; word\u2014", "joined"], "green \u2014 and tall; word\u2014joined", 0),
        (["from 10-", "20 m, not -", "5"], "from 10-20 m, not - 5", 0),
        (["it ends in extra-"], "it ends in extra-", 0),
    ],
)
def test_a_word_divided_at_a_lines_end(tmp_path: Path, lines: list[str], text: str, guessed: int) -> None:
    found, reported = read(tmp_path, down(lines))
    assert (found, len(reported.get(GUESS, []))) == (text, guessed)


def test_a_word_divided_at_a_pages_end(tmp_path: Path) -> None:
    assert read(tmp_path, down(["The bridge is extra-"]), down(["ordinary."]))[0] == "The bridge is extraordinary."


def test_hyphens_within_a_line_stay_and_soft_ones_go(tmp_path: Path) -> None:
    assert (
        read(tmp_path, down(["An extra\u00adordinary, well\u2010known thing."]))[0]
        == "An extraordinary, well‐known thing."
    )


@given(before=st.text(max_size=12), after=st.text(max_size=12))
@settings(deadline=None)
def test_joining_lines_loses_hyphens_only(before: str, after: str) -> None:
    joined = join_lines(before, after, words_of(before)).text
    gone = [c for c in before + after if c not in "-\u00ad\u2010" and not c.isspace()]
    assert [c for c in joined if c not in "-\u00ad\u2010" and not c.isspace()] == gone
    assert joined.startswith(before[:-1]) and joined.endswith(after)


def test_what_stands_between_two_lines() -> None:
    assert [
        joint("绿", "色"),
        joint("高さ", "。"),
        joint("a", "b"),
        joint("다", "리"),
        joint("ก", "ข"),
        joint("", "b"),
    ] == ["", "", " ", " ", "", ""]
    assert without_inner_spaces("橋 は 緑 Olm Bridge 다 리") == "橋は緑 Olm Bridge 다 리"


# Running headers and page numbers


def bridges(*lines: str, pages: int = 4) -> list[Page]:
    return [down([line.format(number, pages) for line in lines]) for number in range(1, pages + 1)]


BODY = "\n".join(f"Bridge {number} is green." for number in range(1, 5))


@pytest.mark.parametrize(
    ("lines", "removed"),
    [
        (["Bridge {} is green."], []),
        (["Annual Report", "Bridge {} is green.", "Page {} of {}"], ["Annual Report", "Page 1 of 4"]),
        (["Bridge {} is green.", "{}"], ["1"]),
        (["Bridge {} is green.", "- {} -"], ["- 1 -"]),
        (["Bridge {} is green.", "{}/{}"], ["1/4"]),
        (["Bridge {} is green.", "Seite {} von {}"], ["Seite 1 von 4"]),
        (["Annual Report | {}", "Bridge {} is green."], ["Annual Report | 1"]),
        (["{} · Annual Report", "Bridge {} is green."], ["1 · Annual Report"]),
        (["Annual Report, page {}", "Bridge {} is green."], ["Annual Report, page 1"]),
        (["Bridge {} is green.", "стр. {}"], ["стр. 1"]),
        (["Bridge {} is green.", "第{}页 共{}页"], ["第1页共4页"]),
    ],
    ids=lambda value: value[-1] if value else "none",
)
def test_page_numbers_go_and_lines_that_differ_in_numbers_stay(
    tmp_path: Path, lines: list[str], removed: list[str]
) -> None:
    text, reported = read(tmp_path, *bridges(*lines))
    assert text == BODY
    assert reported.get(RUNNING, []) == [f"on 4 pages ({line})" for line in removed]


@pytest.mark.parametrize(
    "lines",
    [
        ["Chapter {}", "Bridge {} is green."],
        ["Report 203{}", "Bridge {} is green."],
        ["Bridge {} is green.", "It stands in Olm."],
        ["Bridge {} is green.", "The last was number {}."],
        ["Bridge {} is green.", "Street of Olm {}"],
    ],
    ids=lambda value: value[-1],
)
def test_lines_of_the_text_are_no_page_numbers(tmp_path: Path, lines: list[str]) -> None:
    text, reported = read(tmp_path, *bridges(*lines))
    assert reported == {}
    for number in range(1, 5):
        for line in lines:
            assert text.count(line.format(number)) >= 1
    assert len(text.split()) == 4 * sum(len(line.split()) for line in lines)


def test_a_page_of_known_number_and_total_is_enough(tmp_path: Path) -> None:
    assert read(tmp_path, *bridges("Bridge {} is green.", "Page {} of {}", pages=2))[1] == {
        RUNNING: ["on 2 pages (Page 1 of 2)"]
    }
    assert read(tmp_path, *bridges("Bridge {} is green.", "{}", pages=2))[1] == {}


def test_headers_of_even_and_odd_pages_and_of_chapters(tmp_path: Path) -> None:
    sides = [down([("Left book", "Right chapter")[n % 2], f"Bridge {n} is green."]) for n in range(1, 9)]
    assert sorted(read(tmp_path, *sides)[1][RUNNING]) == ["on 4 pages (Left book)", "on 4 pages (Right chapter)"]
    chapters = [down(["Olm" if n < 4 else "Elm", f"Bridge {n * n} is green."]) for n in range(1, 8)]
    assert sorted(read(tmp_path, *chapters)[1][RUNNING]) == ["on 3 pages (Olm)", "on 4 pages (Elm)"]


def test_a_letterhead_that_white_space_sets_apart(tmp_path: Path) -> None:
    head = ["Olm Press", "Street of Olm", "Town of Olm"]
    text, reported = read(
        tmp_path, *(down(head, top=820) + down([f"Bridge {n} is green."], top=740) for n in range(1, 5))
    )
    assert text == BODY
    assert reported[RUNNING] == [f"on 4 pages ({line})" for line in head]


def test_a_repeated_sentence_stays_once(tmp_path: Path) -> None:
    pages = [
        down([f"Bridge {n} is green.", "It is new."], top=740) + down(["All rights are reserved."], top=40)
        for n in range(1, 5)
    ]
    text, reported = read(tmp_path, *pages)
    assert text.count("All rights are reserved.") == 1 and text.count("It is new.") == 4
    assert reported == {RUNNING: ["on 3 pages (All rights are reserved.)"]}


def test_a_row_of_a_table_that_all_pages_share_stays(tmp_path: Path) -> None:
    heights = [down(["Olm", "Elm"]) + down([f"{n}0 m", "30 m"], x=200) for n in range(1, 5)]
    text, reported = read(tmp_path, *heights)
    assert text == "\n".join(f"Olm; {n}0 m\nElm; 30 m" for n in range(1, 5))
    assert list(reported) == [TABLE]


# Protection

OPEN_AES = (
    "c-n<jJ!oWA6lM_#4&s)!*CMdZ?z{g#7z0UW27|j~$(V>6R=hvwX2+ep7v8*t>{^Ln<#ra<c7iOTg`I+xpq&=BHfpDWVx@TAo6KaE"
    "6uuwsx##!$4(Hz0+x_8ncEj{mzxw;5e|wBjQiZpAYipz!oHbBR$5lBc?RKNTIp~B<KZSj$TMH>LbjkB3oWg`yvcBGa#ch8GQ^GOl"
    "E-7Apa15l_@{ONVhiL9Wnc7l(spM95QZ|H<;+1ilk^>^T(7W^CS-y)<@kD5eAet$WvvRi}js0eIhFK`Sf>OfqzuRW1(QyuI7pB!o"
    "9brath*@R=TX5}k#mg``g=QQ*DMlxu>F~6u*c@EvHY470zd*bMSS|s+3FTpPk64PK<4FTGt`pxtA7YidplMTsKkA+R_|CPx`+vRg"
    "_`_%5%})=0yY}eI@9s>WzxvWs+du#L>lYv2*n08NmA9{aF!|@Rm1p1m<cIfOfBKuSz4H0{ch(=TYz)U=zqbARFW>+1M*ivBcz@%$"
    "NekvY^*JoH+{a-@eAJ|KY2&21H#luOR`jd5a|~tcbPElG(Y{#l5PZ&j&Sup3GWj|!T)5Jt*dc44+vF8j0VEf~iIg3;*+)-ZrkP0|"
    "jRbEjFm8qR7D5hLIW1id0<=zAbEdP6)N}761qlYcQyjALNpi%ngQKc_vQ$w=MaaU&6tv+MsIc1UWSP~<MPsrG++}A(3e1EgKqVR|"
    "WEt84Cf6C|76qt}a6*z$2uN9oQW~d$W5JL@Hb%uLbjFZfqFd@m!+8&JsV_ErWQ{T>ISWQA;~Y&?N^d|%4k3cEk~yqstxL$)2pW)g"
    "wmKQga}-oig<zdw9!yjYxmaPW$($?ZCAESj1hI$oomGh;v?!y^Jn6utw?=wu3>Ao%^Q0^V<SV^n)=3Fbspwdc3|yd?W}m2~;XSJ%"
    "_bAalx_F3IN+^=aLdS5HI!n3GF+nfuth=NWT3^yBW-fG1?Z*?Gtad7QtE#;yx+6RqKZLgH+kJAd#<kWyE8z{(D!9z8%8F@fY|g?t"
    "zW)Cnct;G%SU)&!i0UeIXVKS9*8xT~-j=I_onh}kq^5Y~"
)
"""A page with 'The ferry is free.', in AES-256 with a password for changes only (made by pikepdf)."""


def test_aes_without_a_password_for_reading(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(zlib.decompress(b85decode(OPEN_AES)))
    assert imported(tmp_path / "a.pdf")[0] == "The ferry is free."


def test_aes_with_one(tmp_path: Path) -> None:
    data = zlib.decompress(b85decode(OPEN_AES))
    at = data.index(b"/U <") + 10
    (tmp_path / "a.pdf").write_bytes(data[:at] + b"0000" + data[at + 4 :])
    with pytest.raises(NewsError, match="a file that a password protects"):
        imported(tmp_path / "a.pdf")
