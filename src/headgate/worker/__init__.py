"""What runs inside an attempt: inputs, the call, staging and the audit. Publishes nothing, knows no store."""
