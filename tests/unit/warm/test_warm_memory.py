"""Which mappings of a process are unchanged from their files."""

from __future__ import annotations

import pytest

from agent.warm.memory import Trimming, clean_mappings


def mapping(
    addresses: str = "1000-3000", access: str = "r-xp", name: str = "/lib/libx.so", written: str = "", kb: int = 4
) -> list[str]:
    kinds = ("Shared_Clean", "Shared_Dirty", "Private_Clean", "Private_Dirty", "Referenced", "Anonymous", "Swap")
    sizes = [f"{kind + ':':16}{kb if kind in (written, 'Private_Clean') else 0:>8} kB\n" for kind in kinds]
    return [f"{addresses} {access} 00000000 08:01 1234{' ' * 20}{name}\n", *sizes, "VmFlags: rd ex mr mw me\n"]


def test_code_and_constants_of_a_library_are_clean() -> None:
    smaps = [*mapping("1000-3000"), *mapping("7f00aa000-7f00ab000", "r--p", "/lib/libx.so")]
    assert list(clean_mappings(smaps)) == [(0x1000, 0x3000), (0x7F00AA000, 0x7F00AB000)]


@pytest.mark.parametrize("written", ["Private_Dirty", "Shared_Dirty", "Anonymous", "Swap"])
def test_what_the_linker_has_written_to_is_not(written: str) -> None:
    assert list(clean_mappings([*mapping(written=written), *mapping("5000-6000")])) == [(0x5000, 0x6000)]


@pytest.mark.parametrize(
    ("access", "name"), [("rw-p", "/lib/libx.so"), ("r--s", "/var/x.db-shm"), ("r--p", ""), ("r-xp", "[vdso]")]
)
def test_what_is_written_to_shared_or_of_no_file_is_not(access: str, name: str) -> None:
    assert list(clean_mappings(mapping(access=access, name=name))) == []


def test_memory_is_given_back_at_most_every_so_often(monkeypatch: pytest.MonkeyPatch) -> None:
    trimming, times = Trimming(0.5), []
    monkeypatch.setattr(trimming, "_trim", lambda pad: times.append(now))
    for now in (10.0, 10.2, 10.5, 10.9, 11.0):
        trimming(now)
    assert times == [10.0, 10.5, 11.0]
