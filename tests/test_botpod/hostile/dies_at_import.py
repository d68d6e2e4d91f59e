"""A handler whose process dies while it is imported."""

import os

os._exit(7)
