"""The documents are tested: their programs, examples, commands and links run, and so do docstring examples."""

from __future__ import annotations

import doctest
import importlib
import os
import pkgutil
import re
import shlex
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import click
import numpy as np
import pytest
from scipy.optimize import minimize as scipy_minimize

import softmargin as sm
from softmargin.cli import softmargin as command_line
from softmargin.engines import Gradients
from softmargin.errors import ParameterError

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / name for name in ("README.md", "README.zh.md", "CONTRIBUTING.md", "CHANGELOG.md")]
DOCUMENTS += sorted((ROOT / "docs").rglob("*.md"))
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS

documents = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())


class Block(NamedTuple):
    line: int
    """Number of its first line in the document."""
    language: str
    file: str
    """From ``file=…`` after the language: the name of the file that the block contains."""
    skipped: bool
    """Whether ``<!-- not run: reason -->`` precedes the block."""
    text: str


def blocks(markdown: str) -> list[Block]:
    """Return the fenced blocks of a document."""
    found = []
    fence = (
        r"^(?P<not><!-- not run: \S[^\n]* -->\n+)?"
        r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```$"
    )
    for match in re.finditer(fence, markdown, re.M | re.S):
        language, *rest = match["info"].split() or [""]
        file = next((word.removeprefix("file=") for word in rest if word.startswith("file=")), "")
        line = markdown.count("\n", 0, match.start("text")) + 1
        text = re.sub(rf"^{match['indent']}", "", match["text"], flags=re.M)
        found.append(Block(line, language, file, match["not"] is not None, text))
    return found


def prose(markdown: str) -> str:
    """Return the document without its fenced blocks."""
    return re.sub(r"^( *)```.*?^\1```$", "", markdown, flags=re.M | re.S)


def load(path: Path, name: str) -> ModuleType:
    """Import a file as a module of this name."""
    spec = spec_from_file_location(name, path)
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def run_program(document: Path, folder: Path) -> ModuleType | None:
    """Write the Python blocks of a document into a folder, import them, and return the program.

    A block with ``file=`` becomes that file; all others form one program, with the line numbers of the document.
    """
    own = [b for b in blocks(document.read_text("utf-8")) if b.language == "python" and not b.skipped]
    lines: list[str] = []
    for block in own:
        if block.file:
            (folder / block.file).write_text(block.text, "utf-8")
        elif ">>>" not in block.text:
            lines += [""] * (block.line - 1 - len(lines)) + block.text.splitlines()
    if not own:
        return None
    path = folder / (re.sub(r"\W", "_", document.stem).lower() + "_program.py")
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return load(path, path.stem)


def run_examples(document: Path, space: dict[str, object]) -> int:
    """Run the ``>>>`` examples of a document in order; return their number."""
    markdown = document.read_text("utf-8")
    for block in blocks(markdown):  # keeps line numbers
        if block.skipped or (block.language not in ("python", "pycon") and ">>>" in block.text):
            markdown = markdown.replace(block.text, "\n" * block.text.count("\n"))
    markdown = re.sub(r"^ *```.*$", "", markdown, flags=re.M)  # else a closing fence is expected output
    test = doctest.DocTestParser().get_doctest(markdown, space, document.name, str(document), 0)
    if test.examples:
        report: list[str] = []
        result = doctest.DocTestRunner(optionflags=OPTIONS).run(test, out=report.append)
        assert result.failed == 0, "".join(report)
    return len(test.examples)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder from which modules can be imported during the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@documents
def test_programs_and_examples_run(document, folder):
    program = run_program(document, folder)
    n_examples = run_examples(document, {} if program is None else vars(program))
    if program is None and n_examples == 0:
        pytest.skip("nothing to run")


def modules_of_the_package() -> list[str]:
    found = [m.name for m in pkgutil.walk_packages(sm.__path__, "softmargin.", onerror=lambda name: None)]
    return ["softmargin", *(name for name in found if name != "softmargin.__main__")]


@pytest.mark.parametrize("name", modules_of_the_package())
def test_examples_in_docstrings_run(name, folder):
    for package, needs_it in (("torch", "softmargin.torch"), ("triton", "softmargin.torch.kernels")):
        if name.startswith(needs_it):
            pytest.importorskip(package, reason=f"the package {package} is not installed")
    report: list[str] = []
    for test in doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(name)):
        doctest.DocTestRunner(optionflags=OPTIONS).run(test, out=report.append)
    assert not report, "".join(report)


