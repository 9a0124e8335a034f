"""A duty narrows an action, and never widens it."""

import pytest

from mpi.api.duties import DUTIES, Duty, check_duty
from mpi.errors import NotPermitted
from mpi.security.keys import Caller, Role
from mpi.security.policy import PERMITTED

MAY = {
    Duty.READ_TIMELINE: {Role.REVIEWER, Role.LEAD, Role.AUDITOR},
    Duty.READ_TOLD: {Role.AUDITOR},
    Duty.CONFIRM: {Role.LEAD},
    Duty.SPLIT: {Role.LEAD},
    Duty.ERASE: {Role.LEAD},
}


def test_every_duty_is_decided():
    assert set(MAY) == set(DUTIES) == set(Duty)


@pytest.mark.parametrize("duty", Duty)
def test_no_role_has_a_duty_without_its_action(duty):
    action, roles = DUTIES[duty]

    assert roles <= PERMITTED[action]


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("duty", Duty)
def test_a_role_has_the_duties_written_here_and_no_other(role, duty):
    caller = Caller("someone", role)
    if role in MAY[duty]:
        check_duty(caller, duty)
    else:
        with pytest.raises(NotPermitted, match=f"the role {role} may not {duty.replace('_', ' ')}"):
            check_duty(caller, duty)
