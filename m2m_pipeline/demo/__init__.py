"""The demo: a bulk change with every kind of outcome, from CSV to the truth, held against the carrier's own ledger."""
