"""HTTP: REST, FHIR and health, over one registry."""
