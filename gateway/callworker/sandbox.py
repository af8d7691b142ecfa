"""Restricts a call worker, in case its native parts are compromised.

A worker reads packets of strangers with C code. So before its first call it gives up, for good and for its children:
new privileges (`no_new_privs`, prctl(2)), and, where the kernel has Landlock (5.13 and newer), running programs and
changing files outside a few folders (landlock(7)). Reading files and the network are not touched.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

__all__ = ["SandboxRefused", "confine_files", "give_up_privileges", "landlock_version"]

_PR_SET_NO_NEW_PRIVS = 38
_CREATE, _ADD, _RESTRICT = 444, 445, 446  # system calls; the same on all architectures
_VERSION = 1  # LANDLOCK_CREATE_RULESET_VERSION
_PATH_BENEATH = 1  # LANDLOCK_RULE_PATH_BENEATH

_EXECUTE, _WRITE = 1 << 0, 1 << 1
_REMOVE_FOLDER, _REMOVE_FILE = 1 << 4, 1 << 5
_MAKE = sum(1 << bit for bit in range(6, 13))  # devices, folders, files, sockets, pipes, links
_LINK = 1 << 13  # from one folder to another: version 2
_TRUNCATE = 1 << 14  # version 3
_CHANGES = _WRITE | _REMOVE_FOLDER | _REMOVE_FILE | _MAKE
_FILE_RIGHTS = _WRITE | _TRUNCATE  # valid rights in a rule for a file


class SandboxRefused(Exception):
    """The kernel refused; the text says what."""


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def give_up_privileges() -> None:
    """From now on no program run by this process or its children can gain privileges. Raises SandboxRefused."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise SandboxRefused(f"no_new_privs: {os.strerror(ctypes.get_errno())}")


def landlock_version() -> int:
    """The version of the kernel's Landlock; 0: it has none, or it is switched off."""
    return max(0, _syscall(_CREATE, None, 0, _VERSION))


def confine_files(writable: Iterable[Path]) -> bool:
    """From now on nothing is run, and files are changed beneath `writable` only (folders that exist, or files). For the
    calling thread and threads that it starts: call it before there are others, after `give_up_privileges`. False where
    the kernel has no Landlock. Raises SandboxRefused."""
    version = landlock_version()
    if not version:
        return False
    changes = _CHANGES | (_LINK if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    handled = ctypes.c_uint64(changes | _EXECUTE)
    ruleset = _syscall(_CREATE, ctypes.byref(handled), ctypes.sizeof(handled), 0)
    if ruleset < 0:
        raise SandboxRefused("Landlock: no ruleset can be made")
    try:
        for path in writable:
            with suppress(FileNotFoundError):
                _allow(ruleset, path, changes)
        if _syscall(_RESTRICT, ruleset, 0, 0) < 0:
            raise SandboxRefused(f"Landlock: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(ruleset)
    return True


def _allow(ruleset: int, path: Path, changes: int) -> None:
    parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = _PathBeneath(changes if path.is_dir() else changes & _FILE_RIGHTS, parent)
        if _syscall(_ADD, ruleset, _PATH_BENEATH, ctypes.byref(rule)) < 0:
            raise SandboxRefused(f"Landlock: {path}: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(parent)


def _syscall(number: int, first: object, second: object, third: object) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    return int(libc.syscall(ctypes.c_long(number), first, second, third, ctypes.c_uint(0)))
