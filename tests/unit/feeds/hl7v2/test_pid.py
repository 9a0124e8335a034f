from datetime import UTC, datetime

import pytest

from mpi.errors import InvalidIdentity, UnknownAuthority
from mpi.feeds.hl7v2 import er7, problems
from mpi.feeds.hl7v2.pid import read_identity
from mpi.identity.domains import INS_DEMO_OID, INS_NIA_OID, INS_NIR_OID, INS_TEST_OID
from mpi.identity.ins import matricule_key
from mpi.identity.model import (
    AssigningAuthority,
    Demographics,
    NameUse,
    PartialDate,
    PersonName,
    RecordKey,
    Urgency,
)
from tests.unit.feeds.hl7v2.fakes import KEY_A, KEY_B, KEY_C, SITE_A, adt, federation

OWN = "A1001^^^SITE-A&2.999.1.1&ISO^PI"
NIR = "284022999912354"
REAL_INS = f"{NIR}^^^ASIP-SANTE-INS-NIR&{INS_NIR_OID}&ISO^INS"
STRICT = {"f7": "19840229", "f8": "F", "f11": "^^^^^FRA^BDL^^29999", "f32": "VALI"}
"""What an INS needs beside the names."""


def identity(*segments, source="ris-a", accept_test_ins=True, event="A28", **header):
    directory = federation(accept_test_ins=accept_test_ins)
    message = er7.read(adt(event, *segments, **header).encode(), default_charset="UNICODE UTF-8")
    return read_identity(message, source=directory.source(source), directory=directory)


def records(*segments, **options):
    return identity(*segments, **options).records


def pid(*, ids=OWN, name="ROUX^ANNE^^^^^L", **fields):
    """A PID with fields by number, such as `f8="F"`."""
    values = {3: ids, 5: name} | {int(key[1:]): value for key, value in fields.items()}
    return "|".join(["PID", *(values.get(n, "") for n in range(1, max(values) + 1))])


def stated(**fields) -> Demographics:
    return records(pid(**fields))[0].demographics


def refusal(kind, *segments, **options):
    with pytest.raises(kind) as refused:
        records(*(segments or (pid(),)), **options)
    return refused.value


def test_a_whole_french_identity():
    record = records(
        f"PID|1||{OWN}~{NIR}^^^ASIP-SANTE-INS-NIR&{INS_TEST_OID}&ISO^INS||DUVIVIER^LOU^^^^^D~"
        "CHANTEREAU^LOUISE^LOUISE ANNE-MARIE^^Mme^^L|ROUX^JEANNE|19840229|F|||12 RUE DES LILAS&DES LILAS&12^^"
        "LIMOGES^^87000^FRA^H~^^^^^FRA^BDL^^29999||^PRN^PH^^^^^^^^^0555000000~^NET^Internet^l@example.org|"
        "0612345678|||||||||LIMOGES|Y|2|||||||VALI~HOMA",
        "ZFD||||N|INSI",
        evn="EVN||20260302113000||||20260302112955",
    )[0]

    assert record.key == RecordKey(KEY_A, "A1001")
    assert record.identifier.authority == SITE_A
    assert record.event_time == datetime(2026, 3, 2, 10, 29, 55, tzinfo=UTC)
    assert record.warnings == ()
    assert record.demographics == Demographics(
        names=(
            PersonName("DUVIVIER", "LOU", use=NameUse.USED),
            PersonName("CHANTEREAU", "LOUISE", "LOUISE ANNE-MARIE", prefix="Mme", use=NameUse.BIRTH),
        ),
        birth_date=PartialDate(1984, 2, 29),
        birth_date_interpreted=False,
        sex="F",
        birth_place_code="29999",
        birth_place="LIMOGES",
        address="12 RUE DES LILAS",
        postal_code="87000",
        city="LIMOGES",
        country="FRA",
        phones=("0555000000", "0612345678"),
        emails=("l@example.org",),
        ins=NIR,
        ins_oid=INS_TEST_OID,
        mother_birth_name="ROUX",
        birth_order=2,
        multiple_birth=True,
        identity_codes=("VALI", "HOMA"),
    )


