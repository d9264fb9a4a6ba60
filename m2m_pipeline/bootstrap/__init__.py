"""The composition root: settings in, services out. Only what is here knows every package."""

import logging
from dataclasses import dataclass

from m2m_pipeline.bootstrap.outside import digest_archive, secret_reader, senders
from m2m_pipeline.carriers.registry import CarrierRegistry
from m2m_pipeline.delivery.addresses import DestinationPolicy
from m2m_pipeline.domain.carrier import Carriers
from m2m_pipeline.services.accounts import Accounts
from m2m_pipeline.services.alerting import Alerting
from m2m_pipeline.services.audit.signing import Signatures
from m2m_pipeline.services.auditing import Auditing
from m2m_pipeline.services.browsing import Browsing
from m2m_pipeline.services.catalogue import Catalogue
from m2m_pipeline.services.checks import DAYS, Checks
from m2m_pipeline.services.credentials import Credentials
from m2m_pipeline.services.destinations import Destinations
from m2m_pipeline.services.drafts import Drafts
from m2m_pipeline.services.drift.drifting import Drifting, DriftSettings
from m2m_pipeline.services.examination import Examination
from m2m_pipeline.services.execution.execution import Execution
from m2m_pipeline.services.execution.session import Patience
from m2m_pipeline.services.execution.sessions import ExecutionSettings, Sessions
from m2m_pipeline.services.identity import Identity
from m2m_pipeline.services.inbox import Inbox
from m2m_pipeline.services.intake import Intake
from m2m_pipeline.services.links import Links
from m2m_pipeline.services.monitoring import Monitoring
from m2m_pipeline.services.outbox import Outbox
from m2m_pipeline.services.paced import CarrierDoor
from m2m_pipeline.services.page_sessions import PageSessions
from m2m_pipeline.services.pulses import Pulses
from m2m_pipeline.services.queue import Queue
from m2m_pipeline.services.reconciliation import Reconciliation
from m2m_pipeline.services.reporting import Reporting
from m2m_pipeline.services.retention import Retention
from m2m_pipeline.services.retrying import Retrying
from m2m_pipeline.services.rotation import Rotation
from m2m_pipeline.services.security_log import SecurityLog
from m2m_pipeline.services.showing import Showing
from m2m_pipeline.services.standings import Standings
from m2m_pipeline.services.statistics import Statistics
from m2m_pipeline.services.submission import Submission
from m2m_pipeline.services.sweeping import Sweeping
from m2m_pipeline.services.withdrawing import Withdrawing
from m2m_pipeline.settings import Settings
from m2m_pipeline.storage.breaches import Scope
from m2m_pipeline.storage.database import Database
from m2m_pipeline.storage.vault import Vault


@dataclass(frozen=True, slots=True)
class Desk:
    """What a front door asks for on behalf of one tenant: behind the wall, so that it reaches no other's rows."""

    submission: Submission
    examination: Examination
    withdrawing: Withdrawing
    retrying: Retrying
    reporting: Reporting
    browsing: Browsing
    catalogue: Catalogue
    identity: Identity


@dataclass(frozen=True, slots=True)
class Application:
    """Everything that the outer layers ask for."""

    database: Database
    sessions: Sessions
    accounts: Accounts
    standings: Standings
    submission: Submission
    intake: Intake
    inbox: Inbox
    queue: Queue
    execution: Execution
    reconciliation: Reconciliation
    drifting: Drifting
    statistics: Statistics
    checks: Checks
    sweeping: Sweeping
    withdrawing: Withdrawing
    pulses: Pulses
    showing: Showing
    retrying: Retrying
    reporting: Reporting
    security_log: SecurityLog
    identity: Identity
    destinations: Destinations
    outbox: Outbox
    alerting: Alerting
    rotation: Rotation
    auditing: Auditing
    retention: Retention
    monitoring: Monitoring
    page_sessions: PageSessions
    drafts: Drafts
    links: Links

    def desk(self, tenant_id: int) -> Desk:
        """The services for one tenant, behind the wall."""
        walled = self.database.of_tenant(tenant_id)
        submission = self.submission.behind(walled)
        return Desk(
            submission=submission,
            examination=Examination(walled, submission),
            withdrawing=Withdrawing(walled),
            retrying=Retrying(walled),
            reporting=Reporting(walled),
            browsing=Browsing(walled),
            catalogue=Catalogue(walled, Standings(walled)),
            identity=Identity(walled, self.security_log),
        )

    def close(self) -> None:
        """End what is under way, and give the connections back."""
        self.sessions.close()
        self.database.dispose()


