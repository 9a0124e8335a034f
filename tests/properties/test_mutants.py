"""
The laws of the machines are able to fail: each planted mutant of the index breaks one of them.

A mutant is one replacement in the source of one function. A row that no longer applies fails: the
code it was about has changed, and the row has to follow it.
"""

import inspect
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from mpi.index import (
    answers,
    decisions,
    derivation,
    epochs,
    events,
    golden,
    graph,
    intake,
    notices,
    questions,
    reception,
    registry,
)
from mpi.matching import guards
from tests.properties import oracle
from tests.properties.test_machines import STORIES, Machine, TwoPeople, live

MACHINES = settings(
    max_examples=120,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


@dataclass(frozen=True)
class Mutant:
    """One replacement in one function; `where` is the function, its class, or its module."""

    name: str
    owner: Any
    function: str
    old: str
    new: str
    machine: type[Machine] = Machine


MUTANTS = (
    # ------------------------------------------------------------------------- the link graph
    Mutant("unlinks are ignored", graph._Rules, "__init__", "f.kind is FactKind.SOURCE_UNLINKED", "False"),
    Mutant("people's no is ignored", graph, "cannot_links", "fact.kind in NEGATIVE", "False"),
    Mutant("homonyms may be one person", graph, "cannot_links", "in NEGATIVE", "is FactKind.DIFFERENT"),
    Mutant("a source's first word holds", graph, "effective", "_rank(fact) > _rank(before)", "False"),
    Mutant(
        "at equal times the link holds",
        graph,
        "_rank",
        "is FactKind.SOURCE_UNLINKED",
        "is FactKind.SOURCE_LINKED",
    ),
    Mutant(
        "whose identifier is least is the oldest",
        graph,
        "seniority",
        "one.first_event_time or _NEVER, one.key",
        "one.native_euid",
    ),
    Mutant("two ins may meet", graph, "hard_objection", "> 1:", "> 9:"),
    Mutant(
        "sources outrank people",
        graph._Rules,
        "apply_facts",
        "_FACT_ORDER.index(f.kind)",
        "-_FACT_ORDER.index(f.kind)",
    ),
    Mutant("doubt is ignored", graph._Rules, "_objection_to_link", "left.doubted or right.doubted", "False"),
    Mutant(
        "suspicion joins as before",
        graph,
        "_joined_too_late",
        "frozen.held_since is not None and",
        "False and",
    ),
    Mutant(
        "sets grow without bound", graph._Rules, "_objection_to_union", "> self._policy.max_set_size", "> 99"
    ),
    Mutant(
        "contradictions are not asked",
        graph._Rules,
        "_objection_to_union",
        "self._contradicts(a, b)",
        "False",
    ),
    Mutant("a weak bridge joins", graph._Rules, "_objection_to_union", "< self._policy.bridge_bits", "< -99"),
    Mutant(
        "one domain is like two",
        graph._Rules,
        "_objection_to_union",
        "if same_domain and not",
        "if False and not",
    ),
    Mutant("ambiguity is ignored", graph._Rules, "ambiguous_records", "return found", "return set()"),
    Mutant("nobody retires", graph, "retired_keys", "fact.kind in RETIRING | CLOSING", "False"),
    Mutant(
        "a component stops short",
        derivation.Derivation,
        "component",
        "frontier = reached - inside",
        "frontier = set()",
    ),
    # ------------------------------------------------------------------------------ messages
    Mutant(
        "duplicates are applied again",
        reception,
        "_repeated_by",
        "return None if is_tried_again else prior",
        "return None",
    ),
    Mutant(
        "a control id is reused",
        reception,
        "_is_same",
        "left.content_hash == right.content_hash",
        "True",
    ),
    Mutant(
        "faults are applied",
        reception,
        "_receipt",
        "state = MessageState.QUARANTINED",
        "state = MessageState.APPLIED",
    ),
    Mutant(
        "merges go in circles",
        intake.Intake,
        "_merge",
        "if survivor in self._subsumed_into(uow, subsumed):",
        "if False:",
    ),
    Mutant(
        "an identifier goes into two",
        intake.Intake,
        "_merge",
        "any(fact.left != survivor for fact in retired)",
        "False",
    ),
    Mutant(
        "a rename takes somebody's identifier",
        intake.Intake,
        "_merge",
        "if self._is_fed(uow, survivor, by=merged.source):",
        "if False:",
    ),
    Mutant(
        "sources repeat what people withdrew",
        intake.Intake,
        "_assert_link",
        "any(f.kind is kind and f.withdrawn_at is not None for f in said)",
        "False",
    ),
    Mutant(
        "a later word of the same is lost",
        intake.Intake,
        "_assert_link",
        "and not (expressly and event_time > last.event_time)",
        "",
    ),
    Mutant(
        "a record is patched",
        intake,
        "fold",
        "if not epoch.accepted:",
        "if not epoch.accepted and record.first_event_time:\n        return record\n    if not epoch.accepted:",
    ),
    Mutant(
        "its edges stay",
        intake.Intake,
        "compare",
        "uow.edges.replace(record.id, edges)",
        "None",
    ),
    # ------------------------------------------------------------------ statements and epochs
    Mutant("held statements take effect", epochs.Epoch, "judge", "if reason is not None:", "if False:"),
    Mutant(
        "corrections close nothing",
        epochs.Epoch,
        "judge",
        "self.held = [held for held in self.held if held not in right_again]",
        "None",
    ),
    Mutant(
        "what was set aside counts", epochs, "read_epochs", "decision.kind is FactKind.SET_ASIDE", "False"
    ),
    Mutant(
        "a recycled identifier names one person",
        epochs,
        "read_epochs",
        "decision.kind is FactKind.RECYCLED",
        "False",
    ),
    Mutant("an erased epoch goes on", epochs, "read_epochs", "max((number + 1 for", "max((number for"),
    Mutant(
        "sources are judged as they came in",
        epochs,
        "in_order",
        "queues[name][0].statement.event_time, name",
        "queues[name][0].id, name",
    ),
    Mutant(
        "headers are judged with feeds",
        epochs,
        "in_order",
        "if item.statement.witness is witness:",
        "if witness is Witness.FEED:",
    ),
    Mutant("a closed epoch is named", epochs, "present", "while named in closed:", "while False:"),
    Mutant(
        "headers outweigh feeds", golden, "_rank", "_WEIGHT[statement.witness]", "-_WEIGHT[statement.witness]"
    ),
    Mutant(
        "the last to come in wins", golden, "_rank", "statement.event_time, statement.source, order", "order"
    ),
    Mutant("what is deleted stays", golden, "_add", "values.pop(gone, None)", "None"),
    Mutant(
        "a movement is believed of who somebody is",
        golden,
        "_rank",
        "weight if strict else",
        "1 if strict else",
    ),
    Mutant("an ins outlives its status", golden, "_moved_along", 'gone += ("ins", "ins_oid")', "pass"),
    Mutant(
        "the golden record ignores status",
        golden,
        "golden_record",
        "rank = (_STATUS_RANK[member.status],",
        "rank = (0,",
    ),
    Mutant(
        "any ins survives", golden, "golden_record", "member.status is not IdentityStatus.QUALIFIED", "False"
    ),
    # ------------------------------------------------------------------ answers and questions
    Mutant(
        "the hidden are answered for",
        answers.Answers,
        "_protects",
        "bool(record.traits.attributes & NEVER_ANSWERED)",
        "False",
    ),
    Mutant(
        "retired identifiers are answered", answers.Answers, "cross_reference", "and not member.retired", ""
    ),
    Mutant(
        "questions are never closed",
        derivation.Derivation,
        "_sync_tasks",
        "done = replace(task, state=TaskState.OBSOLETE,",
        "done = replace(task, state=task.state,",
    ),
    Mutant(
        "closed questions open again",
        derivation.Derivation,
        "_sync_tasks",
        "if still_answered(task, question):",
        "if False:",
    ),
    Mutant(
        "closed questions never open",
        derivation.Derivation,
        "_sync_tasks",
        "if still_answered(task, question):",
        "if task.state is TaskState.DECIDED:",
    ),
    Mutant("duplicates of a domain are not asked", questions, "wanted_tasks", "*_duplicates(situation),", ""),
    Mutant("conflicts are not asked", questions, "wanted_tasks", "*_contradictions(situation),", ""),
    Mutant("suspicions are not asked", questions, "wanted_tasks", "*_overlays(situation),", ""),
    Mutant("memberships have no cause", derivation.Derivation, "recompute", "cause=cause", 'cause=""'),
    Mutant("consumers are not told", notices.Notices, "queue", "if not notices:", "if True:"),
    Mutant("consumers are told again", notices.Notices, "_told", "or former == {named}", "or False"),
    Mutant("what is told is not remembered", notices.Notices, "_told", "if now or instead:", "if False:"),
    Mutant("who is alone again is not told", notices.Notices, "_told", "and not former", "and True"),
    Mutant(
        "retired identifiers are told of", notices.Notices, "_shown", "not in change.retired", "is not None"
    ),
    Mutant(
        "protected people are told of",
        notices.Notices,
        "_shown",
        "attributes & NEVER_ANSWERED",
        "attributes & set()",
    ),
    Mutant(
        "hidden records join what is told",
        notices.Notices,
        "_told",
        "found = change.sets_of(domains)",
        "found = change.sets_of(self._all)",
    ),
    Mutant(
        "a merge is audited once",
        reception,
        "_message_audit",
        'AuditEvent(who, "D", "identity.subsumed", f"record/{subsumed}", at, details),',
        "",
    ),
    # ------------------------------------------------------------------------------- people
    Mutant(
        "an act is taken back in part",
        decisions.Decisions,
        "withdraw",
        "for one in uow.facts.of_act(fact.act_id or fact.id) if one.withdrawn_at is None",
        "for one in (fact,)",
    ),
    Mutant(
        "undo derives nothing",
        decisions.Decisions,
        "withdraw",
        "moved = self._apply(uow, act, at=at)",
        "moved = []",
    ),
    Mutant(
        "undo reopens nothing", decisions.Decisions, "withdraw", "uow.reviews.change(again, at=at)", "None"
    ),
    Mutant(
        "a contradiction silently wins",
        decisions.Decisions,
        "_refuse_contradiction",
        "if draft.kind not in _BINDING:",
        "if True:",
    ),
    Mutant(
        "an answer to an older question counts",
        registry.Registry,
        "decide",
        "if task.version != version:",
        "if False:",
    ),
    Mutant("claims keep nobody out", registry, "_refuse_claimed", 'not in ("", reviewer)', "is None"),
    Mutant(
        "one may be one's own second",
        decisions.Decisions,
        "confirm",
        "if fact.actor == actor:",
        "if False:",
        TwoPeople,
    ),
    Mutant(
        "proposals take effect",
        events.Fact,
        "stands",
        "(not self.second_needed or self.confirmed_at is not None)",
        "True",
        TwoPeople,
    ),
    Mutant(
        "the rule of two is forgotten",
        decisions.Decisions,
        "_needs_second",
        "if not (rule.qualified or rule.above_size is not None):",
        "if True:",
        TwoPeople,
    ),
)


def plant(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the function by its mutant, wherever it was imported."""
    original = inspect.getattr_static(mutant.owner, mutant.function)
    function = original.fget if isinstance(original, property) else getattr(original, "__func__", original)
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(mutant.old) >= 1, f"{mutant.name}: {mutant.function} has no {mutant.old!r}"
    scope = dict(vars(sys.modules[function.__module__]))
    exec(
        compile(
            "from __future__ import annotations\n" + source.replace(mutant.old, mutant.new),
            mutant.name,
            "exec",
        ),
        scope,
    )
    changed = scope[mutant.function]
    live = vars(sys.modules[function.__module__])
    if not isinstance(changed, property | staticmethod):
        changed = type(function)(
            changed.__code__, live, changed.__name__, changed.__defaults__, changed.__closure__
        )
        changed.__kwdefaults__ = function.__kwdefaults__
    elif isinstance(changed, property):
        getter = type(function)(changed.fget.__code__, live, mutant.function)
        changed = property(getter)
    monkeypatch.setattr(mutant.owner, mutant.function, changed)
    for module in [module for name, module in sys.modules.items() if name.startswith("mpi.")]:
        for name, value in list(vars(module).items()):
            if value is original:
                monkeypatch.setattr(module, name, changed)


@pytest.fixture(autouse=True)
def no_memory() -> Iterator[None]:
    """The oracle remembers what the engine judged: not from one mutant to the next."""
    yield
    for remembered in (oracle.weigh, oracle.somebody_else, oracle.keys_of, oracle.traits_of):
        remembered.cache_clear()


def broken_law(machine: type[Machine]) -> str:
    """The law that fails first, without shrinking what breaks it; empty when none does."""
    try:
        for story in STORIES:
            live(machine(), story)
        run_state_machine_as_test(machine, settings=MACHINES)
    except AssertionError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "_"))
def test_a_mutant_breaks_a_law(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(mutant, monkeypatch)

    assert broken_law(mutant.machine), mutant.name


def test_a_hidden_identity_that_links_breaks_a_law(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guard of the matcher, which the oracle shares: the law is its own."""
    monkeypatch.setattr(
        guards, "_RULES", tuple(one for one in guards._RULES if one[0] != "protected_identity")
    )
    monkeypatch.setattr(
        guards, "_RULES", tuple(one for one in guards._RULES if one[0] != "unreliable_identity")
    )
    oracle.weigh.cache_clear()

    assert "hidden_identities_are_joined_by_no_weight" in broken_law(Machine)
