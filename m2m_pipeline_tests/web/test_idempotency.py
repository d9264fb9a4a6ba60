"""Idempotency keys over HTTP: the same request is answered the same, another one is refused, and none is made twice."""

from concurrent.futures import ThreadPoolExecutor

from m2m_pipeline_tests.web.door import Door

CHANGES = "/api/v1/bulk-changes"


def test_the_same_key_and_body_get_the_same_answer_marked_as_replayed(door: Door) -> None:
    headers = {"Idempotency-Key": "k1"}
    first = door.as_().post(CHANGES, json=door.request(), headers=headers)
    door.world.run(first.json()["id"])
    again = door.as_().post(CHANGES, json=door.request(), headers=headers)
    assert (again.status_code, again.content) == (202, first.content)
    assert again.headers["location"] == first.headers["location"]
    assert (first.headers.get("idempotency-replayed"), again.headers["idempotency-replayed"]) == (None, "true")
    as_before = door.as_().post("/M2M/BulkChange", json=door.request(), headers=headers)
    assert as_before.json()["redirectUrl"] == first.headers["location"]
    assert as_before.headers["idempotency-replayed"] == "true"


def test_the_same_key_with_another_body_is_refused(door: Door) -> None:
    headers = {"Idempotency-Key": "k1"}
    door.as_().post(CHANGES, json=door.request(), headers=headers)
    other = door.as_().post(CHANGES, json=door.request(rate_plan="Plan Third"), headers=headers)
    assert (other.status_code, other.json()["type"]) == (422, "urn:m2m:problem:key-of-another-request")


def test_a_key_is_free_again_after_seven_days(door: Door) -> None:
    headers = {"Idempotency-Key": "k1"}
    first = door.as_().post(CHANGES, json=door.request(), headers=headers).json()["id"]
    door.world.run(first)
    door.world.sql("UPDATE m2m.bulk_change SET created_at = clock_timestamp() - interval '6 days 23 hours'")
    assert door.as_().post(CHANGES, json=door.request(), headers=headers).json()["id"] == first
    door.world.sql("UPDATE m2m.bulk_change SET created_at = clock_timestamp() - interval '7 days 1 hour'")
    later = door.as_().post(CHANGES, json=door.request(rate_plan="Plan Third"), headers=headers)
    assert later.status_code == 202
    assert later.json()["id"] != first


def test_fifty_times_the_same_key_at_once_is_one_bulk_change(door: Door) -> None:
    client = door.as_()

    def send(_: int) -> int:
        return client.post(CHANGES, json=door.request(), headers={"Idempotency-Key": "k1"}).status_code

    with ThreadPoolExecutor(50) as pool:
        statuses = list(pool.map(send, range(50)))
    assert set(statuses) <= {202, 409}
    assert 202 in statuses
    assert door.world.count("bulk_change") == 1


def test_a_key_that_is_being_recorded_is_told_so_and_not_waited_for(door: Door) -> None:
    with door.world.services.database.begin() as tx:
        tenant = door.world.provider.tenant_id
        tx.exec_driver_sql(f"SELECT pg_advisory_xact_lock(hashtextextended('{tenant}:k1', 0))")
        answer = door.as_().post(CHANGES, json=door.request(), headers={"Idempotency-Key": "k1"})
    assert (answer.status_code, answer.headers["retry-after"]) == (409, "1")
    assert door.world.count("bulk_change") == 0
