"""Faults of the S3 remote, as a user of `rmtl data` meets them: exit code, seconds until it, state of the remote."""
