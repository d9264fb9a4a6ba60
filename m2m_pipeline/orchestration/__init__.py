"""Dagster: the dispatcher, the progress view and the re-execution button. The only package that knows it."""
