from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from mpi.errors import InvalidIdentity, NotPermitted, UnknownAuthority, UnsupportedMessage
from mpi.feeds.dicom.header import read_header
from mpi.feeds.dicom.names import is_test_name
from mpi.feeds.dicom.patient import UNDATED, identity_from_header
from mpi.identity.domains import ins_domain_key
from mpi.identity.ins import INS_NIR_OID, INS_TEST_OID
from mpi.identity.model import (
    AssigningAuthority,
    NameUse,
    PartialDate,
    PatientIdentifier,
    PersonName,
    RecordKey,
    SourceRecord,
    Witness,
)
from mpi.index.parties import PatientIdentitySource
from tests.unit.feeds.dicom.files import (
    PACS_A,
    PACS_B,
    SITE_A,
    build_directory,
    build_header,
    other_id,
    qualifiers,
    raw_element,
    raw_file,
    write_file,
)

INS = "284022999912354"


def read(
    dataset: Dataset, source: PatientIdentitySource | None = PACS_A, *, test_ins: bool = True
) -> SourceRecord:
    return identity_from_header(dataset, source, build_directory(accept_test_ins=test_ins))


def test_a_whole_header_becomes_one_source_record(tmp_path: Path) -> None:
    dataset = build_header(
        PatientName="MARTIN^LOU^LOUISE ANNE",
        PatientBirthName="DUVIVIER^LOUISE",
        PatientAddress="12 RUE DES LILAS 34000 MONTPELLIER",
        PatientTelephoneNumbers=["0612131415", "0467000001"],
        PatientMotherBirthName="LE GOFF",
        TypeOfPatientID="TEXT",
    )

    record = read(read_header(write_file(tmp_path / "a.dcm", dataset)))

    assert record.key == RecordKey("2.999.1.1", "A1001")
    assert record.identifier == PatientIdentifier("A1001", SITE_A)
    assert (record.source, record.witness, record.warnings) == ("pacs-a", Witness.HEADER, ())
    assert record.event_time == datetime(2026, 3, 2, 9, 15, tzinfo=UTC)
    stated = record.demographics
    assert stated.names == (
        PersonName("DUVIVIER", "LOUISE", use=NameUse.BIRTH),
        PersonName("MARTIN", "LOU", "LOU LOUISE ANNE", use=NameUse.USED),
    )
    assert (stated.birth_date, stated.sex) == (PartialDate(1984, 2, 29), "F")
    assert (stated.postal_code, stated.city) == ("34000", "MONTPELLIER")
    assert stated.phones == ("0612131415", "0467000001")
    assert stated.mother_birth_name == "LE GOFF"
    assert (stated.ins, stated.identity_codes) == ("", ())


def test_a_name_alone_is_neither_birth_nor_used() -> None:
    (name,) = read(build_header(PatientName="DUVIVIER^LOU")).demographics.names

    assert name == PersonName("DUVIVIER", "LOU", use=NameUse.UNSPECIFIED)


def test_a_married_name_gives_two_names_and_a_warning() -> None:
    record = read(build_header(PatientName="DUPONT EP MARTIN^JEANNE"))

    assert [(name.family, name.use) for name in record.demographics.names] == [
        ("DUPONT", NameUse.BIRTH),
        ("MARTIN", NameUse.USED),
    ]
    assert record.warnings == ("(0010,0010): birth and used names are guessed from a marker in the name",)


ISSUER = {"IssuerOfPatientID": "SITE-A"}
NO_ISSUER = {"IssuerOfPatientID": None}


@pytest.mark.parametrize(
    ("elements", "source", "domain", "feeder"),
    [
        pytest.param(ISSUER, PACS_A, "2.999.1.1", "pacs-a", id="namespace"),
        pytest.param(
            NO_ISSUER | {"IssuerOfPatientIDQualifiersSequence": qualifiers("2.999.1.1")},
            PACS_A,
            "2.999.1.1",
            "pacs-a",
            id="qualifiers",
        ),
        pytest.param(
            ISSUER | {"IssuerOfPatientIDQualifiersSequence": qualifiers("2.999.1.1")},
            PACS_A,
            "2.999.1.1",
            "pacs-a",
            id="both",
        ),
        pytest.param(NO_ISSUER, PACS_B, "2.999.1.2", "pacs-b", id="no issuer: the source's first domain"),
        pytest.param(ISSUER, None, "2.999.1.1", "pacs-a", id="no source: the one that feeds the issuer"),
    ],
)
def test_issuer(
    elements: dict[str, object], source: PatientIdentitySource | None, domain: str, feeder: str
) -> None:
    record = read(build_header(**elements), source)

    assert (record.domain, record.source) == (domain, feeder)


