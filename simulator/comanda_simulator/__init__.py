"""Meta's side of WhatsApp on this machine: a Graph API, a signing webhook sender with faults, and a chat page.

Tests, benchmarks and the demo talk to it exactly as to Meta, over HTTP. What it knows of Meta is in
`comanda_contract.cloud.limits` and in Meta's public reference; nothing here knows how Comanda works.
"""
