"""The measured process of a full pass, which compares an inventory with the carrier's list."""

from collections.abc import Mapping

from benchmarks.protocol import Worker
from m2m_pipeline.bootstrap import build
from m2m_pipeline.settings import load_settings


def prepare(_: str) -> Worker:
    """Everything is imported and wired. The order is the name of a service provider."""
    services = build(load_settings())

    def work(order: str) -> Mapping[str, str]:
        provider = next(one for _, one in services.drifting.providers() if one.name == order)
        found = services.drifting.find(provider, full=True)
        services.close()
        if found.stopped:
            raise RuntimeError(found.stopped)
        return {}

    return work
