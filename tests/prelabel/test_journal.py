"""The journal: what was added is there after any end of the process, and nothing else is."""

import json
from pathlib import Path

import pytest

from sam_backend.errors import JobError
from sam_backend.prelabel.journal import Journal, peek

ABOUT = {"version": "builtin-everything-1", "label config": "ab"}
KEY = 'a "quoted" \\ ключ\n.png'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tasks.json.journal"


def fill(path: Path, *keys: str) -> None:
    journal = Journal(path, ABOUT)
    for key in keys:
        journal.add(key, json.dumps({"data": key}).encode())
    journal.close()


def known(path: Path, *keys: str) -> list[bool]:
    journal = Journal(path, ABOUT)
    found = [key in journal for key in keys]
    journal.close()
    return found


def test_it_gives_back_what_was_added_here_and_by_an_earlier_run(path: Path) -> None:
    fill(path, "1", KEY)
    journal = Journal(path, ABOUT)
    journal.add("3", b'{"x":3}')
    assert (journal.task("1"), journal.task(KEY)) == (b'{"data": "1"}', json.dumps({"data": KEY}).encode())
    assert (journal.task("3"), journal.task("4")) == (b'{"x":3}', None)
    assert (len(journal), "3" in journal, "4" in journal) == (3, True, False)
    journal.close()


def test_each_line_is_json(path: Path) -> None:
    fill(path, "1", KEY)
    header, *lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert header == {"journal": 1, "about": ABOUT}
    assert [(line["key"], line["task"]) for line in lines] == [("1", {"data": "1"}), (KEY, {"data": KEY})]


def test_wherever_the_last_line_is_torn_it_is_cut_off_and_the_others_stay(path: Path) -> None:
    fill(path, "1")
    whole = path.read_bytes()
    fill(path, "2")
    both = path.read_bytes()
    for end in range(len(whole), len(both)):
        path.write_bytes(both[:end])
        assert known(path, "1", "2") == [True, False]
        assert path.read_bytes() == whole


def test_a_torn_header_is_a_journal_that_begins(path: Path) -> None:
    fill(path)
    header = path.read_bytes()
    for end in range(len(header)):
        path.write_bytes(header[:end])
        assert peek(path, ABOUT) == 0
        fill(path, "1")
        assert known(path, "1") == [True]


def test_a_line_that_the_disk_lost_is_cut_off_with_what_follows(path: Path) -> None:
    fill(path, "1")
    start = path.stat().st_size
    fill(path, "2", "3")
    damaged = bytearray(path.read_bytes())
    damaged[start + 12 : start + 20] = bytes(8)
    path.write_bytes(damaged)
    assert known(path, "1", "2", "3") == [True, False, False]


def test_one_of_other_parameters_is_refused_by_name_and_stays_as_it_is(path: Path) -> None:
    fill(path, "1")
    before = path.read_bytes()
    with pytest.raises(JobError, match=r"another version: 'builtin-everything-1', not 'other'\..*--restart"):
        Journal(path, ABOUT | {"version": "other"})
    with pytest.raises(JobError, match="another tasks file: None, not 'x'"):
        Journal(path, ABOUT | {"tasks file": "x"})
    assert path.read_bytes() == before


def test_a_file_that_is_no_journal_is_refused_and_stays_as_it_is(path: Path) -> None:
    for content in (b"mine\n", b"mine", b"[]\n"):
        path.write_bytes(content)
        with pytest.raises(JobError, match="is no journal"):
            Journal(path, ABOUT)
        assert path.read_bytes() == content


def test_it_can_be_begun_anew(path: Path) -> None:
    fill(path, "1")
    Journal(path, ABOUT | {"version": "other"}, restart=True).close()
    assert peek(path, ABOUT | {"version": "other"}) == 0


def test_one_run_at_a_time_has_it(path: Path) -> None:
    journal = Journal(path, ABOUT)
    with pytest.raises(JobError, match=r"Another run is writing .*tasks\.json\.journal"):
        Journal(path, ABOUT, restart=True)
    journal.add("1", b"{}")
    journal.close()
    assert known(path, "1") == [True]


def test_looking_at_it_changes_nothing(path: Path) -> None:
    assert peek(path, ABOUT) == 0
    assert not path.exists()
    fill(path, "1", "2")
    torn = path.read_bytes()[:-3]
    path.write_bytes(torn)
    assert peek(path, ABOUT) == 1
    assert path.read_bytes() == torn
