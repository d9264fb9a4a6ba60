"""Bad inputs to the front door, its API and its page; it answers each as its document says, and is well afterwards."""

from m2m_pipeline_tests.faults.verdict import Verdict
from m2m_pipeline_tests.page import bad_forms
from m2m_pipeline_tests.web import bad_inputs
from m2m_pipeline_tests.web.bad_inputs import wide_door
from m2m_pipeline_tests.world import World


def throw(world: World, seed: int) -> Verdict:
    """Each kind of input. A kind ends at the first one that is answered wrongly, with the smallest like it."""
    sent = 0
    broken: list[str] = []
    for kind in (*bad_inputs.KINDS, *bad_forms.KINDS):
        with wide_door(world) as door:  # with keys of its own: what is drawn may revoke any
            try:
                sent += kind(door, seed)
            except (AssertionError, BaseExceptionGroup) as wrong:  # of several faults at once, a group tells
                broken.append("\n".join([f"{kind.__name__}: {wrong}", *getattr(wrong, "__notes__", [])])[:4000])
            afterwards = door.with_token(None).get("/readyz")
            if not afterwards.is_success:
                broken.append(f"/readyz after {kind.__name__}: {afterwards.status_code}")
    ((devices,),) = world.sql("SELECT count(*) FROM m2m.device_change")
    return Verdict(f"bad inputs, seed {seed}", devices=int(str(devices)), kills=sent, broken=broken)
