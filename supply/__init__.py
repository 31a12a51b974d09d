"""The supply chain: what goes into a release, and whether it may (bill of materials, licences, secrets, advisories)."""