@pytest.mark.parametrize(
    ("elements", "source", "error", "place"),
    [
        pytest.param(NO_ISSUER, None, InvalidIdentity, "(0010,0021)", id="naked PatientID"),
        pytest.param(
            NO_ISSUER,
            PatientIdentitySource("idle", ()),
            InvalidIdentity,
            "(0010,0021)",
            id="source feeds nothing",
        ),
        pytest.param(
            {"IssuerOfPatientID": "HASH-77"}, PACS_A, UnknownAuthority, "(0010,0021)", id="unknown issuer"
        ),
        pytest.param(
            ISSUER | {"IssuerOfPatientIDQualifiersSequence": qualifiers("2.999.1.2")},
            PACS_A,
            UnknownAuthority,
            "(0010,0021)",
            id="namespace and universal id of two issuers",
        ),
        pytest.param(
            NO_ISSUER | {"IssuerOfPatientIDQualifiersSequence": qualifiers("2.999.1.1", "")},
            PACS_A,
            UnknownAuthority,
            "(0010,0021)",
            id="universal id without its type",
        ),
        pytest.param(ISSUER, PACS_B, NotPermitted, "(0010,0021)", id="a domain the source does not feed"),
        pytest.param(
            {"IssuerOfPatientID": "ORPHAN"}, None, NotPermitted, "(0010,0021)", id="nobody feeds it"
        ),
        pytest.param({"PatientID": ""}, PACS_A, InvalidIdentity, "(0010,0020)", id="empty PatientID"),
        pytest.param({"PatientID": None}, PACS_A, InvalidIdentity, "(0010,0020)", id="no PatientID"),
        pytest.param({"PatientID": ["1", "2"]}, PACS_A, InvalidIdentity, "(0010,0020)", id="two PatientIDs"),
        pytest.param({"PatientID": "00000"}, PACS_A, InvalidIdentity, "(0010,0020)", id="stand-in PatientID"),
        pytest.param(
            {"PatientID": "INCONNU"}, PACS_A, InvalidIdentity, "(0010,0020)", id="unknown as a PatientID"
        ),
        pytest.param(
            {"PatientIdentityRemoved": "YES"}, PACS_A, UnsupportedMessage, "(0012,0062)", id="de-identified"
        ),
        pytest.param(
            {"QualityControlSubject": "YES"}, PACS_A, UnsupportedMessage, "(0010,0200)", id="phantom"
        ),
        pytest.param(
            {"PatientID": INS, "IssuerOfPatientID": "ASIP-SANTE-INS-NIR"},
            PACS_A,
            UnsupportedMessage,
            "(0010,0020)",
            id="INS of the other environment as the PatientID",
        ),
        pytest.param(
            {
                "PatientID": INS[:-1] + "5",
                "IssuerOfPatientID": None,
                "IssuerOfPatientIDQualifiersSequence": qualifiers(INS_TEST_OID),
            },
            PACS_A,
            InvalidIdentity,
            "(0010,0020)",
            id="INS with a wrong key as the PatientID",
        ),
        pytest.param(
            {"PatientID": INS, "IssuerOfPatientID": "ASIP-SANTE-NIR"},
            PACS_A,
            InvalidIdentity,
            "(0010,0020)",
            id="insurance number as the PatientID",
        ),
        pytest.param({"PatientName": "TEST^PATIENT 2"}, PACS_A, UnsupportedMessage, "(0010,0010)", id="test"),
        pytest.param(
            {"PatientID": "284022A999123 88", "IssuerOfPatientID": None, "TypeOfPatientID": "INS"},
            PACS_A,
            InvalidIdentity,
            "(0010,0021)",
            id="INS as the PatientID, of an issuer of none",
        ),
    ],
)
def test_what_is_not_an_identity_of_a_local_patient(
    elements: dict[str, object], source: PatientIdentitySource | None, error: type[Exception], place: str
) -> None:
    with pytest.raises(error) as caught:
        read(build_header(**elements), source)

    assert str(caught.value).startswith(place)
    assert INS not in str(caught.value)