@pytest.mark.parametrize(
    "cx", ["A1001^^^SITE-A", "A1001^^^&2.999.1.1&ISO", "A1001", "A1001^^^^PI", " A1001 ^^^SITE-A&&&"]
)
def test_every_valid_way_to_name_the_authority_is_completed(cx):
    record = records(pid(ids=cx))[0]

    assert (record.identifier.value, record.identifier.authority) == ("A1001", SITE_A)


@pytest.mark.parametrize(
    ("ids", "place"),
    [
        ("A1^^^&2.999.1.1", "PID^1^3^1^4"),
        ("A1^^^SITE-A&2.999.1.1", "PID^1^3^1^4"),
        ("A1^^^SITE-A&&ISO", "PID^1^3^1^4"),
        ("A1^^^NOWHERE", "PID^1^3^1^4"),
        ("A1^^^SITE-A&2.999.1.2&ISO", "PID^1^3^1^4"),
        (f"{NIR}^^^&{INS_TEST_OID}&ISO^INS~A1^^^&2.999.9&ISO", "PID^1^3^2^4"),
        ("12AB^^^^PPN", "PID^1^3^1^4"),
        ("A1^^^NOWHERE~B1^^^SITE-B", "PID^1^3^1^4"),
    ],
)
def test_an_unknown_or_incomplete_authority_alone_is_refused(ids, place):
    assert refusal(UnknownAuthority, pid(ids=ids)).place == place


def test_what_is_not_ours_beside_an_own_identifier_goes_along():
    record = records(pid(ids=f"X1^^^NOWHERE~B77^^^SITE-B^PI~N1^^^SITE-A^AN~{OWN}"))[0]

    assert record.key == RecordKey(KEY_A, "A1001")
    assert [other.value for other in record.others] == ["X1", "B77"]
    assert record.warnings == (
        "PID^1^3^3^5: an account or visit number names no patient",
        "PID^1^3^1^4: unknown assigning authority",
    )


@pytest.mark.parametrize(
    ("ids", "place"),
    [("B77^^^SITE-B", "PID^1^3^1^4"), (f"{REAL_INS}~B77^^^SITE-B~C5^^^SITE-C", "PID^1^3^2^4")],
)
def test_a_known_domain_the_source_does_not_feed_is_not_permitted(ids, place):
    assert refusal(problems.SenderNotPermitted, pid(ids=ids)).place == place


def test_one_record_for_each_own_identifier():
    found = records(
        pid(ids="B1^^^SITE-B~C1^^^SITE-C~B1^^^&2.999.1.2&ISO"),
        source="hub",
        application="HUB",
        facility="SITE_B",
    )

    assert [record.key for record in found] == [RecordKey(KEY_B, "B1"), RecordKey(KEY_C, "C1")]
    assert found[0].demographics == found[1].demographics


def test_a_sender_links_what_it_states_together_as_far_as_it_may_link():
    ids = f"B77^^^SITE-B~D5^^^SITE-D~X1^^^NOWHERE~{OWN}~C5^^^SITE-C"
    stated = {name: identity(pid(ids=ids), source=name) for name in ("gam-a", "ris-a")}

    assert stated["gam-a"].elsewhere == (RecordKey(KEY_B, "B77"), RecordKey(KEY_C, "C5"))
    assert stated["ris-a"].elsewhere == ()
    assert [one.records[0].key for one in stated.values()] == [RecordKey(KEY_A, "A1001")] * 2


@pytest.mark.parametrize(
    ("event", "pv1", "urgency"),
    [
        ("A01", "PV1||I", Urgency.PRESENT),
        ("A04", "PV1||O", Urgency.PRESENT),
        ("A05", "", Urgency.PRESENT),
        ("A04", "PV1||E", Urgency.EMERGENCY),
        ("A08", "PV1||e ", Urgency.EMERGENCY),
        ("A08", "PV1||O", Urgency.NONE),
        ("A28", "PV1||N", Urgency.NONE),
        ("A31", 'PV1||""', Urgency.NONE),
    ],
)
def test_urgency_is_the_patient_class_or_the_event(event, pv1, urgency):
    assert identity(pid(), pv1, event=event).records[0].urgency is urgency


