"""The page of a report with screen readers, keyboard and touch, on small and wide screens, and in print."""

from __future__ import annotations

import base64
import itertools
import math
import re

import pytest

from softmargin.report import page, summary
from tests.support.browser import CHROMIUM, click, enter
from tests.support.hostile import hostile_report

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on the path: the page is not tried in a browser"
)

OPEN = "document.querySelectorAll('details').forEach(e => { e.open = true; })"
CONTROLS = 'a, button, select, input, summary, [tabindex="0"]'
SPOKEN = {"button", "link", "combobox", "slider", "spinbutton", "application", "image", "img", "region", "dialog"}
SPOKEN |= {"table", "heading", "navigation", "DisclosureTriangle", "columnheader", "rowheader"}


# -- screen readers ------------------------------------------------------------------------------------------


def test_a_screen_reader_gets_names_and_descriptions(browser, pages):
    browser.open(pages["hinge"])
    browser.run(OPEN)
    names: dict[str, list[str]] = {}
    for node in browser.call("Accessibility.getFullAXTree")["nodes"]:
        if not node["ignored"]:
            names.setdefault(node["role"]["value"], []).append(node.get("name", {}).get("value", ""))
    for role in SPOKEN & names.keys():
        assert "" not in names[role], f"one of {len(names[role])} of role {role} has no name"
    for role in ("button", "link", "combobox", "slider", "spinbutton", "image", "application", "rowheader"):
        assert role in names, f"nothing on the page is a {role}"
    # Charts say what they show and not only what they are about.
    charts = " ".join(names["application"])
    assert re.search(r"Hinge: \d+\.\d\s% at λ 0\.1, then \d+\.\d\s% at λ 0\.001", charts)
    assert re.search(r"355 samples; most of them, \d+, have a margin of \S+ to \S+\.", charts)
    assert re.search(r"\d+\.\d\s% of the samples are on the diagonal", charts)
    assert any("Recall" in name and name.count("%") == 10 for name in names["image"])


