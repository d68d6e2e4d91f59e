"""How many examples each law is tried with: COMANDA_FUZZ_EXAMPLES=20000 makes it a long run.

The default takes some twenty seconds for all laws here together.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

EXAMPLES = int(os.environ.get("COMANDA_FUZZ_EXAMPLES", "200"))
TIMEOUT_SECONDS = max(120, EXAMPLES // 5)

fuzzed = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Documents of many parts take a while to draw, on a busy machine above all."""
