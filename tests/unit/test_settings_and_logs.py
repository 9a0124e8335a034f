"""Settings: file, environment, and what is refused. Logs: only named fields leave."""

import json
import logging
from datetime import date

import pytest

from mpi import logs
from mpi.errors import SettingsError
from mpi.index.parties import Acknowledgement, OnTransient, Quirk
from mpi.service import Service
from mpi.settings import HarvestSettings, load

CONFIG = """
[database]
url = "sqlite:///from-file.db"
[[domains]]
namespace = "SITE-A"
oid = "2.999.1.1"
[[sources]]
name = "ris-a"
application = "RIS_A"
facility = "SITE_A"
feeds = ["SITE-A"]
[[sources]]
name = "pacs-a"
qido = "http://127.0.0.1:8042/dicom-web"
feeds = ["SITE-A"]
[[consumers]]
name = "portal-b"
application = "PORTAL_B"
facility = "SITE_B"
domains = ["SITE-A"]
webhook = "https://portal.invalid/hook"
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "mpi.toml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


def test_the_variable_wins_over_the_file(config, monkeypatch):
    monkeypatch.setenv("MPI_DATABASE__URL", "sqlite:///from-environment.db")
    monkeypatch.setenv("MPI_HTTP__PORT", "9999")

    settings = load(config)

    assert settings.database.url == "sqlite:///from-environment.db"
    assert settings.http.port == 9999


def test_names_become_domains(config):
    directory = load(config).directory()

    assert directory.source("ris-a").feeds == ("2.999.1.1",)
    assert directory.consumer_of("PORTAL_B", "SITE_B").domains == {"2.999.1.1"}


def test_a_source_links_nothing_further_and_a_site_has_no_priority_unless_told(config):
    directory = load(config).directory()

    assert directory.source("ris-a").may_link == ()
    assert directory.priority_of("2.999.1.1") == directory.priority_of("2.999.1.9") == 0


def test_links_and_priorities_name_domains(config):
    text = CONFIG.replace('name = "ris-a"', 'name = "ris-a"\nmay_link = ["SITE-B"]')
    text += "[[domains]]\nnamespace = 'SITE-B'\noid = 'b.invalid'\ntype = 'DNS'\npriority = 9\n"
    config.write_text(text, encoding="utf-8")

    directory = load(config).directory()

    assert directory.source("ris-a").may_link == ("DNS:b.invalid",)
    assert (directory.priority_of("2.999.1.1"), directory.priority_of("DNS:b.invalid")) == (0, 9)


def test_one_person_decides_unless_told_otherwise(config):
    review = load(config).review

    assert (review.two_person, review.two_person_set_size) == ([], 6)


def test_what_two_people_decide_is_listed(config, monkeypatch):
    text = f"{CONFIG}\n[review]\ntwo_person = ['qualified', 'large_set', 'verified_link']\ntwo_person_set_size = 2\n"
    config.write_text(text, encoding="utf-8")
    from_file = load(config).review
    monkeypatch.setenv("MPI_REVIEW__TWO_PERSON", '["qualified"]')

    assert (len(from_file.two_person), from_file.two_person_set_size) == (3, 2)
    assert load(config).review.two_person == ["qualified"]


def test_what_this_version_does_not_act_on_is_named(config):
    assert load(config).not_served_yet() == ["sources.pacs-a.qido", "consumers.portal-b.webhook"]


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("[[domains]]\nnamespace = 'SITE-A'\noid = '2.999.1.9'", "SITE-A"),
        ("[[domains]]\nnamespace = 'INS'\noid = '1.2.250.1.213.1.4.8'", "national OID"),
        ("[[sources]]\nname = 'ris-a'\nfeeds = ['SITE-A']", "declared twice"),
        ("[link]\nsame_domain = 'perhaps'", "link.same_domain"),
        ("colour = 'blue'", "colour"),
        ("[review]\ntwo_person = ['always']", r"review\.two_person\.0"),
        ("[review]\ntwo_person = 'qualified'", r"review\.two_person"),
        ("[review]\ntwo_person_set_size = 1", r"review\.two_person_set_size"),
        ("[[domains]]\nnamespace = 'SITE-B'\noid = '2.999.1.9'\npriority = 10", r"domains\.1\.priority"),
        ("[[domains]]\nnamespace = 'SITE-B'\noid = '2.999.1.9'\npriority = -1", r"domains\.1\.priority"),
        (
            "[[sources]]\nname = 'x'\nfeeds = ['SITE-A']\nmay_link = ['SITE-Z']",
            r"sources\.x\.may_link: names a domain that is not declared",
        ),
        ("[[domains]]\nnamespace = ''\noid = '2.999.1.9'", r"domains\.1\.namespace"),
        ("[[domains]]\nnamespace = 'SITE^B'\noid = '2.999.1.9'", r"domains\.1\.namespace"),
        ("[[domains]]\nnamespace = 'SITE-B '\noid = '2.999.1.9'", r"domains\.1\.namespace"),
        ('[[domains]]\nnamespace = "SITE\\tB"\noid = "2.999.1.9"', r"domains\.1\.namespace"),
        ('[[domains]]\nnamespace = "SITE\\\\B"\noid = "2.999.1.9"', r"domains\.1\.namespace"),
        ("[[domains]]\nnamespace = 'SITE-B'\noid = '2.999.x'", r"domains\.1\.oid"),
        ("[[domains]]\nnamespace = 'SITE-B'\noid = '2.999.01'", r"domains\.1\.oid"),
        ("[[domains]]\nnamespace = 'SITE-B'\noid = '1.40.3'", r"domains\.1\.oid"),
        ("[[domains]]\nnamespace = 'SITE-B'\noid = 'b&c'\ntype = 'DNS'", r"domains\.1\.oid"),
        ("[[domains]]\nnamespace = 'SITE-B'\noid = '2.999.1'", r"domains\.1\.oid.*authority\.oid"),
        ("[authority]\noid = 'mpi.invalid'", r"authority\.oid"),
        ("[mllp.tls]\ncertificate = 'c.pem'\nkey = 'k.pem'", r"mllp\.tls\.ca: required"),
        ("[mllp.tls]\ncertificate = 'c.pem'", r"mllp\.tls\.key"),
        ("[[sources]]\nname = 'x'\nfeeds = ['SITE-A']\nquirks = ['odd']", r"sources\.2\.quirks\.0"),
        ("[[sources]]\nname = 'x'\nfeeds = ['SITE-A']\non_transient = 'AA'", r"sources\.2\.on_transient"),
        (
            "[[sources]]\nname = 'x'\nfeeds = ['SITE-A']\ncertificate = 'x'",
            r"sources\.x\.certificate: needs mllp\.tls",
        ),
        ("[dicom]\nae_title = 'SEVENTEEN LETTERS'", r"dicom\.ae_title"),
        ("[dicom]\nae_title = ' '", r"dicom\.ae_title"),
        ("[dicom]\nreaders = 0", r"dicom\.readers"),
        ("[dicom.tls]\ncertificate = 'c.pem'\nkey = 'k.pem'", r"dicom\.tls\.ca: required"),
        *(
            (f"[[sources]]\nname = 'x'\nfeeds = ['SITE-A']\n{lines}", named)
            for lines, named in (
                ("qido = 'ftp://pacs.invalid'", r"sources\.2\.qido"),
                ("qido = 'http://anne:secret@pacs.invalid'", r"sources\.2\.qido"),
                ("find = { host = 'pacs', port = 0, aet = 'P' }", r"sources\.2\.find\.port"),
                ("find = { host = 'pacs', port = 104 }", r"sources\.2\.find\.aet"),
                ("harvest = { since = 2026-01-01 }", r"sources\.x\.harvest: needs qido or find"),
                (
                    "qido = 'http://p'\nfind = { host = 'p', port = 104, aet = 'P' }",
                    r"sources\.x: qido or find",
                ),
                ("qido = 'http://p'\nharvest = {}", r"sources\.2\.harvest\.since"),
                ("qido = 'http://p'\nharvest = { since = 2026-01-01, lookback_days = 0 }", "lookback_days"),
                ("qido = 'http://p'\nqido_tls = { ca = 'c.pem' }", r"sources\.x\.qido_tls: .*not https"),
                ("qido_tls = { ca = 'c.pem' }", r"sources\.x\.qido_tls: .*not https"),
                (
                    "qido = 'http://p'\nharvest = { since = 2026-01-01 }",
                    r"sources\.x\.qido: not loopback.*allow_plain",
                ),
                (
                    "find = { host = 'p', port = 104, aet = 'P' }\nharvest = { since = 2026-01-01 }",
                    r"sources\.x\.find: not loopback.*allow_plain",
                ),
                ("silent_after_seconds = -1", r"sources\.2\.silent_after_seconds"),
                ("flood_factor = -1", r"sources\.2\.flood_factor"),
            )
        ),
        ("[authority]\nnamespace = 'M|PI'", r"authority\.namespace"),
        (
            "[[sources]]\nname = 'x'\naet = 'P'\nfeeds = ['SITE-A']\n"
            "[[sources]]\nname = 'y'\naet = 'P '\nfeeds = ['SITE-A']",
            r"sources\.y\.aet",
        ),
        *(
            (
                f"[[consumers]]\nname = 'c'\napplication = 'C'\nfacility = 'C'\ndomains = []\nmllp = '{address}'",
                r"consumers\.1\.mllp",
            )
            for address in ("2600", "host", "host:", ":2600", "host:0", "host:70000", "ho st:1", "a:b:2600")
        ),
    ],
)
def test_what_cannot_be_is_refused_by_name(tmp_path, line, named):
    path = tmp_path / "mpi.toml"
    path.write_text(
        f"{line}\n{CONFIG}" if line.startswith("colour") else f"{CONFIG}\n{line}\n", encoding="utf-8"
    )

    with pytest.raises(SettingsError, match=named):
        load(path)


@pytest.mark.parametrize(
    ("oid", "kind"), [("2.999.1.9", "ISO"), ("site-b.invalid", "DNS"), ("0.39.0", "ISO"), ("SITE-B", "L")]
)
def test_a_domain_of_any_kind_of_authority_is_taken(config, oid, kind):
    text = f"{CONFIG}\n[[domains]]\nnamespace = 'SITE B'\noid = '{oid}'\ntype = '{kind}'\n"
    config.write_text(text, encoding="utf-8")

    assert load(config).domains[1].oid == oid


@pytest.mark.parametrize("address", ["127.0.0.1:2600", "portal.invalid:1", "[::1]:65535"])
def test_an_address_of_a_consumer_is_host_and_port(config, address):
    config.write_text(f"{CONFIG}\nmllp = '{address}'\n", encoding="utf-8")

    assert load(config).consumers[0].mllp == address


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MPI_TYPO", "ZQX"),
        ("MPI_TYPO__X", "ZQX"),
        ("MPI_", "ZQX"),
        ("MPI_LOCALRANKID", "0"),
        ("mpi_http__prot", "8080"),
        ("MPI_HTTP__PORT__X", "8080"),
        ("MPI_MLLP__TLS__KIE", "k.pem"),
        ("MPI_MLLP__TLS__KEY__X", "k.pem"),
        ("MPI_MLLP__TLS", "ZQX"),
        ("MPI_HTTP__", "8080"),
        ("MPI_DOMAINS__0__OID", "2.999.1.9"),
        ("MPI_ACCEPT_TEST_INS__X", "1"),
        ("MPI_DOMAINS", "ZQX"),
        ("MPI_DOMAINS", ""),
        ("MPI_DOMAINS", "[" * 100_000),
        ("MPI_DOMAINS", '{"ZQX": 1}'),
        ("MPI_HTTP", "ZQX"),
        ("MPI_HTTP", "[1]"),
        ("MPI_REVIEW__TWO_PERSON", "ZQX"),
        ("MPI_REVIEW__TWO_PERSON", '{"ZQX": 1}'),
        ("MPI_REVIEW__TWO_PERSON__0", "ZQX"),
    ],
)
def test_a_variable_that_cannot_be_is_named_and_its_value_is_not(config, monkeypatch, name, value):
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError, match=rf"^{name}: ") as caught:
        load(config)

    assert "ZQX" not in str(caught.value)


def test_every_form_of_variable_is_read(config, monkeypatch):
    for name, value in {
        "mpi_Database__Url": "sqlite:///other.db",
        "MPI_MLLP": '{"port": 1}',
        "MPI_ACCEPT_TEST_INS": "true",
        "MPI_SOURCES": "[]",
        "MPIEXEC": "not ours",
    }.items():
        monkeypatch.setenv(name, value)

    settings = load(config)

    assert (settings.database.url, settings.mllp.port) == ("sqlite:///other.db", 1)
    assert (settings.accept_test_ins, settings.sources) == (True, [])


def test_what_is_particular_about_a_source_is_read(config):
    particular = (
        'name = "ris-a"\nquirks = ["gender_words", "missing_cx4"]\nacknowledgement = "enhanced"\n'
        'on_transient = "AR207"'
    )
    config.write_text(CONFIG.replace('name = "ris-a"', particular), encoding="utf-8")
    ris, pacs = load(config).directory().sources

    assert ris.quirks == {Quirk.GENDER_WORDS, Quirk.MISSING_CX_4}
    assert (ris.acknowledgement, ris.on_transient) == (Acknowledgement.ENHANCED, OnTransient.AR207)
    assert (pacs.quirks, pacs.acknowledgement, pacs.on_transient) == (
        frozenset(), Acknowledgement.ORIGINAL, OnTransient.CLOSE
    )  # fmt: skip


def test_the_tls_of_the_listener_is_read_from_file_and_variable(config, monkeypatch):
    config.write_text(f"{CONFIG}\n[mllp.tls]\ncertificate = 'c.pem'\nkey = 'k.pem'\nca = 'a.pem'\n")
    monkeypatch.setenv("MPI_MLLP__TLS__KEY", "other.pem")

    tls = load(config).mllp.tls

    assert (str(tls.certificate), str(tls.key), tls.require_client_certificate) == (
        "c.pem",
        "other.pem",
        True,
    )


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [("127.0.0.1", True), ("127.8.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False),
     ("::", False), ("192.0.2.1", False), ("", False), ("mpi.invalid", False)],
)  # fmt: skip
def test_a_plain_listener_is_for_this_machine_unless_told_otherwise(tmp_path, monkeypatch, host, is_loopback):
    monkeypatch.setenv("MPI_MLLP__HOST", host)
    monkeypatch.setenv("MPI_MLLP__PORT", "0")
    monkeypatch.setenv("MPI_DATABASE__URL", f"sqlite:///{tmp_path}/mpi.db")

    assert load().mllp.is_loopback is is_loopback
    if not is_loopback:
        with pytest.raises(SettingsError, match=r"mllp\.host.*allow_plain"):
            Service(load())
        assert not (tmp_path / "mpi.db").exists()


@pytest.mark.parametrize("host", ["0.0.0.0", "mpi.invalid"])
def test_a_plain_dicom_listener_is_for_this_machine_unless_told_otherwise(tmp_path, monkeypatch, host):
    monkeypatch.setenv("MPI_DICOM__HOST", host)
    monkeypatch.setenv("MPI_DATABASE__URL", f"sqlite:///{tmp_path}/mpi.db")

    with pytest.raises(SettingsError, match=r"dicom\.host.*dicom\.tls.*dicom\.allow_plain"):
        Service(load())
    assert not (tmp_path / "mpi.db").exists()


def test_dicom_is_served_when_its_section_is_there(tmp_path, monkeypatch):
    assert load().dicom is None

    monkeypatch.setenv("MPI_DICOM__PORT", "0")
    monkeypatch.setenv("MPI_DATABASE__URL", f"sqlite:///{tmp_path}/mpi.db")

    assert load().dicom is not None
    with pytest.raises(SettingsError, match="no source has an application entity title"):
        Service(load())


def test_an_archive_is_harvested_once_it_is_said_since_when(config):
    text = CONFIG.replace('dicom-web"', 'dicom-web"\nharvest = { since = 2026-01-31, every_seconds = 60 }')
    config.write_text(text, encoding="utf-8")

    settings = load(config)

    assert settings.not_served_yet() == ["consumers.portal-b.webhook"]
    assert settings.sources[1].harvest == HarvestSettings(since=date(2026, 1, 31), every_seconds=60)


def test_what_is_asked_of_a_source_is_known_of_it(config):
    config.write_text(
        CONFIG.replace(
            'name = "ris-a"', 'name = "ris-a"\nsequence_numbers = true\nsilent_after_seconds = 60'
        ),
        encoding="utf-8",
    )

    directory = load(config).directory()

    asked = [(source.sequence_numbers, source.silent_after_seconds) for source in directory.sources]
    assert asked == [(True, 60), (False, 0)]


def test_a_plain_listener_may_be_accepted(tmp_path, monkeypatch):
    monkeypatch.setenv("MPI_MLLP__HOST", "192.0.2.1")
    monkeypatch.setenv("MPI_MLLP__ALLOW_PLAIN", "true")
    monkeypatch.setenv("MPI_DATABASE__URL", f"sqlite:///{tmp_path}/mpi.db")

    Service(load()).store.close()


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(SettingsError, match="no such file"):
        load(tmp_path / "absent.toml")


def test_a_field_nobody_named_does_not_leave():
    fields = {"event": "hl7v2.received", "message_id": 3, "patient_name": "ZQX", "exception": "ZQX"}

    assert logs.only_allowed(None, "", fields) == {"event": "hl7v2.received", "message_id": 3}


def test_the_formatter_of_the_service_drops_what_is_not_named(capsys):
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    try:
        logs.configure("INFO")
        logging.getLogger("mpi.test").info("something.happened", extra={"place": "PID^1^3", "given": "ZQX"})
        try:
            raise ValueError("ZQX")
        except ValueError:
            logging.getLogger("mpi.test").exception("something.broke")
        written = capsys.readouterr().err
    finally:
        root.handlers[:], root.level = before, level

    first = json.loads(written.splitlines()[0])
    assert (first["event"], first["place"]) == ("something.happened", "PID^1^3")
    assert "ZQX" not in written


@pytest.mark.parametrize(
    "lines",
    [
        "qido = 'http://127.0.0.1/dicom-web'\nharvest = { since = 2026-01-01 }",
        "qido = 'https://p'\nharvest = { since = 2026-01-01 }",
        "qido = 'http://p'\nharvest = { since = 2026-01-01, allow_plain = true }",
        "qido = 'http://p'",
        "find = { host = 'localhost', port = 104, aet = 'P' }\nharvest = { since = 2026-01-01 }",
        "find = { host = 'p', port = 104, aet = 'P', tls = { ca = 'c.pem' } }\nharvest = { since = 2026-01-01 }",
    ],
)
def test_an_archive_may_be_asked_in_clear_on_this_machine_or_where_that_is_accepted(tmp_path, lines):
    path = tmp_path / "mpi.toml"
    path.write_text(
        f"[[domains]]\nnamespace = 'A'\noid = '2.999.1.1'\n[[sources]]\nname = 'x'\nfeeds = ['A']\n{lines}"
    )

    assert load(path).sources[0].name == "x"