@pytest.mark.parametrize(
    ("segments", "place", "problem"),
    [
        ([pid(ids="")], "PID^1^3", problems.REQUIRED),
        ([pid(ids='""')], "PID^1^3", problems.REQUIRED),
        ([pid(ids="^^^SITE-A")], "PID^1^3", problems.REQUIRED),
        ([pid(ids=f"{NIR}^^^&{INS_TEST_OID}&ISO^INS")], "PID^1^3", problems.NO_OWN_IDENTIFIER),
        ([pid(name="")], "PID^1^5", problems.REQUIRED),
        ([pid(name=" ")], "PID^1^5", problems.REQUIRED),
        ([pid(name='""')], "PID^1^5", problems.REQUIRED),
        ([pid(name='""^^^^^^D')], "PID^1^5", problems.REQUIRED),
        ([pid(f8="X")], "PID^1^8", problems.NOT_IN_TABLE),
        ([pid(f11="1 RUE\t^^PARIS")], "PID^1^11", problems.CONTROL_CHARACTER),
        ([pid(name="A" * 257)], "PID^1^5", problems.TOO_LONG),
        ([pid(f7="20260304")], "PID^1^7", problems.AFTER_THE_EVENT),
        ([pid(f7="202604")], "PID^1^7", problems.AFTER_THE_EVENT),
        ([pid(f7="2027")], "PID^1^7", problems.AFTER_THE_EVENT),
        ([pid(f7="99991231")], "PID^1^7", problems.AFTER_THE_EVENT),
        (["PV1||N"], "PID^1", problems.SEGMENT_MISSING),
        ([pid(), pid()], "PID^2", problems.ONE_PERSON),
    ],
)
def test_an_unusable_identity_says_where_and_why(segments, place, problem):
    error = refusal(InvalidIdentity, *segments)

    assert (error.place, error.problem) == (place, problem)


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("1984", PartialDate(1984)),
        ("198402", PartialDate(1984, 2)),
        ("19840229", PartialDate(1984, 2, 29)),
        ("198402291530+0100", PartialDate(1984, 2, 29)),
        ("20260303", PartialDate(2026, 3, 3)),  # the clocks of two machines may differ by a day
        ("202603", PartialDate(2026, 3)),
        ("2026", PartialDate(2026)),
        ("00010101", PartialDate(1, 1, 1)),
        ("", None),
    ],
)
def test_birth_dates_may_be_partial(text, date):
    assert stated(f7=text).birth_date == date


@pytest.mark.parametrize(
    "text", ["1984-02-29", "19850229", "00000000", "19841301", "84", "1984022", "19840229x"]
)
def test_impossible_birth_dates_are_refused(text):
    error = refusal(InvalidIdentity, pid(f7=text))

    assert (error.place, error.problem) == ("PID^1^7", problems.NOT_A_DATE)


@pytest.mark.parametrize(
    ("code", "sex"), [("M", "M"), ("f", "F"), ("U", "U"), ("O", "U"), ("A", "U"), ("", "")]
)
def test_sex(code, sex):
    assert stated(f8=code).sex == sex


@pytest.mark.parametrize(
    ("name", "use", "warned"),
    [
        ("ROUX^ANNE^^^^^S", NameUse.PSEUDONYM, False),
        ("ROUX^ANNE", NameUse.UNSPECIFIED, False),
        ("ROUX^ANNE^^^^^^L", NameUse.BIRTH, True),
        ("ROUX^ANNE^^^^^M", NameUse.UNSPECIFIED, True),
    ],
)
def test_name_types(name, use, warned):
    record = records(pid(name=name))[0]

    assert record.demographics.names == (PersonName("ROUX", "ANNE", use=use),)
    assert bool(record.warnings) is warned


