"""Several processes: each item has one outcome, whichever of them die."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sam_backend.errors import JobError, ModelFolderError
from sam_backend.prelabel.default_config import default_config
from sam_backend.prelabel.machine import cores, share
from sam_backend.prelabel.options import with_options
from sam_backend.prelabel.processes import Processes
from sam_backend.prelabel.types import Item, Order
from sam_backend.settings import Settings
from tests.support import bulk

QUICK = {"mode": "everything", "points_per_side": "2"}


class Deadly:
    """Ends the process that unpickles it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (1,)


@pytest.fixture
def order() -> Order:
    return Order(with_options(Settings(), QUICK), default_config())


def items(folder: Path, count: int) -> list[Item]:
    names = bulk.draw_images(folder, count)
    return [Item(name, {"data": {"image": name}}, folder / name) for name in names]


def test_an_item_that_kills_its_process_twice_has_failed_and_the_others_have_not(order: Order, tmp_path: Path) -> None:
    good = items(tmp_path, 4)
    deadly = Item("deadly", {"data": {"image": Deadly()}})
    outcomes = list(Processes(1)(order, [*good[:1], deadly, *good[1:]]))
    assert [outcome.item.key for outcome in outcomes] == [good[0].key, "deadly", *(item.key for item in good[1:])]
    assert [outcome.error for outcome in outcomes if outcome.error] == ["The process that labeled it died, 2 times."]
    assert all(outcome.prediction for outcome in outcomes if outcome.item is not deadly)


def test_processes_that_die_whatever_they_are_given_end_the_run(order: Order) -> None:
    deadly = [Item(f"deadly {number}", {"data": {"image": Deadly()}}) for number in range(9)]
    with pytest.raises(JobError, match="6 processes in a row died, the last one with deadly"):
        list(Processes(1)(order, deadly))


def test_no_more_items_are_asked_for_than_will_soon_be_worked_off(order: Order, tmp_path: Path) -> None:
    asked = []

    def source() -> Iterator[Item]:
        for item in items(tmp_path, 12):
            asked.append(item.key)
            yield item

    outcomes = Processes(2)(order, source())
    for done in range(1, 4):
        next(outcomes)
        assert len(asked) <= done + 4
    outcomes.close()
    assert len(asked) < 12


def test_a_model_that_is_not_there_ends_the_run_and_says_so(order: Order, tmp_path: Path) -> None:
    settings = order.settings.model_copy(update={"model": "none", "model_dir": tmp_path})
    with pytest.raises(ModelFolderError, match="none"):
        list(Processes(1)(replace(order, settings=settings), items(tmp_path, 1)))


def test_workers_share_the_cores_unless_the_setting_says_how_many_threads_each_has(order: Order) -> None:
    assert share(order, 1).settings.inference_threads == 0
    assert share(order, 2).settings.inference_threads == max(1, cores() // 2)
    assert share(order, 1000).settings.inference_threads == 1
    fixed = replace(order, settings=order.settings.model_copy(update={"inference_threads": 3}))
    assert share(fixed, 1000).settings.inference_threads == 3
