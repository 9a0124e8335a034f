"""Feeds: what peers send and ask, translated to and from values. HL7 v2, DICOM, tables."""
