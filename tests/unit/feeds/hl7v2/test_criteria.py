"""QPD-3: what is read, what is refused, and where it is said to be wrong."""

from datetime import date

import pytest

from mpi.feeds.hl7v2 import criteria, problems
from mpi.feeds.hl7v2.ack import Fault
from mpi.feeds.hl7v2.criteria import Criteria, read_criteria
from mpi.feeds.hl7v2.er7 import read
from mpi.feeds.hl7v2.query_answer import Asked, Client, Refused
from mpi.identity.model import RecordKey
from mpi.index.search import Period, Search, Spelling, Text
from tests.unit.feeds.hl7v2.fakes import KEY_A, KEY_B, NOW, federation, search


def asked(message):
    directory = federation()
    read_message = read(message.encode())
    qpd = read_message.segment("QPD")
    return Asked(read_message, qpd, directory.consumers[0], Client("viewer-b", ""), directory, lambda: NOW)


def criteria_of(*repetitions):
    return read_criteria(asked(search(*repetitions)), active=None)


def fault_of(*repetitions):
    with pytest.raises(Refused) as refused:
        criteria_of(*repetitions)
    (fault,) = refused.value.faults
    return fault


def same(text):
    return Text(text, Spelling.SAME)


def prefix(text):
    return Text(text, Spelling.PREFIX)


@pytest.mark.parametrize(
    ("repetition", "wanted"),
    [
        ("@PID.5^LE GOFF", {"family": (same("LE GOFF"),)}),
        ("@PID.5.1^CHA*", {"family": (prefix("CHA"),)}),
        ("@pid.05.1.1^D'ANGE*", {"family": (prefix("D'ANGE"),)}),
        ("@PID.5.1.1^ROUX&LEROUX", {"family": (same("ROUX"), same("LEROUX"))}),
        (r"@PID.5.1.1^O\T\NEIL", {"family": (same("O&NEIL"),)}),
        (r"@PID.5.1.1^CH\XC382\TEREAU", {"family": (same("CHÂTEREAU"),)}),
        ("@PID.5.2^LOUISE", {"given": (same("LOUISE"),)}),
        ("@PID.5.3^ANNE*", {"given": (prefix("ANNE"),)}),
        ("@PID.6.1.1^ROUX", {"mother_birth_name": (same("ROUX"),)}),
        ("@PID.7^19840229", {"birth": (Period(date(1984, 2, 29), date(1984, 2, 29)),)}),
        ("@PID.7.1^198402291015", {"birth": (Period(date(1984, 2, 29), date(1984, 2, 29)),)}),
        ("@PID.7^198402", {"birth": (Period(date(1984, 2, 1), date(1984, 2, 29)),)}),
        ("@PID.7^1984", {"birth": (Period(date(1984, 1, 1), date(1984, 12, 31)),)}),
        ("@PID.8^f", {"sex": ("F",)}),
        ("@PID.8^O", {"sex": ("U",)}),
        ("@PID.11^LIMO*", {"address": (prefix("LIMO"),)}),
        ("@PID.11.1^12 RUE DES LILAS", {"address": (same("12 RUE DES LILAS"),)}),
        ("@PID.11.3^LIMOGES", {"city": (same("LIMOGES"),)}),
        ("@PID.11.4^87", {"state": (same("87"),)}),
        ("@PID.11.5^870*", {"postal_code": (prefix("870"),)}),
        ("@PID.11.6^FRA", {"country": (same("FRA"),)}),
        ("@PID.13^0555000000", {"telecom": ("0555000000",)}),
        ("@PID.13.4^louise@example.org", {"telecom": ("louise@example.org",)}),
        ("@PID.14.12^0555000000", {"telecom": ("0555000000",)}),
        ("@PID.3^A1^^^SITE-A", {"identifiers": (RecordKey(KEY_A, "A1"),)}),
        ("@PID.3^A1*^^^&2.999.1.1&ISO", {"identifier_prefixes": (RecordKey(KEY_A, "A1"),)}),
        ("@PID.3.4^SITE-B&2.999.1.2&ISO", {"identifiers": (RecordKey(KEY_B, ""),)}),
    ],
)
def test_what_is_looked_for(repetition, wanted):
    assert criteria_of(repetition) == Criteria(Search(**wanted))


@pytest.mark.parametrize(
    "authority",
    [
        ["@PID.3.4.1^SITE-A"],
        ["@PID.3.4^SITE-A"],
        ["@PID.3.4.2^2.999.1.1", "@PID.3.4.3^ISO"],
        ["@PID.3.4.1^SITE-A", "@PID.3.4.2^2.999.1.1", "@PID.3.4.3^ISO", "@PID.3.4.3^ISO"],
    ],
)
def test_an_identifier_with_its_authority_however_it_is_said(authority):
    expected = Search(identifiers=(RecordKey(KEY_A, "A1"), RecordKey(KEY_A, "A2")))

    assert criteria_of("@PID.3.1^A1&A2", *authority).wanted == expected
    assert criteria_of(*authority, "@PID.3.1^A1&A2").wanted == expected


