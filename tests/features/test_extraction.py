"""Features of pictures and texts: computed once, cached, rounded, and the same for any order."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from softmargin import load_dataset
from softmargin.data.extraction import eight_bit
from softmargin.data.images import PixelPictures
from softmargin.data.inputs import Texts, joined
from softmargin.errors import DataError, SoftmarginError
from softmargin.features import cache as caches
from softmargin.features.base import rounded
from softmargin.io.safetensors import encode
from tests.support.extractors import Centred, Lengths, Means, save_pictures
from tests.support.refusals import refused


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache, and no counted calls."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SOFTMARGIN_CACHE_DIR", str(folder))
    Means.calls.clear()
    return folder


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.safetensors"))


def test_features_of_a_folder_are_computed_once(tmp_path, cache):
    pictures = save_pictures(tmp_path / "p", 5)
    first = load_dataset(pictures, features=Means())
    expected = [
        np.asarray(Image.open(pictures / name), dtype=float).mean(axis=1).reshape(-1) for name in first.ids
    ]
    np.testing.assert_array_equal(first.X, np.array(expected, dtype=np.float16))
    assert first.X.dtype == np.float16
    assert len(Means.calls) == 10
    again = load_dataset(pictures, features=Means())
    np.testing.assert_array_equal(again.X, first.X)
    assert len(Means.calls) == 10
    assert any("10 of 10 samples" in note for note in again.notes)
    save_pictures(tmp_path / "p", 7)  # the first five of each class stay the same
    more = load_dataset(pictures, features=Means())
    assert more.n_samples == 14
    assert len(Means.calls) < 10 + 14


def test_another_parameter_or_version_is_computed_again(tmp_path, monkeypatch):
    pictures = save_pictures(tmp_path / "p", 2)
    load_dataset(pictures, features=Means())
    doubled = load_dataset(pictures, features=Means(2.0))
    assert len(Means.calls) == 8
    monkeypatch.setattr(Means, "version", 2)
    load_dataset(pictures, features=Means())
    assert len(Means.calls) == 12
    monkeypatch.setattr(Means, "runtime", lambda self: "numpy 9")
    load_dataset(pictures, features=Means())
    assert len(Means.calls) == 16
    assert (doubled.X > load_dataset(pictures, features=Means()).X).all()


def test_without_the_cache_nothing_is_read_or_written(tmp_path, cache):
    pictures = save_pictures(tmp_path / "p", 2)
    for _ in range(2):
        load_dataset(pictures, features=Means(), cache=False)
    assert len(Means.calls) == 8
    assert not cache.exists()


@pytest.mark.parametrize("extractor", [Means, Centred])
def test_bits_do_not_depend_on_order_threads_or_cache(extractor, tmp_path):
    pictures = save_pictures(tmp_path / "p", 6)
    paths = sorted(str(path) for path in pictures.rglob("*.png"))
    made = extractor().fit(paths)
    expected = made.transform(paths)
    shuffled = np.random.default_rng(0).permutation(len(paths))
    other = extractor().fit([paths[k] for k in shuffled])
    np.testing.assert_array_equal(other.transform([paths[k] for k in shuffled]), expected[shuffled])
    for n_workers in (1, 2):
        for use_cache in (False, True, True):
            data = load_dataset(pictures, features=extractor(), n_workers=n_workers, cache=use_cache)
            order = [paths.index(str(pictures / name)) for name in data.ids]
            np.testing.assert_array_equal(data.X, expected[order])


def test_what_is_learned_comes_from_the_training_part_alone(tmp_path):
    save_pictures(tmp_path / "p/train", 4)
    save_pictures(tmp_path / "p/test", 3, seed=1)
    data = load_dataset(tmp_path / "p", features=Centred())
    np.testing.assert_allclose(data.X.astype(float).mean(axis=0), 0.0, atol=0.02)
    assert np.abs(data.test.X.astype(float).mean(axis=0)).max() > 0.02
    n = len(Means.calls)
    load_dataset(tmp_path / "p", features=Centred())  # neither learned nor computed again
    assert len(Means.calls) == n


def test_equal_samples_are_computed_once():
    extractor = Means()
    picture = np.full((4, 4, 3), 7, np.uint8)
    X = extractor.transform([picture, picture, picture + np.uint8(1)])
    assert len(Means.calls) == 2
    np.testing.assert_array_equal(X[0], X[1])
    assert (X[2] == X[0] + 1).all()


def test_rounding_keeps_what_float16_cannot_hold():
    assert rounded(np.array([1.0, 65504.0]), "x").dtype == np.float16
    wide = rounded(np.array([1.0 + 2.0**-20, 65536.0]), "x")
    assert wide.dtype == np.float32
    np.testing.assert_array_equal(wide, np.array([1.0 + 2.0**-20, 65536.0], np.float32))
    for wrong in (np.nan, np.inf, -np.inf, 1e300):
        with np.errstate(over="ignore"):
            refused(lambda wrong=wrong: rounded(np.array([0.0, wrong]), "Image a.png"), "a.png", "finite features")


def test_a_row_does_not_depend_on_wide_rows_beside_it(tmp_path):
    pictures = [np.full((2, 2, 3), level, np.uint8) for level in (1, 200)]
    X = Means(1.0 / 3.0).transform(pictures)
    wide = Means(1000.0 / 3.0).transform(pictures)
    assert (X.dtype, wide.dtype) == (np.float16, np.float32)
    np.testing.assert_array_equal(wide[0], Means(1000.0 / 3.0).transform(pictures[:1])[0])


def test_cached_wide_and_narrow_rows_together(tmp_path):
    pictures = tmp_path / "p"
    for name, level in (("a/1", 1), ("a/2", 250), ("b/1", 3)):
        (pictures / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((2, 2, 3), level, np.uint8)).save(pictures / f"{name}.png")
    first, second = (load_dataset(pictures, features=Means(1000.0)) for _ in range(2))
    assert len(Means.calls) == 3
    assert first.X.dtype == second.X.dtype == np.float32
    np.testing.assert_array_equal(first.X, second.X)


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "text"])
def test_a_damaged_cache_file_is_replaced(damage, tmp_path, cache):
    pictures = save_pictures(tmp_path / "p", 3)
    expected = load_dataset(pictures, features=Means()).X
    [file] = files(cache)
    content = bytearray(file.read_bytes())
    if damage == "flip":
        content[-1] ^= 1
    damaged = {"cut": content[:-7], "flip": content, "empty": b"", "text": b"not a cache file at all"}[damage]
    file.write_bytes(bytes(damaged))
    np.testing.assert_array_equal(load_dataset(pictures, features=Means()).X, expected)
    assert len(Means.calls) == 12
    np.testing.assert_array_equal(load_dataset(pictures, features=Means()).X, expected)
    assert len(Means.calls) == 12


def test_a_cache_that_cannot_be_written_is_a_note(tmp_path, cache, monkeypatch):
    def full(path, pieces):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(caches, "write_atomically", full)
    data = load_dataset(save_pictures(tmp_path / "p", 2), features=Means())
    assert any("not cached" in note for note in data.notes)


def test_the_files_used_least_recently_are_removed_first(tmp_path, cache, monkeypatch):
    pictures = save_pictures(tmp_path / "p", 3)
    for factor in (1.0, 2.0, 3.0):
        load_dataset(pictures, features=Means(factor))
        for age, file in enumerate(sorted(files(cache), key=lambda f: f.stat().st_mtime)):
            os.utime(file, (age + 1.0, age + 1.0))
    oldest, *_ = sorted(files(cache), key=lambda f: f.stat().st_mtime)
    os.utime(oldest, (9.0, 9.0))
    monkeypatch.setattr(caches, "LIMIT", 3 * oldest.stat().st_size)
    load_dataset(pictures, features=Means(4.0))
    assert oldest.exists()
    assert len(files(cache)) == 3
    monkeypatch.setattr(caches, "LIMIT", 0)
    load_dataset(pictures, features=Means(5.0))
    assert len(files(cache)) == 1  # what was written in this run stays


CHILD = """
import sys, time
from pathlib import Path
import softmargin.features.base as base
from softmargin import load_dataset
from tests.support.extractors import Means

