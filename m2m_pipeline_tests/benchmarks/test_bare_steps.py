"""What Dagster takes for the steps alone is measured on as many steps as ours has, joined in the same way."""

import dagster as dg

from benchmarks.bare_steps import bare_steps
from m2m_pipeline.orchestration.jobs import bulk_carrier_rate_plan_change


def inputs(job: dg.JobDefinition) -> list[int]:
    """How many inputs each step has, in the order in which they run."""
    return [len(node.definition.input_defs) for node in job.nodes_in_topological_order]


def test_bare_steps_are_joined_as_the_steps_of_the_job() -> None:
    assert inputs(bare_steps) == inputs(bulk_carrier_rate_plan_change)
