"""Meta's Cloud API as typed data: webhooks and statuses in, messages out, errors and limits."""