@pytest.mark.parametrize(
    ("fields", "deleted"),
    [
        ({"f7": '""'}, {"birth_date"}),
        ({"f8": '""'}, {"sex"}),
        ({"f6": '""'}, {"mother_birth_name"}),
        ({"f11": '""'}, {"address", "city", "postal_code", "country", "birth_place_code"}),
        ({"f11": '""~^^^^^FRA^BDL^^29999'}, {"address", "city", "postal_code", "country"}),
        ({"f11": '""^^LIMOGES^^""^^H'}, {"address", "postal_code"}),
        ({"f11": '^^""^^^^BDL^^""'}, {"birth_place", "birth_place_code"}),
        ({"f13": '""'}, {"phones", "emails"}),
        ({"f13": '""', "f14": "0612345678"}, {"emails"}),
        ({"f23": '""', "f24": '""', "f25": '""'}, {"birth_place", "multiple_birth", "birth_order"}),
        ({"f32": '""'}, {"identity_codes"}),
        ({"name": 'ROUX^ANNE^^^^^L~""^^^^^^D'}, {"used_name"}),
        ({"name": 'ROUX^ANNE^^^^^L~""^LOU^^^^^D'}, {"used_name"}),
        ({"name": 'ROUX^ANNE^^^^^L~ROUX^""^^^^^D'}, {"used_name"}),
        ({"name": 'ROUX^ANNE^^^^^L~^""^^^^^D'}, set()),
        ({"name": 'ROUX^ANNE^^^^^L~""^^^^^^S'}, {"pseudonym"}),
        ({"name": 'ROUX^ANNE^^^^^L~""'}, {"name"}),
        ({"name": 'ROUX^ANNE^""^^^^L'}, {"birth_name"}),
        ({"name": '""^ANNE^^^^^L'}, set()),
        ({"f13": '^PRN^PH^^^^^^^^^""~^NET^Internet^l@example.org'}, {"phones"}),
        ({"f13": '^NET^Internet^""~0555000000'}, {"emails"}),
        ({"f13": '""~0555000000'}, set()),
        ({"ids": f'{OWN}~""^^^ASIP-SANTE-INS-NIR&{INS_TEST_OID}&ISO^INS'}, {"ins", "ins_oid"}),
        ({"f11": "", "f13": "", "f32": ""}, set()),
    ],
)
def test_null_withdraws_and_empty_says_nothing(fields, deleted):
    assert stated(**fields).deleted == deleted


def test_a_withdrawn_used_family_name_may_leave_a_used_given_name():
    demographics = stated(name='ROUX^ANNE^^^^^L~""^NINA^^^^^D')

    assert demographics.names[1] == PersonName("", "NINA", use=NameUse.USED)
    assert demographics.deleted == {"used_name"}


@pytest.mark.parametrize(
    ("identifier", "codes", "accept_test_ins", "admitted"),
    [
        (f"{NIR}^^^ASIP-SANTE-INS-NIR&{INS_TEST_OID}&ISO^INS", "VALI", True, NIR),
        (f"{NIR}^^^&{INS_DEMO_OID}&ISO^INS", "VALI~HOMA", True, NIR),
        (f"{NIR}^^^&{INS_NIR_OID}&ISO^INS", "VALI", False, NIR),
        (f"{NIR}^^^ASIP-SANTE-INS-NIR^INS", "VALI", False, NIR),
        (f"{NIR}^^^&{INS_NIR_OID}&ISO^INS", "vali~homa", False, NIR),
        (f"{NIR}^^^&{INS_NIR_OID}&ISO^INS", "VALI~DOUT", False, ""),
        (f"{NIR}^^^&{INS_NIR_OID}&ISO^INS", "VALI~fict", False, ""),
        (f"{NIR}^^^&{INS_TEST_OID}&ISO^INS", "PROV", True, ""),
        (f"{NIR}^^^&{INS_TEST_OID}&ISO^INS", "", True, ""),
        (f"{NIR}^^^&{INS_TEST_OID}&ISO^INS", "VALI", False, ""),
        (f"{NIR}^^^&{INS_NIR_OID}&ISO^INS", "VALI", True, ""),
        (f"284022999912355^^^&{INS_TEST_OID}&ISO^INS", "VALI", True, ""),
        (f"2840229999123^^^&{INS_TEST_OID}&ISO^INS", "VALI", True, ""),
    ],
)
def test_an_ins_is_admitted_or_dropped_and_the_message_stands(identifier, codes, accept_test_ins, admitted):
    fields = STRICT | {"f32": codes}
    record = records(pid(ids=f"{identifier}~{OWN}", **fields), accept_test_ins=accept_test_ins)[0]

    assert record.demographics.ins == admitted
    assert [other.type_code for other in record.others] == (["INS"] if admitted else [])
    assert any("dropped" in warning for warning in record.warnings) is not bool(admitted)


