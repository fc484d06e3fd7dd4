"""Documents and messages are in short sentences and usual words; the documents show what is printed."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator

import click
import pytest

import softmargin as sm
from softmargin.cli import softmargin as command_line
from tests import language
from tests.language import HOLE, LONG, ROOT, TOO_LONG, Text, sentences
from tests.test_docs import blocks

TERMS = """linear probe, softmax regression, multinomial logistic regression, multiclass SVM, Crammer-Singer,
Weston-Watkins, hinge loss, squared hinge, cross-entropy, L2 penalty, regularization, weight decay,
regularization path, cross-validation, held-out, one-standard-error rule, duality gap, lower bound,
certified optimum, did not converge, tolerance, warm start, line search, L-BFGS, Newton, dual ascent,
preconditioner, augmented Lagrangian, SGD, overflow, rounding error, average, standardize, normalize, calibration,
expected calibration error, temperature scaling, confusion matrix, McNemar, confidence interval, class weight,
sample weight, intercept, embeddings, few-shot, sparse, memory-mapped, checkpoint, resume, reproducible, threads,
GPU, pipeline, ONNX, PyTorch, safetensors"""

OTHER_NAMES = {"set_fit_request", "set_score_request", "start_from_dual", "with_bias", "name_of"}
"""Public attributes that users do not call: of scikit-learn, and for solvers, records and reports."""

GUIDES = [ROOT / "README.md", *sorted((ROOT / "docs" / "guides").rglob("*.md"))]
DOCUMENTS = "\n".join(p.read_text("utf-8") for p in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))])
PHRASES = [*language.BANNED, *language.BANNED_IN_MESSAGES]
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@pytest.fixture(scope="module")
def texts() -> list[Text]:
    return list(language.texts())


@pytest.fixture(scope="module")
def found_phrases(texts: list[Text]) -> list[tuple[Text, str, str]]:
    return [offence for text in texts for offence in language.offences(text)]


# How it is written


@pytest.mark.parametrize("kind", ["README", "guides", "messages", "page"])
def test_sentences_are_short(texts, kind):
    own = [sentence for text in texts if text.kind == kind for sentence in sentences(text)]
    long = [sentence for sentence in own if sentence.n_words > LONG]
    shown = "\n".join(f"{sentence.n_words} words: {sentence}" for sentence in long)
    assert all(sentence.n_words <= TOO_LONG for sentence in long), shown
    assert len(long) <= 0.05 * len(own), shown


@pytest.mark.parametrize("name", PHRASES)
def test_no_phrase_is_banned(found_phrases, name):
    places = [f"{place}: say {instead}" for place, found, instead in found_phrases if found == name]
    assert not places, "\n".join(places)


# What can be found


@pytest.mark.parametrize("term", re.split(r",\s+", TERMS))
def test_the_usual_word_is_found(term):
    assert re.search(r"\b" + re.sub(r"[ -]", r"[\\s–-]+", term), DOCUMENTS, re.I)


def public_names() -> Iterator[str]:
    """Yield the names of the package and of what its classes have: methods, fields, documented attributes."""
    for name in sm.__all__:
        yield name
        found = getattr(sm, name)
        if not inspect.isclass(found) or issubclass(found, Exception):
            continue
        for base in found.__mro__:
            if base.__module__.startswith("softmargin."):
                own = {*vars(base), *inspect.get_annotations(base)} - OTHER_NAMES
                yield from (f"{name}.{attribute}" for attribute in sorted(own) if not attribute.startswith("_"))
        section = re.search(
            r"^Attributes\n-+\n(.*?)(?=^\S[^\n]*\n--|\Z)", inspect.getdoc(found) or "", re.S | re.M
        )
        for line in re.findall(r"^\S[^:\n]*", section[1], re.M) if section else ():
            yield from (f"{name}.{attribute}" for attribute in line.strip().split(", "))


def test_every_public_name_is_documented():
    missing = [n for n in public_names() if not re.search(rf"\b{n.rpartition('.')[2]}\b", DOCUMENTS)]
    assert not missing, "\n".join(dict.fromkeys(missing))


@pytest.mark.parametrize("verb", command_line.commands)
def test_every_option_is_documented(verb):
    options = [o for o in command_line.commands[verb].params if isinstance(o, click.Option)]
    names = {name for option in options for name in option.opts if name.startswith("--")}
    missing = [name for name in names if not re.search(re.escape(name) + r"(?![\w-])", DOCUMENTS)]
    assert not missing, missing


# What is shown


def runs(text: str) -> list[tuple[str, ...]]:
    """Return the words between what is filled in: numbers, names with dots and the like, `HOLE`."""
    found: list[list[str]] = [[]]
    for word in text.split():
        bare = word.strip(".,;:()[]'\"!?…").lower()
        if HOLE in word or re.search(r"[\d_./=]", bare):
            found.append([])
        elif re.search(r"[^\W\d_]", bare):
            found[-1].append(bare)
    return [tuple(words) for words in found if words]


def known_runs() -> set[tuple[str, ...]]:
    """Return the words that the program has for its output, each as a whole, and their plurals."""
    known = {(name.lower(),) for name in (*sm.__all__, *CIFAR10)}
    for path in (ROOT / "src").rglob("*.py"):
        for _, text, is_docstring in language.strings(ast.parse(path.read_text("utf-8"))):
            known.update(() if is_docstring else runs(text))
    return known | {(*words[:-1], words[-1] + "s") for words in known}


def not_printed(text: str, known: set[tuple[str, ...]]) -> list[str]:
    """Return the rest of each run of words that is not made of whole known ones."""
    wrong = []
    for words in runs(re.sub(r"^\$ .*$", HOLE, re.sub(r" {2,}", f" {HOLE} ", text), flags=re.M)):
        reached = {0}
        for start in range(len(words)):
            ends = range(start + 1, len(words) + 1) if start in reached else ()
            reached.update(end for end in ends if words[start:end] in known)
        if len(words) not in reached:
            wrong.append(" ".join(words[max(reached) :]))
    return wrong


def test_what_is_shown_is_what_is_printed():
    known, wrong = known_runs(), []
    for path in GUIDES:
        for block in blocks(path.read_text("utf-8")):
            if block.language in ("text", "console"):
                wrong += [f"{path.name}:{block.line}: {words}" for words in not_printed(block.text, known)]
    assert not wrong, "\n".join(wrong)


# That these tests can fail

PLANTS = {
    "README": ("README.md", "# A title\n\nA sentence. {}\n"),
    "item": ("docs/guides/a.md", "1. An item\n2. {}\n"),
    "cell": ("docs/a.md", "| a | b |\n| --- | --- |\n| c | {} |\n"),
    "CHANGELOG": ("CHANGELOG.md", "### Added\n\n- A thing.\n- {}\n"),
    "error": ("src/softmargin/a.py", 'def f(x):\n    raise ValueError(f"{{x}} is {{x:.1f}}. " "{}")\n'),
    "message": ("src/softmargin/a.py", 'say(name + f". {}")\n'),
    "filled in": ("src/softmargin/a.py", "warn(f\"{{x if x else '{}'}} more\")\n"),
    "option": ("src/softmargin/a.py", '@click.option("--x", help="{}")\ndef f():\n    pass\n'),
    "help": ("src/softmargin/a.py", '@click.command()\ndef f():\n    """Do.\n\n    {}\n    """\n'),
    "docstring": ("src/softmargin/a.py", 'x = 1\n"""Number. {}"""\n'),
    "comment": ("src/softmargin/a.py", "x = 1  # one\n# {}\n"),
    "page": ("src/softmargin/report/page/a.js", 'h("p", {{}}, `It is ${{x}}. {}`);\n'),
}


@pytest.mark.parametrize("place", PLANTS)
def test_what_is_planted_is_found(place, tmp_path):
    file, around = PLANTS[place]
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)

    def read(words: str) -> list[Text]:
        path.write_text(around.format(words), "utf-8")
        return list(language.texts(tmp_path))

    for words in ("Cats are taken for dogs.", "A pass reads one row a sample."):
        [(where, _, _)] = [offence for text in read(words) for offence in language.offences(text)]
        assert (where.path, path.read_text().splitlines()[where.line - 1].count(words)) == (file, 1)
    for n in (TOO_LONG, TOO_LONG + 1):
        assert max(s.n_words for text in read("word " * (n - 1) + "word.") for s in sentences(text)) == n


@pytest.mark.parametrize("name", PHRASES)
def test_a_phrase_is_found_by_its_name(name):
    assert name in {found for _, found, _ in language.offences(Text("messages", "a.py", 1, name))}


def test_plain_english_is_not_banned():
    text = """There is no label, there can be no gap; it is no longer read, and no larger than B. It is on the
        right-hand side of a model card by a third-party loss. Call os.walk(path), all or not at all, at all λ. One
        row per sample, one path for a fold, one without a loss. About 3 s at all levels."""
    assert language.offences(Text("messages", "a.py", 1, text)) == []


def test_sentences_are_taken_apart():
    text = """F is 1.5 (i.e. small), see Boyd, S. P.: here; there… and so on. It is the value of F. softmargin
        reads x.npy or y.npy. Does it end here? "It does." (And so on and on.) See e.g. Fig. 3 by W, J. Nocedal."""
    starts = [found.text.split()[0] for found in sentences(Text("docs", "a.md", 1, text))]
    assert starts == ["F", "It", "softmargin", "Does", "(And", "See"]
    [_, last] = sentences(Text("docs", "a.md", 7, "One two three four.\nFive six seven eight."))
    assert (last.line, last.n_words) == (8, 4)


def test_what_is_not_printed_is_seen():
    known = {("a", "fit", "of"), ("folds",), ("lower", "bound"), ("of", "which")}
    shown = "$ softmargin fit x\nlower bound  1.5 lower bound a fit of\n5 folds, a fit of x.npy."
    assert not_printed(shown, known) == []
    for wrong in ("fit of 5 folds", "lower  bound", "a fit of every 5 folds", "proved bound 1.5"):
        assert len(not_printed(wrong, known)) in (1, 2)
    assert not_printed("All fits proved to a gap of 3 were wrong.", known_runs()) != []
