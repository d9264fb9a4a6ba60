"""The invariants of the design as functions over the carrier's ledger and our rows. Each raises AssertionError."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise

from m2m_pipeline.domain.budget.gate import SHARE_OF_THE_LIMIT
from m2m_pipeline.domain.reasons import ReasonCode
from m2m_pipeline.domain.status import (
    BULK_CHANGE_TRANSITIONS,
    DEVICE_TRANSITIONS,
    ENDED_BULK_CHANGES,
    FINISHABLE_DEVICES,
    BulkChangeStatus,
    DeviceStatus,
)
from m2m_pipeline.simulator.documents import LedgerCall
from m2m_pipeline_tests.evidence import DeviceRow, Evidence

AT_THE_DOOR = {
    ReasonCode.ICCID_MALFORMED,
    ReasonCode.ICCID_SPREADSHEET_DAMAGE,
    ReasonCode.DUPLICATE,
    ReasonCode.NOT_IN_INVENTORY,
    ReasonCode.OPEN_CHANGE,
}
"""Rows that never were a device of ours to work on."""

RATE_LIMIT_CODE = "40000029"

ROUNDING = 1e-6


def check_all(evidence: Evidence) -> None:
    """Every invariant that holds for a bulk change that has ended."""
    for check in INVARIANTS:
        check(evidence)


def i1_every_device_reaches_a_final_status(evidence: Evidence) -> None:
    """The bulk change has ended, and with it each of its devices."""
    assert evidence.bulk.status in ENDED_BULK_CHANGES, evidence.bulk
    open_rows = [row for row in evidence.rows if row.status not in FINISHABLE_DEVICES]
    assert not open_rows, open_rows[:5]


def i2_at_most_one_change_and_no_blind_repeat(evidence: Evidence) -> None:
    """One effective change a device, no PUT once it is settled, a reading between two PUTs."""
    assert not (twice := changed_twice(evidence)), twice[:5]
    puts_of = _calls_of_devices(evidence, "PUT")
    for iccid, row in _worked_on(evidence).items():
        puts = puts_of[iccid]
        if row.ended_at and puts:
            assert puts[-1].wall <= row.ended_at.timestamp(), (row, puts[-1])
    assert not (blind := blind_repeats(evidence)), blind[:5]


def changed_twice(evidence: Evidence) -> list[str]:
    """The devices that the carrier was made to change more than once."""
    effective = Counter(change.iccid for change in evidence.changes if change.call is not None)
    return [iccid for iccid in _worked_on(evidence) if effective[iccid] > 1]


def blind_repeats(evidence: Evidence) -> list[tuple[LedgerCall, LedgerCall]]:
    """Two PUTs for a device, the first of which may have had an effect, and no reading between them."""
    puts, reads = _calls_of_devices(evidence, "PUT"), _calls_of_devices(evidence, "GET")
    return [
        (first, second)
        for iccid, row in _worked_on(evidence).items()
        for first, second in pairwise(puts[iccid])
        if not (_was_turned_away(first) or (row.retry > 0 and _was_refused(first)))
        and not _was_read(reads[iccid], first, second)
    ]


def i3_the_status_agrees_with_carrier_and_amop(evidence: Evidence) -> None:
    """PROCESSED is on its plan everywhere; what was refused is not; AMOP holds no mere claim."""
    for iccid, row in _worked_on(evidence).items():
        at_carrier, in_amop = evidence.carrier.get(iccid), evidence.amop.get(iccid)
        on_target = at_carrier is not None and (
            at_carrier.rate_plan == row.rate_plan and row.communication_plan in {None, at_carrier.communication_plan}
        )
        match DeviceStatus(row.status):
            case DeviceStatus.PROCESSED:
                assert on_target, (row, at_carrier)
                assert in_amop is not None
                assert in_amop[0] == row.rate_plan, (row, in_amop)
                assert row.communication_plan in {None, in_amop[1]}, (row, in_amop)
            case DeviceStatus.AMOP_FAILED:
                assert on_target, (row, at_carrier)
            case _:
                before = (row.old_rate_plan, row.old_communication_plan)  # none where it ended before the details
                known = in_amop or (None, None)  # the carrier may have told what AMOP does not know
                unchanged = all(plan in {None, old} for plan, old in zip(known, before, strict=True))
                assert unchanged or before == (None, None), (row, in_amop)
                if row.status == DeviceStatus.REFUSED:
                    assert not on_target, (row, at_carrier)


def i4_every_device_is_audited(evidence: Evidence) -> None:
    """Two entries for a device that was changed (the carrier's answer, AMOP's update), one for any other end.

    And they are all in the chain, which verifies.
    """
    assert all(chain.holds for chain in evidence.chains), evidence.chains
    assert not (loose := [entry for entry in evidence.audit if not entry.is_sealed]), loose[:5]
    for row in evidence.rows:
        entries = [entry for entry in evidence.audit if entry.device_change_id == row.id]
        endings = [
            entry
            for entry in entries
            if entry.kind in {"AMOP_UPDATE", "DEVICE_ENDED"} and (entry.outcome, entry.retry) == (row.status, row.retry)
        ]
        assert len(endings) == 1, (row, entries)
        if row.status == DeviceStatus.PROCESSED:
            assert any(entry.kind in {"CARRIER_CALL", "CARRIER_READ"} for entry in entries), (row, entries)
            assert (endings[0].old_rate_plan, endings[0].new_rate_plan) == (row.old_rate_plan, row.rate_plan)
        else:
            assert endings[0].reason == row.reason, (row, endings)
    ends = [entry.outcome for entry in evidence.audit if entry.kind == "BULK_CHANGE_ENDED"]
    assert ends[-1:] == [evidence.bulk.status], ends  # reconciliation may end it again, with what it found out


def i5_counts_add_up(evidence: Evidence) -> None:
    """The stored document says what the rows say."""
    document = evidence.bulk.result
    assert document is not None
    counts: dict[str, int] = {}
    for row in evidence.rows:
        counts[row.status] = counts.get(row.status, 0) + 1
    assert document["counts"] == counts
    assert document["total"] == len(evidence.rows)
    assert document["status"] == evidence.bulk.status
    grouped = [_count(group) for name in ("failures", "skipped") for group in _groups(document[name])]
    assert sum(grouped) + counts.get(DeviceStatus.PROCESSED, 0) == len(evidence.rows)
    attempts = [entry for entry in evidence.audit if entry.kind == "ATTEMPT_STARTED"]
    if len(attempts) == 1:  # an attempt that died has not told its last calls
        assert evidence.bulk.carrier_calls == len(evidence.calls)


def i6_the_accounts_limits_are_kept(evidence: Evidence) -> None:
    """Calls a second and calls in flight, as the carrier counted them."""
    for most in evidence.summary.max_calls_in_a_second.values():
        assert most <= max(1.0, evidence.bulk.calls_per_second), evidence.summary
    for most in evidence.summary.max_in_flight.values():
        assert most <= evidence.bulk.in_flight, evidence.summary


def beyond_permits(starts: Sequence[float], rate: float, in_flight: int) -> Iterator[tuple[int, float]]:
    """Spans from one call of an account to a later one with more calls than permits: how many, in how many seconds.

    This much of I6 can be told however late a machine lets calls come, and through kills. A permit is a moment, and no
    two are nearer to each other than the rate allows. It holds a place from before its moment until its call has ended,
    also where its process was killed. So of the calls that arrive in a span, no more than may be in flight had their
    moment before it, and the moments within it are as many as the rate gives, and one.
    """
    ordered = sorted(starts)
    for place, first in enumerate(ordered):
        for calls, last in enumerate(ordered[place:], 1):
            if calls > in_flight + 1 + (last - first) * rate * SHARE_OF_THE_LIMIT + ROUNDING:
                yield calls, last - first


def i7_only_legal_transitions(evidence: Evidence) -> None:
    """Every move that the database saw stands in the table."""
    for table, before, after in evidence.moves:
        if table == "bulk_change":
            assert after in BULK_CHANGE_TRANSITIONS[BulkChangeStatus(before)], (table, before, after)
        else:
            assert after in DEVICE_TRANSITIONS[DeviceStatus(before)], (table, before, after)


def i8_nothing_of_another_tenant(evidence: Evidence) -> None:
    """Rows, entries and calls are of one tenant and its account."""
    assert {row.tenant_id for row in evidence.rows} <= {evidence.bulk.tenant_id}
    assert {entry.tenant_id for entry in evidence.audit} <= {evidence.bulk.tenant_id}
    assert {call.account for call in evidence.calls} <= {evidence.bulk.username}


INVARIANTS: Sequence[Callable[[Evidence], None]] = (
    i1_every_device_reaches_a_final_status,
    i2_at_most_one_change_and_no_blind_repeat,
    i3_the_status_agrees_with_carrier_and_amop,
    i4_every_device_is_audited,
    i5_counts_add_up,
    i6_the_accounts_limits_are_kept,
    i7_only_legal_transitions,
    i8_nothing_of_another_tenant,
)


def _calls_of_devices(evidence: Evidence, method: str) -> Mapping[str | None, list[LedgerCall]]:
    calls: defaultdict[str | None, list[LedgerCall]] = defaultdict(list)
    for call in evidence.calls:
        if call.method == method:
            calls[call.iccid].append(call)
    return calls


def _worked_on(evidence: Evidence) -> Mapping[str, DeviceRow]:
    return {row.iccid: row for row in evidence.rows if row.reason not in AT_THE_DOOR}


def _was_turned_away(call: LedgerCall) -> bool:
    """The carrier said that it looked at nothing: the call may be repeated as it is.

    A 503 says so where it names a time to come back. A bare one may be about a server that died over the call, and a
    code other than the limit's, whatever the status around it, is a word from further inside.
    """
    if call.error_code:
        return call.error_code == RATE_LIMIT_CODE
    return call.status == 429 or (call.status == 503 and call.retry_after)


def _was_refused(call: LedgerCall) -> bool:
    """The carrier said no: a person may have it asked again."""
    return call.status is not None and 400 <= call.status < 500


def _was_read(reads: Sequence[LedgerCall], first: LedgerCall, second: LedgerCall) -> bool:
    return any(first.start <= read.start < second.start and read.status == 200 for read in reads)


def _groups(value: object) -> list[object]:
    assert isinstance(value, list)
    return [*value]


def _count(group: object) -> int:
    assert isinstance(group, dict)
    count: object = group["count"]
    assert isinstance(count, int)
    return count
