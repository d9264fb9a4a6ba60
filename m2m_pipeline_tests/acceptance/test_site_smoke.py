import pytest
from m2m_pipeline_tests.acceptance.site import Site
def test_smoke(site: Site) -> None:
    account = site.account()
    ended = site.ended(site.submit(account, account.iccids[:2]), account)
    print(ended.document, ended.materialization, site.steps(ended.run.run_id), ended.run.tags)
    site.next_tick()
    print([str(e) for e in site.events(ended.run.run_id)][:5])
