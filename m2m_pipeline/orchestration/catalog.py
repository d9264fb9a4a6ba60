"""The catalog: what there is, what it is made of, and whose it is. Materialized elsewhere, each where it changes."""

import dagster as dg

bulk_change_partitions = dg.DynamicPartitionsDefinition(name="bulk_change")
"""One for each bulk change, by its id."""

provider_partitions = dg.DynamicPartitionsDefinition(name="service_provider")
"""One for each service provider whose carrier can be asked, as `tenant/name`; kept in step by the schedule."""

days = dg.DailyPartitionsDefinition(start_date="2026-01-01")

CHANGES, ACCOUNTS = "rate_plan_changes", "carrier_accounts"
OWNERS = ["team:operations"]


def _all_of(upstream: dg.AssetSpec) -> dg.AssetDep:
    """Each partition is made of all upstream ones: a change and a provider, or a day, are cut differently."""
    return dg.AssetDep(upstream.key, partition_mapping=dg.AllPartitionMapping())


carrier_state = dg.AssetSpec(
    "carrier_state",
    description="The carrier's device list of an account, as the last reconciliation pass read it.",
    partitions_def=provider_partitions,
    kinds={"rest"},
    owners=OWNERS,
    group_name=ACCOUNTS,
    skippable=True,
)
inventory = dg.AssetSpec(
    "inventory",
    description=(
        "AMOP's devices of a service provider and the plans it believes them to be on. Materializing it loads plans "
        "and devices from the carrier, as `m2m devices sync` does: what AMOP believed is replaced."
    ),
    partitions_def=provider_partitions,
    kinds={"postgres"},
    owners=OWNERS,
    group_name=ACCOUNTS,
)
bulk_changes = dg.AssetSpec(
    "bulk_changes",
    description=(
        "Bulk carrier rate plan changes: one partition for each, materialized when it ends. "
        "The rows in PostgreSQL are the truth; this is what they said at that moment."
    ),
    deps=[_all_of(inventory)],
    partitions_def=bulk_change_partitions,
    kinds={"postgres"},
    owners=OWNERS,
    group_name=CHANGES,
)
audit_trail = dg.AssetSpec(
    "audit_trail",
    description="The audit entries of a bulk change: who did what to which device, and what the carrier answered.",
    deps=[bulk_changes],
    partitions_def=bulk_change_partitions,
    kinds={"postgres"},
    owners=["team:audit"],
    group_name=CHANGES,
)
rate_plan_drift = dg.AssetSpec(
    "rate_plan_drift",
    description=(
        "Devices on which AMOP and the carrier differ, by cause. `m2m drift --provider NAME --format csv` lists them; "
        "docs/reconciliation.md says what each cause means and what is done about it."
    ),
    deps=[inventory, carrier_state],
    partitions_def=provider_partitions,
    kinds={"postgres", "pandas"},
    owners=OWNERS,
    group_name=ACCOUNTS,
    skippable=True,
)
daily_statistics = dg.AssetSpec(
    "daily_statistics",
    description="What ended on a day (UTC): bulk changes by status, devices, and the times that they took.",
    deps=[_all_of(bulk_changes)],
    partitions_def=days,
    kinds={"pandas"},
    owners=OWNERS,
    group_name=CHANGES,
)
budget_use = dg.AssetSpec(
    "budget_use",
    description="The calls of what ended on a day (UTC), for each account, and how many its rate would have allowed.",
    deps=[_all_of(bulk_changes), _all_of(carrier_state)],
    partitions_def=days,
    kinds={"pandas"},
    owners=OWNERS,
    group_name=ACCOUNTS,
)
