"""Five pages for tests of the HTML reader: what must be kept of each, and what must be left out."""

# ruff: noqa: E501 - markup

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Page:
    """A page, strings that its text must contain, and strings that it must not."""

    html: str
    kept: tuple[str, ...]
    omitted: tuple[str, ...] = ()


ARTICLE = Page(
    """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Ferry gets a new captain | Elm Daily</title>
<script>var tracker = "<p>no text</p>";</script></head><body class="single post">
<div id="cookie-banner" class="cc-window" role="dialog"><p>We use cookies to improve your visit. By clicking Accept
you agree.</p><button>Accept all</button><a href="/privacy">Privacy policy</a></div>
<header class="site-header"><a class="skip-link" href="#main">Skip to content</a>
<div class="logo"><a href="/">Elm Daily</a></div>
<ul class="main-menu"><li><a href="/n">News</a></li><li><a href="/s">Sport</a></li><li><a href="/w">Weather</a></li></ul>
</header>
<div class="breadcrumb"><a href="/">Home</a> &raquo; <a href="/n">News</a></div>
<main id="main"><article><header><h1>Ferry gets a new captain</h1>
<p class="byline">By <a href="/a/holt">Mara Holt</a>, 4 May 2031</p></header>
<div class="share-buttons"><a href="#">Share on Chirp</a> <a href="#">Share by mail</a></div>
<p>The ferry <em>Osprey</em> has a new captain. Ines Okafor takes the helm on Monday.</p>
<p>She succeeds Jan Lindqvist, who retires after 31 years. “It&#8217;s an honour,” she said.</p>
<figure><img src="x.jpg" alt="Ines Okafor on the bridge of the Osprey"><figcaption>Okafor on board. Photo: J. Vale
</figcaption></figure>
<h2>Fares stay</h2>
<p>A crossing costs 4 crowns. <a href="/fares">Children pay nothing</a>.</p>
<ul><li>Bicycles: 1 crown</li><li>Dogs: free</li></ul>
<blockquote><p>Nothing changes for our guests.</p></blockquote>
<p>Short.</p>
<div class="newsletter-signup"><h3>Get our newsletter</h3><p>The best of Elm in your inbox every morning.</p>
<form><input type="email"><button>Sign up</button></form></div>
</article></main>
<section class="related-articles"><h2>Related articles</h2><ul><li><a href="/1">Harbour closed for a day</a></li>
<li><a href="/2">Ten recipes with eel</a></li><li><a href="/3">Mayor opens the glass bridge</a></li></ul></section>
<div class="most-read"><h4>Most read</h4><ol><li><a href="/4">Cat found on crane</a></li>
<li><a href="/5">Rain expected</a></li></ol></div>
<div id="comments"><h3>2 comments</h3><div class="comment"><p>Nice boat, says a reader.</p></div></div>
<footer><p>© 2031 Elm Daily. Imprint</p></footer></body></html>""",
    (
        "Ferry gets a new captain",
        "The ferry Osprey has a new captain. Ines Okafor takes the helm on Monday.",
        "She succeeds Jan Lindqvist, who retires after 31 years.",
        "“It’s an honour,” she said.",
        "Okafor on board.",
        "Fares stay",
        "A crossing costs 4 crowns. Children pay nothing.",
        "Bicycles: 1 crown",
        "Dogs: free",
        "Nothing changes for our guests.",
        "Mara Holt",
        "4 May 2031",
    ),
    (
        "cookies",
        "Accept all",
        "Sport",
        "Skip to content",
        "Share on Chirp",
        "inbox",
        "Harbour closed",
        "recipes with eel",
        "Cat found",
        "Imprint",
        "tracker",
    ),
)

