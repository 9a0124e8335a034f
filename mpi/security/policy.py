"""
What a caller may do, and whose patients it may see. Every answer passes through these functions.

A domain a caller may not see does not exist for it: it is answered as an unknown one, and its
records are absent, not masked.
"""

from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum

from mpi.errors import NotPermitted
from mpi.index.parties import Directory
from mpi.security.keys import Caller, Role


class Action(StrEnum):
    """What a caller may ask for."""

    RESOLVE = "resolve"
    CROSS_REFERENCE = "cross_reference"
    READ_PATIENT = "read_patient"
    MATCH = "match"
    SEARCH = "search"
    """Look people up by what is known of them."""
    READ_REVIEWS = "read_reviews"
    DECIDE = "decide"
    READ_FACTS = "read_facts"
    WITHDRAW_FACT = "withdraw_fact"
    CONFIRM = "confirm"
    """Be the second person, whichever way it is said."""
    SPLIT = "split"
    ERASE = "erase"
    READ_TIMELINE = "read_timeline"
    READ_TOLD = "read_told"
    """What a consumer was told in the past, protected identities of today included."""
    READ_MESSAGES = "read_messages"
    READ_CONTENT = "read_content"
    """A received message as it came, with its patient."""
    SETTLE_MESSAGES = "settle_messages"
    """Have messages that could not be applied processed again, corrected, or discarded."""
    READ_NOTIFICATIONS = "read_notifications"
    """What became of notifications; whom they are about, for a role that sees patients."""
    MANAGE_NOTIFICATIONS = "manage_notifications"
    """Send one again, pause or resume an addressee."""
    FEED = "feed"
    """State identities, as the configured source of the key's name."""
    READ_AUDIT = "read_audit"
    """Who did what, to whom: for keys that no domain is hidden from."""
    REPORT = "report"
    """Say that an identity is wrong."""
    READ_REPORTS = "read_reports"
    ANSWER_REPORT = "answer_report"
    READ_CORRECTIONS = "read_corrections"
    """What sites are asked to correct; a site, what it is asked itself."""
    ASK_SITES = "ask_sites"
    """Ask a site again, or take back what it was asked."""
    READ_INDICATORS = "read_indicators"
    SUBSCRIBE = "subscribe"
    """Ask to be told of changes."""
    READ_INTERFACE = "read_interface"
    """What this index offers: the capability statement and the documentation. No patient in it."""


_SEES_PATIENTS = frozenset(Role) - {Role.OPERATOR}
_VIGILANCE = frozenset({Role.REVIEWER, Role.LEAD})
PERMITTED: Mapping[Action, frozenset[Role]] = {
    Action.RESOLVE: _VIGILANCE | {Role.PORTAL, Role.SITE},
    Action.CROSS_REFERENCE: _SEES_PATIENTS,
    Action.READ_PATIENT: _SEES_PATIENTS - {Role.SITE},
    Action.MATCH: _VIGILANCE | {Role.PORTAL},
    Action.SEARCH: _SEES_PATIENTS,
    Action.READ_REVIEWS: _VIGILANCE | {Role.AUDITOR},
    Action.DECIDE: _VIGILANCE,
    Action.READ_FACTS: _VIGILANCE | {Role.AUDITOR},
    Action.WITHDRAW_FACT: frozenset({Role.LEAD}),
    Action.CONFIRM: frozenset({Role.LEAD}),
    Action.SPLIT: frozenset({Role.LEAD}),
    Action.ERASE: frozenset({Role.LEAD}),
    Action.READ_TIMELINE: _VIGILANCE | {Role.AUDITOR},
    Action.READ_TOLD: frozenset({Role.AUDITOR}),
    Action.READ_MESSAGES: frozenset({Role.LEAD, Role.AUDITOR, Role.OPERATOR}),
    Action.READ_CONTENT: frozenset({Role.LEAD, Role.AUDITOR}),
    Action.SETTLE_MESSAGES: frozenset({Role.LEAD, Role.OPERATOR}),
    Action.READ_NOTIFICATIONS: frozenset({Role.LEAD, Role.AUDITOR, Role.OPERATOR}),
    Action.MANAGE_NOTIFICATIONS: frozenset({Role.LEAD, Role.OPERATOR}),
    Action.FEED: frozenset({Role.SITE}),
    Action.READ_AUDIT: frozenset({Role.AUDITOR}),
    Action.REPORT: _VIGILANCE | {Role.PORTAL, Role.SITE},
    Action.READ_REPORTS: _SEES_PATIENTS,
    Action.ANSWER_REPORT: _VIGILANCE,
    Action.READ_CORRECTIONS: _VIGILANCE | {Role.SITE, Role.AUDITOR},
    Action.ASK_SITES: _VIGILANCE,
    Action.READ_INDICATORS: _VIGILANCE | {Role.AUDITOR},
    Action.SUBSCRIBE: frozenset({Role.PORTAL}),
    Action.READ_INTERFACE: frozenset(Role),
}


