"""The use cases: what the command line, the API and the Dagster ops ask for. One module a use case."""
