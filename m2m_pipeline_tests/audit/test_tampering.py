"""Whatever the owner of the tables does to a signed log is found, and the first bad entry is named."""

from collections import Counter
from random import Random

from m2m_pipeline.services.audit.verifying import Verified
from m2m_pipeline_tests.audit.log import NAMES, OURS, THEIRS, Log
from m2m_pipeline_tests.audit.tamperings import ALL, Occasion

TAMPERINGS = 200
ENTRIES, UNSIGNED = 60, 16


def test_two_hundred_random_tamperings_are_all_found_and_named(log: Log) -> None:
    signed = grow(log)
    keep(log)
    chance = Random(19)  # noqa: S311 - any will do, the same each time
    wrong: list[str] = []
    named: Counter[str] = Counter()
    for turn in range(TAMPERINGS):
        tampering = ALL[turn % len(ALL)]
        with log.tampering() as owner:
            number = tampering(Occasion(log, owner, chance, signed))
        ours, theirs = verified(log)
        named[tampering.__name__] += 1
        if ours.fault is None or ours.fault.number != number or ours.proven != number - 1 or not theirs.holds:
            wrong.append(f"{tampering.__name__} at {number}: {ours} {theirs}")
        give_back(log)

    assert wrong == []
    assert sum(named.values()) == TAMPERINGS
    assert len(named) == len(ALL)
    assert all(one.holds for one in verified(log))


def test_what_nobody_touched_holds_and_says_how_far_it_is_proven(log: Log) -> None:
    signed = grow(log)

    ours, theirs = verified(log)

    assert (ours.fault, theirs.fault) == (None, None)
    assert (ours.proven, ours.signed, ours.unsealed) == (log.length(), signed, 0)
    assert (theirs.proven, theirs.signed) == (log.length(THEIRS), log.length(THEIRS) - UNSIGNED // 2)


def test_a_tenant_whose_rows_are_all_gone_is_known_by_its_digests(log: Log) -> None:
    grow(log)
    with log.tampering() as owner:
        for table in ("audit_entry", "audit_link"):
            owner.execute(f"DELETE FROM m2m.{table} WHERE tenant_id = {OURS}".encode())
        owner.execute("DELETE FROM m2m.tenant WHERE id = %s", (OURS,))

    faults = {one.tenant: one.fault for one in log.auditing.verify() if one.fault}

    assert [fault.number for fault in faults.values()] == [1]
    assert NAMES[OURS] not in faults


def test_an_entry_from_the_future_is_named_and_not_those_after_it(log: Log) -> None:
    grow(log)
    with log.owner() as owner:
        owner.execute(
            "INSERT INTO m2m.audit_entry (tenant_id, at, kind, actor, outcome) "
            "VALUES (1, '2099-01-01', 'CARRIER_CALL', 'forger', 'APPLIED')"
        )
    planted = log.length() + 1
    log.auditing.seal()
    log.write(4)

    (ours, _) = verified(log)

    assert ours.fault is not None
    assert ours.fault.number == planted


def test_the_quick_look_finds_what_was_done_since_the_last_digest_and_a_cut_before_it(log: Log) -> None:
    signed = grow(log)
    assert all(one.holds for one in log.auditing.verify_recent())
    with log.tampering() as owner:
        owner.execute("UPDATE m2m.audit_entry SET actor = 'x' WHERE id = (SELECT max(id) FROM m2m.audit_entry)")
    found = [one.fault.number for one in log.auditing.verify_recent() if one.fault]
    assert found == [log.length(THEIRS)]

    with log.tampering() as owner:
        owner.execute("DELETE FROM m2m.audit_link WHERE tenant_id = 1 AND number > %s", (signed - 5,))
    ours, _ = list(log.auditing.verify_recent())
    assert ours.fault is not None


def grow(log: Log) -> int:
    """A log with several digests of it, and entries after the last; up to which number ours is signed."""
    for _ in range(3):
        log.write(ENTRIES // 3)
        assert len(list(log.auditing.digest())) == len(NAMES)
    signed = log.length()
    log.write(UNSIGNED)
    log.auditing.seal()
    return signed


def verified(log: Log) -> list[Verified]:
    return list(log.auditing.verify())


def keep(log: Log) -> None:
    with log.owner() as owner:
        for table in ("audit_entry", "audit_link"):
            owner.execute(f"CREATE TABLE public.kept_{table} AS TABLE m2m.{table}".encode())


def give_back(log: Log) -> None:
    """Everything is as `keep` found it."""
    with log.tampering() as owner:
        owner.execute("TRUNCATE m2m.audit_entry, m2m.audit_link")
        for table in ("audit_entry", "audit_link"):
            owner.execute(f"INSERT INTO m2m.{table} SELECT * FROM public.kept_{table}".encode())
