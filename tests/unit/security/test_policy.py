"""Who may do what, and whose patients they see."""

import pytest

from mpi.errors import NotPermitted
from mpi.security.keys import Caller, Role
from mpi.security.policy import (
    PERMITTED,
    Action,
    check_may,
    sees_enterprise_identifiers,
    visible_domains,
    visible_sources,
)
from tests.federation import directory

ALL = frozenset({"2.999.1.1", "2.999.1.2", "2.999.1.3"})
MAY = {
    Role.PORTAL: "resolve cross_reference read_patient match search subscribe report read_reports read_interface",
    Role.SITE: "resolve cross_reference search feed report read_reports read_corrections read_interface",
    Role.REVIEWER: (
        "resolve cross_reference read_patient match search read_reviews decide read_facts read_timeline read_interface "
        "report read_reports answer_report read_corrections ask_sites read_indicators"
    ),
    Role.LEAD: (
        "resolve cross_reference read_patient match search read_reviews decide read_facts withdraw_fact "
        "confirm split erase read_timeline read_messages read_content settle_messages read_interface "
        "report read_reports answer_report read_corrections ask_sites read_indicators "
        "read_notifications manage_notifications"
    ),
    Role.AUDITOR: (
        "cross_reference read_patient search read_reviews read_facts read_timeline read_told read_messages "
        "read_content read_audit read_interface "
        "read_reports read_corrections read_indicators read_notifications"
    ),
    Role.OPERATOR: "read_messages settle_messages read_interface read_notifications manage_notifications",
}


def test_every_action_and_every_role_is_decided():
    assert set(PERMITTED) == set(Action)
    assert set(MAY) == set(Role)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("action", Action)
def test_a_role_may_do_what_is_written_here_and_nothing_else(role, action):
    caller = Caller("someone", role)
    if action in MAY[role].split():
        check_may(caller, action)
    else:
        with pytest.raises(NotPermitted, match=f"the role {role} may not"):
            check_may(caller, action)


@pytest.mark.parametrize(
    ("role", "limits", "seen"),
    [
        (Role.PORTAL, [], ALL),
        (Role.REVIEWER, [], ALL),
        (Role.LEAD, [], ALL),
        (Role.AUDITOR, [], ALL),
        (Role.SITE, [], frozenset()),
        (Role.OPERATOR, [], frozenset()),
        (Role.OPERATOR, ["2.999.1.1"], frozenset()),
        (Role.SITE, ["2.999.1.1"], frozenset({"2.999.1.1"})),
        (Role.PORTAL, ["2.999.1.1", "2.999.1.3"], frozenset({"2.999.1.1", "2.999.1.3"})),
        (Role.PORTAL, ["2.999.1.9"], frozenset()),
        (Role.LEAD, ["2.999.1.1", "2.999.1.9"], frozenset({"2.999.1.1"})),
    ],
)
def test_a_caller_sees_the_domains_of_its_key(role, limits, seen):
    assert visible_domains(Caller("someone", role, frozenset(limits)), directory()) == seen


def test_enterprise_identifiers_are_not_for_a_site():
    assert {role for role in Role if not sees_enterprise_identifiers(Caller("x", role))} == {
        Role.SITE,
        Role.OPERATOR,
    }


def test_a_limited_key_sees_the_journal_of_the_sources_that_feed_nothing_else():
    assert visible_sources(Caller("x", Role.OPERATOR), directory()) is None
    limited = Caller("x", Role.LEAD, frozenset({"2.999.1.1"}))

    assert visible_sources(limited, directory()) == {"ris-a", "pacs-a"}


AGREED = directory(sharing=[frozenset({"2.999.1.1", "2.999.1.2"}), frozenset({"2.999.1.2", "2.999.1.3"})])


@pytest.mark.parametrize(
    ("role", "limits", "seen"),
    [
        (Role.SITE, "1", "12"),
        (Role.SITE, "2", "123"),
        (Role.SITE, "3", "23"),
        (Role.SITE, "", ""),
        (Role.PORTAL, "1", "1"),
        (Role.OPERATOR, "1", ""),
    ],
)
def test_an_agreement_widens_the_sight_of_the_sites_it_covers_and_does_not_add_up(role, limits, seen):
    caller = Caller("someone", role, frozenset(f"2.999.1.{each}" for each in limits))

    assert visible_domains(caller, AGREED) == {f"2.999.1.{each}" for each in seen}
