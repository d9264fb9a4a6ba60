"""Digests: signed, outside the database, each written once; in a directory and in a bucket alike."""

import json
import secrets
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from m2m_pipeline.aws.s3 import S3Archive
from m2m_pipeline.domain.digests import ArchiveUnavailableError, DigestArchive
from m2m_pipeline.services.audit.signing import Signatures, SigningKeyError, generate
from m2m_pipeline.services.auditing import Auditing, NoDigestTargetError
from m2m_pipeline_tests.audit.log import NAMES, PUBLIC, SECRET, Log, directory
from m2m_pipeline_tests.queues.server import ISOLATED, KEYS, REGION, AwsServer

FIRST = "0000000001/000000000000001.json"


@pytest.fixture(scope="module")
def aws() -> Generator[AwsServer]:
    with AwsServer() as server:
        yield server


@pytest.fixture
def bucket(aws: AwsServer, monkeypatch: pytest.MonkeyPatch) -> S3Archive:
    """A bucket with object lock, and below a prefix of it our digests."""
    for name, value in {**ISOLATED, **KEYS, "AWS_REGION": REGION, "AWS_ENDPOINT_URL_S3": aws.url}.items():
        monkeypatch.setenv(name, value)
    name = f"audit-{secrets.token_hex(4)}"
    aws.client("s3").create_bucket(
        Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION}, ObjectLockEnabledForBucket=True
    )
    return S3Archive(name, "m2m/production")


