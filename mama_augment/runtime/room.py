"""The room that a child process lives in which looks at strangers' files: small, and locked.

Whoever takes a decoder over finds no secrets in the environment, no network, no other program to
start, no file to fill the disk with, and no way to get more rights. The kernel keeps these rules:
limits of resources, `no_new_privs`, and a filter of system calls (seccomp, by libseccomp). What it
still can do is read files that its user can read; docs/security.md says how to run it so that there
are none.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

MEGABYTE = 2**20
KEPT = (
    *("PATH", "HOME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "USER", "LOGNAME", "VIRTUAL_ENV"),
    *("LD_LIBRARY_PATH", "COVERAGE_PROCESS_START"),
)
KEPT_PREFIXES = ("LC_", "PYTHON", "OMP_", "MKL_", "OPENBLAS_", "OPENCV_", "MALLOC_", "MAMA_")
"""Of the environment; all else may be a secret."""
FILE_MB = 16
"""A child in a room writes nothing but its last words."""
OPEN_FILES = 256
SPARE_MB = 4096
"""Addresses that programs, libraries and stacks of threads take, beside memory that is used."""
SECCOMP = "/proc/sys/kernel/seccomp/actions_avail"
PR_SET_NO_NEW_PRIVS = 38
CLONE_THREAD = 0x00010000
FORBIDDEN = (
    *("socket", "connect", "bind", "listen", "accept", "accept4", "io_uring_setup"),
    *("execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev"),
    *("kill", "tkill", "pidfd_open", "pidfd_getfd", "unshare", "setns", "mount", "pivot_root"),
    *("chroot", "bpf", "perf_event_open", "userfaultfd", "keyctl", "add_key", "request_key"),
    *("open_by_handle_at", "init_module", "finit_module", "kexec_load", "memfd_create"),
)
"""System calls of no use for looking at a file. Threads may be started, processes may not."""


@dataclass(frozen=True, kw_only=True)
class Room:
    """What a child may have."""

    memory_mb: int
    """Killed beyond it by its parent; here, only what no honest file asks for is refused."""


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """What of an environment a child in a room gets."""
    return {
        name: value
        for name, value in given.items()
        if name in KEPT or name.startswith(KEPT_PREFIXES)
    }


def enter(room: Room) -> None:
    """Lock this process in, for good; before its first thread starts."""
    most = _address_space_bytes() + (2 * room.memory_mb + SPARE_MB) * MEGABYTE
    _limit(resource.RLIMIT_AS, most)
    _limit(resource.RLIMIT_FSIZE, FILE_MB * MEGABYTE)
    _limit(resource.RLIMIT_NOFILE, OPEN_FILES)
    _limit(resource.RLIMIT_CORE, 0)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if not lacking():
        with suppress(OSError):  # a kernel that says it can, and cannot
            _filter_calls()


def lacking() -> str:
    """Why this machine cannot keep a child from the network and other programs; empty: it can."""
    if not os.path.exists(SECCOMP):
        return "the kernel has no seccomp"
    try:
        import pyseccomp
    except (ImportError, RuntimeError, OSError) as error:
        return str(error)
    del pyseccomp
    return ""


def _filter_calls() -> None:
    import pyseccomp

    rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    refused = pyseccomp.ERRNO(errno.EPERM)
    for call in FORBIDDEN:
        try:
            rules.add_rule(refused, call)
        except OSError:  # this kind of processor has no such call
            continue
    # clone3 hides its flags in memory; told that there is none, C libraries take clone.
    rules.add_rule(pyseccomp.ERRNO(errno.ENOSYS), "clone3")
    is_process = pyseccomp.Arg(0, pyseccomp.MASKED_EQ, CLONE_THREAD, 0)
    rules.add_rule(refused, "clone", is_process)
    rules.load()


def _limit(kind: int, most: int) -> None:
    """Lower a limit; never raise one that is lower."""
    _, hard = resource.getrlimit(kind)
    value = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (value, value))


def _address_space_bytes() -> int:
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
