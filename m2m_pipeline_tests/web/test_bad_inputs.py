"""A thousand bad inputs: no answer 500, none that the document does not know, and no trace, SQL or secret.

They are the same at each run; the soak draws others.
"""

from m2m_pipeline_tests.faults.inputs import throw
from m2m_pipeline_tests.world import World

_SEED = 20_832


def test_every_bad_input_is_answered_with_words(world: World) -> None:
    verdict = throw(world, _SEED)
    assert not verdict.broken, "\n".join(verdict.broken)
    assert verdict.kills >= 1_000