HANDBOOK = Page(
    """<html><head><meta http-equiv="Content-Type" content="text/html; charset=utf-8"><title>Operator's handbook</title>
</head><body><div id="toc" class="toc"><h2>Contents</h2><ul><li><a href="#a">Engine</a></li><li><a href="#b">Limits</a>
</li></ul></div><div class="content">
<h1>Operator's handbook</h1><h2 id="a">Engine</h2>
<p>Start the engine only with the clutch open. See <a href="#b">Limits</a>.</p>
<ol><li>Open valve V2.</li><li>Wait until the lamp is green:<ul><li>at 10 °C about 40 s</li><li>below 0 °C about 90 s</li>
</ul></li><li>Press <kbd>Start</kbd>.</li></ol>
<h2 id="b">Limits</h2><table><caption>Limits by season</caption><thead><tr><th rowspan="2">Part</th>
<th colspan="2">Temperature</th></tr><tr><th>summer</th><th>winter</th></tr></thead><tbody>
<tr><td rowspan="2">Pump</td><td>80 °C</td><td>60 °C</td></tr><tr><td>85 °C</td><td>65 °C</td></tr>
<tr><th scope="row">Shaft</th><td colspan="2">95 °C</td></tr></tbody></table>
<p>Settings are in <code>limits.ini</code>:</p><pre><code>[pump]
max = 80
</code></pre><dl><dt>Overheat</dt><dd>A state above the limit.</dd></dl>
<table><tr><th>Code</th><th>Meaning</th></tr><tr><td>E1</td><td>Low oil<table><tr><th>Level</th><th>Action</th></tr>
<tr><td>1</td><td>refill</td></tr><tr><td>2</td><td>stop</td></tr></table></td></tr><tr><td>E2</td><td>No spark</td></tr>
</table><p>Price was <del>9</del> <ins>7</ins> crowns; <s>2030</s> 2031 edition.</p></div></body></html>""",
    (
        "Start the engine only with the clutch open.",
        "Open valve V2.",
        "at 10 °C about 40 s",
        "Press Start.",
        "Part: Pump; Temperature, summer: 80 °C; Temperature, winter: 60 °C",
        "Part: Pump; Temperature, summer: 85 °C; Temperature, winter: 65 °C",
        "Part: Shaft; Temperature: 95 °C",
        "max = 80",
        "A state above the limit.",
        "Code: E1; Meaning: Low oil (Level: 1; Action: refill | Level: 2; Action: stop)",
        "Code: E2; Meaning: No spark",
        "Price was 7 crowns; 2031 edition.",
    ),
    ("Contents", "Meaning: 1", "Code: Level"),
)

WIKI = Page(
    """<!DOCTYPE html><html class="client-nojs" lang="en" dir="ltr"><head><meta charset="UTF-8"/>
<title>Glass bridge - Wiki</title></head><body class="mediawiki ltr"><div id="mw-page-base" class="noprint"></div>
<div id="mw-navigation"><h2>Navigation menu</h2><div class="vector-menu"><ul><li><a href="/l">Log in</a></li></ul></div>
</div><div id="content" class="mw-body" role="main"><h1 id="firstHeading">Glass bridge</h1>
<div id="siteSub" class="noprint">From Wiki, the free encyclopedia</div><div class="mw-parser-output">
<div class="hatnote">For the song, see <a href="/wiki/Song">Glass Bridge (song)</a>.</div>
<table class="infobox"><tbody><tr><th colspan="2">Glass bridge</th></tr><tr><th scope="row">Height</th><td>40&#160;m</td>
</tr><tr><th scope="row">Opened</th><td>4 May 2031</td></tr></tbody></table>
<p>The <b>Glass bridge</b> crosses the <a href="/wiki/Elm">Elm</a>.<sup id="cite_ref-1" class="reference"><a
href="#cite_note-1">[1]</a></sup> It carries 10<sup>4</sup> people a day over an area of 3&#215;10<sup>5</sup>
m<sup>2</sup>.<sup class="noprint Inline-Template">[<i><a href="/wiki/CN">citation needed</a></i>]</sup></p>
<div id="toc" class="toc" role="navigation"><h2>Contents</h2><ul><li><a href="#History">1 History</a></li></ul></div>
<h2><span class="mw-headline" id="History">History</span><span class="mw-editsection">[<a href="/e">edit</a>]</span></h2>
<p>It was built in 2030<sup class="reference"><a href="#cite_note-2">[2]</a></sup> and glows at night.</p>
<ul class="gallery"><li>The bridge at night</li></ul>
<h2><span class="mw-headline" id="References">References</span></h2><ol class="references"><li id="cite_note-1"><span
class="mw-cite-backlink"><a href="#cite_ref-1">^</a></span> <cite>Vale, J. Bridges of Elm, 2031.</cite></li></ol>
<div class="navbox" role="navigation"><table><tr><th>Bridges</th><td><a href="/b1">Wood bridge</a> <a
href="/b2">Iron bridge</a></td></tr></table></div></div>
<div id="catlinks" class="catlinks"><a href="/c">Categories</a>: <ul><li><a href="/c1">Glass things</a></li></ul></div>
</div><div id="footer" role="contentinfo"><ul><li>This page was last edited on 5 May 2031.</li></ul></div></body></html>
""",
    (
        "Height: 40 m",
        "Opened: 4 May 2031",
        "The Glass bridge crosses the Elm.",
        "10⁴ people a day",
        "3×10⁵ m²",
        "It was built in 2030[2] and glows at night.",
        "For the song, see Glass Bridge (song).",
        "Bridges of Elm, 2031",
    ),
    ("Log in", "Navigation menu", "1 History", "[edit]", "Wood bridge", "Glass things", "last edited", "104 people"),
)

