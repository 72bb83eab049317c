"""A function that looks at one video, in a process that can be killed and has nothing to lose."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from mama_augment.core.address import shown
from mama_augment.decode.config import LimitsConfig
from mama_augment.decode.errors import ClipError
from mama_augment.decode.local_file import LocalFiles
from mama_augment.decode.tar_member import archive_of
from mama_augment.runtime.isolate import IsolatedFunction, IsolationConfig


class IsolatedDecoder:
    """`target(path, *args, root)` for a URI; what lies elsewhere is copied first."""

    def __init__(
        self,
        target: str,
        limits: LimitsConfig,
        answer: Any,
        *,
        root: str | None = None,
        clips_per_process: int = 500,
    ) -> None:
        """
        answer: the type of what the function gives. root: the folder that local files must lie in;
        None: anywhere.
        """
        config = IsolationConfig(
            time_limit_seconds=limits.time_limit_seconds,
            memory_limit_mb=limits.memory_limit_mb,
            num_calls_per_process=clips_per_process,
        )
        self._function = IsolatedFunction(target, config, answer)
        self._files = LocalFiles(config, max_bytes=limits.max_bytes)
        self._root = root

    def __call__(self, uri: str, *args: Any) -> Any:
        """What the function gives.

        Raises:
            ClipError: its verdict, or why the file cannot be had.
            IsolationError: it passed a limit, or died.
        """
        root = self._root
        if root is not None and "://" in root:
            _check_below(uri, root)
            root = None
        elif root is not None and (archive := archive_of(uri)) is not None:
            # Its member is copied, so that the child cannot check.
            from mama_augment.decode.media import MediaFile

            MediaFile(archive, root).close()
        with self._files.local(uri) as (path, is_copy):
            try:
                return self._function(path, *args, None if is_copy else root)
            except ClipError as error:
                raise ClipError(error.reason, error.message.replace(path, shown(uri))) from error

    def cpu_seconds(self) -> float:
        """Processor time of the running decoder; see `IsolatedFunction`."""
        return self._function.cpu_seconds()

    def peak_memory_mb(self) -> int:
        """Of the running decoder; see `IsolatedFunction`."""
        return self._function.peak_memory_mb()

    def close(self) -> None:
        """End its processes; the next call starts others."""
        self._function.close()
        self._files.close()


def _check_below(uri: str, root: str) -> None:
    """Objects have no links: their names say where they are.

    Raises:
        ClipError: outside.
    """
    below = uri.removeprefix(f"{root.rstrip('/')}/")
    if below == uri or ".." in unquote(below).split("/"):
        raise ClipError("outside", f"{shown(uri)}: it lies outside {shown(root)} (--root)")
