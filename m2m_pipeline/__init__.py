"""Bulk carrier rate plan changes for M2M/IoT SIMs: one truthful, audited outcome for every device."""
