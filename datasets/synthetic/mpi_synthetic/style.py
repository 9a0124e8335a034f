"""
Entries in the style of a site: its case, accents, hyphens, lengths and order of names.
"""

from dataclasses import dataclass

from mpi.identity.ins import INS_NIA_OID, INS_TEST_OID
from mpi.identity.model import Demographics, NameUse, PersonName

from .entries import Entry
from .sites import Feed, Site
from .spelling import title, without_accents


def write_down(entry: Entry, site: Site) -> Demographics:
    """Put an entry in the style of a site."""
    style = _Style(site)
    place = entry.place
    names = _header_names if entry.header_name or site.feed is Feed.DICOM else _names
    return Demographics(
        names=names(entry, style),
        birth_date=entry.birth_date,
        birth_date_interpreted=entry.interpreted,
        sex=entry.sex,
        birth_place_code=place.code if place and entry.place_as_code else "",
        birth_place=style.text(place.name) if place and entry.place_as_text else "",
        address=style.address(entry.home.street) if entry.home else "",
        postal_code=entry.home.postal_code if entry.home else "",
        city=style.text(entry.home.city) if entry.home else "",
        country="FRA" if entry.home else "",
        phones=entry.phones,
        emails=entry.emails,
        ins=entry.ins,
        ins_oid=(INS_NIA_OID if entry.nia else INS_TEST_OID) if entry.ins else "",
        mother_birth_name=style.family(entry.mother_birth_name),
        birth_order=entry.birth_order,
        multiple_birth=True if entry.birth_order else None,
        identity_codes=entry.codes,
    )


def _names(entry: Entry, style: "_Style") -> tuple[PersonName, ...]:
    birth = PersonName(
        style.family(entry.family),
        style.given(entry.given),
        " ".join(style.given(name) for name in entry.given_list),
        use=NameUse.BIRTH,
    )
    if not (entry.used_family or entry.used_given):
        return (birth,)
    used = PersonName(
        style.family(entry.used_family or entry.family),
        style.given(entry.used_given or entry.given),
        use=NameUse.USED,
    )
    return (used, birth) if style.site.used_first else (birth, used)


def _header_names(entry: Entry, style: "_Style") -> tuple[PersonName, ...]:
    in_use = entry.header_name in ("used", "both")
    family = (in_use and entry.used_family) or entry.family
    given = (in_use and entry.used_given) or entry.given
    shown = PersonName(style.family(family), style.given(given), use=NameUse.UNSPECIFIED)
    if entry.header_name != "both" or not entry.used_family:
        return (shown,)
    return (shown, PersonName(style.family(entry.family), style.given(entry.given), use=NameUse.BIRTH))


@dataclass(frozen=True, slots=True)
class _Style:
    site: Site

    def text(self, text: str) -> str:
        """Case and accents of the site."""
        text = text.upper() if self.site.accents or text.isascii() else without_accents(text)
        if self.site.abbreviates:
            text = text.replace("SAINT-", "ST ").replace("SAINTE-", "STE ")
        return title(text) if self.site.title_case else text

    def address(self, street: str) -> str:
        text = self.text(street)
        if self.site.abbreviates:
            for long, short in (("AVENUE", "AV"), ("BOULEVARD", "BD"), ("IMPASSE", "IMP"), ("CHEMIN", "CHE")):
                text = text.replace(long, short)
        return text

    def family(self, name: str) -> str:
        return self._cut(self.text(name).replace("-", self.site.hyphen), self.site.family_length)

    def given(self, name: str) -> str:
        return self._cut(self.text(name).replace("-", self.site.hyphen), self.site.given_length)

    @staticmethod
    def _cut(text: str, length: int) -> str:
        return text[:length].rstrip() if length else text
