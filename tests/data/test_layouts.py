"""Layouts of folders and archives of images as people download them; damaged images that are left out."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from softmargin.data import load_dataset
from softmargin.data.images import guard
from softmargin.data.parts import named_parts, part_of_name
from softmargin.errors import CapabilityError, ParameterError
from tests.data.test_data import refused
from tests.support.command_line import SOFT, run, run_refused
from tests.support.files import pixels, save_image


def make(root: Path, *folders: str, n: int = 2, size: int = 3) -> Path:
    """Write images into folders; each class has its own brightness."""
    for k, folder in enumerate(folders):
        for i in range(n):
            value = 60 + 120 * (Path(folder).name > "c") + i
            save_image(
                root / folder / f"{i}.png", np.full((size, size), value, np.uint8) + pixels(size, size, 1, k) // 16
            )
    return root


def picture(value: int = 9) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (3, 3), value).save(stream, "png")
    return stream.getvalue()


def test_names_of_parts_in_any_case_and_with_the_usual_affixes() -> None:
    for name in ("train", "TRAIN", "Training", "trn", "Train_Set", "train2017", "seg_train", "trainset",
                 "split=train", "train-00000-of-00002.parquet", "training data", "images-train", "TrainingSet",
                 "trainval"):  # fmt: skip
        assert part_of_name(name) == "train", name
    for name in (
        "test",
        "Testing",
        "tst",
        "test_set",
        "TEST2",
        "testset",
        "test-images",
        "split=test",
        "test.csv",
    ):
        assert part_of_name(name) == "test", name
    for name in ("val", "valid", "Validation", "dev", "eval", "valset", "validation_set", "val2017"):
        assert part_of_name(name) == "validation", name
    for name in (
        "rest",
        "trainer",
        "contest",
        "steam train",
        "test strip",
        "valley",
        "device",
        "latest",
        "train_test",
        "",
    ):
        assert part_of_name(name) is None, name
    assert named_parts(["xray_train", "xray_test"]) == {"xray_train": "train", "xray_test": "test"}
    assert named_parts(["steam train", "aeroplane"]) == {}
    assert named_parts(["freight train", "express train"]) == {}


@pytest.mark.parametrize(
    ("train", "test", "outer"),
    [
        ("Train_Set", "Test_Set", ""),
        ("seg_train/seg_train", "seg_test/seg_test", "archive"),
        ("train2017", "test2017", "coco/images"),
        ("xray_TRAIN", "xray_TEST", ""),
        ("trn", "tst", ""),
    ],
)
def test_parts_are_recognised_by_their_names(tmp_path: Path, train: str, test: str, outer: str) -> None:
    root = make(tmp_path / outer, *(f"{part}/{c}" for part in (train, test) for c in ("ash", "oak")))
    (tmp_path / "LICENSE").write_text("free")
    data = load_dataset(tmp_path)
    assert data.y.tolist() == ["ash"] * 2 + ["oak"] * 2
    assert data.test is not None
    assert data.test.y.tolist() == ["ash"] * 2 + ["oak"] * 2
    assert all((root / name).is_file() for name in data.ids)


def test_validation_is_the_test_set_only_without_a_test_part(tmp_path: Path) -> None:
    for name in ("val", "Validation", "dev_set"):
        root = make(tmp_path / name, *(f"{part}/{c}" for part in ("train", name) for c in ("ash", "oak")))
        data = load_dataset(root)
        assert data.n_samples == 4
        assert data.test.n_samples == 4
        assert data.notes == (f"{name} is used as the test set, because there is no labelled test part",)
    root = make(tmp_path / "all", *(f"{part}/{c}" for part in ("train", "test", "eval") for c in ("ash", "oak")))
    assert load_dataset(root).notes == ("left out of all: eval",)
    assert load_dataset(root).n_samples == 4
    root = make(tmp_path / "kaggle", "train/ash", "train/oak", "test/unknown", "val/ash", "val/oak")
    data = load_dataset(root)
    assert data.test.ids[0].startswith("val/")
    assert "left out of kaggle: test (none of its folders is a class of train)" in data.notes
    root = make(tmp_path / "flat", "train/ash", "train/oak", "test")
    assert load_dataset(root).notes == ("left out of flat: test (no class folders)",)


def test_parts_inside_class_folders_are_read(tmp_path: Path) -> None:
    root = make(tmp_path, *(f"{c}/{part}" for part in ("Train", "Test") for c in ("ash", "oak", "yew")))
    data = load_dataset(root)
    assert data.y.tolist() == ["ash"] * 2 + ["oak"] * 2 + ["yew"] * 2
    assert data.test.y.tolist() == data.y.tolist()
    assert data.ids[0] == "ash/Train/0.png"


@pytest.mark.parametrize(
    "folders",
    [
        [f"{site}/{c}" for site in ("berlin", "paris") for c in ("ash", "oak")],
        [f"{site}/ash" for site in ("A", "B")],
        [f"fold{k}/{c}" for k in range(3) for c in ("ash", "oak", "yew")],
        [*(f"Pool/{c}" for c in ("ash", "oak")), *(f"Held-out/{c}" for c in ("ash", "oak", "yew"))],
    ],
)
def test_classes_with_the_same_inner_folders_are_refused(tmp_path: Path, folders: list[str]) -> None:
    root = make(tmp_path / "data", *folders)
    refused(["each have the folders", "ash", "give one of its folders, such as"], root)
    run_refused(tmp_path, "fit", root, words=("each have the folders",))


def test_inner_folders_that_tell_nothing_are_read(tmp_path: Path) -> None:
    root = make(tmp_path / "a", "ash/images", "oak/images")
    assert sorted(set(load_dataset(root).y)) == ["ash", "oak"]
    root = make(tmp_path / "b", "ash/2019/may", "oak/2020")
    assert sorted(set(load_dataset(root).y)) == ["ash", "oak"]
    root = make(tmp_path / "c", "ash", "oak", "oak/more")
    assert sorted(set(load_dataset(root).y)) == ["ash", "oak"]


def test_folders_without_class_folders_have_no_labels(tmp_path: Path) -> None:
    root = make(tmp_path / "a", "train", "test")
    data = load_dataset(root)
    assert (data.y, data.n_samples) == (None, 2)
    assert "train has no class folders, so its images have no labels" in data.notes
    root = make(tmp_path / "b", "images")
    (root / "labels.csv").write_text("name,label\n")
    assert load_dataset(root).y is None
    run_refused(tmp_path, "fit", root, words=("has no labels", "folder of images per class"))
    root = make(tmp_path / "c", "train_ash", "train_oak", "test_ash", "test_oak")
    refused(["named after both", "train/CLASS and test/CLASS"], root)


# ---- archives ----


def tarred(path: Path, files: dict[str, bytes], mode: str) -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def files_of(prefix: str, more: dict[str, bytes]) -> dict[str, bytes]:
    names = (f"{prefix}{part}/{c}/{k}.png" for part in ("train", "test") for c in ("ash", "oak") for k in range(3))
    return {name: picture(40 + k) for k, name in enumerate(names)} | more


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz", ".tgz"])
@pytest.mark.parametrize(
    ("prefix", "more"),
    [
        ("", {"LICENSE": b"x"}),
        ("trees/", {"trees/dataset_card.md": b"x", "__MACOSX/trees/._a.png": b"x"}),
        ("./trees/v2/", {"./citation.bib": b"x", "./trees/.DS_Store": b"x"}),
    ],
)
def test_archives_with_other_files_beside_the_parts(
    tmp_path: Path, suffix: str, prefix: str, more: dict[str, bytes]
) -> None:
    path, files = tmp_path / f"t{suffix}", files_of(prefix, more)
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                archive.writestr(name.removeprefix("./"), content)
    else:
        tarred(path, files, "w" if suffix == ".tar" else "w:gz")
    data = load_dataset(path)
    assert data.y.tolist() == ["ash"] * 3 + ["oak"] * 3
    assert data.X[:, 0].tolist() == [40, 41, 42, 43, 44, 45]
    assert data.test.X[:, 0].tolist() == [46, 47, 48, 49, 50, 51]
    assert data.ids[0] == "train/ash/0.png"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_archives_that_are_refused(tmp_path: Path) -> None:
    for name in ("t.rar", "t.7z", "t.tar.xz"):
        (tmp_path / name).write_bytes(b"x" * 600)
        refused([name, "must be a .zip, .tar or .tar.gz archive", "unpack"], tmp_path / name)
    (tmp_path / "t.tar").write_bytes(b"x" * 2000)
    refused(["t.tar", "damaged or not a tar archive"], tmp_path / "t.tar")
    whole = tarred(tmp_path / "t.tgz", files_of("", {}), "w:gz").read_bytes()
    (tmp_path / "t.tgz").write_bytes(whole[: len(whole) // 2])
    refused(["t.tgz"], tmp_path / "t.tgz")
    refused(["plain relative paths"], tarred(tmp_path / "up.tar", {"../a/1.png": picture()}, "w"))
    refused(["holds tables", "unpack it"], tarred(tmp_path / "csv.tar", {"train.csv": b"a,label\n"}, "w"))
    link = tarfile.TarInfo("ash/2.png")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with tarfile.open(tmp_path / "link.tar", "w") as archive:
        archive.addfile(link)
    refused(["has no images"], tmp_path / "link.tar")


def test_a_tar_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("softmargin.data.images.archives.COMMON_FILE", 1000)
    bomb = tarred(tmp_path / "t.tgz", {"notes.bin": bytes(3 << 20), "ash/1.png": picture()}, "w:gz")
    refused(["unpacks to more than", "unpack it into a folder"], bomb)


# ---- damaged images ----


def damaged(root: Path) -> list[str]:
    """Damage three images in three ways, one in the test part."""
    names = ["train/ash/1.png", "train/oak/0.png", "test/oak/1.png"]
    cut = (root / names[1]).read_bytes()
    for name, content in zip(names, (b"", cut[: len(cut) // 2], b"<html>404</html>"), strict=True):
        (root / name).write_bytes(content)
    return names


def test_damaged_images_are_left_out_and_listed(tmp_path: Path) -> None:
    root = make(tmp_path / "d", *(f"{part}/{c}" for part in ("train", "test") for c in ("ash", "oak")), n=4)
    whole = load_dataset(root)
    names = damaged(root)
    refused([names[0], "damaged", "skip_damaged=True (--skip-damaged)"], root)
    data = load_dataset(root, skip_damaged=True)
    kept = [k for k, name in enumerate(whole.ids) if name not in names]
    assert data.ids == tuple(whole.ids[k] for k in kept)
    assert data.y.tolist() == whole.y[kept].tolist()
    np.testing.assert_array_equal(data.X, whole.X[kept])
    assert data.test.n_samples == 7
    [note] = data.notes
    assert note.startswith("left out 3 damaged images of 16: ")
    assert all(str(root / name) in note for name in names)
    target = tmp_path / "m.safetensors"
    answer = run("fit", root, "--skip-damaged", "-o", target, *SOFT)
    assert (answer.status, "left out 3 damaged images of 16" in answer.err) == (0, True)
    run_refused(tmp_path, "predict", target, root, words=(names[0], "--skip-damaged"))
    assert run("predict", target, root, "--skip-damaged").status == 0
    with pytest.raises(ParameterError, match="skip_damaged= is only for a folder of images"):
        load_dataset("digits", skip_damaged=True)


def test_damaged_images_are_left_out_of_computed_features_and_archives(tmp_path: Path) -> None:
    root = make(
        tmp_path / "d", *(f"{part}/{c}" for part in ("train", "test") for c in ("ash", "oak")), n=4, size=16
    )
    names = damaged(root)
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        for file in sorted(root.rglob("*.png")):
            archive.write(file, file.relative_to(tmp_path))
    for source in (root, tmp_path / "d.zip"):
        target = tmp_path / f"{source.name}.safetensors"
        answer = run("fit", source, "--features", "hog", "--no-cache", "--skip-damaged", "-o", target, *SOFT)
        assert answer.status == 0, answer
        assert all(name in answer.err for name in names)
        assert "6 training samples" in answer.text
    for name in sorted(root.rglob("*.png")):
        name.write_bytes(b"")
    refused(["All 16 images are damaged"], root, skip_damaged=True)


def test_heic_is_named_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make(tmp_path / "d", "ash", "oak")
    (root / "ash" / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(50))
    (root / "oak" / "phone.jpg").write_bytes(b"\0\0\0\x18ftypmif1" + bytes(50))
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    guard._heif.cache_clear()
    words = ("IMG_1.HEIC is a HEIC image", "needs the package pillow-heif", "python -m pip install pillow-heif.")
    refused(list(words), root, error=CapabilityError)
    run_refused(tmp_path, "fit", root, words=words)
    data = load_dataset(root, skip_damaged=True)
    assert data.n_samples == 4
    assert "left out 2 damaged images of 6" in data.notes[0]
    guard._heif.cache_clear()


class Unflagged(zipfile.ZipInfo):
    """An entry whose name is stored in an encoding without the flag of UTF-8, as many programs do."""

    encoding = "utf-8"

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:
        return self.filename.encode(self.encoding), self.flag_bits & ~0x800


@pytest.mark.parametrize(
    ("encoding", "classes"),
    [
        ("utf-8", ["Bär", "Müsli"]),
        ("utf-8", ["Čeština", "日本"]),
        ("cp437", ["Bär", "Ñandu"]),
        ("utf-8", ["cat", "dog"]),
    ],
)
def test_names_in_a_zip_without_the_flag_of_utf8(tmp_path: Path, encoding: str, classes: list[str]) -> None:
    Unflagged.encoding = encoding
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        for k, name in enumerate(classes):
            archive.writestr(Unflagged(f"{name}/ü.png"), picture(50 * k))
    raw = (tmp_path / "p.zip").read_bytes()
    assert f"{classes[0]}/ü.png".encode(encoding) in raw
    with zipfile.ZipFile(tmp_path / "p.zip") as archive:
        assert not any(entry.flag_bits & 0x800 for entry in archive.infolist())
    data = load_dataset(tmp_path / "p.zip")
    assert data.y is not None
    assert data.y.tolist() == classes
    assert data.ids == tuple(f"{name}/ü.png" for name in classes)
    assert data.X[:, 0].tolist() == [0, 50]
