"""What the platform reaches, measured: `python -m benchmarks`. See docs/performance.md."""
