"""The settings of reconciliation and checks."""

from pydantic import BaseModel, Field

from m2m_pipeline.settings.forms import CRON


class UpkeepSettings(BaseModel):
    """How AMOP and the carriers are kept in agreement, and what is watched."""

    reconcile_cron: str = Field(
        default="*/15 * * * *",
        pattern=CRON,
        description="When unknown outcomes are settled and drift is looked for, as a cron expression (UTC)",
        examples=["*/15 * * * *"],
    )
    reconcile_share: float = Field(
        default=0.2,
        gt=0,
        le=1,
        description="How much of an account's rate reconciliation takes while a bulk change uses it too",
        examples=["0.2"],
    )
    full_pass_hours: float = Field(
        default=24.0,
        gt=0,
        le=720,
        description="How often the carrier's whole list is compared with AMOP; between, what was modified, in hours",
        examples=["24"],
    )
    check_cron: str = Field(
        default="5 * * * *",
        pattern=CRON,
        description="When the catalog's checks are held against the rows, as a cron expression (UTC)",
        examples=["5 * * * *"],
    )
    unknown_limit_hours: float = Field(
        default=6.0,
        gt=0,
        description="A check fails where an outcome has been unknown for longer, in hours",
        examples=["6"],
    )
    drift_limit_share: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="A check fails where more of a provider's devices have drifted",
        examples=["0.01"],
    )
    queue_limit_minutes: float = Field(
        default=30.0,
        gt=0,
        description="A check fails where a bulk change has waited longer for a run, in minutes",
        examples=["30"],
    )
    reconcile_limit_hours: float = Field(
        default=48.0,
        gt=0,
        description="A check fails where nobody has compared a provider with the carrier for longer, in hours",
        examples=["48"],
    )
    upkeep_limit_hours: float = Field(
        default=3.0,
        gt=0,
        description="An alert is raised where a scheduled job (for reconciliation there is another) was due by its own "
        "schedule and has not ended well within this time, in hours; give it more than the longest run takes",
        examples=["3"],
    )
    daily_cron: str = Field(
        default="10 0 * * *",
        pattern=CRON,
        description="When the day before is summed up, as a cron expression (UTC)",
        examples=["10 0 * * *"],
    )
