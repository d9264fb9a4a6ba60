"""What keeps the audit log evidence: a sensor that seals new entries, and jobs that sign and that verify.

The sensor writes, and may: each page of entries is one transaction that a repeated, lost or concurrent tick (or a look
at it in the UI) cannot do twice.
"""

import dagster as dg

from m2m_pipeline.logs import redacted
from m2m_pipeline.orchestration.platform import Platform
from m2m_pipeline.orchestration.upkeep import UPKEEP, operators_told


def seal_sensor(interval_seconds: int) -> dg.SensorDefinition:
    """The sealer, looking every `interval_seconds`."""

    @dg.sensor(minimum_interval_seconds=interval_seconds, default_status=dg.DefaultSensorStatus.RUNNING)
    def seal_audit_log(platform: Platform) -> dg.SkipReason:
        """Seal new audit entries into the chain of their tenant."""
        sealed = platform.services.auditing.seal()
        return dg.SkipReason(f"{sealed} entries were sealed." if sealed else "Every entry is sealed.")

    return seal_audit_log


@dg.op
def sign_audit_digests(context: dg.OpExecutionContext, platform: Platform) -> None:
    """Sign what has been sealed since the last digests. Fails where something of it is not what was sealed."""
    faults: list[str] = []
    with operators_told(platform.services.alerting, context.job_name):
        for one in platform.services.auditing.digest():
            if one.fault:
                faults.append(f"{one.tenant}: {one.fault}")
            elif one.digest:
                context.log.info("%s: signed %d to %d.", redacted(one.tenant), one.digest.first, one.digest.last)
        if faults:
            raise _not_what_was_sealed("and was not signed", faults)


@dg.op
def verify_audit_log(context: dg.OpExecutionContext, platform: Platform) -> None:
    """Verify the whole log of each tenant, from its first entry on. Fails where it is not what was sealed."""
    faults: list[str] = []
    with operators_told(platform.services.alerting, context.job_name):
        for one in platform.services.auditing.verify():
            context.log.info("%s: 1 to %d are proven, 1 to %d signed.", redacted(one.tenant), one.proven, one.signed)
            if one.fault:
                faults.append(f"{one.tenant}: {one.fault}")
        if faults:
            raise _not_what_was_sealed("as its chain and the digests show", faults)


def _not_what_was_sealed(how: str, faults: list[str]) -> dg.Failure:
    return dg.Failure(
        f"The audit log is not what was sealed, {how}. {' '.join(faults)} Trying again does not help: "
        "see `m2m audit verify` and docs/audit.md.",
        metadata={"faults": dg.MetadataValue.json(faults)},
        allow_retries=False,
    )


@dg.job(executor_def=dg.in_process_executor, tags=UPKEEP)
def audit_digest() -> None:
    """Write signed digests of the audit log outside the database."""
    sign_audit_digests()


@dg.job(executor_def=dg.in_process_executor, tags=UPKEEP)
def audit_verification() -> None:
    """Verify the whole audit log against its chain, and the chain against the signed digests."""
    verify_audit_log()
