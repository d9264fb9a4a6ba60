"""The audit log as evidence: sealed, signed, verified, and given away."""
