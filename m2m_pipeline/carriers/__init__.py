"""Carrier adapters: the port in `m2m_pipeline.domain.carrier`, kept over each carrier's own API."""
