"""The same small data set in every format that is read, for the tests of the readers and for the fuzz run."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from scipy.sparse import csr_array, save_npz

HAS_ARROW = find_spec("pyarrow") is not None


class Source(NamedTuple):
    """What is given to `load_dataset`, and the file in it that a fuzz run damages."""

    path: Path
    file: Path


def table(n: int = 40, d: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Return features in float64, some of them awkward to write down, and labels 0, 1, 2."""
    rng = np.random.default_rng(5)
    X = rng.normal(size=(n, d)) * 10.0 ** rng.integers(-3, 4, size=(n, d))
    X[3, 2] = 0.1 + 0.2
    y = np.arange(n) % 3
    X[np.arange(n), y] += 3.0
    return X, y


def safetensors_bytes(arrays: dict[str, np.ndarray], kinds: dict[str, str], metadata: Any = None) -> bytes:
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": metadata}
    end, body = 0, b""
    for name, array in arrays.items():
        raw = np.ascontiguousarray(array).tobytes()
        header[name] = {"dtype": kinds[name], "shape": array.shape, "data_offsets": [end, end + len(raw)]}
        end, body = end + len(raw), body + raw
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def svmlight_text(X: np.ndarray, y: np.ndarray) -> str:
    text = ""
    for row, label in zip(X, y, strict=True):
        text += f"{label} " + " ".join(f"{k + 1}:{float(v)!r}" for k, v in enumerate(row)) + "\n"
    return text


def csv_text(X: np.ndarray, y: np.ndarray, delimiter: str = ",") -> str:
    names = delimiter.join([*(f"f{k}" for k in range(X.shape[1])), "label"])
    rows = (delimiter.join([*map(repr, map(float, row)), str(label)]) for row, label in zip(X, y, strict=True))
    return "".join(f"{line}\n" for line in [names, *rows])


def write_tables(folder: Path, X: np.ndarray, y: np.ndarray) -> dict[str, Source]:
    """Write the features in every format that can hold them; names of sources to where they are."""
    found: dict[str, Source] = {}

    def add(name: str, path: Path, file: Path | None = None) -> None:
        found[name] = Source(path, path if file is None else file)

    np.save(folder / "X.npy", X)
    np.save(folder / "y.npy", y)
    add("npy", folder / "X.npy")
    np.savez(folder / "plain.npz", X=X, y=y)
    add("npz", folder / "plain.npz")
    np.savez_compressed(folder / "packed.npz", X=X, y=y)
    add("npz-deflate", folder / "packed.npz")
    kinds = {"X": "F64", "y": "I64"}
    (folder / "t.safetensors").write_bytes(safetensors_bytes({"X": X, "y": y.astype("i8")}, kinds))
    add("safetensors", folder / "t.safetensors")
    (folder / "t.csv").write_text(csv_text(X, y))
    add("csv", folder / "t.csv")
    (folder / "t.tsv").write_text(csv_text(X, y, "\t"))
    add("tsv", folder / "t.tsv")
    shards = folder / "shards"
    shards.mkdir()
    for k in range(12):
        rows = slice(k * len(X) // 12, (k + 1) * len(X) // 12)
        np.save(shards / f"X_{k}.npy", X[rows])
        np.save(shards / f"y_{k}.npy", y[rows])
    add("npy-shards", shards, shards / "X_7.npy")
    if not HAS_ARROW:
        return found
    import pyarrow as pa
    import pyarrow.feather
    import pyarrow.parquet

    columns = pa.table({**{f"f{k}": X[:, k] for k in range(X.shape[1])}, "label": y})
    pa.parquet.write_table(columns, folder / "t.parquet")
    add("parquet", folder / "t.parquet")
    pa.feather.write_feather(columns, folder / "t.feather")
    add("feather", folder / "t.feather")
    lists = pa.table({"embedding": pa.FixedSizeListArray.from_arrays(X.ravel(), X.shape[1]), "label": y})
    pa.feather.write_feather(lists, folder / "lists.arrow", compression="uncompressed")
    add("arrow-lists", folder / "lists.arrow")
    pa.parquet.write_table(pa.table({"embedding": X.tolist(), "label": y}), folder / "lists.parquet")
    add("parquet-lists", folder / "lists.parquet")
    parts = folder / "parts"
    parts.mkdir()
    for k, start in enumerate(range(0, len(X), 13)):
        pa.parquet.write_table(columns.slice(start, 13), parts / f"train-{k}.parquet")
    add("parquet-shards", parts, parts / "train-1.parquet")
    saved = folder / "saved"
    saved.mkdir()
    path = str(saved / "data-00000-of-00001.arrow")
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_stream(sink, lists.schema) as writer:
        writer.write_table(lists)
    (saved / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))
    (saved / "dataset_info.json").write_text(json.dumps({"features": {"label": {"_type": "Value"}}}))
    add("datasets", saved, saved / "data-00000-of-00001.arrow")
    return found


