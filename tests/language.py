"""The English of the documents and sources, split into sentences and measured.

``python -m tests.language [--list]`` prints the length of the sentences; ``--list`` also prints every sentence of
more than 25 words and every banned phrase, with file and line.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
LONG, TOO_LONG = 25, 30
"""A sentence of more words is counted, or refused."""

HOLE = "\0"
"""Stands in a text for what a program fills in."""

# Phrases

_UNIT = (
    "(?:row|line|sample|class|fold|epoch|step|pass|column|feature|pixel|loss|block|thread|core|process|file|second"
    "|chunk|command|verb|pair|point|entry|package|format|module)"
)
_COUNTED = rf"(?:{_UNIT}e?s?|\w*bytes?|bits?|images?|labels?|numbers?|names?|objects?|operations?|weights?)"
_NOT_COUNTED = (
    r"(?:of|in|for|to|with|without|by|as|from|on|at|and|or|than|not|per|into|over|that|but|if|where|when)\b"
)
_IS = "(?:is|are|was|were|be)"
_MORE = (
    "(?:more|less|worse|(?:long|small|larg|great|high|low|fast|slow|bett|few|quick|hard|easi|strong|weak|clos)er)"
)

_WORDS = {
    "said": "reported, printed, stated", "nobody": "no one", "whoever": "users who", "whatever": "any",
    "wherever": "where", "nowhere": "not … anywhere", "for nothing": "without effect", "so many": "this many",
    "looked at": "used, read, evaluated", "taken for": "predicted as, confused with, used as", "anew": "again",
    "the price of": "the cost of", "once more": "again", "no valid": "not a valid", "no sense": "is invalid",
    "says so": "warns, states that …", "say so": "warn, state that …", "asked for": "requested",
    "asked of": "requested", "know nothing": "do not contain", "knows nothing": "does not contain",
    "of your own": "custom", "of one's own": "custom", "by chance": "randomly", "more than chance": "significant",
    "is noise": "is not significantly different", "are noise": "are not significantly different",
    "house": "project", "room": "space, memory", "door": "interface", "stranger": "foreign",
    "a package more": "extras", "gradient was taken": "at the last evaluated point",
    "how soon it is": "time to optimum", "what is not there yet": "limitations", "no way up": "point downwards",
    "worth a thought": "pays off", "nothing to speak of": "is negligible", "not seen before": "new",
}  # fmt: skip
_IN_MESSAGES = {
    "but it is": ", got …", "is used up": "reached max_passes=…", "improves the value": "line search failed",
    "the range of numbers": "overflowed", "do not fit together": "are inconsistent", "cannot serve": "is invalid",
    "be a loss itself": "be an instance", "margins, not prob": "is available only for …", "none, but": "none",
    "what cannot be a model": "invalid model file: …", "what is right": "accuracy", "leave the class out": "drop",
}  # fmt: skip
_PATTERNS = {
    "one row a sample": (
        rf"\b(?:one (?:\w+ of )?(?!{_NOT_COUNTED})\w+(?<!s)|(?:one|an?|two|\d+|some|few) (?:\w+ of )?{_COUNTED})"
        rf" an? {_UNIT}\b",
        "one row per sample",
    ),
    "is no number": (
        rf"(?<!there )(?<!there can )(?<!there may )\b{_IS} no (?!{_MORE}\b|one\b)",
        "is not a (valid) number",
    ),
    "3 s, about": (r", about(?= *(?:[.;:)]|$))", "about 3 s"),
    "plays no part": (r"\bplay(?:s|ed)? no part\b", "is ignored, is not used"),
    "at all": (r"(?<!not )\bat all\b(?! (?:the|these|other|λ|\w{3,}s)\b)", "(leave it out)"),
    "is right": (
        rf"\b(?:{_IS}|has|have|had)(?: all| them| it| not| both| always)* right\b(?![- ](?:hand|of|side|to)\b)",
        "is correct, classifies correctly",
    ),
    "is in the way": (rf"\b(?:{_IS}|stands?|gets?) in the way\b", "prevents; name the cause"),
    "walk": (r"(?<![.\w])walk(?:s|ed|ing|ers?)?\b(?!\()", "pass, path, search; iterate"),
    "party": (r"(?<!third[- ])\bpart(?:y|ies)\b", "name them: threads, folds, …"),
    "card": (r"(?<!model )(?<!graphics )\bcards?\b", "metadata; panel"),
    "read on": (r"^read on$", "documentation"),
}
BANNED = _PATTERNS | {words: (rf"\b{words}s?\b", instead) for words, instead in _WORDS.items()}
"""What is no standard English of this field, each with its pattern and what to write in its place."""
BANNED_IN_MESSAGES = {words: (rf"\b{words}", instead) for words, instead in _IN_MESSAGES.items()}


# Texts


class Text(NamedTuple):
    """A paragraph, heading, item or cell, on lines as in its file; or a sentence of one.

    Its kind is README, guides, docs, CONTRIBUTING, CHANGELOG, docstrings, comments, page (scripts of the report)
    or messages (all other texts in the code that contain words).
    """

    kind: str
    path: str
    line: int
    text: str

    @property
    def n_words(self) -> int:
        return sum(any(c.isalnum() for c in word) for word in self.text.replace(HOLE, "X").split())

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {' '.join(self.text.replace(HOLE, '…').split())}"


def _without(pattern: str, text: str, instead: str = "") -> str:
    """Replace what matches, and keep its lines."""
    return re.sub(pattern, lambda match: instead + "\n" * match[0].count("\n"), text, flags=re.M | re.S)


def plain(text: str) -> str:
    """Replace code, formulas, links and markup, and keep the lines."""
    text = _without(r"(?::\w+:)?(`{1,2})[^`]+\1|\$(?=\S)[^$]+\$", text, "CODE")
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return _without(r"<!?/?[a-zA-Z-][^<>]*>|\*\*|(?<!\w)[*_]|[*_](?!\w)|\\b\b|https?:\S+", text)


def paragraphs(text: str, line: int = 1, *, markdown: bool = False) -> Iterator[tuple[int, str]]:
    """Yield what stands by itself in Markdown or a docstring, with its line."""
    start, found, indent = line, [], 0
    for number, row in enumerate([*text.split("\n"), ""], line):
        bare = row.strip()
        depth = len(row) - len(row.lstrip())
        item = re.match(r"(?:[-*+]|\d+[.)])\s+", bare)
        alone = bare.startswith(("|", "#", ">>>", "...")) or not bare or set(bare) <= set("-=~`: ")
        if found and (alone or item or (not markdown and depth != indent)):
            yield start, plain("\n".join(found))
            found = []
        if alone:
            for cell in bare.split("|") if bare[:1] in ("|", "#") else []:
                yield number, plain(cell.strip("# "))
            continue
        if not found:
            start, indent = number, depth + (len(item[0]) if item else 0)
        found.append(bare[len(item[0]) :] if item else bare)


def _markdown(text: str) -> Iterator[tuple[int, str]]:
    text = _without(r"^( *)```.*?^\1```$|<!--.*?-->|^\[[^\]]+\]: [^\n]*$", text)
    text = _without(r"^:{3,}(?:\{[\w-]+\})?|^:[\w-]+: [^\n]*$", text)  # directives of the site and their options
    yield from paragraphs(_without(r"(?<=\n\n)    [^\n]+(?:\n    [^\n]+)*", text), markdown=True)


def strings(tree: ast.AST) -> Iterator[tuple[int, str, bool]]:
    """Yield every string of a module, with its line and whether it is a docstring; what is filled in is `HOLE`."""
    nodes = list(ast.walk(tree))
    docstrings = {node.value for node in nodes if isinstance(node, ast.Expr)}
    parts = {part for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            words = [part.value if isinstance(part, ast.Constant) else HOLE for part in node.values]
            yield node.lineno, "".join(words), False
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in parts:
            yield node.lineno, node.value, node in docstrings


def _python(text: str) -> Iterator[tuple[str, int, str]]:
    tree = ast.parse(text)
    commands = {
        node.body[0].lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and re.search(r"\.(?:command|group)\(", " ".join(map(ast.unparse, node.decorator_list)))
    }
    for line, string, is_doc in strings(tree):
        if is_doc:
            kind = "messages" if line in commands else "docstrings"
            yield from ((kind, *found) for found in paragraphs(string, line))
        elif re.search(r"[a-z]{2}\W* [a-z]{2}", string, re.I):
            string = re.sub(r"<style>.*|<script.*", "", string)
            yield "messages", line, plain(re.sub(r"\s*\n\s*", " ", string))
    rows = [""] * (text.count("\n") + 1)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and not re.match(r"# (?:type|noqa|fmt|pragma|ruff)\b", token.string):
            words, line = token.string.lstrip("#: "), token.start[0]
            if token.line.lstrip().startswith("#"):
                rows[line - 1] = words
            else:
                yield from (("comments", *found) for found in paragraphs(words, line))
    yield from (("comments", *found) for found in paragraphs("\n".join(rows)))


def _script(text: str) -> Iterator[tuple[int, str]]:
    """Yield the texts and comments of JavaScript; what is filled in is `HOLE`."""
    token = r"//[^\n]*|/\*.*?\*/|\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`"
    for match in re.finditer(token, text, re.S):
        words = re.sub(r"\$\{[^{}]*\}", HOLE, match[0])
        is_class = re.search(r"(?:class|style)\W*$|querySelector(?:All)?\($", text[: match.start()][-20:])
        if not is_class and re.search(r"[a-z]{2}\W* [a-z]{2}", words, re.I):
            words = words.strip("/*\"'` ").replace("\\u00a0", " ")
            yield text.count("\n", 0, match.start()) + 1, plain(words)


def texts(root: Path = ROOT) -> Iterator[Text]:
    """Yield all that is written in English in the documents and sources of the project."""
    for path in sorted([*root.glob("*.md"), *(root / "docs").rglob("*.md"), *(root / "src").rglob("*.*")]):
        name = path.relative_to(root).as_posix()
        if path.suffix == ".md":
            kind = "guides" if name.startswith("docs/guides/") else "docs" if "/" in name else path.stem
            found = ((kind, line, text) for line, text in _markdown(path.read_text("utf-8")))
        elif path.suffix == ".py":
            found = _python(path.read_text("utf-8"))
        elif path.suffix == ".js":
            found = (("page", line, text) for line, text in _script(path.read_text("utf-8")))
        else:
            continue
        yield from (Text(kind, name, line, text) for kind, line, text in found if re.search(r"\w", text))


_SHORT = "".join(rf"(?<!\b{name})" for name in (r"e\.g", r"i\.e", "cf", "vs", "etc", "Eq", "Fig", "Sec", "al"))
_INITIALS = r"(?<!^[A-Z])(?<!, [A-Z])(?<!\. [A-Z])(?<!& [A-Z])(?<!\.\.)"
_END = re.compile(_SHORT + _INITIALS + r"[.!?][\"')\]”]*\s+(?=\S)|(?:…|\.\.\.)\s+(?=[A-Z])")


def sentences(text: Text) -> list[Text]:
    """Take a text apart; a number, abbreviation, initial, colon or semicolon does not end a sentence.

    Headings and cells of less than four words are none.
    """
    found, start = [], 0
    for end in [*(match.end() for match in _END.finditer(text.text)), len(text.text)]:
        line = text.line + text.text.count("\n", 0, start)
        found.append(text._replace(line=line, text=text.text[start:end].strip()))
        start = end
    return [sentence for sentence in found if sentence.n_words >= 4]


def offences(text: Text) -> list[tuple[Text, str, str]]:
    """Return the banned phrases in a text: where each is, its name and what to say."""
    found = []
    flat = re.sub(r"\s", " ", text.text)
    for name, (pattern, instead) in (BANNED | BANNED_IN_MESSAGES if text.kind == "messages" else BANNED).items():
        for match in re.finditer(pattern, flat, re.I):
            line = text.line + text.text.count("\n", 0, match.start())
            around = flat[max(0, match.start() - 30) : match.end() + 30]
            found.append((text._replace(line=line, text=around), name, instead))
    return found


def main() -> None:
    groups: dict[str, list[Text]] = {}
    found = list(texts())
    for text in found:
        name = text.path if text.path.endswith(".md") else text.kind
        groups.setdefault(name, []).extend(sentences(text))
    print(f"{'':30} {'words':>7} {'sentences':>9} {'longest':>7} {'> 25':>6} {'> 30':>5}")
    for name, own in groups.items():
        lengths = [sentence.n_words for sentence in own]
        share, n_too_long = sum(n > LONG for n in lengths) / len(own), sum(n > TOO_LONG for n in lengths)
        print(f"{name:30} {sum(lengths):7,} {len(own):9,} {max(lengths):7} {share:6.1%} {n_too_long:5}")
    if "--list" in sys.argv:
        for sentence in (s for own in groups.values() for s in own if s.n_words > LONG):
            print(f"{sentence.kind}: {sentence.n_words} words: {sentence}")
        for place, name, instead in (offence for text in found for offence in offences(text)):
            print(f"{place.kind}: {name!r}, say {instead!r}: {place}")


if __name__ == "__main__":
    main()