base._SAVE_EVERY = 0.0
class Slow(Means):
    def compute(self, item):
        time.sleep(float(sys.argv[2]))
        with open(sys.argv[3], "a") as log:
            log.write("x")
        return super().compute(item)
data = load_dataset(sys.argv[1], features=Slow(), n_workers=2)
print(data.fingerprint())
"""


def child(pictures: Path, seconds: float, log: Path) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", CHILD, str(pictures), str(seconds), str(log)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])


def test_what_the_cache_holds(tmp_path, cache):
    assert (caches.cached_extractors(), caches.cache_bytes()) == ([], 0)
    load_dataset(save_pictures(tmp_path / "p", 3), features=Centred())
    [file] = files(cache / "features")
    [learned] = files(cache / "learned")
    [entry] = caches.cached_extractors()
    assert (entry.record["name"], entry.n_rows, entry.n_bytes) == ("centred", 6, file.stat().st_size)
    assert caches.cache_bytes() == file.stat().st_size + learned.stat().st_size


@pytest.mark.parametrize(
    "text", ["[1]", "null", "{}", '{"name": 1, "settings": {}}', '{"name": "x"}', "[" * 100_000, "no JSON"]
)
def test_a_cache_file_with_another_description_is_skipped(text, tmp_path, cache):
    load_dataset(save_pictures(tmp_path / "p", 3), features=Means())
    known = caches.cached_extractors()
    tensors = {"keys": np.zeros((2, 16), np.uint8), "rows": np.zeros((2, 3), np.float16)}
    pieces = encode(tensors, {"extractor": text})
    for folder in ("other", files(cache)[0].parent.name):
        (cache / "features" / folder).mkdir(exist_ok=True)
        (cache / "features" / folder / "zzz.safetensors").write_bytes(b"".join(bytes(piece) for piece in pieces))
    assert caches.cached_extractors() == known


@pytest.mark.skipif(not hasattr(os, "kill"), reason="needs signals")
def test_a_killed_process_goes_on_where_it_was(tmp_path, cache):
    pictures = save_pictures(tmp_path / "p", 20)
    log = tmp_path / "log"
    process = child(pictures, 0.05, log)
    while len(files(cache)) < 5:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.communicate()
    n_saved = sum(caches_rows(file) for file in files(cache))
    assert 5 <= n_saved < 40
    log.unlink()
    process = child(pictures, 0.0, log)
    out, _ = process.communicate()
    assert process.returncode == 0
    assert len(log.read_text()) == 40 - n_saved
    assert out.strip() == load_dataset(pictures, features=Means(), cache=False).fingerprint()


def caches_rows(file: Path) -> int:
    return len(caches._keys(file))


def test_two_processes_may_write_at_the_same_time(tmp_path, cache):
    pictures = save_pictures(tmp_path / "p", 15)
    processes = [child(pictures, 0.01, tmp_path / f"log{k}") for k in range(2)]
    prints = {process.communicate()[0].strip() for process in processes}
    assert prints == {load_dataset(pictures, features=Means()).fingerprint()}
    assert not list(cache.rglob(".*.tmp"))


def test_an_interruption_keeps_what_was_computed(tmp_path, cache):
    pictures = save_pictures(tmp_path / "p", 10)

    def interrupt(done, total, what):
        if what == "computing features":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_dataset(pictures, features=Means(), n_workers=1, progress=interrupt)
    n_saved = sum(caches_rows(file) for file in files(cache))
    assert n_saved > 0
    Means.calls.clear()
    load_dataset(pictures, features=Means())
    assert len(Means.calls) == 20 - n_saved


def test_pictures_of_other_sources_are_extracted_too(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 4, 3), dtype=np.uint8)
    np.savez(tmp_path / "p.npz", X=pixels, y=np.array([0, 1] * 3))
    data = load_dataset(tmp_path / "p.npz", features=Means())
    np.testing.assert_array_equal(data.X, pixels.astype(float).mean(axis=2).reshape(6, -1).astype(np.float16))
    assert data.keys.shape == (6, 16)
    assert len(np.unique(data.keys, axis=0)) == 6


def test_texts_of_a_table(tmp_path):
    (tmp_path / "t.csv").write_text('review,label\n"abba, abba",good\n5,bad\n"",bad\ncafe\u0301,good\n')
    data = load_dataset(tmp_path / "t.csv", text="review", features=Lengths())
    np.testing.assert_array_equal(data.X, [[4, 4, 10], [0, 0, 1], [0, 0, 0], [1, 0, 4]])  # é is one letter
    assert data.y.tolist() == ["good", "bad", "bad", "good"]
    (tmp_path / "guess.csv").write_text("id,words,label\n1,ab,x\n2,b,y\n")
    guessed = load_dataset(tmp_path / "guess.csv", features=Lengths())
    np.testing.assert_array_equal(guessed.X, [[1, 1, 2], [0, 1, 1]])
    assert guessed.ids == ("1", "2")


def test_texts_of_parquet(tmp_path):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pa.table({"text": ["ab", "b"], "label": [0, 1]}), tmp_path / "t.parquet")
    data = load_dataset(tmp_path / "t.parquet", text="text", features=Lengths())
    np.testing.assert_array_equal(data.X, [[1, 1, 2], [0, 1, 1]])
    assert data.y.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("table", "options", "words"),
    [
        ("a,b,label\nx,y,1\n", {"features": Lengths()}, ("one column of texts", "'a', 'b'", "--text")),
        ("a,label\nx,1\n", {"features": Lengths(), "text": "c"}, ("no column 'c'",)),
        ("a,label\nx,1\n", {"features": Means()}, ("column of images",)),
        ("a,label\n1,1\n", {"features": Lengths()}, ("one column of texts", "none")),
        ("a,label\nx,1\n", {"text": "a"}, ("features=",)),
    ],
)
def test_tables_without_such_texts_are_refused(table, options, words, tmp_path):
    (tmp_path / "t.csv").write_text(table)
    refused(lambda: load_dataset(tmp_path / "t.csv", **options), *words, error=SoftmarginError)


def test_numbers_are_not_pictures(tmp_path):
    np.savez(tmp_path / "x.npz", X=np.eye(3), y=np.arange(3))
    refused(lambda: load_dataset(tmp_path / "x.npz", features=Means()), "must hold pictures", "3 features")


def test_grey_levels_of_the_digits_reach_the_extractor():
    plain, made = load_dataset("digits"), load_dataset("digits", features=Means())
    for before, after in ((plain, made), (plain.test, made.test)):
        pictures = np.rint(before.X * 255).astype(np.uint8).reshape(-1, 8, 8)
        np.testing.assert_array_equal(after.X, Means().transform(list(pictures)))
    assert "pixels from 0 to 1 are multiplied by 255 and rounded" in made.notes


@pytest.mark.parametrize(
    ("parts", "expected", "is_told"),
    [
        ([[[0.0, 0.5, 1.0]], [[0.25, 0, 0]]], [[[0, 128, 255]], [[64, 0, 0]]], True),
        ([[[0.0, 0.5]], [[0.0, 1.0]]], [[[0, 128]], [[0, 255]]], True),
        ([[[0.0, 7.0, 16.0]]], [[[0, 7, 16]]], False),
        ([[[0.0, 1.0]], [[200.0, 0.0]]], [[[0, 1]], [[200, 0]]], False),
        ([np.array([[0, 1, 1]], np.uint8)], [[[0, 1, 1]]], False),
        ([np.array([[0, 255, 3]], np.int64)], [[[0, 255, 3]]], False),
    ],
)
def test_pixels_become_whole_numbers(parts, expected, is_told):
    found, notes = eight_bit([np.asarray(part) for part in parts], "x")
    assert [X.tolist() for X in found] == expected
    assert {X.dtype for X in found} == {np.dtype(np.uint8)}
    assert bool(notes) == is_told


@pytest.mark.parametrize("wrong", [[[0.5, 2.0]], [[-1.0, 0.0]], [[0.0, 256.0]], [[np.nan, 0.0]], [[0.0, np.inf]]])
def test_other_numbers_are_not_pixels(wrong):
    words = ("digits.npz must hold pixels that are whole numbers from 0 to 255 or floats from 0 to 1",)
    refused(lambda: eight_bit([np.array([[0.0, 1.0]]), np.array(wrong)], "digits.npz"), *words)


def test_pictures_of_different_sizes_need_one_size(tmp_path):
    save_pictures(tmp_path / "p", 2)
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "p/dark/z.png")
    refused(lambda: load_dataset(tmp_path / "p", features=Means()), "same number of features")


def test_samples_of_several_inputs():
    first = PixelPictures(np.arange(24, dtype=np.uint8).reshape(2, 12), (2, 2, 3), "a")
    both = joined([first, first.take([1])])
    assert len(both) == 3
    np.testing.assert_array_equal(both.keys[1], both.keys[2])
    assert both.name(2) == "a row 1: the image"
    assert np.asarray(both.take([2]).item(0)).tolist() == np.asarray(first.item(1)).tolist()
    assert joined([Texts(["x"]), Texts(["y"])]).take([1, 0]).item(0) == "y"


def test_damaged_pictures_are_named(tmp_path):
    save_pictures(tmp_path / "p", 2)
    (tmp_path / "p/dark/bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    refused(lambda: load_dataset(tmp_path / "p", features=Means()), "bad.png", "damaged")
    with pytest.raises(DataError, match="uint8"):
        Means().transform([np.zeros((3, 3))])
