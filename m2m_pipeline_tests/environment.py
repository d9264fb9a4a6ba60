"""What a process that a test starts inherits."""

import os


def inherited() -> dict[str, str]:
    """This process's environment without our settings: services of another test of the session may have set them."""
    return {name: text for name, text in os.environ.items() if not name.startswith("M2M_")}
