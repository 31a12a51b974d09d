"""`rmtl audit`: which expression labels are probably wrong, by classifiers that never saw the label they judge."""

from model.audit.audit import AuditReport, Suspect, audit_labels

__all__ = ["AuditReport", "Suspect", "audit_labels"]
