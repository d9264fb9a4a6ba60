"""The business in its own words: states, reasons, requests, outcomes. Knows no framework, no database, no carrier."""
