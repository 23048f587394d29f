"""Bytes on disk: whole and right, or a miss; within their budget; whatever happens to the folder."""

import hashlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sam_backend import metrics
from sam_backend.cache import budget as budgets
from sam_backend.cache.disk import DiskCache
from sam_backend.cache.frame import BrokenEntryError, seal, unseal

FRAME = 60  # bytes around a value with a key of a few letters
ROOT = Path(__file__).parents[2]


def value_of(key: str, size: int = 1000) -> bytes:
    """What a key's value must be, so that a wrong one is seen."""
    block = hashlib.sha256(key.encode()).digest()
    return (block * (size // len(block) + 1))[:size]


def read(cache: DiskCache, key: str) -> bytes | None:
    value = cache.get(key)
    return None if value is None else bytes(value)


def entries(folder: Path) -> list[Path]:
    return [path for path in folder.glob("??/*") if not path.name.endswith(budgets.TEMPORARY)]


def occupied(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("??/*"))


def faults(kind: str) -> float:
    return metrics.REGISTRY.get_sample_value("sam_cache_faults_total", {"tier": "disk", "fault": kind}) or 0.0


@pytest.fixture
def cache(tmp_path: Path) -> DiskCache:
    return DiskCache(tmp_path / "cache", 10**6)


@pytest.fixture
def stored(cache: DiskCache, tmp_path: Path) -> Path:
    """The file of the key `a`."""
    cache.put("a", [value_of("a")])
    (path,) = entries(tmp_path / "cache")
    return path


def test_what_was_put_is_found_by_another_process_later(cache: DiskCache, tmp_path: Path) -> None:
    cache.put("a", [b"first part, ", memoryview(b"second part")])
    assert read(DiskCache(tmp_path / "cache", 10**6), "a") == b"first part, second part"
    assert read(cache, "b") is None


@given(st.text(max_size=40), st.lists(st.binary(max_size=40), max_size=4))
def test_a_frame_gives_back_what_it_was_given(key: str, parts: list[bytes]) -> None:
    assert bytes(unseal(key, b"".join(seal(key, parts)))) == b"".join(parts)


@given(st.data())
def test_a_frame_with_any_byte_changed_or_missing_or_too_many_is_broken(data: st.DataObject) -> None:
    entry = b"".join(seal("key", [value_of("key", 100)]))
    place = data.draw(st.integers(0, len(entry) - 1))
    flipped = bytearray(entry)
    flipped[place] ^= data.draw(st.integers(1, 255))
    for broken in (bytes(flipped), entry[:place], entry + entry[: place + 1], bytes(place)):
        with pytest.raises(BrokenEntryError):
            unseal("key", broken)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda entry: entry[:0],
        lambda entry: entry[:20],
        lambda entry: entry[:-1],
        lambda entry: entry + b"\0",
        lambda entry: entry[:200] + bytes([entry[200] ^ 1]) + entry[201:],
        lambda entry: bytes(len(entry)),
        lambda entry: b"\x93NUMPY" + entry,
        lambda entry: b"".join(seal("b", [entry])),
    ],
    ids=["empty", "head alone", "one short", "one more", "a bit flipped", "zeros", "another format", "another key's"],
)
def test_a_broken_entry_is_a_miss_and_removed_and_counted(
    cache: DiskCache, stored: Path, spoil: Callable[[bytes], bytes]
) -> None:
    stored.write_bytes(spoil(stored.read_bytes()))
    before = faults("broken")
    assert read(cache, "a") is None
    assert not stored.exists()
    assert faults("broken") == before + 1
    cache.put("a", [value_of("a")])
    assert read(cache, "a") == value_of("a")


def test_the_least_recently_used_goes_first_and_the_budget_holds(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, 10_000)
    for number in range(9):
        cache.put(f"{number}", [value_of(f"{number}")])
    for path in entries(tmp_path):
        os.utime(path, (1, 1))
    assert read(cache, "3") == value_of("3")
    for number in range(10, 17):
        cache.put(f"{number}", [value_of(f"{number}")])
        assert occupied(tmp_path) <= 10_000
    assert read(cache, "3") == value_of("3")
    assert read(cache, "16") == value_of("16")
    assert sum(read(cache, f"{number}") is not None for number in range(9)) < 4


def test_what_is_larger_than_the_budget_is_let_go_and_evicts_nothing(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, 10_000)
    cache.put("a", [value_of("a")])
    cache.put("b", [value_of("b", 10_000)])
    assert read(cache, "a") == value_of("a")
    assert read(cache, "b") is None


