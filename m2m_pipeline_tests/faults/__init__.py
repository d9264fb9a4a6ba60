"""Interruption as the normal case: attempts that are killed, stopped, cut off, and what must hold afterwards.

The same scenarios run with small numbers in the tests and with large ones in `soak`. Nothing in the product knows of
them: a crash point is a function of the product's that the process which is to die wraps for itself.
"""
