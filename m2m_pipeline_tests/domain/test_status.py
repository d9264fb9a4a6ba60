"""The two state machines: every state reachable, ends without exits, the sets as the rest of the code reads them."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

import pytest

from m2m_pipeline.domain.status import (
    BULK_CHANGE_TRANSITIONS,
    DEVICE_TRANSITIONS,
    ENDED_BULK_CHANGES,
    FINISHABLE_DEVICES,
    OPEN_DEVICES,
    SETTLED_DEVICES,
    BulkChangeStatus,
    DeviceStatus,
    bulk_change_sources,
    device_sources,
)

State = TypeVar("State", bound=StrEnum)


def reachable(start: State, transitions: Mapping[State, frozenset[State]]) -> set[State]:
    seen, left = {start}, [start]
    while left:
        new = transitions[left.pop()] - seen
        seen |= new
        left.extend(new)
    return seen


def test_every_state_has_its_line_in_the_table() -> None:
    assert set(BULK_CHANGE_TRANSITIONS) == set(BulkChangeStatus)
    assert set(DEVICE_TRANSITIONS) == set(DeviceStatus)


def test_every_state_is_reachable_from_the_first() -> None:
    assert reachable(BulkChangeStatus.NEW, BULK_CHANGE_TRANSITIONS) == set(BulkChangeStatus)
    assert reachable(DeviceStatus.WAITING, DEVICE_TRANSITIONS) == set(DeviceStatus)


def test_an_end_is_reachable_from_every_state() -> None:
    assert all(reachable(state, BULK_CHANGE_TRANSITIONS) & ENDED_BULK_CHANGES for state in BulkChangeStatus)
    assert all(reachable(state, DEVICE_TRANSITIONS) & SETTLED_DEVICES for state in DeviceStatus)


def test_the_ends_are_those_that_the_words_say() -> None:
    assert {"PROCESSED", "PARTIAL", "FAILED", "REJECTED"} == ENDED_BULK_CHANGES
    assert {"PROCESSED", "REFUSED", "SKIPPED"} == SETTLED_DEVICES


def test_a_device_is_open_settled_or_not_yet_its_bulk_changes_to_touch() -> None:
    assert set(DeviceStatus) == OPEN_DEVICES | SETTLED_DEVICES | {DeviceStatus.WAITING}
    assert not OPEN_DEVICES & SETTLED_DEVICES


def test_a_bulk_change_may_end_over_what_is_known_or_handed_on_and_over_nothing_that_is_under_way() -> None:
    assert {"UNCONFIRMED", "AMOP_FAILED"} == FINISHABLE_DEVICES - SETTLED_DEVICES
    assert {"WAITING", "PENDING", "SENDING", "APPLIED"} == set(DeviceStatus) - FINISHABLE_DEVICES


@pytest.mark.parametrize("target", DeviceStatus)
def test_the_sources_of_a_device_state_are_the_table_read_backwards(target: DeviceStatus) -> None:
    assert device_sources(target) == {source for source in DeviceStatus if target in DEVICE_TRANSITIONS[source]}


@pytest.mark.parametrize("target", BulkChangeStatus)
def test_the_sources_of_a_bulk_change_state_are_the_table_read_backwards(target: BulkChangeStatus) -> None:
    assert bulk_change_sources(target) == {
        source for source in BulkChangeStatus if target in BULK_CHANGE_TRANSITIONS[source]
    }


def test_nothing_is_sent_before_its_intent_is_committed() -> None:
    assert device_sources(DeviceStatus.SENDING) == {"PENDING"}
    assert device_sources(DeviceStatus.PROCESSED) == {"APPLIED", "AMOP_FAILED"}


def test_an_unknown_outcome_is_never_sent_again_without_being_read() -> None:
    assert DeviceStatus.SENDING not in DEVICE_TRANSITIONS[DeviceStatus.UNCONFIRMED]
