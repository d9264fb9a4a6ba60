"""Examples of hypothesis on a machine that may be busy: no deadline, nothing kept on disk."""

from hypothesis import settings

settings.register_profile("m2m", deadline=None, database=None)
settings.load_profile("m2m")
