"""The contents of a folder of images: parts, classes and files, in a fixed order."""

import os
import re
from collections.abc import Iterable, Set
from dataclasses import dataclass, replace
from pathlib import Path
from unicodedata import normalize

from softmargin.data.files import left_out as left_out_note
from softmargin.data.images.folders import Folder, Place, in_archive, on_disk
from softmargin.data.parts import TEST, TRAIN, VALIDATION, named_parts, part_of_name, split_part
from softmargin.errors import DataError
from softmargin.text import pluralize, printable, some_of

__all__ = ["Part", "Tree", "scan", "scan_names"]

_PLAIN = frozenset(
    ("images", "image", "imgs", "img", "data", "photos", "pictures", "jpg", "jpeg", "png", "all", "raw")
)
"""Names of folders that say nothing of the images in them."""
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
"""Where a word in camel case begins."""
_MOST_NAMED = 5


@dataclass(frozen=True)
class Part:
    """The images of one part: paths relative to the root with ``/``, and their labels (or None)."""

    files: tuple[str, ...]
    labels: tuple[str, ...] | None


@dataclass(frozen=True)
class Tree:
    """A whole folder: the training images, the test images, and notes for the user.

    ``prefix`` is the path of the outer folders that contain all the rest, with a final ``/``, or "". Paths of
    images follow it.
    """

    main: Part
    test: Part | None
    notes: tuple[str, ...]
    prefix: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        """The paths of all images, with the test images last."""
        return self.main.files + (() if self.test is None else self.test.files)


def scan(root: Path, *, labelled: bool = True) -> Tree:
    """Find the images below a folder.

    Classes are sorted by name, files by relative path. Hidden files and folders and files of file browsers are
    ignored. A file is an image if it has the suffix of one. Links to folders are followed, each folder at most
    once per class, and never to a folder that contains it. Outer folders that contain only one folder are skipped.

    Parameters
    ----------
    root : Path
        ``root/CLASS/**``, or ``root/train/CLASS/**`` with ``root/test/CLASS/**`` (see `softmargin.data.parts` for
        the names), or ``root/CLASS/train/**`` with ``root/CLASS/test/**``, or images without class folders.
    labelled : bool
        Whether the test images must lie in class folders.

    Raises
    ------
    DataError
        The folder or a class folder has no images, or it is not clear which folders are the classes.
    OSError
        A folder cannot be read.
    """
    return _Scan(root, on_disk(), labelled).tree()


def scan_names(root: Path, names: Iterable[str], *, labelled: bool = True) -> Tree:
    """Find the images among the names of an archive, by the same rules.

    Parameters
    ----------
    root : Path
        The archive, for messages.
    names : iterable of str
        Names of its files, with ``/`` between their parts.
    labelled : bool
        As in `scan`.
    """
    return _Scan(root, in_archive(root, names), labelled).tree()


