"""`python -m m2m_pipeline.cli` is `m2m`."""

from m2m_pipeline.cli import main

main()
