"""
QIDO-RS over TLS: which archives are believed to be the site's, and what is shown to them.

Threat 1: whoever stands between could give one patient another's studies. An archive that cannot
prove to be the configured one is asked nothing.
"""

import contextlib
import shutil
import ssl
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import pytest

from mpi.errors import SettingsError
from mpi.feeds.dicom.archive import SiteProblem
from mpi.service import _sites, in_background
from mpi.settings import Settings
from tests.integration.certificates import Authority
from tests.integration.test_dicom_qido import ALL, DAY, page, serving, uids
from tests.integration.test_dicom_service import applied, configured, eventually

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")

PACS, INDEX = "pacs-a", "mpi"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Certificates of an archive: the right one, and every kind that is not to be trusted."""
    folder = tmp_path_factory.mktemp("lab")
    ours, other = Authority(folder, "ours"), Authority(folder, "other")
    return SimpleNamespace(
        ours=ours,
        other=other,
        good=ours.issue(PACS),
        index=ours.issue(INDEX),
        expired=ours.issue("pacs-a-then", start="20200101000000Z", end="20210101000000Z"),
        not_yet=ours.issue("pacs-a-later", start="20980101000000Z", end="20991231235959Z"),
        wrong_ca=other.issue(PACS),
        other_site=ours.issue("pacs-b", hosts="DNS:pacs-b.invalid"),
    )


def showing(certificate: Path, *, trusts: Path | None = None) -> ssl.SSLContext:
    """An archive's own TLS, of the standard library alone; who trusts somebody wants to be shown a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if trusts is not None:
        context.load_verify_locations(trusts)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def settings_of(folder: Path, address: str, tls: str = "") -> Settings:
    harvest = f"harvest = {{ since = {date.today()}, requests_per_second = 1000 }}"
    return configured(folder, pacs_a=f'qido = "{address}"\n{harvest}\n{tls}')


def trusting(lab: SimpleNamespace, *, shows: Path | None = None, more: str = "") -> str:
    shown = f', certificate = "{shows}", key = "{shows}"' if shows is not None else ""
    return f'qido_tls = {{ ca = "{lab.ours.trust}"{shown}{more} }}'


def harvested(settings: Settings) -> list[str]:
    """The studies of a day, asked as the service asks for them."""
    with contextlib.ExitStack() as clients:
        (site,) = _sites(settings, clients)
        return uids([answer for one in site.archive.studies(DAY) for answer in one])


def assert_refused(settings: Settings, problem: str = "cannot be reached") -> None:
    with pytest.raises(SiteProblem, match=problem):
        harvested(settings)


def test_the_service_harvests_an_archive_that_both_prove_themselves_to(
    lab: SimpleNamespace, tmp_path: Path
) -> None:
    with serving(page, showing(lab.good, trusts=lab.ours.trust)) as (address, asked):
        settings = settings_of(
            tmp_path, address, trusting(lab, shows=lab.index, more=", check_hostname = true")
        )
        with in_background(settings) as service:
            assert eventually(lambda: applied(service, PACS) == len(ALL))

    assert asked


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("expired", ""),
        ("not_yet", ""),
        ("wrong_ca", ""),
        ("other_site", ", check_hostname = true"),
    ],
)
def test_an_archive_that_is_not_proved_is_asked_nothing(
    lab: SimpleNamespace, tmp_path: Path, kind: str, more: str
) -> None:
    with serving(page, showing(getattr(lab, kind))) as (address, asked):
        assert_refused(settings_of(tmp_path, address, trusting(lab, more=more)))

    assert asked == []


def test_its_certificate_need_not_name_its_host_unless_that_is_asked_for(
    lab: SimpleNamespace, tmp_path: Path
) -> None:
    with serving(page, showing(lab.other_site)) as (address, _):
        assert harvested(settings_of(tmp_path, address, trusting(lab))) == ALL


def test_without_settings_of_its_own_an_archive_is_trusted_as_the_machine_does(
    lab: SimpleNamespace, tmp_path: Path
) -> None:
    with serving(page, showing(lab.good)) as (address, asked):
        assert_refused(settings_of(tmp_path, address))

    assert asked == []


def test_an_archive_that_wants_a_certificate_answers_nobody_without_the_right_one(
    lab: SimpleNamespace, tmp_path: Path
) -> None:
    for shows in (None, lab.wrong_ca):
        with serving(page, showing(lab.good, trusts=lab.ours.trust)) as (address, asked):
            assert_refused(settings_of(tmp_path, address, trusting(lab, shows=shows)))

        assert asked == []


def test_a_server_without_tls_at_an_https_address_is_not_asked_in_clear(
    lab: SimpleNamespace, tmp_path: Path
) -> None:
    with serving(page) as (address, asked), pytest.raises(SiteProblem, match="cannot be reached"):
        harvested(settings_of(tmp_path, address.replace("http:", "https:"), trusting(lab)))

    assert asked == []


@pytest.mark.parametrize(
    ("address", "with_tls", "named"),
    [
        ("http://pacs-a.invalid/dicom-web", False, r"sources\.pacs-a\.qido: not loopback, and without TLS"),
        ("http://127.0.0.1/dicom-web", True, r"sources\.pacs-a\.qido_tls: .*not https"),
    ],
)
def test_plain_http_is_refused_before_anything_is_asked(
    lab: SimpleNamespace, tmp_path: Path, address: str, with_tls: bool, named: str
) -> None:
    with pytest.raises(SettingsError, match=named):
        settings_of(tmp_path, address, trusting(lab) if with_tls else "")


def test_an_answer_that_leads_away_from_tls_is_not_followed(lab: SimpleNamespace, tmp_path: Path) -> None:
    with serving(page) as (plain, asked):
        away = (302, b"", {"Location": f"{plain}studies"})
        with serving(lambda _: away, showing(lab.good)) as (address, _):
            assert_refused(settings_of(tmp_path, address, trusting(lab)), "HTTP status 302")

    assert asked == []
