"""The laws of the registry are able to fail: each planted fault is caught by the law meant for it."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, Phase, settings

from mpi.index import derivation, golden, graph, registry
from mpi.index.derivation import NO_EFFECT
from tests import fakes
from tests.federation import START
from tests.properties import test_registry as laws

QUICK = settings(
    max_examples=1500,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
    database=None,
)


def breaks(law, monkeypatch):
    """Whether the law fails now, without shrinking what it finds."""
    monkeypatch.setattr(law, "_hypothesis_internal_use_settings", QUICK)
    try:
        law()
    except AssertionError:
        return True
    return False


def oldest_by_arrival(monkeypatch):
    monkeypatch.setattr(graph, "seniority", lambda node: (node.record_id,))


def last_arrival_wins(monkeypatch):
    true_current = golden.current

    def by_arrival(statements):
        return true_current(
            [(order, replace(item, event_time=START + timedelta(order))) for order, item in statements]
        )

    monkeypatch.setattr(golden, "current", by_arrival)


def undo_without_derivation(monkeypatch):
    true_withdraw = registry.Registry.withdraw

    def withdraw(self, fact_id, *, actor):
        recompute = self.derivation.recompute
        self.derivation.recompute = lambda *a, **k: NO_EFFECT
        try:
            return true_withdraw(self, fact_id, actor=actor)
        finally:
            self.derivation.recompute = recompute

    monkeypatch.setattr(registry.Registry, "withdraw", withdraw)


def dedupe_off(monkeypatch):
    monkeypatch.setattr(registry.Envelope, "dedupe_key", property(lambda envelope: ""))


def cannot_link_binds_the_pair_only_until_rescored(monkeypatch):
    monkeypatch.setattr(graph, "cannot_links", lambda facts, id_of: {})


def two_ins_may_meet(monkeypatch):
    true_objection = graph.hard_objection

    def lenient(left, right, by_id, apart):
        reason = true_objection(left, right, by_id, apart)
        return None if reason == "ins_conflict" else reason

    monkeypatch.setattr(graph, "hard_objection", lenient)


def duplicates_unasked(monkeypatch):
    true_wanted = derivation.wanted_tasks

    def wanted(situation):
        return {k: v for k, v in true_wanted(situation).items() if v.kind != "duplicate_in_domain"}

    monkeypatch.setattr(derivation, "wanted_tasks", wanted)


def obsolete_tasks_stay(monkeypatch):
    monkeypatch.setattr(derivation, "LIVE_STATES", frozenset())


def component_stops_short(monkeypatch):
    true_component = derivation.Derivation.component

    def component(self, uow, seeds, **more):
        view = true_component(self, uow, seeds, **more)
        return derivation.Component(set(seeds), view.records, view.edges, view.facts)

    monkeypatch.setattr(derivation.Derivation, "component", component)


def audit_chains_nothing(monkeypatch):
    monkeypatch.setattr(fakes, "chain_hash", lambda sequence, previous, event: "0" * 64)


@pytest.mark.parametrize(
    ("fault", "law"),
    [
        (oldest_by_arrival, laws.test_any_interleaving_ends_in_the_same_state),
        (last_arrival_wins, laws.test_any_interleaving_ends_in_the_same_state),
        (component_stops_short, laws.test_what_is_kept_equals_what_is_derived_from_everything),
        (undo_without_derivation, laws.test_a_verdict_withdrawn_leaves_no_trace),
        (undo_without_derivation, laws.test_a_merge_withdrawn_leaves_no_trace),
        (obsolete_tasks_stay, laws.test_any_interleaving_ends_in_the_same_state),
        (dedupe_off, laws.test_a_message_sent_again_changes_nothing),
        (cannot_link_binds_the_pair_only_until_rescored, laws.test_records_a_person_told_apart_stay_apart),
        (two_ins_may_meet, laws.test_sets_hold_nothing_they_must_not),
        (duplicates_unasked, laws.test_sets_hold_nothing_they_must_not),
        (audit_chains_nothing, laws.test_the_audit_chain_holds_and_names_no_trait),
    ],
    ids=lambda item: item.__name__,
)
def test_a_planted_fault_is_caught(fault, law, monkeypatch):
    fault(monkeypatch)

    assert breaks(law, monkeypatch)
