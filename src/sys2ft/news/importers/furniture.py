"""What on a web page is not its text: navigation, cookie banners, sharing, related links.

Judged by elements, roles, and the names that templates and consent tools give (`class`, `id`), each name as a whole:
`cookie-banner` is furniture, `cookie-recipes` is not. What is left out is reported, so a wrong guess is seen, and
`--keep-furniture` turns it off.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

NAVIGATION = "page furniture (navigation, forms)"
OUTSIDE = "text outside the main part of a page (<main>)"
AROUND = "page furniture (banners, sharing, comments, related links)"
_ELEMENTS = frozenset({"nav", "footer", "aside", "form", "button", "select", "menu", "dialog", "textarea", "datalist"})
_ROLES = frozenset(
    """navigation search contentinfo dialog alertdialog menu menubar toolbar complementary button""".split()  # noqa: SIM905
)
# The whole page or its main part is never furniture: its names tell a state ("menu-open").
_NEVER = frozenset({"html", "body", "main", "article", "h1", "h2", "h3", "h4", "h5", "h6"})
_BY_ID = frozenset({"div", "ul", "ol", "header", "span", "a", "table"})  # sections get their ids from their headings
_NOTES = re.compile(r"(?:doc-)?(?:foot|end|rear)notes?|sidebar|tip|warning|note|admonition|topic", re.IGNORECASE)
# Names in lower case with "-" between their words; `_` in a pattern is any words before or after.
_AROUND = r"""
    _(?:cookies?|consent|gdpr|ccpa)-?(?:banner|consent|notice|notification|bar|box|popup|modal|policy|overlay|law|message|
        msg|dialog|alert|info|wall|settings|disclaimer|container|wrapper|layer|root|manager|prompt|panel|warning|window|
        hint|accept|text|bot\w*|sdk|preferences|choices)s?_
    | cookies? | consent | gdpr | onetrust_ | cybot-?cookiebot_ | didomi_ | usercentrics_ | cmplz_ | qc-cmp\w*_
    | sp-message_ | cc-(?:window|banner|dialog)_
    | _(?:related|recommended|similar|suggested)-?(?:articles?|posts?|stories|story|news|links?|contents?|items?|
        reading|videos?|topics?|coverage|products?|reads?)_
    | _(?:more|further|trending|popular|latest|top)-?(?:articles|posts|stories|news|links|headlines)_
    | _related | _recommended | recommendations? | recirc\w*_ | outbrain\w*_ | taboola\w*_ | trending | popular
    | _most-?(?:read|popular|viewed|shared|commented)_ | _you-may-(?:also-)?like_ | _also-like | read-(?:next|also)_
    | _(?:social|share|sharing)(?:-?(?:bar|box|buttons?|links?|icons?|media|tools?|this|list|menu|widget|
        container|wrapper))?
    | addtoany\w*_ | sharedaddy | _newsletter_ | subscribe_ | subscription-(?:box|form|banner) | sign-?up-\w+
    | ad | ads | advert(?:s|isement|isements|ising)?_ | ad-(?:banner|box|container|slot|unit|wrapper)_
    | sponsored_ | promo(?:-(?:box|banner|bar))? | comments?-?(?:area|list|section|form|thread|wrapper|container)?
    | disqus_ | respond
"""
_NAVIGATION = r"""
    _(?:nav|navbar|navbox|navigation|breadcrumbs?|pagination|pager|toc|catlinks)(?:-?(?:bar|box|list|links?|menu|
        wrapper|container|inner|items?|top|main|primary|secondary|bottom))*
    | (?:main|site|top|nav|mobile|primary|secondary|footer|header|user|side|vector|hamburger)-?menu_
    | table-of-contents | (?:site|page|global|main)footer | _footer | sidebar | side-bar
    | skip-?(?:link|links|nav|to-\w+) | mw-?(?:editsection|jump-link|navigation) | editsection
    | noprint | printfooter | headerlink | anchor-?link | back-to-top | site-?map
