"""A database that is slow, not away: the carrier must not notice."""

import pytest

from m2m_pipeline_tests.faults.conftest import MakeField
from m2m_pipeline_tests.invariants import i6_the_accounts_limits_are_kept

pytestmark = pytest.mark.xdist_group("crash points")

_STALL = """
CREATE SEQUENCE public.groups;
CREATE FUNCTION public.stall() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('public.groups') = 4 THEN
        PERFORM pg_sleep(1.5);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER stall BEFORE UPDATE OF sent_at ON m2m.device_change
    FOR EACH STATEMENT EXECUTE FUNCTION public.stall();
"""


def test_calls_that_a_slow_commit_held_up_do_not_leave_all_at_once(make_field: MakeField) -> None:
    field = make_field(1, 60)
    field.sql(_STALL)
    change = field.submit(batch_size=60, calls_per_second=20.0)
    assert field.dispatch(change).end() == "done"

    i6_the_accounts_limits_are_kept(field.evidence(change))
