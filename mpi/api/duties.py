"""
What only some of those who decide, or read decisions, may do.

It narrows `security.policy`, and never widens it: a duty takes its action, and a role that is named here.
"""

from collections.abc import Mapping
from enum import StrEnum

from mpi.errors import NotPermitted
from mpi.security.keys import Caller, Role
from mpi.security.policy import PERMITTED, Action


class Duty(StrEnum):
    """A part of an action."""

    READ_TIMELINE = "read_timeline"
    READ_TOLD = "read_told"
    """What a consumer was told in the past, protected identities of today included."""
    CONFIRM = "confirm"
    """Be the second person, whichever way it is said."""
    SPLIT = "split"
    ERASE = "erase"


DUTIES: Mapping[Duty, tuple[Action, frozenset[Role]]] = {
    Duty.READ_TIMELINE: (Action.READ_FACTS, frozenset({Role.REVIEWER, Role.LEAD, Role.AUDITOR})),
    Duty.READ_TOLD: (Action.READ_FACTS, frozenset({Role.AUDITOR})),
    Duty.CONFIRM: (Action.DECIDE, frozenset({Role.LEAD})),
    Duty.SPLIT: (Action.DECIDE, frozenset({Role.LEAD})),
    Duty.ERASE: (Action.DECIDE, frozenset({Role.LEAD})),
}


def check_duty(caller: Caller, duty: Duty) -> None:
    """
    Refuse what the caller's role does not allow.

    Raises:
        NotPermitted: it does not. The message names the role and the duty.
    """
    action, roles = DUTIES[duty]
    if caller.role not in PERMITTED[action] & roles:
        raise NotPermitted(f"the role {caller.role} may not {duty.replace('_', ' ')}")