"""


def _compiled(names: str) -> re.Pattern[str]:
    before = re.sub(r"(^|\|)\s*_", r"\1(?:\\w+-)*", names.strip())
    return re.compile(re.sub(r"_\s*(?=\||$)", r"(?:-\\w+)*", before), re.VERBOSE)


_PATTERNS = {AROUND: _compiled(_AROUND), NAVIGATION: _compiled(_NAVIGATION)}
# A heading over nothing but links.
RELATED = re.compile(
    r"""(?ix) \s* (?: related | recommended | more\ (?:from|on|stories|news|articles|like) | read\ (?:more|next|also)
    | most\ (?:read|popular|viewed) | trending | popular | you\ (?:may|might) | latest | don.t\ miss | also\ read
    | mehr\ (?:zum|aus|zu|artikel) | verwandte | ähnliche | auch\ interessant | meistgelesen | das\ könnte
    | à\ lire | sur\ le\ même | articles\ (?:liés|similaires|associés) | les\ plus\ lus | voir\ aussi
    | relacionad | te\ puede | lo\ más | más\ (?:noticias|leíd) | artículos\ relacionados | noticias\ relacionadas
    | читайте | по\ теме | похожие | также\ по | популярн | другие\ новости | материалы\ по
    | 相关 | 相關 | 推荐 | 推薦 | 热门 | 熱門 | 延伸阅读 | 関連 | おすすめ | 人気
    | 관련 | 추천 | اقرأ | مواضيع | ذات\ صلة )"""
)
# A paragraph in which the site, not the text, speaks of its cookies or its rights.
OF_THE_SITE = re.compile(
    r"""(?ix) ^ (?: .{0,60} (?: \b (?: we | (?:this|our)\ (?:web)?site | wir | (?:diese|unsere)\ (?:web)?(?:seite|site)
    | nous | ce\ site | мы | (?:этот|наш)\ сайт | utilizamos | este\ sitio ) \b .{0,60} \b cookies? \b | мы .{0,20} куки
    | (?: 本网站 | 我们 | 当サイト ) .{0,8} cookie | сайт .{0,20} использует .{0,10} (?: cookie | куки ) )
    | © | \(c\) | copyright\ | .{0,40} (?: all\ rights\ reserved | все\ права\ защищены | alle\ rechte\ vorbehalten
    | tous\ droits\ réservés | todos\ los\ derechos | 版权所有 | 版權所有 | all\ rights ) )"""
)
_SAME_AGAIN = re.compile(r"katex-html|MathJax|MathJax_Preview|MathJax_Display|MathJax_SVG(?:_Display)?|mjx-chtml")
_HIDDEN = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|(?:font-size|opacity)\s*:\s*0(?![.\d]*[1-9])", re.IGNORECASE
)
_STRUCK = re.compile(r"text-decoration[\w-]*\s*:[^;]*line-through", re.IGNORECASE)
_EMBEDDED = {
    "script": "", "style": "", "svg": "text in a picture (svg)", "noscript": "text for browsers without scripts",
    "template": "text that only scripts show", **dict.fromkeys(
        ("iframe", "object", "canvas", "audio", "video"), "text in place of embedded content"
    ),
    **dict.fromkeys(("s", "strike", "del"), "struck-out or deleted text"),
}  # fmt: skip


def omitted(tag: str, given: Mapping[str, str], *, keep: bool, by_name: bool = True) -> str | None:
    """Why an element is left out: the reason to report, '' for what is no text, None for an element that is read.

    `given` are its attributes; `keep` keeps the furniture, but not hidden or struck-out text; without `by_name` the
    names that templates give do not count.
    """
    style = given.get("style", "")
    if ("hidden" in given and given["hidden"].lower() != "until-found") or _HIDDEN.search(style):
        return "hidden text"
    if tag in _EMBEDDED:
        return _EMBEDDED[tag]
    if _STRUCK.search(style):
        return _EMBEDDED["del"]
    classes = given.get("class", "").split()
    by_id = tag in _BY_ID and "section" not in classes
    names = [*classes, given.get("id", "")] if by_id else classes
    if any(_SAME_AGAIN.fullmatch(name) for name in names):
        return ""
    role = given.get("role", "").strip().lower()
    if keep or tag in _NEVER:
        return None
    if tag in _ELEMENTS or role in _ROLES or given.get("aria-modal") == "true":
        kinds = [*given.get("epub:type", "").split(), role, *(name for name in classes if name != "sidebar")]
        return None if tag == "aside" and any(map(_NOTES.fullmatch, kinds)) else NAVIGATION
    if not by_name:
        return None
    why = next(filter(None, map(_judged, names)), "")
    return why or (NAVIGATION if tag == "ul" and "menu" in names else None)


@lru_cache(maxsize=4096)
def _judged(name: str) -> str:
    """The kind of furniture that a name of a template means; '' for other names."""
    spelt = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[-_]+", "-", name[:200]).lower()
    return next((why for why, names in _PATTERNS.items() if names.fullmatch(spelt)), "")