def test_a_folder_that_was_fuller_than_the_budget_is_cut_down(tmp_path: Path) -> None:
    large = DiskCache(tmp_path, 10**6)
    for number in range(50):
        large.put(f"{number}", [value_of(f"{number}")])
    small = DiskCache(tmp_path, 10_000)
    small.put("new", [value_of("new")])
    assert occupied(tmp_path) <= 10_000
    assert read(small, "new") == value_of("new")


def test_a_put_looks_at_the_whole_folder_only_once_in_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = 0
    look = budgets.Budget._look

    def counting(budget: budgets.Budget, size: int) -> int:
        nonlocal looked
        looked += 1
        return look(budget, size)

    monkeypatch.setattr(budgets.Budget, "_look", counting)
    cache = DiskCache(tmp_path, 1000 * (1000 + FRAME))
    for number in range(2000):
        cache.put(f"{number}", [value_of(f"{number}")])
    assert looked <= 60
    assert 0.85 * 1000 <= len(entries(tmp_path)) <= 1000


def test_files_of_others_are_neither_counted_nor_removed(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, 3000)
    foreign = [tmp_path / "notes.txt", tmp_path / "ab" / "photo.jpg", tmp_path / "elsewhere" / "x.tmp"]
    for path in foreign:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(5000))
        os.utime(path, (1, 1))
    for number in range(20):
        cache.put(f"{number}", [value_of(f"{number}")])
    assert all(path.stat().st_size == 5000 for path in foreign)
    assert read(cache, "19") == value_of("19")


def test_what_cannot_be_removed_is_counted_and_does_not_let_the_folder_grow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = DiskCache(tmp_path, 3000)
    cache.put("a", [value_of("a")])
    cache.put("b", [value_of("b")])

    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "unlink", refuse)
    before = faults("write")
    cache.put("c", [value_of("c")])
    assert faults("write") == before + 1
    assert (read(cache, "a"), read(cache, "c")) == (value_of("a"), None)
    assert occupied(tmp_path) <= 3000


def test_a_folder_in_an_entry_s_place_disturbs_nobody_else(cache: DiskCache, stored: Path) -> None:
    stored.unlink()
    stored.mkdir()
    before = faults("read"), faults("write")
    assert read(cache, "a") is None
    cache.put("a", [value_of("a")])
    assert (faults("read"), faults("write")) == (before[0] + 1, before[1] + 1)
    again = DiskCache(stored.parents[1], 3000)
    for number in range(5):
        again.put(f"{number}", [value_of(f"{number}")])
    assert read(again, "4") == value_of("4")


def test_temporary_files_that_lost_their_writer_are_removed_later(tmp_path: Path) -> None:
    shard = tmp_path / "ab"
    shard.mkdir()
    young, old = (shard / f"{name}{budgets.TEMPORARY}" for name in ("young", "old"))
    for path in (young, old):
        path.write_bytes(b"torn")
    os.utime(old, (time.time() - 3600,) * 2)
    DiskCache(tmp_path, 10**6).put("a", [b"value"])
    assert young.exists()
    assert not old.exists()


def test_many_threads_on_one_folder_read_what_was_written_or_nothing(tmp_path: Path) -> None:
    caches = [DiskCache(tmp_path, 30_000) for _ in range(2)]

    def work(seed: int) -> int:
        found = 0
        for step in range(150):
            cache, key = caches[step % 2], f"{(seed * 7 + step) % 40}"
            value = read(cache, key)
            assert value is None or value == value_of(key)
            found += value is not None
            cache.put(key, [value_of(key)])
        return found

    before = {kind: faults(kind) for kind in ("read", "write", "broken")}
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(8))) > 0
    assert {kind: faults(kind) for kind in before} == before


# ---------------------------------------------------------------------------------------------------- processes

WRITE = """
import itertools, sys
from pathlib import Path
from sam_backend.cache.disk import DiskCache
from tests.cache.test_disk import value_of

folder, budget, size, seed, steps = sys.argv[1], *map(int, sys.argv[2:])
cache = DiskCache(Path(folder), budget)
print("begins", flush=True)
for step in range(steps) if steps else itertools.count():
    key = str((seed * 11 + step * 3) % 60)
    value = cache.get(key)
    assert value is None or value == value_of(key, size), key
    cache.put(key, [value_of(key, size)])
from sam_backend import metrics
assert "sam_cache_faults_total{" not in metrics.exposition().decode()
"""


