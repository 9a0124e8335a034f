"""FHIR feed: Patient resources to identities and merges (ITI-104, ITI-93, NDJSON)."""
