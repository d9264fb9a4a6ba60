"""Connections that break around a call or a commit: what is told afterwards is what is."""

import pytest

from m2m_pipeline_tests.faults import wires
from m2m_pipeline_tests.faults.conftest import MakeField
from m2m_pipeline_tests.faults.field import Field
from m2m_pipeline_tests.faults.proxy import Harm

pytestmark = pytest.mark.xdist_group("wires")


@pytest.fixture(scope="module")
def field(make_field: MakeField) -> Field:
    return make_field(7, wires.DEVICES)


@pytest.mark.parametrize("harm", [Harm.CUT_ANSWER, Harm.HALF_OPEN])
def test_a_broken_connection_to_the_carrier_leaves_no_device_behind_and_repeats_no_call(
    field: Field, harm: Harm
) -> None:
    verdict = wires.cut_carrier(field, 1, harm)

    assert verdict.kills == wires.STRUCK
    assert verdict.holds, f"{verdict}"


@pytest.mark.parametrize(
    ("harm", "first"),
    [(Harm.LOSE_ANSWER, 1), (Harm.LOSE_ANSWER, 12), (Harm.CUT_BEFORE, 12), (Harm.STALL, 24)],
)
def test_a_connection_to_the_database_that_breaks_at_a_commit_loses_and_doubles_nothing(
    field: Field, harm: Harm, first: int
) -> None:
    verdict = wires.cut_database(field, 1, harm, wires.commits_from(first))

    assert verdict.holds, f"{verdict}"


def test_outcomes_whose_commit_is_not_answered_are_told_once(field: Field) -> None:
    verdict = wires.cut_database(field, 1, Harm.LOSE_ANSWER, (1,), after=b"CARRIER_CALL")

    assert verdict.holds, f"{verdict}"
