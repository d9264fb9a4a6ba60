"""Alembic migrations of the schema m2m."""