@pytest.mark.parametrize("type_code", ["", "SS", "PI", "ins"])
def test_a_national_number_of_another_type_is_left_aside(type_code):
    number = f"{NIR}^^^&{INS_NIR_OID}&ISO^{type_code}"
    record = records(pid(ids=f"{number}~{OWN}", **STRICT), accept_test_ins=False)[0]

    assert record.demographics.ins == record.demographics.national_id == ""
    assert record.others == ()
    assert record.warnings == (f"PID^1^3^1^4: {problems.NEITHER_INS_NOR_NH}",)
    assert refusal(UnknownAuthority, pid(ids=number)).place == "PID^1^3^1^4"


def test_a_null_of_another_type_withdraws_no_ins():
    record = records(pid(ids=f'{OWN}~""^^^&{INS_NIR_OID}&ISO^SS'))[0]

    assert record.demographics.deleted == set()


@pytest.mark.parametrize(
    ("fields", "zfd"),
    [
        ({"name": "ROUX^ANNE^^^^^D"}, "ZFD||||N"),
        ({"name": "ROUX^ANNE"}, "ZFD||||N"),
        ({"name": "^ANNE^^^^^L~ROUX^ANNE^^^^^D"}, "ZFD||||N"),
        ({"name": "ROUX^^^^^^L~ROUX^ANNE^^^^^D"}, "ZFD||||N"),
        ({"f7": ""}, "ZFD||||N"),
        ({"f7": '""'}, "ZFD||||N"),
        ({"f7": "198402"}, "ZFD||||N"),
        ({"f7": "1984"}, "ZFD||||N"),
        ({"f8": "U"}, "ZFD||||N"),
        ({"f8": ""}, "ZFD||||N"),
        ({}, "ZFD||||Y"),
    ],
)
def test_an_ins_without_the_strict_traits_is_dropped(fields, zfd):
    record = records(pid(**{"ids": f"{REAL_INS}~{OWN}"} | STRICT | fields), zfd, accept_test_ins=False)[0]

    assert (record.demographics.ins, record.demographics.ins_oid, record.others) == ("", "", ())
    assert [warning for warning in record.warnings if "dropped" in warning]
    assert all(warning.startswith("PID^1^3^1: INS ") for warning in record.warnings)


@pytest.mark.parametrize("name", ["ROUX^ANNE^^^^^L", "ROUX^^ANNE MARIE^^^^L", "ROUX^ANNE^^^^^^L"])
def test_a_birth_name_with_a_given_name_is_enough_for_an_ins(name):
    record = records(pid(ids=f"{REAL_INS}~{OWN}", name=name, **STRICT), accept_test_ins=False)[0]

    assert record.demographics.ins == NIR


