"""About a thousand bad inputs: no answer 500, none that the document does not know, and no trace, SQL or secret.

They are the same at each run; the soak draws others.
"""

from collections.abc import Callable, Generator

import pytest

from m2m_pipeline_tests.services.conftest import MakeWorld
from m2m_pipeline_tests.web import bad_inputs
from m2m_pipeline_tests.web.door import Door

_SEED = 20_832


@pytest.fixture
def door(make_world: MakeWorld) -> Generator[Door]:
    with bad_inputs.wide_door(make_world()) as opened:
        yield opened


@pytest.mark.parametrize("throw", bad_inputs.KINDS)
def test_every_bad_input_is_answered_with_words(door: Door, throw: Callable[[Door, int], int]) -> None:
    assert throw(door, _SEED) >= 150