# Commands


class Command(NamedTuple):
    line: int
    verb: str
    arguments: list[str]
    is_synopsis: bool
    """Whether it is a pattern, with brackets or dots, rather than a command."""


def commands(markdown: str) -> list[Command]:
    """Return the command lines of softmargin in fenced and indented blocks."""
    found = []
    lines = [
        (block.line + i, line)
        for block in blocks(markdown)
        if block.language not in ("python", "pycon", "math")
        for i, line in enumerate(block.text.replace("\\\n", "  ").splitlines())
    ]
    lines += [(0, line) for line in prose(markdown).splitlines() if line.startswith("    ")]
    for number, line in lines:
        match = re.match(r"\s*(?:\$ )?(?:python -m )?softmargin ([a-z]\w*)( .*)?$", line)
        if match is None:
            continue
        rest = match[2] or ""
        if re.search(r"[\[\]…|]|\.\.\.", re.sub(r" \| .*", "", rest)):
            found.append(Command(number, match[1], re.findall(r"(?<![\w-])--?[a-z][\w-]*", rest), True))
            continue
        words = shlex.split(rest, comments=True)
        end = next((i for i, word in enumerate(words) if re.fullmatch(r"\d?[|>&;<]+.*", word)), len(words))
        found.append(Command(number, match[1], words[:end], False))
    return found


def complaint(command: Command) -> str | None:
    """Return what the command line does not accept, or None."""
    verb = command_line.commands.get(command.verb)
    if verb is None:
        return f"line {command.line}: no verb {command.verb}"
    if command.is_synopsis:
        unknown = set(command.arguments) - options_of(verb)
        return f"line {command.line}: {command.verb} has no {sorted(unknown)}" if unknown else None
    if {"-h", "--help"} & set(command.arguments):
        return None
    try:
        verb.make_context(command.verb, list(command.arguments))
    except click.UsageError as error:
        return f"line {command.line}: {error.format_message()}"
    return None


def options_of(verb: click.Command) -> set[str]:
    options = [parameter for parameter in verb.params if isinstance(parameter, click.Option)]
    return {"-h", "--help"} | {name for option in options for name in (*option.opts, *option.secondary_opts)}


@documents
def test_commands_and_options_exist(document):
    markdown = document.read_text("utf-8")
    assert [message for command in commands(markdown) if (message := complaint(command))] == []
    known = {"--version"}.union(*(options_of(verb) for verb in command_line.commands.values()))
    named = set(re.findall(r"`(--[a-z][\w-]*)", prose(markdown)))
    assert named - known == set()


def test_the_help_shows_commands_that_exist():
    assert [message for command in commands(command_line.help) if (message := complaint(command))] == []
    assert commands(command_line.help)


@pytest.mark.parametrize("verb", command_line.commands)
def test_the_help_names_every_option(verb):
    command = command_line.commands[verb]
    run = subprocess.run(
        [sys.executable, "-m", "softmargin", verb, "--help"], capture_output=True, text=True, check=True
    )
    assert {name for name in options_of(command) if name not in run.stdout} == set()


def test_the_command_line_offers_every_loss():
    """They are listed there, since importing the registry would make ``--help`` wait for Numba."""
    from softmargin.losses import LOSSES

    option = next(o for o in command_line.commands["fit"].params if "--loss" in o.opts)
    assert set(option.type.choices) == set(LOSSES)


@documents
def test_commands_on_built_in_data_run(document, tmp_path):
    """A command runs if its inputs are built in or were written by an earlier command."""
    ran = 0
    for command in commands(document.read_text("utf-8")):
        if command.is_synopsis:
            continue
        verb = command_line.commands[command.verb]
        given = verb.make_context(command.verb, list(command.arguments)).params
        inputs = [given[p.name] for p in verb.params if isinstance(p, click.Argument)]
        if given.get("labels_file") or not all(path == "digits" or (tmp_path / path).is_file() for path in inputs):
            continue
        arguments = [sys.executable, "-m", "softmargin", command.verb, *command.arguments]
        run = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True)
        assert run.returncode == 0, f"line {command.line}: {run.stderr}"
        ran += 1
    if ran == 0:
        pytest.skip("nothing to run")


