"""The page can be read: on a phone, by day and by night."""

from dataclasses import replace

import pytest

from m2m_pipeline_tests.page.chromium import Person, picture
from m2m_pipeline_tests.page.steps import half_done, prepare, submit_and_run
from m2m_pipeline_tests.world import PROVIDER, TENANT, World

pytestmark = pytest.mark.xdist_group("browser")

PHONE = {"width": 360, "height": 740}
OTHER = "another carrier of a rather long name"


def test_nothing_is_wider_than_a_phone(operator: Person, world: World) -> None:
    done = submit_and_run(world, world.iccids[-20:])
    prepare(operator, "123", *world.iccids)
    addresses = [operator.page.url, *(operator.url + path for path in _addresses(done, world.iccids[0]))]
    half = half_done(world)
    settings = replace(world.provider_settings(), writes_enabled=False)
    for name in (PROVIDER, OTHER):
        world.services.accounts.configure(TENANT, name, settings, "test")
    operator.open("/new")
    operator.sees(OTHER)  # the choice of an account
    operator.open(f"/changes/{half}")
    operator.sees("Running")
    operator.sees("Changes are switched off for this account")
    addresses.append(operator.page.url)
    operator.page.set_viewport_size(PHONE)  # pyright: ignore[reportArgumentType] -- a dict of that shape
    for address in addresses:
        operator.page.goto(address)
        assert operator.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], address
    operator.open(f"/changes/{done}")
    picture(operator.page, "phone", **PHONE)


def test_every_text_stands_out_from_its_ground_by_day_and_night(operator: Person, world: World) -> None:
    """WCAG 2.2, level AA: 4.5 to 1."""
    done = submit_and_run(world, [*world.iccids, "123"], invalid_rows="skip")
    prepare(operator, "123", *world.iccids)
    addresses = [operator.page.url, *(operator.url + path for path in _addresses(done, world.iccids[0]))]
    for address in addresses:
        operator.page.goto(address)
        for scheme in ("light", "dark"):
            operator.page.emulate_media(color_scheme=scheme)
            assert operator.page.evaluate(_FAINT_TEXTS) == [], (address, scheme)


def _addresses(bulk_change_id: int, iccid: str) -> list[str]:
    own = f"/changes/{bulk_change_id}"
    return ["/", "/sign-in", "/new", own, f"{own}/devices", f"/sims?iccid={iccid}", "/accounts", "/nowhere"]


_FAINT_TEXTS = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, place) => sum + v * [0.2126, 0.7152, 0.0722][place], 0);
  const ground = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = parse(getComputedStyle(one).backgroundColor);
      if (colour.length < 4 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const faint = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !element.checkVisibility()) continue;
    const [one, other] = [light(parse(getComputedStyle(element).color)), light(ground(element))];
    const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (contrast < 4.5) faint.push(`${contrast.toFixed(2)} ${texts.currentNode.data.trim()}`);
  }
  return faint;
}"""
