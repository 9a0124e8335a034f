"""Settings: file, environment, and what is refused. Logs: only named fields leave."""

import json
import logging

import pytest

from mpi import logs
from mpi.errors import SettingsError
from mpi.settings import load

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
    ],
)
def test_what_cannot_be_is_refused_by_name(tmp_path, line, named):
    path = tmp_path / "mpi.toml"
    path.write_text(
        f"{line}\n{CONFIG}" if line.startswith("colour") else f"{CONFIG}\n{line}\n", encoding="utf-8"
    )

    with pytest.raises(SettingsError, match=named):
        load(path)


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
