"""Finds out where AMOP and the carrier differ, and does about it what each provider's policy says.

`Drifting` is the face; `listing` reads the carrier's list, `checking` reads alone what differs in it, `desk` is how
both call and commit, `repair` follows or proposes.
"""