def test_headings_and_tables_are_in_order(browser, pages):
    browser.open(pages["cross_entropy"])
    browser.run(OPEN)
    levels = browser.run("[...document.querySelectorAll('h1, h2, h3, h4, h5')].map(e => Number(e.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels)), levels
    astray = """[...document.querySelectorAll('table')].filter(e => !e.caption
        || [...e.tHead.rows[0].cells].some(c => c.scope !== 'col' || !c.textContent)
        || [...e.tBodies[0].rows].some(r => r.cells[0].scope !== 'row')).map(e => e.outerHTML.slice(0, 300))"""
    assert browser.run(astray) == []
    assert browser.run("document.querySelectorAll('table').length") > 10


def test_what_changes_is_said_and_not_too_much_of_it(browser, pages):
    browser.open(pages["hinge"])
    assert browser.run("document.querySelectorAll('[aria-live] table').length") == 0
    assert browser.run("document.querySelectorAll('nav [aria-current=true]').length") == 1
    # A slider says what its value means: this one holds the logarithm of λ.
    enter(browser, "#laboratory input[type=range]", 4, -2)
    assert browser.run("document.querySelectorAll('#laboratory input[type=range]')[4].ariaValueText") == "0.01"
    # The heading of a choice stays and is told; a heading that is new would not be.
    heading = "document.querySelector('#worst .detail h3[aria-live=polite]')"
    browser.run(f"window.heading = {heading}")
    click(browser, "#worst .strip button:nth-child(2)")
    assert browser.run(f"window.heading === {heading}")
    live = "document.getElementById('lab-plane').ariaLive"
    click(browser, "#laboratory button", "Run")
    assert browser.run(live) == "off"  # it changes sixteen times a second
    click(browser, "#laboratory button", "Pause")
    assert browser.run(live) == "polite"


# -- keyboard and touch --------------------------------------------------------------------------------------


def test_the_keyboard_reaches_everything_and_shows_where_it_is(browser, pages):
    browser.open(pages["hinge"])
    watch = """(() => {
        window.reached = new Set();
        window.lost = [];
        document.addEventListener('focusin', ({ target }) => {
            const style = getComputedStyle(target), box = target.getBoundingClientRect();
            const drawn = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
            reached.add(target);
            if (!drawn || box.bottom < 0 || box.top > innerHeight) lost.push(target.outerHTML.slice(0, 200));
        });
        window.controls = [...document.querySelectorAll('CONTROLS')].filter(e => e.checkVisibility());
        return controls.length; })()"""
    wanted = browser.run(watch.replace("CONTROLS", CONTROLS))
    assert wanted > 100
    for _ in range(wanted + 2):
        browser.press("Tab")
    assert browser.run("controls.filter(e => !reached.has(e)).map(e => e.outerHTML.slice(0, 200))") == []
    assert browser.run("lost") == []


def test_a_finger_on_the_plane_drags_a_point_or_scrolls_the_page(browser, pages):
    browser.open(pages["hinge"], 400, 800)
    browser.call("Emulation.setTouchEmulationEnabled", enabled=True)
    place = """(() => { const c = [...document.querySelectorAll('#laboratory canvas')].pop();
        c.scrollIntoView({block: 'center', behavior: 'instant'});
        const r = c.getBoundingClientRect(); return [r.width, r.left, r.top]; })()"""
    state = "[scrollY, document.querySelector('#laboratory .readout').textContent]"
    for (u, v), drags in (((0.5, 0.4), True), ((0.9, 0.9), False)):
        side, left, top = browser.run(place)
        before = browser.run(state)
        x, y = left + (u + 1) / 2 * side, top + (1 - v) / 2 * side
        browser.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
        for down in (40, 80, 120):
            browser.call("Input.dispatchTouchEvent", type="touchMove", touchPoints=[{"x": x, "y": y + down}])
        browser.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        browser.run("new Promise(done => setTimeout(done, 300))")
        after = browser.run(state)
        assert (after[0] == before[0]) is drags
        assert (after[1] != before[1]) is drags
    browser.call("Emulation.setTouchEmulationEnabled", enabled=False)


# -- sight ---------------------------------------------------------------------------------------------------

# The texts that stand out from what they stand on by less than 4.5 to 1 (WCAG 2.2, 1.4.3), and how many were seen.
FAINT = """(() => {
    const parse = (color) => color.match(/[\\d.]+/g).map(Number);
    const linear = (c) => (c <= 10 ? c / 3295 : ((c / 255 + 0.055) / 1.055) ** 2.4);
    const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
    const ground = (e) => {
        for (; e; e = e.parentElement) {
            const color = parse(getComputedStyle(e).backgroundColor);
            if (color.length === 3 || color[3] === 1) return color;
        }
        return [255, 255, 255];
    };
    const faint = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    let seen = 0;
    for (let node; (node = walker.nextNode());) {
        const e = node.parentElement;
        if (!node.data.trim() || !e.checkVisibility() || e.closest('.unseen, script')) continue;
        const style = getComputedStyle(e);
        const inks = [parse(e.closest('svg') ? style.fill : style.color), ground(e)];
        const [dim, bright] = inks.map(light).sort((a, b) => a - b);
        const ratio = (bright + 0.05) / (dim + 0.05);
        seen += 1;
        if (ratio < 4.5) faint.push([node.data.slice(0, 40), e.getAttribute('class'), ratio]);
    }
    return [faint, seen]; })()"""

# What lies beyond the left or right edge of the page and cannot be scrolled to.
CUT = """(width => [...document.querySelectorAll('main *, header *, footer *')].filter(e => {
    const inside = e.parentElement.closest('.scroll, .unseen');
    const box = e.getBoundingClientRect();
    return e.checkVisibility() && !inside && !e.matches('.unseen') && box.width > 0
        && (box.left < -0.5 || box.right > width + 0.5);
    }).map(e => e.outerHTML.slice(0, 200)))"""


@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out_from_its_ground(dark, browser, pages):
    browser.open(pages["hinge"], dark=dark)
    browser.run(OPEN)
    faint, seen = browser.run(FAINT)
    assert faint == []
    assert seen > 1000


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [320, 400, 2560])
def test_nothing_is_cut_at_any_width(width, dark, browser, pages):
    browser.open(pages["hinge"], width, dark=dark)
    browser.run(OPEN)
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run(f"{CUT}({width})") == []
    # The laboratory needs no scrolling to the side, but for the written-out terms at 320.
    wider = "[...document.querySelectorAll('#laboratory .scroll')].map(e => e.scrollWidth > e.clientWidth)"
    assert sum(browser.run(wider)) <= (width == 320)
    cut_words = (
        "[...document.querySelectorAll('.lab-loss data, .big-name')].every(e => e.getClientRects().length === 1)"
    )
    assert browser.run(cut_words)