def build(settings: Settings, carriers: Carriers | None = None) -> Application:
    """Wire the services. `carriers`: adapters other than the registered ones.

    Raises:
        EncryptionKeyError: one of the configured keys is not a Fernet key.
        SigningKeyError: one of the configured keys of audit digests is not an Ed25519 key.

    """
    # It writes each address that it calls, and with it each ICCID.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    database = Database(settings.database_url.get_secret_value())
    vault = Vault([key.get_secret_value() for key in settings.encryption_keys])
    credentials = Credentials(database, vault, secret_reader(settings))
    known = carriers or CarrierRegistry()
    door = CarrierDoor(database, known, settings.probe_seconds)
    patience = Patience(settle=settings.settle_seconds, outage=settings.outage_patience_seconds)
    sessions = Sessions(database, credentials, door, ExecutionSettings(settings.lease_seconds, patience))
    submission = Submission(database, known, may_wait=settings.overlap == "wait")
    security_log = SecurityLog(database)
    auditing = _auditing(database, settings)
    policy = DestinationPolicy(settings.webhook_hosts)
    destinations = Destinations(database, vault, policy.check)
    return Application(
        database=database,
        sessions=sessions,
        accounts=Accounts(database, credentials, door),
        standings=Standings(database),
        submission=submission,
        intake=Intake(database, submission, settings.sqs_tenant),
        inbox=Inbox(database),
        queue=Queue(database, settings.attempt_pause_seconds),
        execution=Execution(database, sessions),
        reconciliation=Reconciliation(database, sessions, settings.reconcile_share),
        drifting=Drifting(
            database,
            sessions,
            door,
            submission,
            DriftSettings(settings.reconcile_share, settings.full_pass_hours),
        ),
        statistics=Statistics(database),
        checks=Checks(database, auditing, _limits(settings)),
        sweeping=Sweeping(database, settings.lease_seconds),
        withdrawing=Withdrawing(database),
        pulses=Pulses(database),
        showing=Showing(database),
        retrying=Retrying(database),
        reporting=Reporting(database),
        security_log=security_log,
        identity=Identity(database, security_log),
        monitoring=Monitoring(database, Standings(database)),
        destinations=destinations,
        alerting=Alerting(database, _limits(settings), settings.upkeep_limit_hours),
        rotation=Rotation(database, vault),
        outbox=Outbox(database, destinations, senders(settings, policy), settings.notice_patience_hours * 3600),
        auditing=auditing,
        page_sessions=PageSessions(database),
        drafts=Drafts(database),
        links=Links(settings.public_url, settings.dagster_url),
        retention=Retention(database, record_days=settings.retention_record_days, run_days=settings.retention_run_days),
    )


def _auditing(database: Database, settings: Settings) -> Auditing:
    signatures = Signatures(settings.audit_signing_key.get_secret_value(), settings.audit_public_keys)
    return Auditing(database, digest_archive(settings.audit_digest_target), signatures)


def _limits(settings: Settings) -> Scope:
    return Scope(
        bulk_change_id=None,
        days=DAYS,
        unknown_limit_hours=settings.unknown_limit_hours,
        drift_limit_share=settings.drift_limit_share,
        queue_limit_minutes=settings.queue_limit_minutes,
        reconcile_limit_hours=settings.reconcile_limit_hours,
    )
