"""Files that lie, are damaged or are not what their name says."""

from __future__ import annotations

import csv
import io
import os
import random
import re
import struct
import sys
import tracemalloc
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import softmargin as sm
from softmargin.errors import ModelFileError, SoftmarginError
from tests.support.cases import model_at, point
from tests.support.command_line import SOFT, rows_of, run, run_refused
from tests.support.files import Bomb, npy_bytes, pixels, posix, save_image, write, write_entry
from tests.support.refusals import refused
from tests.support.sources import table, write_others, write_tables


def test_headers_that_lie_bombs_and_objects_are_refused(tmp_path: Path) -> None:
    X = np.arange(12.0).reshape(4, 3)
    write(tmp_path / "long.npy", npy_bytes(X, shape=(10**15, 3)))
    write(tmp_path / "longer.npy", npy_bytes(X, shape=(2**62, 2**62)))
    write_entry(tmp_path / "long.npz", npy_bytes(X, shape=(10**13, 3)))
    write_entry(tmp_path / "bomb.npz", npy_bytes(X, shape=(170_000_000, 3)))
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.png", bytes(1 << 20))
    for name in ("bomb.npz", "bomb.zip"):  # the size that the directory at the end declares
        content = bytearray((tmp_path / name).read_bytes())
        at = content.index(b"PK\x01\x02") + 24
        content[at : at + 4] = struct.pack("<I", 2**32 - 2)
        write(tmp_path / name, bytes(content))
    objects = np.array([[Bomb(tmp_path / "bang")]], dtype=object)
    np.save(tmp_path / "objects.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "objects.npz", X=objects)
    tensor = b'{"X":{"dtype":"F64","shape":[1000000000,1000],"data_offsets":[0,8000000000000]}}'
    write(tmp_path / "long.safetensors", struct.pack("<Q", len(tensor)) + tensor + bytes(96))
    write(tmp_path / "huge.safetensors", struct.pack("<Q", 2**62) + b"{}")
    for path in sorted(tmp_path.iterdir()):
        tracemalloc.start()
        try:
            refused(lambda path=path: sm.load_dataset(path), path.name)
            assert tracemalloc.get_traced_memory()[1] < 20e6, path.name
        finally:
            tracemalloc.stop()
        run_refused(tmp_path, "fit", path, words=(path.name,))
    refused(lambda: sm.load_model(tmp_path / "huge.safetensors"), "huge.safetensors", error=ModelFileError)
    assert not (tmp_path / "bang").exists()


TEXTS = ("csv", "tsv", "svmlight")


def test_truncated_flipped_and_mistaken_files_are_refused(tmp_path: Path) -> None:
    rng = random.Random(0)
    for name, source in (write_tables(tmp_path, *table()) | write_others(tmp_path)).items():
        good = source.file.read_bytes()
        damaged = {"half": good[: len(good) // 2], "empty": b"", "zeros": bytes(8) + good[8:]}
        for _ in range(6):
            flipped = bytearray(good)
            flipped[rng.randrange(len(good))] ^= 1 << rng.randrange(8)
            damaged[f"bit {len(damaged)}"] = bytes(flipped)
        for what, content in damaged.items():
            source.file.write_bytes(content)
            may_be_read = what.startswith("bit") or (what == "half" and name in TEXTS) or name == "cifar"
            message = ""
            try:
                sm.load_dataset(source.path)
            except SoftmarginError as error:
                message = str(error)
            assert message or may_be_read, (name, what)
            assert message.isprintable(), (name, what)
            assert not message or {source.file.name, source.path.name} & set(re.split(r"[/ \[\]:]", message)), (
                message
            )
            if what == "half" and name not in (*TEXTS, "cifar"):
                run_refused(source.file.parent, "info", source.path)
        source.file.write_bytes(good)
    path = tmp_path / "m.model"
    model_at(*point()).save(path)
    good = path.read_bytes()
    for place in range(3, len(good), len(good) // 40):
        flipped = bytearray(good)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        refused(lambda: sm.load_model(path), "m.model", error=ModelFileError)
    run_refused(tmp_path, "info", path, words=("m.model",))
    run_refused(tmp_path, "predict", path, tmp_path / "X.npy", words=("m.model",))


def claimed(height: int, width: int) -> bytes:
    """Return a PNG of one pixel whose header claims another size, checksum and all."""
    stream = io.BytesIO()
    Image.new("RGB", (1, 1)).save(stream, "png")
    content = bytearray(stream.getvalue())
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


def test_images_of_every_kind_are_read_or_refused(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    palette = Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    palette.putpalette([10, 20, 30, 40, 50, 60])
    upright = pixels(2, 3)
    kinds: dict[str, tuple[Any, dict[str, Any], Any]] = {
        "cmyk.tif": (Image.new("CMYK", (2, 1), (0, 255, 255, 0)), {}, [[[255, 0, 0]] * 2]),
        "deep.png": (np.array([[0, 257, 65535]], np.uint16), {}, [[[0], [1], [255]]]),
        "palette.png": (palette, {}, [[[10, 20, 30], [40, 50, 60]]]),
        "alpha.png": (np.array([[[0, 100, 255, 51]]], np.uint8), {}, [[[204, 224, 255]]]),  # over white
        "turned.png": (np.rot90(upright).copy(), {"exif": exif}, upright),
        "one.png": (np.full((1, 1), 7, np.uint8), {}, [[[7]]]),
    }
    for name, (image, options, expected) in kinds.items():
        save_image(tmp_path / name / "a" / name, image, **options)
        data = sm.load_dataset(tmp_path / name)
        assert np.array_equal(data.X.reshape(data.image_shape), expected), name
        assert run("info", tmp_path / name).status == 0
    save_image(tmp_path / "cut" / "a" / "1.png", pixels(20, 20))
    content = (tmp_path / "cut" / "a" / "1.png").read_bytes()
    for what, wrong in (("cut", content[: len(content) // 2]), ("enormous", claimed(60_000, 60_000))):
        (tmp_path / what / "a").mkdir(parents=True, exist_ok=True)
        write(tmp_path / what / "a" / "1.png", wrong)
        refused(lambda what=what: sm.load_dataset(tmp_path / what), "a/1.png")
        run_refused(tmp_path, "fit", tmp_path / what, words=("a/1.png",))
    for k, (height, width) in enumerate([(4, 6), (5, 7), (4, 6), (5, 7)]):
        save_image(tmp_path / "mixed" / "ab"[k % 2] / f"{k}.png", pixels(height, width, seed=k))
    words = ("4x6", "5x7", "--image-size")
    refused(lambda: sm.load_dataset(tmp_path / "mixed"), "image_size=", *words)
    run_refused(tmp_path, "fit", tmp_path / "mixed", words=words)
    target = tmp_path / "m.safetensors"
    assert run("fit", tmp_path / "mixed", "--image-size", "3x2", "-o", target, *SOFT).status == 0
    assert len(rows_of(run("predict", target, tmp_path / "mixed"))) == 4


@posix
def test_folders_are_read_as_they_are_found(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    names = ["with space", "quote'\"", "new\nline", "<script>"]
    if sys.platform == "linux":
        names.append(os.fsdecode(b"\xff\xfe"))
    for n, name in enumerate(names):
        for k in range(3):
            save_image(root / name / f"{k} {name}.png", pixels(2, 2, seed=10 * n + k) // 8 + 40 * n)
    for hidden in (".git/x.png", "with space/.hidden.png", "Thumbs.db"):
        (root / hidden).parent.mkdir(exist_ok=True)
        write(root / hidden, b"junk")
    write(root / "<script>" / "notes.txt", "hello")
    (root / "with space" / "up").symlink_to(root)
    (root / "with space" / "me").symlink_to(root / "with space")
    data = sm.load_dataset(root)
    assert sorted(data.ids) == sorted(f"{name}/{k} {name}.png" for name in names for k in range(3))
    assert set(data.y) == set(names)
    assert data.notes == (f"skipped 1 file that is not an image in {root}",)
    classifier = sm.LinearClassifier(reg=1e-4).fit(data.X, data.y)
    assert classifier.predict(data.X).tolist() == data.y.tolist()
    target = tmp_path / "m.safetensors"
    answers = [run("fit", root, "-o", target, "--loss", "cross_entropy", "--reg", "1e-4"), run("info", root)]
    for answer in answers:
        assert answer.status == 0, answer
        assert (answer.text + answer.err).replace("\n", "").isprintable()
    answer = run("predict", target, root)
    assert answer.status == 0
    rows = list(csv.reader(io.StringIO(os.fsdecode(answer.out), newline="")))[1:]
    assert sorted(rows) == sorted([i, label] for i, label in zip(data.ids, data.y.tolist(), strict=True))
    (root / "empty\none").mkdir()
    refused(lambda: sm.load_dataset(root), "empty\\none", "has no images")
    run_refused(tmp_path, "fit", root, "-o", "new.safetensors", words=("empty\\none", "has no images"))
