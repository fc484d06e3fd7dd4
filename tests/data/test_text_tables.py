"""Text tables as programs write them: header, delimiter, decimal mark, encoding, empty cells, booleans."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
import pytest

from softmargin.data import load_dataset, stream_dataset
from softmargin.errors import ParameterError
from tests.support.refusals import refused

NAMES = ("the first line is read as the names of the columns; --no-header reads it as a sample",)
SAMPLE = ("the first line is read as a sample; --header reads it as the names of the columns",)


def read(folder: Path, content: str | bytes, name: str = "t.csv", **options):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load_dataset(path, **options)


def lines(n: int, k: int = 3, words: str = "uvw", delimiter: str = ",", form: str = "{:.2f}") -> str:
    """Return rows of ``k`` numbers and a word, of which each occurs often."""
    X = np.random.default_rng(0).normal(size=(n, k)) * 9.0
    rows = (delimiter.join([*map(form.format, row), words[i % len(words)]]) for i, row in enumerate(X))
    return "".join(f"{row}\n" for row in rows)


# ---- header ----


@pytest.mark.parametrize(
    ("head", "body", "names", "notes"),
    [
        ("1990,2000,2010,country\n", lines(12), ("1990", "2000", "2010"), NAMES),
        ("-1,1,2,4,8,country\n", lines(12, 5), ("-1", "1", "2", "4", "8"), NAMES),
        ("kind,2.5,5,10\n", "".join(f"{'ab'[i % 2]},{i % 7},{i % 5},{i % 3}\n" for i in range(20)), None, NAMES),
        ("0,1,2,3\n", "".join(f"{i % 4},0,255,{i % 9}\n" for i in range(20)), ("0", "1", "2", "3"), NAMES),
        ("400.5,402.5,404.5,406.5\n", "1.5,2.5,0.1,7\n3,1,2,2\n", None, NAMES),
        ("weight,5,3\n", "1,2,3\n4,5,6\n", ("weight", "5", "3"), NAMES),
        ("p,q,label\n", lines(4, 2), ("p", "q"), ()),
        ("1,2,label\n", "5,6,a\n7,8,b\n", ("1", "2"), ()),
    ],
)
def test_the_first_line_is_names(tmp_path: Path, head: str, body: str, names: tuple | None, notes: tuple) -> None:
    data = read(tmp_path, head + body)
    assert data.n_samples == body.count("\n")
    assert data.feature_names == (names or tuple(c for c in head.strip().split(",") if c != "kind"))
    assert [note for note in data.notes if "first line" in note] == list(notes)
    plain = read(tmp_path, head + body, "plain.csv", header=True)
    np.testing.assert_array_equal(plain.X, data.X)


@pytest.mark.parametrize(
    ("text", "notes"),
    [
        ("5.1,3.5,1.4,u\n" + lines(12), ()),  # the label is a value of its column
        ("5.1,3.5,1.4,rare\n" + lines(12), SAMPLE),
        ("1.4,3.5,5.1,7.2,rare\n" + lines(12, 4), SAMPLE),
        ("0,1,2\n3,4,5\n6,7,8\n", ()),  # equal steps in all rows
        ("3,1,2\n1,2,3\n4,5,6\n", ()),
        ("y,1,2\nn,2,3\ny,3,4\n", ()),
        ("?,1,2,u\n7,2,3,v\n8,3,4,u\n", ()),
        ("1;2;rot\n3;4;rot\n", ()),
    ],
)
def test_the_first_line_is_a_sample(tmp_path: Path, text: str, notes: tuple) -> None:
    if text.startswith("?"):
        refused(lambda: read(tmp_path, text), "line 1, column '0'", "'?'", "missing values are not imputed")
        return
    data = read(tmp_path, text)
    assert data.n_samples == text.count("\n")
    assert data.feature_names is None
    assert [note for note in data.notes if "first line" in note] == list(notes)


def test_words_in_all_cells_are_a_sample_if_they_are_values(tmp_path: Path) -> None:
    message = refused(lambda: read(tmp_path, "n,y,n\ny,y,n\nn,n,y\n"), "must have a column of numbers")
    assert "'0', '1', '2'" in message


@pytest.mark.parametrize("header", [True, False])
def test_header_is_an_option(tmp_path: Path, header: bool) -> None:
    text = "1,2,3\n4,5,6\n7,8,9\n"
    data = read(tmp_path, text, header=header)
    assert data.X.tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]][header:]
    assert data.feature_names == (("1", "2", "3") if header else None)
    assert data.notes == ()


def test_names_that_are_asked_for_are_found(tmp_path: Path) -> None:
    text = "7,3,5\n1,2,3\n4,5,6\n"
    assert read(tmp_path, text).n_samples == 3
    data = read(tmp_path, text, columns=["5", "7"])
    assert data.feature_names == ("5", "7")
    assert data.X.tolist() == [[3, 1], [6, 4]]


# ---- delimiter, decimal mark ----


@pytest.mark.parametrize(
    ("head", "delimiter"),
    [
        ('"length, cm";"a, b, c";"mass, g, net";kind', ";"),
        ("length, cm;a, b;mass, g, net;kind", ";"),
        ('"a\tb\tc\td\te","q;r;s;t;u;v",s,kind', ","),
        ("a|b|c|kind", "|"),
        ("a b c kind", " "),
        ("  a   b\tc  kind  ", " "),
    ],
)
def test_the_delimiter_suits_all_lines(tmp_path: Path, head: str, delimiter: str) -> None:
    data = read(tmp_path, head + "\n" + lines(8, delimiter=delimiter))
    assert data.X.shape == (8, 3)
    assert data.y.tolist() == list("uvwuvwuv")


def test_aligned_columns_with_several_blanks(tmp_path: Path) -> None:
    text = "".join(f"  {i % 5:6.2f}\t\t{i % 3:8.3f}   {'xy'[i % 2]} \n" for i in range(12))
    data = read(tmp_path, "".join([*text]), "t.txt")
    assert data.X.shape == (12, 2)
    assert set(data.y) == {"x", "y"}


@pytest.mark.parametrize("delimiter", [";", "\t", "|", " "])
def test_decimal_commas_are_found(tmp_path: Path, delimiter: str) -> None:
    body = lines(9, delimiter=delimiter)
    plain = read(tmp_path, delimiter.join(["a", "b", "c", "kind"]) + "\n" + body)
    data = read(tmp_path, delimiter.join(["a", "b", "c", "kind"]) + "\n" + body.replace(".", ","))
    np.testing.assert_array_equal(data.X, plain.X)
    assert data.notes[0].startswith("the comma is read as the decimal mark (as in '")
    assert not any("comma" in note for note in plain.notes)
    forced = read(tmp_path, delimiter.join(["a", "b", "c", "kind"]) + "\n" + body.replace(".", ","), decimal=",")
    np.testing.assert_array_equal(forced.X, plain.X)
    assert not any("comma" in note for note in forced.notes)


def test_decimal_commas_in_quotes_need_the_option(tmp_path: Path) -> None:
    text = 'a,b,kind\n"1,5",2,u\n"2,25",3,v\n'
    refused(lambda: read(tmp_path, text), "line 2, column 'a'", "'1,5'", "--decimal ,")
    assert read(tmp_path, text, decimal=",").X.tolist() == [[1.5, 2], [2.25, 3]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a\tb\tkind\n1,234\t5\tu\n2,345\t6\tv\n", ["line 2, column 'a'", "'1,234'", "--decimal ,"]),
        ("a;b;kind\n1,5;2.5;u\n2,5;3.5;v\n", ["line 2, column 'a'", "'1,5'"]),
        ("a;b;kind\n1.234,5;2,5;u\n2.345,5;3,5;v\n", ["line 2, column 'a'", "'1.234,5'", "thousands"]),
        ('a,b,kind\n"1,234",2,u\n"12,345",3,v\n', ["line 2, column 'a'", "'1,234'"]),
        ("a,b,kind\n12%,2,u\n7 %,3,v\n", ["line 2, column 'a'", "'12%'", "percent"]),
        ("a,b,kind\n$5,2,u\n$7.50,3,v\n", ["line 2, column 'a'", "'$5'", "currency"]),
        ("a,b,kind\n5 €,2,u\nNA,3,v\n", ["line 2, column 'a'", "'5 €'", "currency"]),
        ("a,b,kind\nNA,2,u\n5,3,v\n", ["line 2, column 'a'", "'NA' and a number on line 3", "not imputed"]),
        ("a,b,kind\n5,2,u\nNA,3,v\n", ["line 3, column 'a'", "must hold a number, got 'NA'", "not imputed"]),
        ("a,b,kind\nTrue,2,u\n5,3,v\n", ["line 2, column 'a'", "'True' and a number on line 3"]),
    ],
)
def test_columns_that_look_like_numbers_are_not_left_out(tmp_path: Path, text: str, words: list[str]) -> None:
    refused(lambda: read(tmp_path, text), *words)
    assert read(tmp_path, text, columns=["b"], decimal="." if "2.5" in text else None).n_features == 1


def test_points_where_the_comma_is_the_decimal_mark(tmp_path: Path) -> None:
    text = "a;b;kind\n1.5;2,5;u\n2.5;3;v\n"
    refused(lambda: read(tmp_path, text, decimal=","), "line 2, column 'a'", "'1.5'", "--decimal .")
    refused(
        lambda: read(tmp_path, text.replace("1.5", "1"), decimal=","), "line 3, column 'a'", "'2.5'", "--decimal ."
    )
    late = "a;kind\n" + "1,5;u\n2,5;v\n" * 3000 + "3.5;u\n"
    refused(lambda: read(tmp_path, late), "line 6002, column 'a'", "'3.5'", "--decimal .")


def test_words_are_left_out_with_a_note(tmp_path: Path) -> None:
    data = read(tmp_path, "a,size,kind,label\n1,2 doors,x1,u\n2,4 doors,x2,v\n")
    assert data.feature_names == ("a",)
    reason = "text; to use categories, encode them as columns of 0 and 1"
    assert f"columns left out: 'size', 'kind' ({reason})" in data.notes


# ---- booleans ----


@pytest.mark.parametrize(("yes", "no"), [("True", "False"), ("true", "false"), ("TRUE", "FALSE")])
def test_booleans_are_numbers(tmp_path: Path, yes: str, no: str) -> None:
    data = read(tmp_path, f"a,town_x,town_y,label\n1.5,{yes},{no},{yes}\n2.5,{no},{no},{no}\n")
    assert data.feature_names == ("a", "town_x", "town_y")
    assert data.X.tolist() == [[1.5, 1, 0], [2.5, 0, 0]]
    assert data.y.tolist() == [1, 0]
    text = f"a,b,label\n1,{yes},u\n2,{no},v\n3,1,u\n"
    refused(lambda: read(tmp_path, text), "column 'b'", repr(yes), "a number on line 4")


def test_blanks_in_quotes_around_booleans(tmp_path: Path) -> None:
    assert read(tmp_path, 'a,b,label\n1,"true ",u\n3," False",v\n').X.tolist() == [[1, 1], [3, 0]]


def test_a_stray_word_among_booleans_of_a_late_row(tmp_path: Path) -> None:
    text = "a,b,label\n" + "1.5,true,u\n2.5,false,v\n" * 3000 + "3.5,maybe,u\n"
    refused(lambda: read(tmp_path, text), "line 6002, column 'b' must hold true or false, got 'maybe'")


# ---- empty cells ----


@pytest.mark.parametrize(
    ("head", "end", "note"),
    [
        ("a,b,label,", ",", "1 empty column passed over"),
        ("a,b,label,,", ",,", "2 empty columns passed over"),
        ("a,b,label,", "", None),
        ("a,b,label", ",,", None),
        ("a,b,label,note", ",", "1 empty column passed over ('note')"),
    ],
)
def test_empty_columns_are_passed_over(tmp_path: Path, head: str, end: str, note: str | None) -> None:
    body = "".join(f"{row}{end}\n" for row in lines(6, 2).splitlines())
    data = read(tmp_path, f"{head}\n{body}")
    assert data.feature_names == ("a", "b")
    assert data.n_samples == 6
    assert [n for n in data.notes if "empty" in n] == ([note] if note else [])


def test_rows_may_end_before_an_empty_column(tmp_path: Path) -> None:
    data = read(tmp_path, "a,b,label,note\n1,2,u,\n3,4,v\n5,6,u\n")
    assert data.X.tolist() == [[1, 2], [3, 4], [5, 6]]
    refused(lambda: read(tmp_path, "a,b,label,note\n1,2,u,\n3,4\n"), "line 3 has 2 cells; expected 4")


def test_a_column_that_is_empty_only_at_first(tmp_path: Path) -> None:
    text = "a,b,label\n" + "1.5,,u\n2.5,,v\n" * 3000 + "3.5,7,u\n"
    refused(lambda: read(tmp_path, text), "column 'b' must be empty as in the first rows", "'7' on line 6002")


@pytest.mark.parametrize("where", ["top", "middle", "end"])
def test_empty_rows_are_passed_over(tmp_path: Path, where: str) -> None:
    rows = lines(6, 2).splitlines()
    place = {"top": 0, "middle": 3, "end": 6}[where]
    text = "\n".join(["a,b,label", *rows[:place], ",,", " , ,", *rows[place:]]) + "\n"
    data = read(tmp_path, text)
    assert data.n_samples == 6
    assert f"rows of empty cells are passed over (the first is line {place + 2})" in data.notes


# ---- encodings, lines above the table, compression ----


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings_with_a_mark(tmp_path: Path, encoding: str) -> None:
    data = read(tmp_path, "größe;kind\n1;Zürich\n2;日本\n".encode(encoding))
    assert data.feature_names == ("größe",)
    assert data.y.tolist() == ["Zürich", "日本"]


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "iso8859-15", "utf-16-le"])
def test_other_encodings_are_named_and_given(tmp_path: Path, encoding: str) -> None:
    content = "a,kind\n1,Zürich\n2,Genève\n".encode(encoding)
    words = ["--encoding utf-16-le"] if encoding == "utf-16-le" else ["'Zürich'", "--encoding cp1252"]
    refused(lambda: read(tmp_path, content), "is not UTF-8 text", *words)
    assert read(tmp_path, content, encoding=encoding).y.tolist() == ["Zürich", "Genève"]
    refused(lambda: read(tmp_path, content, encoding="ascii"), "ascii")


@pytest.mark.parametrize(
    ("above", "n_notes"),
    [("\n\n", 0), ("# made by hand\n# in 2024\n\n", 1), ('"sep=,"\n', 0), ("sep=,\n# made, by, hand\n", 1)],
)
def test_lines_above_the_table(tmp_path: Path, above: str, n_notes: int) -> None:
    data = read(tmp_path, f"{above}a,b,label\n{lines(4, 2)}")
    assert data.feature_names == ("a", "b")
    assert sum("comment line" in note for note in data.notes) == n_notes
    text = f"{above}a,b,label\n1,2,u\n1,?,v\n"
    refused(lambda: read(tmp_path, text), f"line {above.count(chr(10)) + 3}, column 'b'")


def test_a_comment_may_hold_the_names(tmp_path: Path) -> None:
    data = read(tmp_path, "# made by hand\n# a,b,label\n1,2,0\n3,5,1\n")  # as numpy.savetxt writes it
    assert data.feature_names == ("a", "b")
    assert data.y.tolist() == [0, 1]
    assert read(tmp_path, "#a,b,c\na,b,label\n1,2,0\n").feature_names == ("a", "b")
    assert read(tmp_path, "#red,1\n#blue,2\n").y.tolist() == ["#red", "#blue"]  # all lines begin with "#"


@pytest.mark.parametrize("name", ["t.csv.gz", "t.tsv.gz", "T.CSV.GZ", "t.txt.gz"])
def test_gzip(tmp_path: Path, name: str) -> None:
    tabs = "tsv" in name
    text = "a,b,label\n1,2,u\n3,5,v\n".replace(",", "\t" if tabs else ",")
    packed = gzip.compress(text.encode())
    data = read(tmp_path, packed, name)
    assert (data.X.tolist(), data.name.lower()) == ([[1, 2], [3, 5]], "t")
    refused(lambda: read(tmp_path, packed[:-9], name), "damaged or not compressed by gzip")
    refused(lambda: read(tmp_path, text, name), "damaged or not compressed by gzip")
    bad = bytes([*packed[:14], packed[14] ^ 0x55, *packed[15:]])
    refused(lambda: read(tmp_path, bad, name), name)


@pytest.mark.parametrize("name", ["t.txt", "t.data", "t.tab"])
def test_other_names_of_text_tables(tmp_path: Path, name: str) -> None:
    assert read(tmp_path, "a,b,label\n1,2,u\n3,5,v\n", name).y.tolist() == ["u", "v"]


def test_a_stream_is_read_as_the_file(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("sep=;\na;b;note\n1,5;2;\n3,5;4;\n".encode("utf-16"))
    with (tmp_path / "t.csv").open("rb") as stream:
        (chunk,) = stream_dataset(stream) or ()
    assert chunk.X.tolist() == [[1.5, 2], [3.5, 4]]
    assert chunk.feature_names == ("a", "b")


def test_options_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    np.save(tmp_path / "X.npy", np.ones((2, 2)))
    for name, value in (("header", "yes"), ("decimal", ";"), ("encoding", "utf-9"), ("encoding", "base64")):
        call = lambda name=name, value=value: load_dataset(tmp_path / "t.csv", **{name: value})  # noqa: E731
        refused(call, f"{name} must be", error=ParameterError)
    for name, value in (("header", True), ("decimal", ","), ("encoding", "cp1252"), ("keep_counters", True)):
        call = lambda name=name, value=value: load_dataset(tmp_path / "X.npy", **{name: value})  # noqa: E731
        refused(call, f"{name}= is only for a", error=ParameterError)


def test_texts_are_not_separated_by_blanks(tmp_path: Path) -> None:
    (tmp_path / "w.csv").write_text("good film\nbad film\n")
    refused(lambda: load_dataset(tmp_path / "w.csv"), "must have a column of numbers", "'good film'")


def test_a_text_may_be_a_number() -> None:
    from softmargin.data.dataset import ReadOptions
    from softmargin.data.text import read_stream

    table = io.BytesIO(b"review,n,label\n5,1,u\nvery good,2,v\n")
    (chunk,) = read_stream(table, "stdin", "stdin", ReadOptions(raw="texts"))
    assert chunk.text == "review"
    assert [chunk.inputs.item(k) for k in range(2)] == ["5", "very good"]
