"""Queues of the outside world, behind the port of `domain.inbox`."""