class _Scan:
    """One search for the images of a folder or archive; paths of folders are relative, with ``/``."""

    def __init__(self, root: Path, place: Place, labelled: bool) -> None:
        self.root, self.place, self.notes, self.labelled = root, place, list[str](), labelled
        self._listed: dict[str, Folder] = {}
        real = Path(os.path.realpath(root))
        self._above = {place.identity(str(folder)) for folder in (real, *real.parents)}

    def tree(self) -> Tree:
        top, outer = self._innermost("")
        prefix = f"{outer}/" if outer else ""
        inner = {name: self._list(prefix + name) for name in top.folders}
        parts = named_parts(name for name, listed in inner.items() if listed.folders)
        has_train = TRAIN in parts.values()
        others = sorted(set(top.folders) - set(parts))
        if has_train and (len(set(parts.values())) > 1 or all(map(part_of_name, others))):
            main, test = self._parts(prefix, parts, others)
        elif inner and not top.images and all(part_of_name(name) for name in inner) and not parts:
            main, test = self._unlabelled(prefix, sorted(inner))
        elif swapped := self._swapped(inner):
            main, test = self._read_swapped(prefix, top, swapped)
        else:
            main, test = self._classes(prefix, top, inner), None
        test = None if test is None else _without(test, prefix)
        return Tree(_without(main, prefix), test, tuple(self.notes), prefix)

    def _parts(self, prefix: str, parts: dict[str, str], others: list[str]) -> tuple[Part, Part | None]:
        """Read folders of classes for the parts, each part with one folder."""
        folders = {part: self._one_of(parts, part) for part in dict.fromkeys(parts.values())}
        main = self._part(prefix + folders[TRAIN], *self._class_folders(prefix + folders[TRAIN]))
        known = set(main.labels or ())
        left_out = [name for name in parts if name not in folders.values()]
        test = None
        if TEST not in folders and (found := self._any_test(prefix, filter(_is_test, others))) is not None:
            test = found[1]
            others = [name for name in others if name != found[0]]
        left_out += [name + " (no class folders)" if part_of_name(name) else name for name in others]
        for part in (TEST, VALIDATION):
            if part not in folders:
                continue
            name = folders[part]
            where, pairs = self._class_folders(prefix + name, known)
            if test is not None:
                left_out.append(name)
            elif known.isdisjoint(label for label, _ in pairs):
                if part == TEST and (found := self._any_test(prefix, [name])) is not None:
                    test = found[1]
                    continue
                left_out.append(f"{name} (none of its folders is a class of {folders[TRAIN]})")
            else:
                test = self._part(prefix + name, where, pairs)
                if part == VALIDATION:
                    self._note_validation(name)
        self.notes += left_out_note(self.root, sorted(left_out))
        return main, test

    def _any_test(self, prefix: str, names: Iterable[str]) -> tuple[str, Part] | None:
        """Return the first of these folders that has images, and its images, unless labels are needed."""
        for name in () if self.labelled else names:
            files, n_others = self._files_below(prefix + name)
            self._note_skipped(n_others, prefix + name)
            if files:
                return name, Part(tuple(sorted(files)), None)
        return None

    def _note_validation(self, name: str) -> None:
        self.notes.append(f"{printable(name)} is used as the test set, because there is no labelled test part")

    def _one_of(self, parts: dict[str, str], part: str) -> str:
        """Return the only folder of a part, or the one with its plain name."""
        found = [name for name, kind in parts.items() if kind == part]
        found = [name for name in found if name.casefold() == part] or found
        if len(found) > 1 and part != VALIDATION:
            raise DataError(f"{printable(self.root)} must have one folder of the part {part}, got {_some(found)}.")
        return found[0]

    def _unlabelled(self, prefix: str, names: list[str]) -> tuple[Part, Part | None]:
        """Read the images of folders named like parts but without class folders."""
        main = next((name for name in names if part_of_name(name) == TRAIN), names[0])
        files, n_others = self._files_below(prefix + main)
        self._note_skipped(n_others, prefix + main)
        self.notes.append(f"{printable(main)} has no class folders, so its images have no labels")
        found = self._any_test(prefix, [name for name in names if name != main and _is_test(name)])
        used, test = (main, None) if found is None else found
        self.notes += left_out_note(self.root, [name for name in names if name not in (main, used)])
        if not files:
            raise DataError(
                f"{self._where(prefix + main)} has no images; expected one folder of images per class."
            )
        return Part(tuple(sorted(files)), None), test

    def _swapped(self, inner: dict[str, Folder]) -> dict[str, dict[str, str]] | None:
        """Return the folders of the parts in each class folder, if all class folders have them."""
        found = {}
        for name, listed in inner.items():
            parts = named_parts(listed.folders)
            if listed.images or len(parts) < len(listed.folders) or TRAIN not in parts.values() or len(parts) < 2:
                return None
            found[name] = {part: folder for folder, part in sorted(parts.items())}
            if len(found[name]) < len(parts):
                return None
        return found or None

    def _read_swapped(
        self, prefix: str, top: Folder, swapped: dict[str, dict[str, str]]
    ) -> tuple[Part, Part | None]:
        """Read class folders that contain folders of the parts."""
        self._note_skipped(top.n_skipped, prefix)
        if top.images:
            beside = pluralize(len(top.images), "image")
            self.notes.append(f"skipped {beside} beside the class folders in {self._where(prefix)}")
        found = {
            part: [(n, f"{n}/{inside[part]}") for n, inside in swapped.items() if part in inside]
            for part in (TRAIN, TEST, VALIDATION)
        }
        held = TEST if found[TEST] else VALIDATION
        main = self._part(prefix, prefix, found[TRAIN], Folder([], [], 0))
        test = self._part(prefix, prefix, found[held], Folder([], [], 0))
        if held == VALIDATION:
            self._note_validation(VALIDATION)
        elif found[VALIDATION]:
            self.notes += left_out_note(self.root, [VALIDATION])
        return main, test

    def _classes(self, prefix: str, top: Folder, inner: dict[str, Folder]) -> Part:
        """Read class folders or, if no folder has an image, the images beside them."""
        names = [name for name in top.folders if not self._is_above(prefix + name)]
        if len(names) == 1 and not top.images and names[0].casefold() in _PLAIN:
            files, n_others = self._files_below(prefix + names[0])
            if files:
                self._note_skipped(n_others + top.n_skipped, prefix)
                self.notes.append(f"{printable(names[0])} is not a class, so its images have no labels")
                return Part(tuple(sorted(files)), None)
        self._check_layout(prefix, {name: inner[name] for name in names})
        pairs = [(name, name) for name in names]
        return self._part(prefix, prefix, pairs, top)

    def _check_layout(self, prefix: str, inner: dict[str, Folder]) -> None:
        """Raise a `DataError` if the folders inside the class folders may be the classes or the parts."""
        where = self._where(prefix)
        if len(inner) < 2 or any(listed.images for listed in inner.values()):
            self._check_part_words(where, list(inner))
            return
        sets = [set(listed.folders) for listed in inner.values()]
        common = {name for name in set.intersection(*sets) if name.casefold() not in _PLAIN}
        if 2 * len(common) >= len(set.union(*sets)) > 0 and common:
            has = f"{_some(sorted(inner))} each have the folders {_some(sorted(common))}"
            raise DataError(
                f"{where} must have one folder per class, or train/CLASS and test/CLASS, but {has}; rename the "
                f"parts, or give one of its folders, such as {os.path.join(where, printable(min(inner)))}."
            )

    def _check_part_words(self, where: str, names: list[str]) -> None:
        """Raise a `DataError` for class folders such as ``train_cat`` and ``test_cat``, or ``testA``."""
        groups: dict[tuple[str, ...], set[str]] = {}
        for name in names:
            part, others = split_part(_CAMEL.sub("_", name))  # trainA has two words
            if part:
                groups.setdefault(others, set()).add(part)
        n_parts = [len(found) for found in groups.values()]
        are_all = () not in groups and sum(n_parts) == len(names) > len(groups)
        if are_all or (len(groups) > 1 and min(n_parts) > 1):
            raise DataError(
                f"{where} must have one folder per class, or train/CLASS and test/CLASS, got folders named after "
                f"both, {_some(names)}."
            )

    def _class_folders(self, folder: str, known: Set[str] = frozenset()) -> tuple[str, list[tuple[str, str]]]:
        """Return the folder that holds the class folders of a part, and its pairs of class and folder."""
        listed, innermost = self._innermost(folder, known)
        return innermost, [(name, name) for name in listed.folders if not self._is_above(f"{innermost}/{name}")]

    def _part(self, named: str, folder: str, pairs: Iterable[tuple[str, str]], top: Folder | None = None) -> Part:
        """Read the images of some classes, each with its folder below ``folder``."""
        where, start = self._where(named), folder if not folder or folder.endswith("/") else f"{folder}/"
        listed = self._list(folder.rstrip("/")) if top is None else top
        classes: dict[str, list[str]] = {}
        n_skipped = listed.n_skipped
        for name, inside in pairs:
            found, n_others = self._files_below(start + inside)
            classes.setdefault(normalize("NFC", name), []).extend(sorted(found))
            n_skipped += n_others
        self._note_skipped(n_skipped, named)
        if not any(classes.values()):
            if listed.images and top is not None:
                return Part(tuple(start + name for name in listed.images), None)
            has = f"{pluralize(len(classes), 'folder')} and {pluralize(n_skipped, 'other file')}"
            raise DataError(f"{where} has no images; expected one folder of images per class, got {has}.")
        empty = next((name for name, files in classes.items() if not files), None)
        if empty is not None:
            place = printable(os.path.join(self._where(folder.rstrip("/")), empty))
            raise DataError(f"Class folder {place} has no images; add images or remove the folder.")
        if listed.images:
            beside = pluralize(len(listed.images), "image")
            self.notes.append(f"skipped {beside} beside the class folders in {where}")
        labelled = [(file, name) for name, files in classes.items() for file in files]
        return Part(tuple(file for file, _ in labelled), tuple(name for _, name in labelled))

    # -- folders ----------------------------------------------------------------------------------------------

    def _innermost(self, folder: str, known: Set[str] = frozenset()) -> tuple[Folder, str]:
        """Descend through folders that contain nothing but one folder of folders, which is not a known class."""
        listed, seen = self._list(folder), set(self._above)
        n_skipped = 0
        while len(listed.folders) == 1 and not listed.images and listed.folders[0] not in known:
            inner = f"{folder}/{listed.folders[0]}" if folder else listed.folders[0]
            below = self._list(inner)
            here = self.place.identity(self._path(inner))
            if here in seen or below.images or not below.folders:
                break
            seen.add(here)
            n_skipped += listed.n_skipped
            listed, folder = below, inner
        return replace(listed, n_skipped=listed.n_skipped + n_skipped), folder

    def _path(self, folder: str) -> str:
        return os.path.join(self.root, *folder.split("/")) if folder else str(self.root)

    def _where(self, folder: str) -> str:
        return printable(self._path(folder.rstrip("/")))

    def _list(self, folder: str) -> Folder:
        if folder not in self._listed:
            self._listed[folder] = self.place.list(self._path(folder))
        return self._listed[folder]

    def _is_above(self, folder: str) -> bool:
        """Return whether a folder is a link to one that contains it, which would make one class of all images."""
        return self.place.identity(self._path(folder)) in self._above

    def _note_skipped(self, n_skipped: int, folder: str) -> None:
        if n_skipped:
            are = "that is not an image" if n_skipped == 1 else "that are not images"
            self.notes.append(f"skipped {pluralize(n_skipped, 'file')} {are} in {self._where(folder)}")

    def _files_below(self, folder: str) -> tuple[list[str], int]:
        """Return the paths of the images below a folder, and the number of other files."""
        images, n_others, seen = [], 0, set(self._above)
        waiting = [folder]
        while waiting:
            folder = waiting.pop()
            here = self.place.identity(self._path(folder))
            if here in seen:
                continue
            seen.add(here)
            listed = self._list(folder)
            images += [f"{folder}/{name}" for name in listed.images]
            n_others += listed.n_skipped
            waiting.extend(f"{folder}/{name}" for name in reversed(listed.folders))
        return images, n_others


def _is_test(name: str) -> bool:
    return part_of_name(name) == TEST


def _without(part: Part, prefix: str) -> Part:
    return Part(tuple(file.removeprefix(prefix) for file in part.files), part.labels)


def _some(names: list[str]) -> str:
    return some_of(names, _MOST_NAMED)
