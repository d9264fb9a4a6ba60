"""A carrier to develop and test against: a Cisco Jasper / IoT Control Center REST API on a real socket.

It knows nothing of the rest of m2m_pipeline and shares no code with the adapter, so that an error in the
adapter cannot hide behind the same error here. Facts are those of the project's carrier fact sheet; where the
carrier's behaviour is unknown, the docstring at the place states what this simulator decided.
"""

from m2m_pipeline.simulator.settings import SimulatorSettings

__all__ = ["SimulatorSettings", "serve"]


def serve(settings: SimulatorSettings) -> None:
    """Serve until SIGINT or SIGTERM; prints one line of JSON with the address when it listens."""
    # Imported late: a command line that offers `simulate` must not load a web server to print its help.
    from m2m_pipeline.simulator.server import run  # noqa: PLC0415

    run(settings)
