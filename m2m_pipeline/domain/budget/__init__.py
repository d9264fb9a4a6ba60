"""The budget of one carrier account: how many calls, how many at once, whose turn, and when to stop knocking.

Pure decisions over one value, `Gate`, which storage keeps as one row for all processes. Times are seconds of the
database's clock, rates are calls/s.
"""
