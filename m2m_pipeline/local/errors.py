"""What can go wrong on this machine."""


class LocalServiceError(RuntimeError):
    """A local service could not be started, reached or ended; the message says which, why and what to do next."""