def test_repetitions_hold_together_and_empty_ones_ask_nothing():
    read = criteria_of("", "@PID.5.1^ROUX", "@PID.8^", '@PID.11.3^""', "@PID.7^1984", "@PID.5.1.1^ROUX")

    assert read.wanted == Search(
        family=(same("ROUX"),), birth=(Period(date(1984, 1, 1), date(1984, 12, 31)),)
    )


def test_accounts_are_noted_where_they_stand():
    assert criteria_of("@PID.8^F", "@PID.18^N42").accounts == (2,)


@pytest.mark.parametrize(
    ("repetitions", "place", "problem"),
    [
        (["PID.5^X"], 1, problems.NOT_A_CRITERION),
        (["@PID.8^F", "@PID^X"], 2, problems.NOT_A_CRITERION),
        (["@PID.5.1.1.1^X"], 1, problems.NOT_A_CRITERION),
        (["@PID.5^ROUX^ANNE"], 1, problems.NOT_A_CRITERION),
        (["ROUX"], 1, problems.NOT_A_CRITERION),
        (["@PID.5.1.1&CHA*^@PID.8&F"], 1, problems.NOT_A_CRITERION),
        (["@PD1.4^X"], 1, problems.NOT_SEARCHED),
        (["@PID.5.7^L"], 1, problems.NOT_SEARCHED),
        (["@PID.19^1"], 1, problems.NOT_SEARCHED),
        (["@PID.3.5^PI"], 1, problems.NOT_SEARCHED),
        (["@PID.5.1^*"], 1, problems.BAD_WILDCARD),
        (["@PID.5.1^C*"], 1, problems.BAD_WILDCARD),
        (["@PID.5.1^ -'C*"], 1, problems.BAD_WILDCARD),
        (["@PID.5.1^*EAU"], 1, problems.BAD_WILDCARD),
        (["@PID.5.1^CHA*EAU"], 1, problems.BAD_WILDCARD),
        (["@PID.5.1^CHA**"], 1, problems.BAD_WILDCARD),
        (["@PID.13^0555*"], 1, problems.BAD_WILDCARD),
        (["@PID.3.4.1^SITE-A", "@PID.3.1^A*"], 2, problems.BAD_WILDCARD),
        (["@PID.3.4.1^SITE-A", "@PID.3.1^A1*&A2"], 2, problems.BAD_WILDCARD),
        (["@PID.7^1984*"], 1, problems.NOT_A_DATE),
        (["@PID.7^19840230"], 1, problems.NOT_A_DATE),
        (["@PID.7^0000"], 1, problems.NOT_A_DATE),
        (["@PID.7^1984-02-29"], 1, problems.NOT_A_DATE),
        (["@PID.8^X"], 1, problems.NOT_IN_TABLE),
        (["@PID.5.1^ROUX", "@PID.5^BRUN"], 2, problems.ASKED_TWICE),
        (["@PID.5.2^ANNE", "@PID.5.3^MARIE"], 2, problems.ASKED_TWICE),
        (["@PID.3.4.1^SITE-A", "@PID.3.4.1^SITE-B", "@PID.3.1^A1"], 2, problems.ASKED_TWICE),
        (["@PID.3^A1^^^SITE-A", "@PID.3.1^A2"], 2, problems.ASKED_TWICE),
        (["@PID.8^F", "@PID.3.1^A1"], 2, problems.NO_DOMAIN),
        (["@PID.5.1^" + "&".join(f"A{n}" for n in range(21))], 1, problems.TOO_MANY_REPETITIONS),
    ],
)
def test_what_is_refused_and_where(repetitions, place, problem):
    fault = fault_of(*repetitions)

    assert fault == Fault(f"QPD^1^3^{place}", problems.CODES[problem], problem)


@pytest.mark.parametrize(
    "authority",
    [["@PID.3.4.1^NOWHERE"], ["@PID.3.4.1^SITE-D"], ["@PID.3.4.2^2.999.1.1"], ["@PID.3.4^SITE-A&2.999.1.1"]],
)
def test_an_authority_that_is_unknown_incomplete_or_hidden(authority):
    assert fault_of("@PID.3.1^D9", *authority) == Fault("QPD^1^3^2", 204)


def test_nothing_at_all():
    assert fault_of() == Fault("QPD^1^3", 101, problems.REQUIRED)


def test_every_part_that_is_read_is_one_of_a_search():
    assert set(criteria.TEXTS.values()) | {"birth", "sex", "telecom"} <= set(Search.__dataclass_fields__)