def writer(folder: Path, budget: int, size: int, seed: int, steps: int = 0) -> "subprocess.Popen[str]":
    arguments = (str(argument) for argument in (folder, budget, size, seed, steps))
    return subprocess.Popen([sys.executable, "-c", WRITE, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """A folder whose writers were killed while they wrote."""
    for seed in range(3):
        process = writer(tmp_path, 200 * 2**20, 4 * 2**20, seed)
        assert process.stdout
        with process.stdout:
            assert process.stdout.readline() == "begins\n"
            time.sleep(0.15 + 0.05 * seed)
            process.send_signal(signal.SIGKILL)
            assert process.wait(10) == -signal.SIGKILL
    return tmp_path


def test_after_kill_9_in_the_middle_of_a_write_every_entry_is_whole(killed: Path) -> None:
    cache, before = DiskCache(killed, 200 * 2**20), faults("broken")
    found = [read(cache, str(number)) for number in range(60)]
    assert sum(value is not None for value in found) == len(entries(killed)) > 0
    for number, value in enumerate(found):
        assert value is None or value == value_of(str(number), 4 * 2**20)
    assert faults("broken") == before
    for path in killed.glob("??/*"):
        if path.name.endswith(budgets.TEMPORARY):
            os.utime(path, (1, 1))
    DiskCache(killed, 200 * 2**20).put("new", [b"value"])
    assert len(list(killed.glob("??/*"))) == len(entries(killed))


def test_a_process_that_dies_within_a_write_leaves_no_entry(tmp_path: Path) -> None:
    """The kernel ends it at the second of the entry's four MiB."""
    code = """
import resource, signal, sys
from pathlib import Path
from sam_backend.cache.disk import DiskCache

signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE, (2 * 2**20, 2 * 2**20))
DiskCache(Path(sys.argv[1]), 10**8).put("a", [bytes(2**20)] * 4)
"""
    process = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT)
    assert process.returncode == -signal.SIGXFSZ
    (torn,) = tmp_path.glob("??/*")
    assert torn.stat().st_size == 2 * 2**20
    cache = DiskCache(tmp_path, 10**8)
    assert read(cache, "a") is None
    os.utime(torn, (1, 1))
    cache.put("a", [value_of("a")])
    assert list(tmp_path.glob("??/*")) == entries(tmp_path)
    assert read(cache, "a") == value_of("a")


def test_several_processes_on_one_folder_never_read_another_value_and_keep_the_budget(tmp_path: Path) -> None:
    processes = [writer(tmp_path, 40_000, 1000, seed, 300) for seed in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    for process in processes:
        if process.stdout:
            process.stdout.close()
    assert 0 < occupied(tmp_path) <= 40_000 * (1 + 3 / 20)


# ----------------------------------------------------------------------------------------------- a disk's bad days


def test_a_disk_that_takes_no_more_is_counted_and_warned_of_once_and_leaves_nothing(
    cache: DiskCache, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A limit on the size of files fails a write in its middle, as a full disk does."""
    cache.put("a", [value_of("a")])
    before, limits = faults("write"), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))
    try:
        for number in range(5):
            cache.put(f"{number}", [value_of(f"{number}", 9000)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert faults("write") == before + 5
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "File too large" in caplog.text
    assert len(list((tmp_path / "cache").glob("??/*"))) == 1
    assert read(cache, "a") == value_of("a")
    cache.put("0", [value_of("0")])
    assert read(cache, "0") == value_of("0")


@pytest.mark.parametrize("keys", [["a"], []], ids=["in use", "unused"])
def test_a_folder_that_vanishes_is_a_miss_and_comes_back(tmp_path: Path, keys: list[str]) -> None:
    cache = DiskCache(tmp_path / "cache", 10**6)
    for key in keys:
        cache.put(key, [value_of(key)])
    (tmp_path / "cache").rename(tmp_path / "gone")
    assert read(cache, "a") is None
    cache.put("b", [value_of("b")])
    assert read(cache, "b") == value_of("b")


def test_a_folder_that_cannot_be_used_any_more_is_counted(cache: DiskCache, stored: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").rename(tmp_path / "gone")
    (tmp_path / "cache").write_text("a file in its place")
    reads, writes = faults("read"), faults("write")
    assert read(cache, "a") is None
    cache.put("b", [value_of("b")])
    assert (faults("read"), faults("write")) == (reads + 1, writes + 1)


def test_a_folder_that_cannot_be_written_is_still_read(
    cache: DiskCache, stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "utime", refuse)
    monkeypatch.setattr(Path, "mkdir", refuse)
    before = faults("write")
    cache.put("b", [value_of("b")])
    assert read(cache, "a") == value_of("a")
    assert faults("write") == before + 1