CHINESE = Page(
    """<!doctype html><html lang="zh"><head><meta charset="gb2312"><title>玻璃桥开放_榆城新闻网</title></head><body>
<div class="nav"><a href="/">首页</a><a href="/s">体育</a></div><h1>玻璃桥开放</h1>
<div class="info">2031年5月4日 来源：榆城日报</div>
<div class="article"><p>　　榆城的<strong>玻璃桥</strong>今天开放，桥高40米，面积3×10<sup>5</sup>平方米。</p>
<p>　　市长<ruby>林<rp>(</rp><rt>lín</rt><rp>)</rp></ruby><ruby>德<rp>(</rp><rt>dé</rt><rp>)</rp></ruby>出席了仪式。
门票四元。</p><table><tr><th>票种</th><th>价格</th></tr><tr><td>成人</td><td>4元</td></tr></table></div>
<div class="related"><h3>相关新闻</h3><ul><li><a href="/1">渡船换船长</a></li><li><a href="/2">港口关闭一天</a></li></ul>
</div><div class="footer">版权所有</div></body></html>""",
    (
        "榆城的玻璃桥今天开放，桥高40米，面积3×10⁵平方米。",
        "市长林德",
        "门票四元。",
        "票种: 成人; 价格: 4元",
        "榆城日报",
    ),
    ("首页", "渡船换船长", "版权所有", "林lín德", "林(lín)德"),
)

FORMULAS = Page(
    """<html><head><meta charset="utf-8"><title>Energy of the bridge</title></head><body><article><h1>Energy of the
bridge</h1><p>The area is 10<sup>2</sup> m<sup>2</sup>, so water (H<sub>2</sub>O) at 3&times;10<sup>8</sup> m s<sup>&minus;1
</sup> flows on the 1<sup>st</sup> of May.</p>
<p>Energy is <math><mi>E</mi><mo>=</mo><mi>m</mi><msup><mi>c</mi><mn>2</mn></msup></math>, and the mean is
<math display="block"><mfrac><mrow><mi>a</mi><mo>+</mo><mi>b</mi></mrow><mn>2</mn></mfrac></math> as before.</p>
<p>Length <span class="katex"><span class="katex-mathml"><math><semantics><mrow><mi>L</mi><mo>=</mo><msqrt><mn>5</mn>
</msqrt></mrow><annotation encoding="application/x-tex">L=\\sqrt{5}</annotation></semantics></math></span><span
class="katex-html" aria-hidden="true"><span>L</span><span>=</span><span>5</span></span></span> holds for
x<sub>i</sub><sup>2</sup> &lt; 4.</p><p>Inline TeX \\(a^2\\) stays. Note<sup><a href="#fn1">1</a></sup> this.</p>
<ol><li id="fn1">Measured in May.</li></ol></article></body></html>""",
    (
        "The area is 10² m², so water (H₂O) at 3×10⁸ m s⁻¹ flows on the 1st of May.",
        "Energy is E=mc², and the mean is (a+b)/2 as before.",
        "Length L=\\sqrt{5} holds for x_i² < 4.",
        "\\(a^2\\) stays.",
        "Note[1] this.",
        "Measured in May.",
    ),
    ("102", "L=5", "Note1"),
)

PAGES = {
    "article": ARTICLE,
    "handbook": HANDBOOK,
    "wiki": WIKI,
    "chinese": CHINESE,
    "formulas": FORMULAS,
}
ENCODINGS = {"chinese": "gb18030"}
"""Encodings of pages that are not UTF-8."""
