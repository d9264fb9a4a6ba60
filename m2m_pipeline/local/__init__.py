"""The services of one machine: embedded PostgreSQL, the carrier simulator and Dagster, started and ended together."""
