"""What on a web page is not its text: navigation, cookie banners, sharing, related links.

Judged by elements, roles, and the names that templates and consent tools give (`class`, `id`), each name as a whole:
`cookie-banner` is furniture, `cookie-recipes` is not. What is left out is reported, so a wrong guess is seen, and
`--keep-furniture` turns it off.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

NAVIGATION = "page furniture (navigation, forms)"
AROUND = "page furniture (banners, sharing, comments, related links)"
_ELEMENTS = frozenset({"nav", "footer", "aside", "form", "button", "select", "menu", "dialog", "textarea", "datalist"})
_ROLES = frozenset(
    """navigation search contentinfo dialog alertdialog menu menubar toolbar complementary button""".split()  # noqa: SIM905
)
# The whole page or its main part is never furniture, whatever state its names tell ("menu-open").
_NEVER = frozenset({"html", "body", "main", "article", "h1", "h2", "h3", "h4", "h5", "h6"})
_BY_ID = frozenset({"div", "ul", "ol", "header", "span", "a", "table"})  # sections get their ids from their headings
_NOTES = re.compile(r"(?:doc-)?(?:foot|end|rear)notes?|sidebar|tip|warning|note|admonition|topic", re.IGNORECASE)
_AROUND = re.compile(
    r"""
    (?:\w+[-_])*(?:cookies?|consent|gdpr|ccpa)[-_]?(?:banner|consent|notice|notification|bar|box|popup|modal|policy|overlay|
        law|message|msg|dialog|alert|info|wall|settings|disclaimer|container|wrapper|layer|root|manager|prompt|panel|
        warning|window|hint|accept|text|bot\w*|sdk|preferences|choices)s?(?:[-_]\w+)*
    | gdpr | onetrust(?:[-_]\w+)* | cybotcookiebot\w* | didomi(?:[-_]\w+)* | usercentrics(?:[-_]\w+)*
    | cmplz(?:[-_]\w+)* | qc[-_]cmp\w*(?:[-_]\w+)* | sp[-_]message(?:[-_]\w+)*
    | cc[-_](?:window|banner|dialog)(?:[-_]\w+)*
    | (?:\w+[-_])*(?:related|recommended|similar|suggested)[-_]?(?:articles?|posts?|stories|story|news|links?|contents?|
        items?|reading|videos?|topics?|coverage|products?|reads?)(?:[-_]\w+)*
    | (?:\w+[-_])*(?:more|further|trending|popular|latest|top)[-_]?(?:articles|posts|stories|news|links|headlines)
        (?:[-_]\w+)*
    | related | recommended | recommendations? | recirc\w* | outbrain\w* | taboola\w* | trending | popular
    | (?:\w+[-_])*most[-_]?(?:read|popular|viewed|shared|commented)(?:[-_]\w+)*
    | you[-_]may[-_](?:also[-_])?like(?:[-_]\w+)*
    | (?:\w+[-_])*also[-_]like | read[-_](?:next|also)(?:[-_]\w+)*
    | (?:\w+[-_])*(?:social|share|sharing)(?:[-_]?(?:bar|box|buttons?|links?|icons?|media|tools?|this|list|menu|widget|
        container|wrapper))? | addtoany\w* | sharedaddy
    | (?:\w+[-_])*newsletter(?:[-_]\w+)* | subscribe(?:[-_]\w+)* | subscription[-_](?:box|form|banner)
    | sign[-_]?up[-_]\w+
    | ad | ads | advert(?:s|isement|isements|ising)?(?:[-_]\w+)*
    | ad[-_](?:banner|box|container|slot|unit|wrapper)(?:[-_]\w+)*
    | sponsored(?:[-_]\w+)* | promo(?:[-_](?:box|banner|bar))?
    | comments?[-_]?(?:area|list|section|form|thread|wrapper|container)? | disqus\w* | respond
    """,
    re.IGNORECASE | re.VERBOSE,
)
_NAVIGATION = re.compile(
    r"""
    (?:\w+[-_])*(?:nav|navbar|navbox|navigation|breadcrumbs?|pagination|pager|toc|catlinks)
        (?:[-_]?(?:bar|box|list|links?|menu|wrapper|container|inner|items?|top|main|primary|secondary|bottom))*
    | (?:main|site|top|nav|mobile|primary|secondary|footer|header|user|side|vector|hamburger)[-_]?menu(?:[-_]\w+)*
    | table[-_]of[-_]contents | (?:site|page|global|main)[-_]?footer | footer | sidebar | side[-_]bar
    | skip[-_]?(?:link|links|nav|to[-_]\w+) | skiplink | mw[-_]?(?:editsection|jump[-_]link|navigation) | editsection
    | noprint | printfooter | headerlink | anchor[-_]?link | back[-_]to[-_]top | site[-_]?map
    """,
    re.IGNORECASE | re.VERBOSE,
)
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


def omitted(tag: str, given: Mapping[str, str], *, keep: bool) -> str | None:
    """Why an element is left out: the reason to report, '' for what is no text, None for an element that is read.

    `given` are its attributes; `keep` keeps the furniture, but not hidden or struck-out text.
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
    if any(_AROUND.fullmatch(name) for name in names):
        return AROUND
    navigation = any(_NAVIGATION.fullmatch(name) for name in names) or (tag == "ul" and "menu" in names)
    return NAVIGATION if navigation else None
