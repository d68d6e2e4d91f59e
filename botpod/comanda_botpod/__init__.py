"""The bot pod: delivery → inbox → turn → handler → outbox → Graph API, for all tenants of one group."""