MANIFEST = {
    "SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.59",
    "PatientID": INS,
    "IssuerOfPatientID": "ASIP-SANTE-INS-NIR",
    "IssuerOfPatientIDQualifiersSequence": qualifiers(INS_TEST_OID),
    "OtherPatientIDsSequence": [other_id(INS, "ASIP-SANTE-INS-NIR", INS_TEST_OID)],
}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="as the reference implementation writes it"),
        pytest.param(
            {"IssuerOfPatientID": None, "IssuerOfPatientIDQualifiersSequence": None}, id="without issuer"
        ),
        pytest.param({"SOPClassUID": None}, id="answered by an archive, without SOP class"),
        pytest.param({"PatientID": f"{INS[:13]} {INS[13:]}"}, id="with a space before the key"),
    ],
)
def test_a_manifest_states_a_record_of_the_ins(changes: dict[str, object]) -> None:
    record = read(build_header(**(MANIFEST | changes)))

    assert record.key == RecordKey(ins_domain_key(INS_TEST_OID), INS)
    assert record.identifier.authority.universal_id == INS_TEST_OID
    assert (record.demographics.national_id, record.demographics.ins) == (INS, "")
    assert record.source == "pacs-a"


def test_a_local_number_in_a_key_object_stays_local() -> None:
    record = read(
        build_header(
            **(MANIFEST | {"PatientID": "A1", "OtherPatientIDsSequence": None})
            | {"IssuerOfPatientID": None, "IssuerOfPatientIDQualifiersSequence": None}
        )
    )

    assert record.key == RecordKey("2.999.1.1", "A1")


def test_a_manifest_from_nowhere_is_nobodys() -> None:
    with pytest.raises(NotPermitted):
        read(build_header(**MANIFEST), None)


@pytest.mark.parametrize(
    "name", ["TEST^TEST", "PATIENT^TEST", "ZZZ^ZZZ", "PHANTOM^QC 3", "QC_DAILY", "Fantôme^Eau", "TEST2"]
)
def test_a_test_says_so_in_every_word(name: str) -> None:
    assert is_test_name(name)


@pytest.mark.parametrize(
    "name",
    ["TEST^MARIE", "INCONNU^X", "TESTARD^ANNE", "PATIENT^LOUIS", "CORPS^TETE", "", "ZZ^Z", "DEMONGEOT^QC"],
)
def test_who_may_be_somebody_is_no_test(name: str) -> None:
    assert not is_test_name(name)


def test_an_identifier_in_uncertain_characters_is_quarantined() -> None:
    damaged = raw_file(
        raw_element(0x0010, 0x0020, b"LO", b"A\xc91"), raw_element(0x0020, 0x000D, b"UI", b"2.999.9.1\0")
    )

    with pytest.raises(InvalidIdentity) as caught:
        read(read_header(damaged))

    assert caught.value.place == "(0010,0020)"


@pytest.mark.parametrize(
    ("raw", "expected", "warned"),
    [
        (b"19840229", PartialDate(1984, 2, 29), False),
        (b"1984.02.29", PartialDate(1984, 2, 29), False),
        (b"", None, False),
        (b"1984", None, True),
        (b"198402", None, True),
        (b"19840230", None, True),
        (b"00000000", None, True),
        (b"29/02/1984", None, True),
        (b"INCONNUE", None, True),
    ],
)
def test_birth_date(raw: bytes, expected: PartialDate | None, warned: bool) -> None:
    record = read(
        read_header(
            raw_file(
                raw_element(0x0008, 0x0020, b"DA", b"20260302"),
                raw_element(0x0010, 0x0020, b"LO", b"A1"),
                raw_element(0x0010, 0x0030, b"DA", raw),
            )
        )
    )

    assert record.demographics.birth_date == expected
    assert warned == any(warning.startswith("(0010,0030)") for warning in record.warnings)


@pytest.mark.parametrize(
    ("stated", "sex", "warned"),
    [
        ("M", "M", False),
        ("F", "F", False),
        ("O", "U", False),
        ("", "", False),
        (None, "", False),
        ("X", "U", True),
    ],
)
def test_sex(stated: str | None, sex: str, warned: bool) -> None:
    record = read(build_header(PatientSex=stated))

    assert (record.demographics.sex, bool(record.warnings)) == (sex, warned)


