"""Which scenarios are in force, and which of them strikes a call."""

import itertools
import random
import time
from collections import Counter
from dataclasses import dataclass

from m2m_pipeline.simulator.scenarios import SCENARIOS, Condition, Rule, Trouble


class RuleError(ValueError):
    """A rule that cannot be put in force."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What is the matter with the device list."""

    moved: int = 0
    """Devices of a page that are edited after it was read."""
    unordered: bool = False


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditions that hold for one call."""

    names: tuple[str, ...] = ()
    calls_per_second: int | None = None
    retired_plans: frozenset[str] = frozenset()
    listing: Listing = Listing()


class _ActiveRule:
    """A rule and how far it has been used up."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._since = time.monotonic()
        self._draws = random.Random(rule.seed)  # noqa: S311 -- reproducible, not secret
        self._chosen = 0
        self._struck = 0
        self._struck_devices: Counter[str] = Counter()

    def is_on(self) -> bool:
        """Whether the time window is open."""
        age = time.monotonic() - self._since - self.rule.begins_after_s
        return age >= 0 and (self.rule.lasts_s is None or age < self.rule.lasts_s)

    def strikes(self, iccid: str | None) -> bool:
        """Whether it strikes a call that it may strike; a call that passes uses nothing up."""
        rule = self.rule
        if not self.is_on() or (rule.iccids is not None and iccid not in rule.iccids):
            return False
        self._chosen += 1
        if self._chosen <= rule.skip_calls or (rule.calls is not None and self._struck >= rule.calls):
            return False
        if rule.calls_per_device is not None and (
            iccid is None or self._struck_devices[iccid] >= rule.calls_per_device
        ):
            return False
        if rule.share < 1 and self._draws.random() >= rule.share:
            return False
        self._struck += 1
        if rule.calls_per_device is not None and iccid is not None:
            self._struck_devices[iccid] += 1
        return True


class Rules:
    """All rules in force, by their id. Of several troubles the first that was put in force strikes."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._troubles: dict[int, tuple[_ActiveRule, Trouble]] = {}
        self._conditions: dict[int, _ActiveRule] = {}

    def add(self, rule: Rule) -> int:
        """Put a rule in force and return its id."""
        rule_id = next(self._ids)
        match SCENARIOS.get(rule.name):
            case Trouble() as trouble:
                self._troubles[rule_id] = (_ActiveRule(rule), trouble)
            case Condition():
                _check_condition(rule)
                self._conditions[rule_id] = _ActiveRule(rule)
            case None:
                raise RuleError(f"unknown scenario {rule.name!r}; there are {', '.join(sorted(SCENARIOS))}")
        return rule_id

    def remove(self, rule_id: int) -> bool:
        """End a rule; False if there is none with this id."""
        return bool(self._troubles.pop(rule_id, None) or self._conditions.pop(rule_id, None))

    def clear(self) -> None:
        """End all rules."""
        self._troubles.clear()
        self._conditions.clear()

    def in_force(self) -> dict[int, Rule]:
        """The rules by id, spent ones included."""
        troubles = {rule_id: active.rule for rule_id, (active, _) in self._troubles.items()}
        return troubles | {rule_id: active.rule for rule_id, active in self._conditions.items()}

    def strike(self, method: str, iccid: str | None) -> tuple[Rule, Trouble] | None:
        """The trouble that this call meets."""
        for active, trouble in self._troubles.values():
            methods = active.rule.methods or trouble.methods
            if method in methods and active.strikes(iccid):
                return active.rule, trouble
        return None

    def conditions(self) -> Conditions:
        """What holds for the call that has just arrived; counts it for rules that begin midway."""
        if not self._conditions:
            return Conditions()
        rules = [active.rule for active in self._conditions.values() if active.strikes(None)]
        tightened = [rule.calls_per_second for rule in rules if rule.name == "limit_tightened"]
        return Conditions(
            names=tuple(rule.name for rule in rules),
            calls_per_second=min(tightened, default=None),
            retired_plans=frozenset(
                rule.rate_plan for rule in rules if rule.name == "rate_plan_retired" and rule.rate_plan
            ),
            listing=Listing(
                moved=max((rule.moved for rule in rules if rule.name == "list_moves"), default=0),
                unordered=any(rule.name == "list_unordered" for rule in rules),
            ),
        )

    def skew_ms(self, *, told: bool = False) -> int:
        """How far the carrier's clock is ahead now, or what it tells of it; reading it uses nothing up."""
        skews = (
            active.rule.skew_s
            for active in self._conditions.values()
            if active.rule.name == "clock_skew" and active.is_on() and (active.rule.told or not told)
        )
        return round(sum(skews) * 1000)


def _check_condition(rule: Rule) -> None:
    if rule.iccids or rule.methods or rule.calls_per_device or rule.share < 1:
        raise RuleError(f"{rule.name} holds for all calls: no iccids, methods, calls_per_device or share")
    if rule.name == "clock_skew" and (rule.skip_calls or rule.calls):
        raise RuleError("clock_skew depends on time, not on calls: no skip_calls or calls")
    if rule.name == "rate_plan_retired" and rule.rate_plan is None:
        raise RuleError("rate_plan_retired needs a rate_plan")
