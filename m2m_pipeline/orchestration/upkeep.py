"""What all scheduled work has in common: bulk changes go first."""

from collections.abc import Mapping

UPKEEP: Mapping[str, str] = {
    # `dagster.yaml` lets few of them run at once: a reconciliation for each provider comes due in the same minute.
    "m2m/upkeep": "true",
    "dagster/priority": "-10",
    # Each look goes on where the last one ended, so the next tick is the retry.
    "dagster/max_retries": "0",
    # A run that died unseen would keep its slot for ever; seconds.
    "dagster/max_runtime": "21600",
}
"""Tags of every scheduled job."""