@pytest.mark.parametrize(
    ("fields", "warnings"),
    [
        ({"f8": "M"}, ("PID^1^3^1^1: the matricule differs from the stated sex; kept",)),
        (
            {"f7": "19850328"},
            ("PID^1^3^1^1: the matricule differs from the stated birth year, birth month; kept",),
        ),
        ({"f11": ""}, ("PID^1^11: no birth place code beside an INS",)),
        ({"f11": "^^LIMOGES^^87000^FRA^H"}, ("PID^1^11: no birth place code beside an INS",)),
        ({"f11": "^^LIMOGES^^^^BDL"}, ("PID^1^11: no birth place code beside an INS",)),
        ({}, ()),
    ],
)
def test_what_is_odd_beside_an_ins_is_said_and_the_ins_kept(fields, warnings):
    record = records(pid(**{"ids": f"{REAL_INS}~{OWN}"} | STRICT | fields), accept_test_ins=False)[0]

    assert record.demographics.ins == NIR
    assert record.warnings == warnings


def test_the_insurance_number_is_not_an_ins():
    record = records(pid(ids=f"{NIR}^^^ASIP-SANTE-NIR&{INS_NIR_OID}&ISO^NH~{OWN}", f32="VALI"))[0]

    assert record.demographics.ins == record.demographics.national_id == ""
    assert [other.type_code for other in record.others] == ["NH"]
    assert record.warnings == ()


def test_a_nir_is_preferred_to_a_nia():
    nia = "1840229999123" + matricule_key("1840229999123")
    ids = f"{nia}^^^&{INS_NIA_OID}&ISO^INS~{NIR}^^^&{INS_NIR_OID}&ISO^INS~{OWN}"
    record = records(pid(ids=ids, **STRICT), accept_test_ins=False)[0]

    assert (record.demographics.ins, record.demographics.ins_oid) == (NIR, INS_NIR_OID)
    assert len(record.others) == 2


@pytest.mark.parametrize(
    ("evn", "expected"),
    [
        ("EVN||20260302101500||||20260301080000", datetime(2026, 3, 1, 7, tzinfo=UTC)),
        ("EVN||20260702101500", datetime(2026, 7, 2, 8, 15, tzinfo=UTC)),
        ("EVN||202603021015-0500", datetime(2026, 3, 2, 15, 15, tzinfo=UTC)),
        ("EVN||20260302", datetime(2026, 3, 1, 23, tzinfo=UTC)),
        ("EVN|A28", datetime(2026, 3, 2, 9, 15, tzinfo=UTC)),
        ("PV1||N", datetime(2026, 3, 2, 9, 15, tzinfo=UTC)),
        ("EVN||20261302101500", datetime(2026, 3, 2, 9, 15, tzinfo=UTC)),
        ("EVN||2026", datetime(2026, 3, 2, 9, 15, tzinfo=UTC)),
        ("EVN||00010101000000+1400", datetime(2026, 3, 2, 9, 15, tzinfo=UTC)),
    ],
)
def test_the_event_time_is_evn_6_then_evn_2_then_msh_7(evn, expected):
    assert records(pid(), evn=evn)[0].event_time == expected


def test_a_message_without_any_time_is_refused():
    message = er7.read(adt("A28", pid(), evn="EVN|A28").replace("20260302101500+0100", "").encode())
    directory = federation()

    with pytest.raises(InvalidIdentity) as refused:
        read_identity(message, source=directory.source("ris-a"), directory=directory)
    assert refused.value.place == "EVN^1^2"


def test_pid_32_is_read_in_any_case_and_an_unknown_code_is_named_by_its_place():
    record = records(pid(f32=" vali ~cach~ZQX"))[0]

    assert record.demographics.identity_codes == ("VALI", "CACH", "ZQX")
    assert record.warnings == ("PID^1^32^3: not a value of its table",)


def test_forbidden_fields_are_not_read():
    record = records(pid(f10="ZQX", f17="ZQX", f19="ZQX", f22="ZQX"))[0]

    assert "ZQX" not in repr(record)
    assert len(record.warnings) == 4


def test_a_null_authority_is_the_sources_own():
    assert records(pid(ids='A1^^^""'))[0].identifier.authority == SITE_A
    assert AssigningAuthority() not in {other.authority for other in records(pid())[0].others}


@pytest.mark.parametrize(("rank", "order"), [("2", 2), ("0", None), ("x", None), ("²", None), ("", None)])
def test_birth_order(rank, order):
    assert stated(f25=rank).birth_order == order