def write_others(folder: Path) -> dict[str, Source]:
    """Write the formats that hold something else: pixels, or sparse features."""
    rng = np.random.default_rng(6)
    X, y = table()
    found: dict[str, Source] = {}
    (folder / "t.svm").write_text(svmlight_text(X, y))
    found["svmlight"] = Source(folder / "t.svm", folder / "t.svm")
    save_npz(folder / "sparse.npz", csr_array(np.where(abs(X) > 1.0, X, 0.0)))
    found["npz-sparse"] = Source(folder / "sparse.npz", folder / "sparse.npz")
    pixels = rng.integers(0, 256, (9, 6, 5), dtype=np.uint8)
    labels = (np.arange(9) % 3).astype(np.uint8)
    for name, array in (("images-idx3", pixels), ("labels-idx1", labels)):
        (folder / f"train-{name}-ubyte").write_bytes(idx_bytes(array))
        (folder / f"packed-train-{name}-ubyte.gz").write_bytes(gzip.compress(idx_bytes(array), mtime=0))
    path = folder / "train-images-idx3-ubyte"
    found["idx"] = Source(path, path)
    path = folder / "packed-train-images-idx3-ubyte.gz"
    found["idx-gzip"] = Source(path, path)
    records = np.concatenate([np.arange(4, dtype=np.uint8)[:, None], rng.integers(0, 256, (4, 3072), np.uint8)], 1)
    cifar = folder / "cifar"
    cifar.mkdir()
    records.tofile(cifar / "data_batch_1.bin")
    (cifar / "batches.meta.txt").write_text("\n".join("abcdefghij") + "\n")
    found["cifar"] = Source(cifar, cifar / "data_batch_1.bin")
    with zipfile.ZipFile(folder / "images.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for label in ("cat", "dog"):
            for k in range(3):
                archive.writestr(f"pets/{label}/{k}.png", png(rng))
    found["zip"] = Source(folder / "images.zip", folder / "images.zip")
    images = folder / "images"
    for label, kind in (("cat", "png"), ("dog", "jpeg")):
        (images / label).mkdir(parents=True)
        (images / label / f"0.{kind}").write_bytes(png(rng, kind))
    found["png"] = Source(images, images / "cat" / "0.png")
    found["jpeg"] = Source(images, images / "dog" / "0.jpeg")
    if HAS_ARROW:
        import pyarrow as pa
        import pyarrow.parquet

        files = [{"bytes": png(rng), "path": None} for _ in range(4)]
        pa.parquet.write_table(pa.table({"image": files, "label": [0, 1, 0, 1]}), folder / "images.parquet")
        found["parquet-images"] = Source(folder / "images.parquet", folder / "images.parquet")
    return found


def png(rng: np.random.Generator, kind: str = "png") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (6, 5), dtype=np.uint8)).save(stream, kind)
    return stream.getvalue()