BROKEN = [
    "softmargin train digits",
    "softmargin fit",
    "softmargin fit digits --los hinge",
    "softmargin fit digits --loss hing",
    "$ softmargin fit digits --reg small  # λ",
    "softmargin fit DATA [--lambda …]",
    "python -m softmargin fit digits \\\n  --colour red",
    "softmargin predict m.safetensors digits --probabilities | head",
]


@pytest.mark.parametrize("line", BROKEN)
def test_a_broken_command_is_detected(line):
    [command] = commands(f"Say:\n\n```sh\n{line}\n```\n")
    assert complaint(command)
    assert command.line == 4


def test_a_command_is_parsed():
    text = "```console\n$ softmargin predict a.safetensors 'b c' --json | head -3 > x  # note\nsoftmargin\n```\n"
    assert commands(text) == [Command(2, "predict", ["a.safetensors", "b c", "--json"], False)]
    assert commands("Try:\n\n    softmargin fit DATA [--loss …] [-o MODEL]\n") == [
        Command(0, "fit", ["--loss", "-o"], True)
    ]


def test_a_broken_example_is_detected(tmp_path):
    document = tmp_path / "page.md"
    document.write_text("Text\n\n```python\nx = 1\n```\n\n```python\n>>> x + 1\n3\n```\n", "utf-8")
    with pytest.raises(AssertionError, match="line 8"):
        run_examples(document, {"x": 1})
    document.write_text("```python\nx = 1\n```\n\n```python\n\n1 / 0\n```\n", "utf-8")
    with pytest.raises(ZeroDivisionError) as caught:
        run_program(document, tmp_path)
    assert caught.traceback[-1].lineno + 1 == 7
    document.write_text("<!-- not run: no data -->\n```python\n1 / 0\n>>> 2\n```\n", "utf-8")
    assert run_program(document, tmp_path) is None
    assert run_examples(document, {}) == 0


# Links


def anchors(markdown: str) -> set[str]:
    """Return the anchors that GitHub makes of the headings."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ +(.+?) *#*$", prose(markdown), re.M):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        found.add(next(s for s in (slug, *(f"{slug}-{i}" for i in range(1, 99))) if s not in found))
    return found


def dead_links(document: Path, markdown: str) -> list[str]:
    """Return the broken links into this repository."""
    dead = []
    text = re.sub(r"`[^`\n]*`", "", prose(markdown))
    targets = re.findall(r"\]\(<?([^)\s>]+)>?(?: \"[^\"]*\")?\)", text)
    targets += re.findall(r"^\[[^\]]+\]: *(\S+)", text, re.M)
    targets += re.findall(r"(?:src|href|srcset)=\"([^\"]+)\"", text)
    for target in targets:
        if re.match(r"[a-z][a-z+.-]*:", target):
            continue
        place, _, anchor = target.partition("#")
        path = document.parent / place if place else document
        if place and not path.exists():
            dead.append(target)
        elif anchor and path.suffix == ".md":
            there = markdown if path == document else path.read_text("utf-8")
            if anchor not in anchors(there):
                dead.append(target)
    return dead


@documents
def test_links_work(document):
    assert dead_links(document, document.read_text("utf-8")) == []


def test_a_dead_link_is_detected():
    page = ROOT / "docs" / "page.md"
    text = """# One `two`
