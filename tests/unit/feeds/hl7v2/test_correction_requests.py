"""Requests to sites as messages: byte for byte, and as hl7apy reads them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message, parse_segment

from mpi.feeds.hl7v2.correction_requests import write_request
from mpi.feeds.hl7v2.handler import Hl7Handler
from mpi.feeds.hl7v2.notification import Parties
from mpi.identity.ins import INS_TEST_OID, matricule_key
from mpi.identity.model import Demographics, NameUse, PersonName, RecordKey
from mpi.index.corrections import TRIGGER, Correction, CorrectionKind, CorrectionState, WantedCorrection
from mpi.index.requests import strict_traits
from tests.unit.feeds.hl7v2.fakes import KEY_A, KEY_B, FakeRegistry, federation

AT = datetime(2026, 3, 2, 10, 40, tzinfo=UTC)
A1, A2, B7 = RecordKey(KEY_A, "A1001"), RecordKey(KEY_A, "A1377"), RecordKey(KEY_B, "B77")
BODY = "2840299912354"
INS = BODY + matricule_key(BODY)
BEFORE = {
    "birth_name": "CHANTEREAU",
    "used_name": "DUVIVIER",
    "given_names": "LOUISE ANNE-MARIE",
    "birth_date": "1984-02-28",
    "sex": "F",
    "birth_place": "29999",
    "identity_status": "VALI",
    "ins": INS,
    "ins_oid": INS_TEST_OID,
}
HEADER = (
    "MSH|^~\\&|MPI|FED|RIS_A|SITE_A|20260302114000||{}|C-000007|P|2.5^FRA^2.11|||||FRA|UNICODE UTF-8|FR|"
    "|2.11^IHE_FRANCE-2.11-PAM\rEVN||20260302114000\r"
)
INS_CX = f"{INS}^^^ASIP-SANTE-INS-NIR&1.2.250.1.213.1.4.10&ISO^INS"
WHO = "CHANTEREAU^LOUISE^LOUISE ANNE-MARIE^^^^L~DUVIVIER^^^^^^D"


def correction(kind, left=A1, right=A1, **more):
    wanted = WantedCorrection(kind, "report/2.4", left, right, **more)
    return Correction(7, wanted, 1, 2, "ris-a", "user:anne", AT, AT + timedelta(days=15))


def written(request, trigger=None, **more):
    raw = write_request(
        request,
        trigger or TRIGGER[request.kind],
        domains=federation().domains,
        parties=Parties("MPI", "FED", "RIS_A", "SITE_A"),
        control_id="C-000007",
        at=AT,
        **more,
    )
    return raw.decode()


MERGE = correction(CorrectionKind.MERGE, A1, A2, before=BEFORE)
RESTATE = correction(
    CorrectionKind.RESTATE, before=BEFORE, expected={"birth_date": "1984-02-29"}, traits=("birth_date",)
)
AS_IT_IS = correction(CorrectionKind.RESTATE, before=BEFORE, expected={"birth_name": "CHANTEREAU"})
WITHDRAW = correction(CorrectionKind.WITHDRAW_INS, before=BEFORE, traits=("ins",))
LINK = correction(CorrectionKind.LINK, A1, B7, source="ris-a")
UNLINK = correction(CorrectionKind.UNLINK, A1, B7, source="ris-a")
SEPARATE = correction(CorrectionKind.SEPARATE, A1, A2)


def test_a_merge_is_suggested_as_an_a40():
    assert written(MERGE) == (
        HEADER.format("ADT^A40^ADT_A39")
        + f"PID|1||A1001^^^SITE-A&2.999.1.1&ISO^PI~{INS_CX}||{WHO}||19840228|F|||^^^^^^BDL^^29999"
        + "|" * 21
        + "VALI\rMRG|A1377^^^SITE-A&2.999.1.1&ISO^PI\r"
    )


def test_a_corrected_trait_is_suggested_as_an_a31_that_proves_nothing():
    """Who was checked was another birth date: PROV, and no INS (EXI SI 08)."""
    assert written(RESTATE) == (
        HEADER.format("ADT^A31^ADT_A05")
        + f"PID|1||A1001^^^SITE-A&2.999.1.1&ISO^PI||{WHO}||19840229|F|||^^^^^^BDL^^29999"
        + "|" * 21
        + "PROV\rPV1||N\r"
    )


def test_what_is_stated_again_as_it_was_keeps_its_status_and_ins():
    assert f"~{INS_CX}||" in written(AS_IT_IS)
    assert written(AS_IT_IS).endswith("|VALI\rPV1||N\r")


def test_an_ins_is_withdrawn_by_an_a47_with_nothing_in_its_place():
    emptied = INS_CX.replace(INS, '""')
    assert written(WITHDRAW) == (
        HEADER.format("ADT^A47^ADT_A30")
        + f"PID|1||A1001^^^SITE-A&2.999.1.1&ISO^PI~{emptied}||{WHO}||19840228|F|||^^^^^^BDL^^29999"
        + "|" * 21
        + f"VALI\rMRG|{INS_CX}\r"
    )


@pytest.mark.parametrize(("request_", "event"), [(LINK, "A24"), (UNLINK, "A37")])
def test_links_are_suggested_by_their_two_identifiers(request_, event):
    assert written(request_) == (
        HEADER.format(f"ADT^{event}^ADT_{event}")
        + "PID|1||A1001^^^SITE-A&2.999.1.1&ISO^PI||^^^^^^U\rPID|2||B77^^^SITE-B&2.999.1.2&ISO^PI||^^^^^^U\r"
    )


def test_a_sheet_travels_as_words_in_both_languages():
    message = written(SEPARATE, "T02")

    assert message.startswith(
        "MSH|^~\\&|MPI|FED|RIS_A|SITE_A|20260302114000||MDM^T02^MDM_T02|C-000007|P|2.5|||||FRA|UNICODE UTF-8|FR\r"
        "EVN||20260302114000\rPID|1||A1001^^^SITE-A&2.999.1.1&ISO^PI||^^^^^^U\rPV1||N\r"
        "TXA|1|CN|TX|20260302114000||||||||C-000007|||||LA||AV\rOBX|1|TX|CORRECTION^separate^99MPI||"
    )
    assert "Demande de correction d'identité n° 7" in message
    assert "Request to correct an identity, no. 7" in message
    assert "L'identifiant A1377 (SITE-A) a été fusionné dans A1001 (SITE-A)" in message.replace("~", " ")


def test_a_sheet_that_takes_a_request_back_says_so_first():
    message = written(MERGE, "T02", state=CorrectionState.WITHDRAWN)

    assert "CETTE DEMANDE EST RETIRÉE" in message
    assert "THIS REQUEST IS WITHDRAWN" in message


EVERY = [
    (MERGE, "A40"),
    (RESTATE, "A31"),
    (AS_IT_IS, "A31"),
    (WITHDRAW, "A47"),
    (LINK, "A24"),
    (UNLINK, "A37"),
]


@pytest.mark.parametrize(("request_", "trigger"), [*EVERY, (SEPARATE, "T02"), (RESTATE, "T02")])
def test_hl7apy_finds_no_fault(request_, trigger):
    message = written(request_, trigger).replace("2.5^FRA^2.11", "2.5")
    if trigger in ("A24", "A37"):  # hl7apy takes one PID in them: the segments are looked at one by one
        for line in message.rstrip("\r").split("\r"):
            assert parse_segment(line, version="2.5", validation_level=VALIDATION_LEVEL.STRICT).validate()
        return

    assert parse_message(message, validation_level=VALIDATION_LEVEL.STRICT).validate()


@pytest.mark.parametrize(("request_", "trigger"), EVERY)
def test_what_is_suggested_is_what_this_index_understands_when_the_site_sends_it(request_, trigger):
    suggested = written(request_).replace("|MPI|FED|RIS_A|SITE_A|", "|GAM_A|SITE_A|MPI|FED|")
    index = FakeRegistry()

    reply = Hl7Handler(index, federation(), lambda: AT).handle(suggested.encode())

    assert b"MSA|AA|C-000007" in reply
    assert len(index.applied) == 1


def test_a_value_cannot_be_taken_for_a_delimiter():
    who = Demographics(names=(PersonName("O^H|A\rRA~&\\", use=NameUse.BIRTH),))
    hostile = replace(MERGE, wanted=replace(MERGE.wanted, before=strict_traits(who)))

    [pid] = [line for line in written(hostile).split("\r") if line.startswith("PID")]

    assert pid.split("|")[5] == r"O\S\H\F\A RA\R\\T\\E\^^^^^^L"


def test_the_same_request_is_the_same_bytes():
    assert written(MERGE) == written(replace(MERGE, version=9))