NO_STUDY_DATE = {"StudyDate": None, "StudyTime": None}


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        pytest.param({}, datetime(2026, 3, 2, 9, 15, tzinfo=UTC), id="Paris, winter"),
        pytest.param({"StudyDate": "20260702"}, datetime(2026, 7, 2, 8, 15, tzinfo=UTC), id="Paris, summer"),
        pytest.param(
            {"TimezoneOffsetFromUTC": "-0400"}, datetime(2026, 3, 2, 14, 15, tzinfo=UTC), id="stated offset"
        ),
        pytest.param({"StudyTime": None}, datetime(2026, 3, 1, 23, 0, tzinfo=UTC), id="no time: midnight"),
        pytest.param(
            {"StudyTime": "101530.250000"}, datetime(2026, 3, 2, 9, 15, 30, tzinfo=UTC), id="fraction"
        ),
        pytest.param(
            NO_STUDY_DATE | {"SeriesDate": "20260303", "SeriesTime": "12"},
            datetime(2026, 3, 3, 11, 0, tzinfo=UTC),
            id="series date",
        ),
        pytest.param(
            NO_STUDY_DATE | {"AcquisitionDate": "20260304"},
            datetime(2026, 3, 3, 23, tzinfo=UTC),
            id="acquisition",
        ),
        pytest.param(
            NO_STUDY_DATE | {"ContentDate": "20260305"}, datetime(2026, 3, 4, 23, tzinfo=UTC), id="content"
        ),
        pytest.param(
            NO_STUDY_DATE | {"InstanceCreationDate": "20260306", "InstanceCreationTime": "0100"},
            datetime(2026, 3, 6, tzinfo=UTC),
            id="instance creation",
        ),
        pytest.param(NO_STUDY_DATE, UNDATED, id="no date at all"),
    ],
)
def test_event_time(elements: dict[str, object], expected: datetime) -> None:
    record = read(build_header(**elements))

    assert record.event_time == expected
    assert bool(record.warnings) == (expected == UNDATED)


def test_other_identifiers_are_kept_with_their_issuer_as_sent() -> None:
    record = read(
        build_header(
            OtherPatientIDsSequence=[
                other_id("A1001", "SITE-A", type_code="PI"),  # the PatientID again, as archives write it
                other_id("B7", "SITE-B", "2.999.1.2", type_code="PI"),
                other_id("C9"),
            ],
            OtherPatientIDs=["OLD1"],
        )
    )

    assert record.others == (PatientIdentifier("B7", AssigningAuthority("SITE-B", "2.999.1.2", "ISO"), "PI"),)
    assert record.warnings == (
        "(0010,1002): an identifier without issuer is ignored",
        "(0010,1000): identifiers without issuer are ignored",
    )


def test_an_ins_in_a_header_is_compared_and_never_an_ins() -> None:
    record = read(build_header(OtherPatientIDsSequence=[other_id(INS, "ASIP-SANTE-INS-NIR", INS_TEST_OID)]))

    assert (record.demographics.national_id, record.demographics.ins) == (INS, "")
    assert [other.type_code for other in record.others] == [""]
    assert record.warnings == (
        "(0010,1002): an INS without identity status is compared, never used as an INS",
    )


def test_an_insurance_number_is_not_compared_as_the_patients_own() -> None:
    record = read(
        build_header(OtherPatientIDsSequence=[other_id(INS, universal_id=INS_NIR_OID, type_code="NH")]),
        test_ins=False,
    )

    assert record.demographics.national_id == ""
    assert [other.type_code for other in record.others] == ["NH"]


def test_an_ins_of_the_other_environment_is_left_out() -> None:
    record = read(
        build_header(OtherPatientIDsSequence=[other_id(INS, "ASIP-SANTE-INS-NIR", INS_TEST_OID)]),
        test_ins=False,
    )

    assert (record.others, record.demographics.national_id) == ((), "")
    assert len(record.warnings) == 1


def test_utf_8_under_a_latin_1_declaration_reads_right_and_says_so() -> None:
    record = read(
        read_header(
            raw_file(
                raw_element(0x0008, 0x0005, b"CS", b"ISO_IR 100"),
                raw_element(0x0008, 0x0020, b"DA", b"20260302"),
                raw_element(0x0010, 0x0010, b"PN", "ROUX^ZOÉ".encode()),
                raw_element(0x0010, 0x0020, b"LO", b"A1"),
            )
        )
    )

    assert record.demographics.names[0].given == "ZOÉ"
    assert record.warnings == ("(0010,0010): UTF-8 bytes that are not declared so, read as UTF-8",)


def test_control_characters_never_reach_a_trait() -> None:
    record = read(
        read_header(
            raw_file(
                raw_element(0x0008, 0x0020, b"DA", b"20260302"),
                raw_element(0x0010, 0x0010, b"PN", b"RO\rUX^ANNE\0"),
                raw_element(0x0010, 0x0020, b"LO", b"A1\0"),
            )
        )
    )

    assert record.identifier.value == "A1"
    assert record.demographics.names[0] == PersonName("RO UX", "ANNE")
    assert record.warnings == ("(0010,0010): control characters, read as spaces",)
