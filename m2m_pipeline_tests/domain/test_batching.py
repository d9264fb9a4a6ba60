"""How a bulk change is cut into batches."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2m_pipeline.domain.batching import MAX_BATCH_SIZE, MAX_BATCHES, batch_size


@pytest.mark.parametrize(
    ("devices", "calls_per_second", "size"),
    [
        (1, 5, 1),
        (25, 1000, 1),
        (26, 5, 300),
        (1000, 5, 300),
        (1000, 0.01, 5),
        (100, 0.01, 1),
        (100_000, 5, 500),
        (100_000, 100, 2000),
        (100_000, 0.01, 500),
    ],
)
def test_the_default_batch_size_as_a_table(devices: int, calls_per_second: float, size: int) -> None:
    assert batch_size(None, devices, calls_per_second) == size


@given(st.integers(1, 400_000), st.floats(0.01, 10_000))
def test_there_are_never_too_many_batches_nor_too_large_ones(devices: int, calls_per_second: float) -> None:
    size = batch_size(None, devices, calls_per_second)
    assert 1 <= size <= MAX_BATCH_SIZE
    assert -(-devices // size) <= MAX_BATCHES


def test_a_wanted_size_is_kept_unless_it_makes_too_many_batches() -> None:
    assert batch_size(7, 10, 5.0) == 7
    assert batch_size(1, 100, 5.0) == 1
    assert batch_size(1, 100_000, 5.0) == 100_000 // MAX_BATCHES
