"""Where tests run that need more than processes."""

from __future__ import annotations

import os
import sys

CLUSTER = os.environ.get("COMANDA_E2E", "kind" if sys.platform == "linux" and os.geteuid() == 0 else "")
"""`kind`: a cluster that the tests make, as root on Linux can; `existing`: that of $KUBECONFIG; empty: none."""