[a](#one-two) [b](#three) [c](mathematics.md#2-the-objective) [d](mathematics.md#2) [e](nowhere.md) `[x](y)`
[f](../LICENSE) ![g](plot.png) <img src="h.svg"> [i](https://example.org/x)

[j]: ../no.md
"""
    assert dead_links(page, text) == ["#three", "mathematics.md#2", "nowhere.md", "plot.png", "../no.md", "h.svg"]


def test_documents_named_in_the_sources_exist():
    for path in sorted((ROOT / "src").rglob("*.py")):
        text = path.read_text("utf-8")
        named = re.findall(r"``?((?:docs/)[\w./-]+\.md)``?", text)
        assert [name for name in named if not (ROOT / name).exists()] == [], path
        for name, title in re.findall(r"``(docs/[\w-]+\.md)``,\s+\"([^\"]+)\"", text):
            headings = re.findall(r"^#+ (.*)$", (ROOT / name).read_text("utf-8"), re.M)
            assert any(title in heading for heading in headings), f"{path}: {name} has no section {title}"


def test_the_readme_stays_short():
    assert (ROOT / "README.md").read_text("utf-8").count("\n") <= 150


# The loss that docs/adding-a-loss.md implements


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """The module of the example, as a reader would create it."""
    [block] = [b for b in blocks((ROOT / "docs" / "adding-a-loss.md").read_text("utf-8")) if b.file]
    path = tmp_path_factory.mktemp("foreign") / "a_loss_of_yours.py"
    path.write_text(block.text, "utf-8")
    yield load(path, path.stem)
    del sys.modules[path.stem]


@pytest.fixture(scope="module")
def digits():
    return sm.load_dataset("digits")


def rows_of_scores(n_rows, n_classes, size, seed=0):
    rng = np.random.default_rng([seed, n_rows, n_classes])
    return size * rng.normal(size=(n_rows, n_classes)), rng.integers(n_classes, size=n_rows)


SHAPES = [(5, 2), (7, 3), (23, 10)]


@pytest.mark.parametrize(("n_rows", "n_classes"), SHAPES)
def test_example_gradient_and_hessian_against_differences(foreign, n_rows, n_classes):
    loss = foreign.PairwiseLogistic(0.7)
    scores, y = rows_of_scores(n_rows, n_classes, 2.0)
    gradient = loss.gradient(scores, y)
    step = 1e-5  # the error of a central difference is step²/6 times a third derivative of at most C - 1
    for j in range(n_classes):
        unit = step * np.eye(n_classes)[j]
        difference = (loss.values(scores + unit, y) - loss.values(scores - unit, y)) / (2 * step)
        np.testing.assert_allclose(gradient[:, j], difference, rtol=0, atol=1e-9 * n_classes)
        columns = (loss.gradient(scores + unit, y) - loss.gradient(scores - unit, y)) / (2 * step)
        product = loss._hessian_product(scores, y, np.broadcast_to(unit / step, scores.shape))
        np.testing.assert_allclose(product, columns, rtol=0, atol=1e-9 * n_classes)
    np.testing.assert_allclose(gradient.sum(axis=1), 0.0, atol=1e-14 * n_classes)


def test_example_values(foreign):
    loss = foreign.PairwiseLogistic(1.0)
    assert loss.values(np.zeros((1, 10)), [3])[0] == pytest.approx(9 * np.log1p(np.e), rel=1e-15)
    extreme = loss.values([[0.0, 1e4], [1e4, 0.0], [0.0, -np.inf], [45.0, 0.0]], [0, 0, 0, 0])
    np.testing.assert_allclose(extreme, [10001.0, 0.0, 0.0, np.exp(-44.0)], rtol=1e-15)
    steep = loss.gradient([[0.0, 1e4], [1e4, 0.0], [45.0, 0.0]], [0, 0, 0])
    np.testing.assert_allclose(steep[:, 1], [1.0, 0.0, np.exp(-44.0)], rtol=1e-15)


@pytest.mark.parametrize(("n_rows", "n_classes"), SHAPES)
def test_example_conjugate(foreign, n_rows, n_classes):
    """Fenchel–Young: ⟨a, s⟩ - L(s) equals L*(a) where a is the gradient at s, and never exceeds it."""
    loss = foreign.PairwiseLogistic(0.7)
    scores, y = rows_of_scores(n_rows, n_classes, 3.0)
    dual = loss.gradient(scores, y)
    best = loss._conjugate(dual, y)
    np.testing.assert_allclose((dual * scores).sum(axis=1) - loss.values(scores, y), best, rtol=1e-11, atol=1e-12)
    for seed in range(20):
        others, _ = rows_of_scores(n_rows, n_classes, 3.0, seed=seed + 1)
        assert np.all((dual * others).sum(axis=1) - loss.values(others, y) <= best + 1e-12)
    corners = np.array([[-1.0, 1.0], [0.0, 0.0]])  # t = 1 and t = 0
    np.testing.assert_array_equal(loss._conjugate(corners, np.array([0, 0])), [-0.7, 0.0])


@pytest.mark.parametrize(("size", "delta"), [(0.01, 0.7), (1.0, 0.7), (30.0, 0.7), (1e3, 1e3)])
def test_example_balance_is_feasible_and_an_upper_bound(foreign, size, delta):
    """For a large Δ the linear part of L* outweighs the rest, and the bound must be nearly exact."""
    loss = foreign.PairwiseLogistic(delta)
    for seed in range(10):
        scores, y = rows_of_scores(40, 4, size, seed)
        y[:4] = range(4)
        weights = np.random.default_rng(seed).dirichlet(np.ones(len(y)))
        dual = loss.gradient(scores, y)
        one_hot = np.eye(4)[y]
        shares, class_sums = weights @ one_hot, one_hot.T @ (weights[:, None] * dual)
        shrink, shift, bound = loss.balance(class_sums, shares, float(weights @ loss._conjugate(dual, y)))
        rows = shrink * dual + shift[y]
        np.testing.assert_allclose(weights @ rows, 0.0, atol=1e-15)
        wrong = rows[one_hot == 0.0]
        assert wrong.min() >= 0.0
        assert wrong.max() <= 1.0 + 1e-15
        exact = float(weights @ loss._conjugate(np.minimum(rows, 1.0), y))
        assert exact <= bound + 1e-14 * delta
        assert bound <= exact + 3 * np.log(2.0)  # an entropy, of three wrong classes, is all that mixing may cost
    balanced = loss.balance(np.zeros((4, 4)), shares, -0.5)
    assert (balanced.shrink, balanced.conjugate) == (1.0, -0.5)
    assert not balanced.shift.any()


def test_example_engines_agree(foreign, digits):
    """The row functions against the array methods, through the engines."""
    loss = foreign.PairwiseLogistic(0.7)
    rng = np.random.default_rng(0)
    W, V = rng.normal(size=(2, 64, 10))
    b, c = rng.normal(size=(2, 10))
    objectives = [sm.Objective(loss, digits.X, digits.y, 1e-3, engine=name) for name in ("reference", "cpu")]
    for results in zip(*(answers(objective, W, b, V, c) for objective in objectives), strict=True):
        scale = np.abs(results[0]).max()
        np.testing.assert_allclose(results[1], results[0], rtol=0, atol=1e-12 * scale)


def answers(objective, W, b, V, c):
    sums = objective._engine.dual_sums(objective.loss, W, b, Gradients(objective.loss))
    return (
        objective.value(W, b),
        *objective.value_and_grad(W, b),
        *objective.hessian_product(W, b, V, c),
        objective.certificate(W, b).lower_bound,
        *sums[:5],
    )


def independent_optimum(X, y, delta, reg):
    """Minimise the example's F with SciPy's L-BFGS, from its formula alone; return the value."""
    n_samples, n_features = X.shape
    n_classes = int(y.max()) + 1
    wrong = np.arange(n_classes) != y[:, None]

    def objective(point):
        P = point.reshape(n_features + 1, n_classes)
        scores = X @ P[:-1] + P[-1]
        u = scores - scores[np.arange(n_samples), y][:, None] + delta
        value = np.where(wrong, np.logaddexp(0.0, u), 0.0).sum() / n_samples + reg * (P[:-1] ** 2).sum()
        dual = np.where(wrong, np.exp(u - np.logaddexp(0.0, u)), 0.0)
        dual -= ~wrong * dual.sum(axis=1, keepdims=True)
        gradient = np.vstack([X.T @ dual, dual.sum(axis=0)]) / n_samples
        gradient[:-1] += 2 * reg * P[:-1]
        return value, gradient.ravel()

    start = np.zeros((n_features + 1) * n_classes)
    options = {"maxiter": 20_000, "maxfun": 20_000, "maxcor": 50, "gtol": 1e-10, "ftol": 0.0}
    return float(scipy_minimize(objective, start, jac=True, method="L-BFGS-B", options=options).fun)


@pytest.fixture(scope="module")
def optimum(digits):
    return independent_optimum(digits.X.astype(np.float64), digits.y, 1.0, 1e-3)


@pytest.mark.parametrize("engine", ["reference", "cpu"])
def test_example_certificate_encloses_an_independent_optimum(foreign, digits, optimum, engine):
    objective = sm.Objective(foreign.PairwiseLogistic(), digits.X, digits.y, reg=1e-3, engine=engine)
    fit = sm.minimize(objective, tol=1e-8)
    assert fit.converged
    assert fit.lower_bound <= optimum
    assert abs(fit.value - optimum) <= 1e-8 * optimum
    rng = np.random.default_rng(1)
    for size in (0.0, 1e-6, 1e-3, 0.1, 1.0):  # off the optimum, and off its bias most of all
        W, b = fit.W + size * rng.normal(size=fit.W.shape), fit.b + 10 * size * rng.normal(size=fit.b.shape)
        certificate = objective.certificate(W, b)
        assert certificate.lower_bound <= optimum <= certificate.value * (1.0 + 1e-12)
        assert size > 1e-6 or certificate.lower_bound >= (1.0 - 1e-3) * optimum  # a bound of 0 proves nothing


def test_example_certificate_needs_the_balance(foreign, digits, optimum):
    """Without it the bound can exceed the optimum: the tests above can fail."""
    loss = foreign.PairwiseLogistic()
    objective = sm.Objective(loss, digits.X, digits.y, reg=1e-3)
    fit = sm.minimize(objective, tol=1e-8)
    sums = objective._engine.dual_sums(loss, fit.W, 0.999 * fit.b, Gradients(loss))
    unbalanced = -sums.conjugate - (sums.features**2).sum() / (4 * objective.reg)
    assert unbalanced > (1.0 + 1e-6) * optimum
    assert objective.certificate(fit.W, 0.999 * fit.b).lower_bound <= optimum


def test_example_cannot_become_a_model_file(foreign, digits):
    classifier = sm.LinearClassifier(foreign.PairwiseLogistic(), reg=0.1, tol=1e-2).fit(digits.X, digits.y)
    with pytest.raises(ParameterError, match="PairwiseLogistic"):
        classifier.to_model(digits)


# Custom losses and the cache on disk


def test_these_tests_have_a_separate_kernel_cache():
    """See conftest.py: tests must never use a kernel compiled from older sources."""
    import numba

    folder = Path(numba.config.CACHE_DIR)
    assert folder.name.startswith("softmargin-tests-")
    assert os.environ["NUMBA_CACHE_DIR"] == str(folder)


USE_BOTH = """
import numpy as np, softmargin as sm
{imports}
X, y = np.random.default_rng(0).normal(size=(50, 4)), np.arange(50) % 3
for loss in ({losses}):
    objective = sm.Objective(loss, X, y, reg=0.1, engine="cpu")
    point = np.ones((4, 3)), np.ones(3)
    objective.value_and_grad(*point), objective.hessian_product(*point, *point), objective.certificate(*point)
"""

COUNT = """
from numba.core import event
with event.install_recorder("numba:compile") as recorder:
{program}
print(len({{e.data["dispatcher"].py_func.__name__ for _, e in recorder.buffer}} & {{{kernels}}}))
"""


def test_a_foreign_loss_leaves_the_cache_readable(foreign, tmp_path):
    """Numba's index names the types of a kernel's arguments; one that cannot be imported would spoil it."""

    def run(program, path=""):
        path = os.pathsep.join(filter(None, (path, os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": path}
        return subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)

    path = Path(foreign.__file__)
    both = USE_BOTH.format(
        imports=f"from {path.stem} import PairwiseLogistic",
        losses="PairwiseLogistic(), sm.CrossEntropy(), PairwiseLogistic()",
    )
    first = run(both, str(path.parent))
    assert first.returncode == 0, first.stderr
    indices = list(tmp_path.rglob("*.nbi"))
    for kernel in ("add_gradients", "_gradient_function", "_add_scores"):
        assert any(kernel in index.name for index in indices), f"{kernel} should be in the cache"
    ours = USE_BOTH.format(imports="", losses="sm.CrossEntropy(),")
    indented = "".join(f"    {line}\n" for line in ours.splitlines())
    kernels = "'add_gradients', '_row_gradient', '_hessian_rows', 'gradient_rows'"
    second = run(COUNT.format(program=indented, kernels=kernels))
    assert second.returncode == 0, second.stderr
    assert second.stdout.split() == ["0"], "our own kernels should come from the cache"
    assert not any(path.stem.encode() in index.read_bytes() for index in indices)