@pytest.fixture(params=["directory", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> DigestArchive:
    return directory(tmp_path) if request.param == "directory" else request.getfixturevalue("bucket")


@pytest.fixture
def log(database_url: str, place: DigestArchive) -> Generator[Log]:
    log = Log(database_url, place)
    yield log
    log.database.dispose()


def test_a_name_is_written_once_also_by_many_at_the_same_moment(place: DigestArchive) -> None:
    together = Barrier(4)

    def write(number: int) -> bool:
        together.wait(10)
        return place.write(FIRST, str(number).encode())

    with ThreadPoolExecutor(4) as pool:
        written = list(pool.map(write, range(4)))

    assert sorted(written) == [False, False, False, True]
    assert place.read(FIRST) == str(written.index(True)).encode()
    assert not place.write(FIRST, b"later")
    assert list(place.list_names()) == [FIRST]
    assert list(place.list_names("0000000002/")) == []


def test_each_digest_goes_on_from_the_last_and_nothing_new_makes_none(log: Log) -> None:
    log.write(10)
    assert [(one.tenant, one.digest and one.digest.last) for one in log.auditing.digest()] == [("acme", 5), ("bolt", 5)]
    assert list(log.auditing.digest()) == []
    log.write(4)
    assert [one.digest and (one.digest.first, one.digest.count) for one in log.auditing.digest()] == [(6, 2), (6, 2)]

    assert [one.signed for one in log.auditing.verify()] == [7, 7]
    statement = json.loads(log.place.read(FIRST).partition(b"\n")[0])
    assert (statement["kind"], statement["count"], statement["tenant"]) == ("m2m audit digest 1", 5, "acme")


def test_what_was_tampered_with_is_not_signed_and_the_other_tenants_is(log: Log) -> None:
    log.write(10)
    log.auditing.seal()
    with log.tampering() as owner:
        owner.execute("UPDATE m2m.audit_entry SET actor = 'x' WHERE id = 4")

    ours, theirs = sorted(log.auditing.digest(), key=lambda one: one.tenant)

    assert (ours.fault is None, theirs.fault is None) in {(True, False), (False, True)}
    assert (ours.digest is None) != (theirs.digest is None)


def test_whoever_makes_the_past_anew_is_found_out_by_the_next_digest(log: Log) -> None:
    log.write(10)
    list(log.auditing.digest())
    with log.tampering() as owner:
        owner.execute("UPDATE m2m.audit_entry SET actor = 'x' WHERE tenant_id = 1")
        log.chain_anew(owner)
    log.write(2)

    assert {one.tenant: bool(one.fault) for one in log.auditing.digest()} == {"acme": True, "bolt": False}


@pytest.mark.parametrize(
    ("part", "instead", "told"),
    [
        (b'"count": 5', b'"count": 4', "is not what was signed"),
        (b'"signature": "', b'"signature": "00', "is not what was signed"),
        (b'"signature"', b'"nothing"', "is not what was signed"),
        (b'"key": "', b'"key": "0', "which M2M_AUDIT_PUBLIC_KEYS does not have"),
    ],
)
def test_a_digest_that_was_changed_is_named_and_proves_nothing(
    tmp_path: Path, database_url: str, part: bytes, instead: bytes, told: str
) -> None:
    log = Log(database_url, directory(tmp_path))
    log.write(10)
    list(log.auditing.digest())
    file = tmp_path / "digests" / FIRST
    content = file.read_bytes()
    assert part in content
    file.unlink()
    file.write_bytes(content.replace(part, instead))

    ours, theirs = list(log.auditing.verify())
    recent, _ = list(log.auditing.verify_recent())

    assert told in str(ours.fault)
    assert (ours.proven, ours.signed) == (5, 0)
    assert told in str(recent.fault)
    assert (theirs.holds, theirs.signed) == (True, 5)
    log.database.dispose()


def test_a_digest_that_is_gone_is_named(tmp_path: Path, database_url: str) -> None:
    log = Log(database_url, directory(tmp_path))
    for _ in range(3):
        log.write(4)
        list(log.auditing.digest())
    (tmp_path / "digests" / "0000000001" / "000000000000003.json").unlink()

    ours, _ = list(log.auditing.verify())

    assert "a digest is gone" in str(ours.fault)
    assert (ours.proven, ours.signed) == (6, 2)
    log.database.dispose()


@pytest.mark.parametrize("kept", [0, 1], ids=["all of them", "the last"])
def test_digests_that_are_gone_from_the_end_are_missed_and_nothing_is_signed_before_they_are_back(
    tmp_path: Path, database_url: str, kept: int
) -> None:
    """As where the directory is not mounted: what is mounted over is an empty one."""
    log = Log(database_url, directory(tmp_path))
    for _ in range(2):
        log.write(4)
        list(log.auditing.digest())
    files = sorted((tmp_path / "digests" / "0000000001").iterdir())[kept:]
    contents = [file.read_bytes() for file in files]
    for file in files:
        file.unlink()
    log.write(2)

    ours, theirs = sorted(log.auditing.verify(), key=lambda one: one.tenant)
    recent, _ = log.auditing.verify_recent()
    digested, others = log.auditing.digest()

    told = f"Number {2 * kept + 1}: digests are gone: {tmp_path}/digests had them up to number 4"
    assert [str(one.fault)[: len(told)] for one in (ours, recent, digested)] == [told] * 3
    assert (ours.proven, ours.signed, theirs.holds) == (5, 2 * kept, True)
    assert others.digest is not None
    for file, content in zip(files, contents, strict=True):
        assert not file.exists()
        file.write_bytes(content)
    assert [one.digest and one.digest.first for one in log.auditing.digest()] == [5]
    assert [one.holds for one in log.auditing.verify()] == [True, True]
    log.database.dispose()


def test_another_place_begins_with_the_first_number_and_is_no_fault(tmp_path: Path, log: Log) -> None:
    log.write(4)
    list(log.auditing.digest())
    elsewhere = Auditing(log.database, directory(tmp_path / "elsewhere"), Signatures(SECRET, ()))

    assert all(one.holds for one in elsewhere.verify())
    assert [one.digest and one.digest.first for one in elsewhere.digest()] == [1, 1]
    assert all(one.holds for one in log.auditing.verify())


def test_after_another_key_the_old_digests_are_believed_by_the_old_public_key(log: Log) -> None:
    log.write(4)
    list(log.auditing.digest())
    secret, _ = generate()
    unknowing = Auditing(log.database, log.place, Signatures(secret, ()))
    knowing = Auditing(log.database, log.place, Signatures(secret, (PUBLIC,)))
    log.write(4)

    assert not all(one.holds for one in unknowing.verify())
    assert [one.digest and one.digest.first for one in knowing.digest()] == [3, 3]
    assert [(one.holds, one.signed) for one in knowing.verify()] == [(True, 4), (True, 4)]


def test_two_that_write_digests_at_once_write_each_once(log: Log) -> None:
    log.write(20)
    log.auditing.seal()
    together = Barrier(2)

    def digest(_: int) -> None:
        together.wait(10)
        list(log.auditing.digest())

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(digest, range(2)))

    assert [(one.holds, one.signed) for one in log.auditing.verify()] == [(True, 10), (True, 10)]
    assert len(log.place.list_names()) == len(NAMES)


def test_digests_that_are_signed_while_the_log_is_verified_are_not_missed(log: Log) -> None:
    log.write(10)
    assert all(one.digest for one in log.auditing.digest())
    verifying = log.auditing.verify()
    first = next(verifying)
    log.write(10)
    assert all(one.digest for one in log.auditing.digest())

    (second,) = verifying

    assert (first.fault, second.fault) == (None, None)
    assert [one.signed for one in log.auditing.verify()] == [10, 10]


def test_other_files_beside_the_digests_disturb_nobody(tmp_path: Path, database_url: str) -> None:
    log = Log(database_url, directory(tmp_path))
    log.write(4)
    list(log.auditing.digest())
    for name in ("notes.json", "0000000001/readme.txt", "0000000001/latest.json"):
        (tmp_path / "digests" / name).write_text("hello")

    assert all(one.holds for one in log.auditing.verify())
    assert list(log.auditing.digest()) == []
    log.database.dispose()


def test_without_a_place_or_a_key_the_error_says_which_setting_is_missing(log: Log) -> None:
    log.write(2)
    with pytest.raises(NoDigestTargetError, match="M2M_AUDIT_DIGEST_TARGET"):
        list(Auditing(log.database, None, Signatures(SECRET, ())).digest())
    with pytest.raises(SigningKeyError, match="M2M_AUDIT_SIGNING_KEY"):
        list(Auditing(log.database, log.place, Signatures("", ())).digest())
    with pytest.raises(SigningKeyError, match="32 bytes"):
        Signatures("abc", ())


def test_a_place_that_is_not_there_is_an_error_that_says_what_helps(tmp_path: Path, bucket: S3Archive) -> None:
    (tmp_path / "digests").write_text("a file")
    with pytest.raises(ArchiveUnavailableError, match="M2M_AUDIT_DIGEST_TARGET"):
        directory(tmp_path).write(FIRST, b"")
    gone = S3Archive(f"{bucket.name.split('/')[2]}-gone", "")
    with pytest.raises(ArchiveUnavailableError, match="does not help"):
        gone.list_names()
    with pytest.raises(ArchiveUnavailableError, match="NoSuchBucket"):
        gone.write(FIRST, b"")
