"""A handler that cannot be imported."""

import a_library_that_nobody_has  # type: ignore[import-not-found]

handle = a_library_that_nobody_has.handle