def may(caller: Caller, action: Action) -> bool:
    """Whether the caller's role allows an action."""
    return caller.role in PERMITTED[action]


def check_may(caller: Caller, action: Action) -> None:
    """
    Refuse what the caller's role does not allow.

    Raises:
        NotPermitted: it does not. The message names the role and the action.
    """
    if not may(caller, action):
        raise NotPermitted(f"the role {caller.role} may not {action.replace('_', ' ')}")


def visible_domains(caller: Caller, directory: Directory) -> frozenset[str]:
    """
    Keys of the domains whose records the caller may see, among those configured today.

    A site sees its own domains, those its key names, and those that a sharing agreement joins with
    one of them. Another key without domains sees every domain; with domains, those and no other. A key
    whose domains are no longer configured sees none: losing a domain never widens a key. An operator
    sees no patient.
    """
    if caller.role is Role.OPERATOR:
        return frozenset()
    if caller.role is Role.SITE:
        return directory.shared_with(caller.domains & _all_domains(directory))
    if not caller.domains:
        return _all_domains(directory)
    return caller.domains & _all_domains(directory)


def sees_every_domain(caller: Caller, directory: Directory) -> bool:
    """Whether nothing of the federation is hidden from the caller."""
    return visible_domains(caller, directory) == _all_domains(directory)


def sights_of(callers: Iterable[Caller], directory: Directory) -> frozenset[frozenset[str]]:
    """The domains that callers who are asked questions see, of those who see some and not all."""
    asked = (caller for caller in callers if may(caller, Action.READ_REVIEWS))
    seen = frozenset(visible_domains(caller, directory) for caller in asked)
    return seen - {_all_domains(directory), frozenset()}


def sees_enterprise_identifiers(caller: Caller) -> bool:
    """
    Whether answers to the caller may hold enterprise identifiers.

    Not to a site: the identifier is the same for everyone and changes when another site's record
    joins, so it would tell that the person is known elsewhere.
    """
    return caller.role in PERMITTED[Action.READ_PATIENT]


def visible_sources(caller: Caller, directory: Directory) -> frozenset[str] | None:
    """
    Names of the sources whose messages the caller may see in the journal; None for all.

    A key limited to domains sees the sources that feed nothing else. The claimed names of
    unknown senders are for callers without limits only.
    """
    if not caller.domains:
        return None
    return frozenset(s.name for s in directory.sources if set(s.feeds) <= caller.domains)


def may_know_what_is_told(caller: Caller, directory: Directory, domains: Collection[str]) -> bool:
    """
    Whether the caller may know that somebody who sees some domains was told something, and of whom.

    When somebody is told, and of which persons, follows from all the domains that they see.
    """
    return sees_every_queue(caller, directory) or set(domains) <= caller.domains


def sees_every_queue(caller: Caller, directory: Directory) -> bool:
    """Whether the caller may know of everybody's notifications: operators too, who are shown no patient in them."""
    return not caller.domains or _all_domains(directory) <= caller.domains


def _all_domains(directory: Directory) -> frozenset[str]:
    return frozenset(domain.key for domain in directory.domains)
