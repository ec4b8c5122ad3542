"""How hypothesis makes its examples.

`ci` is loaded by default: every run draws the same examples, so that a failure is the change's
own. `pytest --hypothesis-profile explore` draws new ones, and prints how to repeat a failure.
`OPENHOP_EXAMPLES=10` makes either draw ten times as many (0.1: a tenth). A costly test takes its
share of the budget, so that the factor reaches it too:

    @settings(max_examples=settings.default.max_examples // 10)
"""

import os

from hypothesis import HealthCheck, settings

FACTOR = float(os.environ.get("OPENHOP_EXAMPLES", "1"))

settings.register_profile(
    "ci",
    derandomize=True,
    max_examples=max(10, round(100 * FACTOR)),
    # Simulation time is not the code's fault, and differs from machine to machine.
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.register_profile("explore", settings.get_profile("ci"), derandomize=False)
settings.load_profile("ci")
