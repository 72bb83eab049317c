"""Every file below a folder, once: linked folders too, hidden files not."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator

from mama_augment.core.store.files import Folder
from mama_augment.inputs.folder.suffixes import is_hidden, is_video
from mama_augment.inputs.table.notes import Notes

HIDDEN, LINK = "hidden", "link to a folder that is looked at already"
UNREADABLE = "folder that cannot be read"


def names_below(root: str, notes: Notes, *, with_hidden: bool = False) -> Iterator[str]:
    """Relative names of what lies below `root`, in any order.

    Folders of a disk are looked at first as they lie, then by links, in order of their names; each
    is looked at once, so that links cannot loop. A folder whose name ends like a video's counts as
    an entry (and will be rejected as no file), so that nothing that looks like a video goes
    unaccounted.
    """
    folder = Folder(root)
    if folder.is_local:
        yield from _Walk(folder.path(), notes, with_hidden).names()
        return
    for name in folder.sizes_bytes(recursive=True):
        if not with_hidden and any(map(is_hidden, name.split("/"))):
            notes.left_out[HIDDEN] += 1
        else:
            yield name


class _Walk:
    """One walk through a folder of a disk."""

    def __init__(self, top: str, notes: Notes, with_hidden: bool) -> None:
        self._top = top
        self._notes = notes
        self._is_skipped: Callable[[str], bool] = (lambda name: False) if with_hidden else is_hidden
        self._seen: set[tuple[int, int]] = set()
        self._links: list[str] = []
        """Linked folders, by relative name, that are still to be looked at."""

    def names(self) -> Iterator[str]:
        yield from self._tree("")
        while self._links:
            links, self._links = sorted(self._links), []
            for name in links:
                if self._is_new(name):
                    yield from self._tree(name)
                else:
                    self._notes.left_out[LINK] += 1

    def _is_new(self, link: str) -> bool:
        """Whether a link leads to a folder that was not looked at, and does not hold this one."""
        target = os.path.realpath(os.path.join(self._top, link))
        top = os.path.realpath(self._top)
        is_above = os.path.commonpath([target, top]) == target
        return not is_above and self._key(link) not in self._seen

    def _key(self, name: str) -> tuple[int, int]:
        status = os.stat(os.path.join(self._top, name))
        return status.st_dev, status.st_ino

    def _tree(self, name: str) -> Iterator[str]:
        """What lies below a folder, without going through links."""
        todo = deque([name])
        while todo:
            name = todo.popleft()
            prefix = f"{name}/" if name else ""
            try:
                self._seen.add(self._key(name))
                with os.scandir(os.path.join(self._top, name)) as entries:
                    for entry in entries:
                        if self._is_skipped(entry.name):
                            self._notes.left_out[HIDDEN] += 1
                        elif is_video(entry.name) or not entry.is_dir():
                            yield prefix + entry.name
                        elif entry.is_symlink():
                            self._links.append(prefix + entry.name)
                        else:
                            todo.append(prefix + entry.name)
            except OSError:
                if not name:
                    raise
                self._notes.left_out[UNREADABLE] += 1
