"""`python -m m2m_pipeline.simulator`: the simulator as a process of its own."""

import argparse
from pathlib import Path

from m2m_pipeline.simulator import SimulatorSettings, serve


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m m2m_pipeline.simulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 (the default): any free port")
    parser.add_argument("--world", type=Path, metavar="FILE", help="accounts, plans and devices in JSON")
    parser.add_argument("--devices", type=int, default=0, metavar="N", help="generate N more devices")
    parser.add_argument("--seed", type=int, default=0, help="of the generated devices and the latency's jitter")
    parser.add_argument("--latency-ms", type=_range, default=(0.0, 0.0), metavar="LOW[:HIGH]")
    parser.add_argument("--calls-per-second", type=int, metavar="R", help="limit of the built-in account")
    parser.add_argument("--in-flight", type=int, metavar="N", help="limit of the built-in account")
    options = parser.parse_args(namespace=_Options())
    serve(
        SimulatorSettings(
            host=options.host,
            port=options.port,
            world=options.world,
            devices=options.devices,
            seed=options.seed,
            latency_ms=options.latency_ms,
            calls_per_second=options.calls_per_second,
            in_flight=options.in_flight,
        )
    )


class _Options(argparse.Namespace):
    host: str
    port: int
    world: Path | None
    devices: int
    seed: int
    latency_ms: tuple[float, float]
    calls_per_second: int | None
    in_flight: int | None


def _range(text: str) -> tuple[float, float]:
    low, _, high = text.partition(":")
    return float(low), float(high or low)


if __name__ == "__main__":
    main()