def test_many_classes_of_long_names_fit_everywhere(browser, tmp_path):
    report = hostile_report()
    file = tmp_path / "many.html"
    file.write_bytes(b"".join(page(report, summary(report))))
    assert len(report.classes) > 100
    for width in (320, 2560):
        browser.open(file, width)
        browser.run(OPEN)
        assert browser.run("document.documentElement.scrollWidth") <= width
        assert browser.run(f"{CUT}({width})") == []
    # No chart is higher than a page of paper, where it would be cut in two.
    browser.run("dispatchEvent(new Event('beforeprint'))")
    highest = "Math.max(...[...document.querySelectorAll('svg')].map(e => e.clientHeight))"
    assert 500 < browser.run(highest) < 269 / 25.4 * 96
    browser.run("dispatchEvent(new Event('afterprint'))")


# -- print ---------------------------------------------------------------------------------------------------

FREEZABLE = """window.ResizeObserver = class extends ResizeObserver {
    constructor(call) { super((...given) => { if (!window.frozen) call(...given); }); } };"""
CONTROLS_ON_PAPER = "select, input, summary, nav, output, dialog, .tabs, #laboratory"
SHORTER_THAN_ITS_CONTENT = """[...document.querySelectorAll('main *')].filter(e => e.checkVisibility()
    && e.matches('div, section, figure') && getComputedStyle(e).overflowY !== 'visible'
    && e.scrollHeight > e.clientHeight + 1).map(e => e.outerHTML.slice(0, 200))"""
DARKEST_LABEL = """(() => {
    const c = document.querySelector('#confusion canvas');
    const { data } = c.getContext('2d').getImageData(0, 0, 14, c.height);
    return Math.min(...[...data.keys()].filter(i => i % 4 === 3 && data[i] > 200).map(i => data[i - 1])); })()"""


@pytest.mark.parametrize("screen", [1280, 400])
def test_on_paper_everything_is_there_and_nothing_to_press(screen, browser, pages):
    """A browser that prints tells the page so and lays it out anew; no observer is asked in between."""
    added = browser.call("Page.addScriptToEvaluateOnNewDocument", source=FREEZABLE)
    browser.open(pages["hinge"], screen, dark=True)
    browser.call("Page.removeScriptToEvaluateOnNewDocument", **added)
    shown = browser.run(DARKEST_LABEL)
    browser.run("window.frozen = true; scrollTo(0, 900); dispatchEvent(new Event('beforeprint'))")
    dark = {"name": "prefers-color-scheme", "value": "dark"}
    browser.call("Emulation.setEmulatedMedia", media="print", features=[dark])
    width = math.floor(182 / 25.4 * 96)  # A4 less its margins
    size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    browser.call("Emulation.setDeviceMetricsOverride", **size)
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run(f"{CUT}({width})") == []
    assert browser.run(SHORTER_THAN_ITS_CONTENT) == []
    assert browser.run("[...document.querySelectorAll('.matrix canvas')].every(e => e.clientWidth > 250)")
    # Charts are drawn anew for the paper and not shrunk to it.
    charts = "[...document.querySelectorAll('svg')].filter(e => e.checkVisibility())"
    assert browser.run(f"{charts}.filter(e => e.clientWidth < e.viewBox.baseVal.width - 1).length") == 0
    assert browser.run(f"Math.max(...{charts}.map(e => e.clientWidth))") > 600
    there = f"[...document.querySelectorAll({CONTROLS_ON_PAPER!r})].filter(e => e.checkVisibility()).length"
    assert browser.run(there) == 0
    assert "softmargin fit" in browser.run("document.querySelector('#accuracy pre').innerText")
    faint, _ = browser.run(FAINT)
    assert faint == []
    assert shown > 150  # on the dark screen the names beside a matrix are bright ...
    assert browser.run(DARKEST_LABEL) < 100  # ... and on paper they are not
    browser.run("window.frozen = false; dispatchEvent(new Event('afterprint'))")
    browser.call("Emulation.setEmulatedMedia", media="", features=[dark])
    assert browser.run("document.documentElement.className") == ""
    assert not browser.run("document.querySelector('.reproduce').open")
    assert browser.run(DARKEST_LABEL) == shown


def test_it_prints(browser, pages):
    browser.open(pages["hinge"], dark=True)
    answer = browser.call("Page.printToPDF", preferCSSPageSize=True, printBackground=False)
    sheets = re.findall(rb"/Type\s*/Page\b", base64.b64decode(answer["data"]))
    assert 8 <= len(sheets) <= 20
    assert browser.run("document.documentElement.className") == ""
